/*
 * netvm-monitor: counts packets and bytes per protocol and per flow and reports the top talkers.
 * All packets go on unchanged.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <netvm.h>

#include "common/background.h"
#include "common/options.h"
#include "common/outfile.h"
#include "common/state.h"
#include "monitor/report.h"
#include "monitor/tally.h"

static const char *const sort_names[] = {"bytes", "packets", NULL};

static struct {
	uint64_t n_flows, n_top, interval_s;
	unsigned by_packets;
	bool json;
	const char *output;
	uint64_t start_ns;
	struct report report;
	struct tally *tally[NETVM_QUEUES_MAX];
} monitor = {.n_flows = 65536, .n_top = 10};

static const struct option_spec specs[] = {
	{"--flows", "N", "flows to remember, per queue (65536; 96 bytes each)",
		.number = &monitor.n_flows, .min = 16, .max = 1 << 26},
	{"--top", "N", "flows to show (10)", .number = &monitor.n_top, .max = REPORT_TOP_MAX},
	{"--sort", "KEY", "what makes a top talker", .choice = &monitor.by_packets,
		.choices = sort_names},
	{"--interval", "SECONDS", "report every so often; always on SIGUSR1 and at the end",
		.number = &monitor.interval_s, .min = 1, .max = 86400},
	{"--json", NULL, "report as JSON, one line each", .flag = &monitor.json},
	{"--output", "FILE", "replace FILE with each report, instead of stdout",
		.text = &monitor.output},
	{0},
};

static const struct options options = {
	.program = "netvm-monitor",
	.usage = "[options]",
	.summary = "Count traffic per protocol and flow; pass everything on unchanged.",
	.specs = specs,
};

static int monitor_start(struct netvm *nf, void *arg)
{
	struct tally **tally = &monitor.tally[netvm_queue(nf)];
	struct tally *fresh;

	(void)arg;
	if (*tally)
		return 0; /* attached again: go on counting */
	if (tally_create((uint32_t)monitor.n_flows, &fresh))
		return options_error(&options, "--flows", "not so much memory; valid: less");
	/* The background thread may be looking. */
	__atomic_store_n(tally, fresh, __ATOMIC_RELEASE);
	return 0;
}

static void monitor_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	struct tally *tally = monitor.tally[netvm_queue(nf)];
	uint64_t now_ns = monotonic_ns();

	(void)arg;
	pthread_mutex_lock(&tally->lock);
	for (unsigned i = 0; i < n; i++) {
		struct netvm_flow_key key;

		netvm_flow(nf, &pkts[i], &key);
		tally_packet(tally, &key, netvm_length(&pkts[i]), now_ns);
	}
	pthread_mutex_unlock(&tally->lock);
}

/* ---- handing over -------------------------------------------------------------------------- */

struct head {
	uint64_t start_ns;
	uint64_t n_evicted;
	struct tally_count protocol[TALLY_PROTOCOLS];
};

static const struct state_form state_form = {
	.magic = "netvmmon",
	.version = 1,
	.head_bytes = sizeof(struct head),
	.record_bytes = sizeof(struct tally_flow),
};

static void head_add(struct head *head, const struct tally *tally)
{
	head->n_evicted += tally->n_evicted;
	for (unsigned i = 0; i < TALLY_PROTOCOLS; i++) {
		head->protocol[i].pkts += tally->protocol[i].pkts;
		head->protocol[i].bytes += tally->protocol[i].bytes;
	}
}

static int tally_save(const struct tally *tally, FILE *file)
{
	for (uint32_t i = 0; i < tally->n_buckets; i++) {
		for (unsigned k = 0; k < TALLY_BUCKET_FLOWS; k++) {
			const struct tally_flow *flow = &tally->buckets[i].flow[k];

			if (flow->forth.pkts && state_record(file, &state_form, flow))
				return -EIO;
		}
	}
	return 0;
}

/* Nobody counts meanwhile: there are no packets. */
static int monitor_save(struct netvm *nf, FILE *file, void *arg)
{
	struct head head = {.start_ns = monitor.start_ns};
	int error;

	(void)nf, (void)arg;
	for (unsigned i = 0; i < NETVM_QUEUES_MAX && monitor.tally[i]; i++)
		head_add(&head, monitor.tally[i]);
	error = state_begin(file, &state_form, &head);
	for (unsigned i = 0; i < NETVM_QUEUES_MAX && monitor.tally[i] && !error; i++)
		error = tally_save(monitor.tally[i], file);
	return error;
}

