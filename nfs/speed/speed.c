/*
 * netvm-speed: generates, reflects or swallows packets, and says how many, how fast and how late.
 *
 *   generate   makes UDP packets for a port or service; counts what comes back
 *   reflect    swaps source and destination and sends each packet back where it came from
 *   sink       counts and consumes
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <netvm.h>

#include "common/background.h"
#include "common/options.h"
#include "common/outfile.h"
#include "speed/frame.h"
#include "speed/generate.h"
#include "speed/meter.h"

enum mode { MODE_GENERATE, MODE_REFLECT, MODE_SINK, MODE_MISSING };

static const char *const mode_names[] = {"generate", "reflect", "sink", NULL};

static struct {
	unsigned mode;
	const char *name, *service, *socket, *queues, *replay;
	bool busy;
	const char *to, *through;
	uint64_t rate_pps, size_bytes, n_flows, n_pkts, duration_s;
	bool stamps;
	uint64_t interval_s;
	bool json;
	const char *output;
	struct meter_report report;
	struct meter *meter[NETVM_QUEUES_MAX];
} speed = {.mode = MODE_MISSING, .size_bytes = 64, .n_flows = 1};

static const struct option_spec specs[] = {
	{"MODE", NULL, "what to do", .choice = &speed.mode, .choices = mode_names},
	{"--to", "PORT", "generate: send out of this port", .text = &speed.to},
	{"--through", "SERVICE", "generate: send to this service", .text = &speed.through},
	{"--rate", "PPS", "generate: packets per second (as fast as it goes)",
		.number = &speed.rate_pps, .min = 1, .max = 1000000000},
	{"--size", "BYTES", "generate: frame size without checksum (64)",
		.number = &speed.size_bytes, .min = FRAME_HEADERS, .max = FRAME_BYTES_MAX},
	{"--flows", "N", "generate: flows in turn (1)", .number = &speed.n_flows, .min = 1,
		.max = FRAME_FLOWS_MAX},
	{"--count", "N", "generate: end after N packets", .number = &speed.n_pkts, .min = 1,
		.max = UINT64_MAX},
	{"--duration", "SECONDS", "generate: end after this time", .number = &speed.duration_s,
		.min = 1, .max = 1000000},
	{"--timestamps", NULL, "generate: put time and sequence into the payload (size 60 up)",
		.flag = &speed.stamps},
	{"--interval", "SECONDS", "report every so often; always on SIGUSR1 and at the end",
		.number = &speed.interval_s, .min = 1, .max = 86400},
	{"--json", NULL, "report as JSON, one line each", .flag = &speed.json},
	{"--output", "FILE", "replace FILE with each report, instead of stdout",
		.text = &speed.output},
	/* also for netvm_main(), which does not run for generate */
	{"--name", "NAME", "attach as this NF ($NETVM_NAME)", .text = &speed.name},
	{"--service", "NAME", "service to fill ($NETVM_SERVICE)", .text = &speed.service},
	{"--socket", "PATH", "socket of the daemon ($NETVM_SOCKET)", .text = &speed.socket},
	{"--busy", NULL, "poll instead of sleeping when idle", .flag = &speed.busy},
	{"--queues", "N", "reflect, sink: threads, each with its own share of the flows",
		.text = &speed.queues},
	{"--replay", "IN[,OUT]", "reflect, sink: run over a pcap file", .text = &speed.replay},
	{0},
};

static const struct options options = {
	.program = "netvm-speed",
	.usage = "generate --to PORT | generate --through SERVICE | reflect | sink  [options]",
	.summary = "Generate, reflect or swallow packets, and measure them.",
	.specs = specs,
};

static int speed_start(struct netvm *nf, void *arg)
{
	struct meter **meter = &speed.meter[netvm_queue(nf)];
	struct meter *fresh;

	(void)arg;
	if (*meter)
		return 0; /* attached again: go on counting */
	if (meter_create(&fresh))
		return -ENOMEM;
	__atomic_store_n(meter, fresh, __ATOMIC_RELEASE);
	return 0;
}

static void sink_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)arg;
	meter_received(speed.meter[netvm_queue(nf)], nf, pkts, n);
	for (unsigned i = 0; i < n; i++)
		netvm_consume(&pkts[i]);
}

/* The way back to a port, looked up once for packets in a row. */
struct way_back {
	uint32_t in_port;
	int verdict; /* negative: not granted */
};

/* Drops what is malformed or came from nowhere to send it back to. */
static bool reflect_packet(struct netvm *nf, struct netvm_packet *pkt, struct way_back *way)
{
	uint16_t in_port = netvm_meta(nf, pkt)->in_port;
	struct netvm_headers headers;

	if (way->in_port != in_port) {
		way->in_port = in_port;
		way->verdict = netvm_destination_by_id(nf, NETVM_DESTINATION_PORT, in_port);
	}
	if (way->verdict < 0 || netvm_parse(nf, pkt, &headers)) {
		netvm_drop(pkt);
		return false;
	}
	frame_reflect(&headers);
	netvm_to(pkt, (unsigned)way->verdict);
	return true;
}

static void reflect_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	struct meter *meter = speed.meter[netvm_queue(nf)];
	struct way_back way = {.in_port = UINT32_MAX};
	uint64_t n_bytes = 0, n_pkts = 0;

	(void)arg;
	meter_received(meter, nf, pkts, n);
	for (unsigned i = 0; i < n; i++) {
		if (!reflect_packet(nf, &pkts[i], &way))
			continue;
		n_pkts++;
		n_bytes += netvm_length(&pkts[i]);
	}
	meter_sent(meter, n_pkts, n_bytes);
}

static void report_print(FILE *file, void *arg)
{
	if (speed.json)
		meter_print_json(arg, file);
	else
		meter_print_line(arg, file);
}

static void speed_report(int signal, void *arg)
{
	struct meter *meter[NETVM_QUEUES_MAX];
	int error;

	(void)signal, (void)arg;
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		meter[i] = __atomic_load_n(&speed.meter[i], __ATOMIC_ACQUIRE);
	meter_report(&speed.report, meter, NETVM_QUEUES_MAX);
	error = outfile_write(speed.output, report_print, &speed.report);
	if (error)
		fprintf(stderr, "netvm-speed: %s: %s\n", speed.output ? speed.output : "stdout",
			strerror(-error));
}

/* Returns an exit status. */
static int generate_main(void)
{
	const struct netvm_options netvm = {
		.name = speed.name,
		.service = speed.service,
		.socket = speed.socket,
		.busy = speed.busy,
		.stock = true,
	};
	const struct generate_options generate = {
		.netvm = &netvm,
		.to = speed.to,
		.through = speed.through,
		.rate_pps = speed.rate_pps,
		.size_bytes = speed.size_bytes,
		.n_flows = speed.n_flows,
		.n_pkts = speed.n_pkts,
		.duration_ns = speed.duration_s * 1000000000,
		.stamps = speed.stamps,
	};
	int error = generate_run(&generate, speed.meter[0]);

	if (error == -EMSGSIZE)
		return options_error(
			&options, "--size", "larger than a buffer of the group; valid: less");
	if (error)
		fprintf(stderr, "netvm-speed: %s\n", netvm_error());
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int options_check(void)
{
	if (speed.mode == MODE_MISSING)
		return options_error(
			&options, "MODE", "is missing; valid: generate, reflect, sink");
	if (speed.mode != MODE_GENERATE)
		return 0;
	if (!speed.to == !speed.through)
		return options_error(&options, "--to",
			"say where to; valid: either --to PORT or --through SERVICE");
	if (speed.replay || speed.queues)
		return options_error(&options, speed.replay ? "--replay" : "--queues",
			"not with generate; valid: reflect, sink");
	if (speed.stamps && speed.size_bytes < FRAME_HEADERS + FRAME_STAMP_BYTES)
		return options_error(&options, "--size",
			"too small for --timestamps; valid: %u and more",
			FRAME_HEADERS + FRAME_STAMP_BYTES);
	return 0;
}

int main(int argc, char **argv)
{
	struct background background = {.wake = speed_report, .signals = {SIGUSR1}};
	int status;

	if (!options_parse(&options, &argc, argv, &status))
		return status;
	status = options_check();
	if (status)
		return status;
	if (meter_create(&speed.meter[0]))
		return EXIT_FAILURE;
	speed.report.start_ns = speed.report.now_ns = monotonic_ns();
	background.interval_ns = speed.interval_s * 1000000000;
	if (background_start(&background))
		return options_error(&options, "start", "no resources for a thread");
	if (speed.mode == MODE_GENERATE)
		status = generate_main();
	else
		status = netvm_main(argc, argv,
			&(struct netvm_options){
				.burst = speed.mode == MODE_SINK ? sink_burst : reflect_burst,
				.start = speed_start,
				.meta = speed.mode == MODE_REFLECT,
			});
	background_stop(&background);
	if (status == 0)
		speed_report(0, NULL);
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		meter_destroy(speed.meter[i]);
	return status;
}