/* Where the packets of a flow will be counted from now on is the queue that the host chooses. */
static struct tally *tally_of(const struct netvm_flow_key *key)
{
	unsigned n = 0;

	while (n < NETVM_QUEUES_MAX && monitor.tally[n])
		n++;
	return monitor.tally[(netvm_flow_hash(key) >> 16) % n];
}

static int flows_check(const uint8_t *records, size_t n, uint64_t now_ns)
{
	struct tally_flow flow;

	for (size_t i = 0; i < n; i++) {
		memcpy(&flow, records + i * sizeof(flow), sizeof(flow));
		if (!tally_is_flow(&flow, now_ns))
			return -EBADMSG;
	}
	return 0;
}

static void flows_load(const struct head *head, const uint8_t *records, size_t n)
{
	struct tally *first = monitor.tally[0];
	struct tally_flow flow;

	monitor.start_ns = head->start_ns;
	pthread_mutex_lock(&first->lock);
	first->n_evicted += head->n_evicted;
	for (unsigned i = 0; i < TALLY_PROTOCOLS; i++) {
		first->protocol[i].pkts += head->protocol[i].pkts;
		first->protocol[i].bytes += head->protocol[i].bytes;
	}
	pthread_mutex_unlock(&first->lock);
	for (size_t i = 0; i < n; i++) {
		struct tally *tally;

		memcpy(&flow, records + i * sizeof(flow), sizeof(flow));
		tally = tally_of(&flow.key);
		pthread_mutex_lock(&tally->lock);
		tally_restore(tally, &flow);
		pthread_mutex_unlock(&tally->lock);
	}
}

/* Figures of before are not worth a failed start: without them it begins at nought. */
static int monitor_load(struct netvm *nf, const void *state, size_t n_bytes, void *arg)
{
	uint64_t now_ns = monotonic_ns();
	const uint8_t *records;
	struct head head;
	size_t n;

	(void)nf, (void)arg;
	if (state_read(state, n_bytes, &state_form, &head, &records, &n) ||
		head.start_ns > now_ns || flows_check(records, n, now_ns))
		fputs("netvm-monitor: these are not a monitor's figures; begins at nought\n",
			stderr);
	else
		flows_load(&head, records, n);
	return 0;
}

/* ---- reports ------------------------------------------------------------------------------- */

static void report_print(FILE *file, void *arg)
{
	if (monitor.json)
		report_print_json(arg, file);
	else
		report_print_table(arg, file);
}

static void monitor_report(int signal, void *arg)
{
	struct tally *tally[NETVM_QUEUES_MAX];
	struct report *report = &monitor.report;
	int error;

	(void)signal, (void)arg;
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		tally[i] = __atomic_load_n(&monitor.tally[i], __ATOMIC_ACQUIRE);
	report->now_ns = monotonic_ns();
	report->elapsed_ns = report->now_ns - monitor.start_ns;
	report_collect(
		report, tally, NETVM_QUEUES_MAX, (unsigned)monitor.n_top, monitor.by_packets);
	error = outfile_write(monitor.output, report_print, report);
	if (error)
		fprintf(stderr, "netvm-monitor: %s: %s\n",
			monitor.output ? monitor.output : "stdout", strerror(-error));
}

int main(int argc, char **argv)
{
	struct background background = {.wake = monitor_report, .signals = {SIGUSR1}};
	int status;

	if (!options_parse(&options, &argc, argv, &status))
		return status;
	monitor.start_ns = monotonic_ns();
	background.interval_ns = monitor.interval_s * 1000000000;
	if (background_start(&background))
		return options_error(&options, "start", "no resources for a thread");
	status = netvm_main(argc, argv,
		&(struct netvm_options){.burst = monitor_burst,
			.start = monitor_start,
			.save = monitor_save,
			.load = monitor_load});
	background_stop(&background);
	if (status == 0)
		monitor_report(0, NULL);
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		tally_destroy(monitor.tally[i]);
	return status;
}
