/*
 * netvm-firewall: passes or drops packets by an ordered list of rules and by the state of their
 * connections.
 *
 *   packet --> inspect --> conntrack_find --> cache / rules --> conntrack_advance or _open
 *              malformed,   new, established,   allow, drop
 *              ARP, NDP     related, invalid
 *
 * Each queue has its own connections and counters under a lock that it takes once per burst; the
 * background thread takes it to swap rules and to sum counters. Lock order: firewall.lock, then
 * one queue's.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <netvm.h>

#include "common/background.h"
#include "common/options.h"
#include "common/outfile.h"
#include "common/state.h"
#include "firewall/cache.h"
#include "firewall/conntrack.h"
#include "firewall/inspect.h"
#include "firewall/rules.h"
#include "firewall/stats.h"

#define PORT_NUMBERS 1024u /* higher ones are "a port that no rule names" */

struct queue {
	pthread_mutex_t lock;
	const struct ruleset *ruleset;
	struct rule_count *rule_count; /* one per rule and one for the default */
	struct conntrack *conntrack;
	struct cache *cache;
	struct stats stats; /* its conntrack part is filled when collected */
	bool ports_known;
	uint32_t destination_version;  /* that port_in was made from */
	uint8_t port_in[PORT_NUMBERS]; /* port number to subject.in */
};

static struct {
	const char *rules, *check, *stats_path;
	uint64_t n_connections, interval_s;
	pthread_mutex_t lock; /* of ruleset, and of adding queues */
	struct ruleset *ruleset;
	uint64_t reloads;
	struct queue *queue[NETVM_QUEUES_MAX];
} firewall = {.n_connections = 65536, .interval_s = 1, .lock = PTHREAD_MUTEX_INITIALIZER};

static const struct option_spec specs[] = {
	{"--rules", "FILE", "rules, read again on SIGHUP", .text = &firewall.rules},
	{"--check", "FILE", "only say whether the rules in FILE are valid",
		.text = &firewall.check},
	{"--connections", "N", "connections to track, per queue (65536; 72 bytes each)",
		.number = &firewall.n_connections, .min = 64, .max = 1 << 26},
	{"--stats", "FILE", "replace FILE with the counters as JSON, every interval",
		.text = &firewall.stats_path},
	{"--interval", "SECONDS", "for --stats (1)", .number = &firewall.interval_s, .min = 1,
		.max = 86400},
	{0},
};

static const struct options options = {
	.program = "netvm-firewall",
	.usage = "--rules FILE [options] | --check FILE",
	.summary = "Pass or drop packets by rules; SIGUSR1 prints counters, SIGHUP reads the rules "
		   "again.",
	.specs = specs,
};

/* ---- packets ------------------------------------------------------------------------------- */

/* Port numbers to the names in the rules, made again when the host or the rules changed. */
static void ports_refresh(struct queue *queue, struct netvm *nf)
{
	const struct ruleset *ruleset = queue->ruleset;
	uint32_t version = netvm_destination_version(nf);
	struct netvm_destination entry;

	if (queue->ports_known && queue->destination_version == version)
		return;
	memset(queue->port_in, 0, sizeof(queue->port_in));
	for (unsigned i = 0; i < ruleset->n_ports; i++) {
		int verdict = netvm_destination(nf, NETVM_DESTINATION_PORT, ruleset->port[i]);

		if (verdict < 0 || netvm_destination_get(nf, (unsigned)verdict, &entry) ||
			entry.id >= PORT_NUMBERS)
			fprintf(stderr,
				"netvm-firewall: port %s: not granted, its rules match nothing\n",
				ruleset->port[i]);
		else
			queue->port_in[entry.id] = (uint8_t)(i + 1);
	}
	queue->destination_version = version;
	queue->ports_known = true;
}

/* A quoted packet may be of a connection that another queue tracks: flows are spread by hash. */
static bool related(struct queue *queue, const struct inspection *seen)
{
	bool known = conntrack_knows(queue->conntrack, &seen->cause, seen->packet.now_s);

	for (unsigned i = 0; !known && i < NETVM_QUEUES_MAX; i++) {
		struct queue *other = __atomic_load_n(&firewall.queue[i], __ATOMIC_ACQUIRE);

		if (!other || other == queue)
			continue;
		pthread_mutex_unlock(&queue->lock); /* never two queues' locks at once */
		pthread_mutex_lock(&other->lock);
		known = conntrack_knows(other->conntrack, &seen->cause, seen->packet.now_s);
		pthread_mutex_unlock(&other->lock);
		pthread_mutex_lock(&queue->lock);
	}
	return known;
}

static enum state state_of(
	struct queue *queue, const struct inspection *seen, struct conntrack_hit *hit)
{
	hit->connection = NULL;
	if (!queue->ruleset->stateful)
		return STATE_NEW;
	if (seen->has_cause)
		return related(queue, seen) ? STATE_RELATED : STATE_NEW;
	if (!seen->trackable)
		return STATE_NEW;
	return conntrack_find(queue->conntrack, &queue->ruleset->policy, &seen->packet, hit);
}

/* The name that the rules have for the port a packet came in by. */
static uint8_t subject_in(struct queue *queue, struct netvm *nf, const struct netvm_packet *pkt)
{
	uint16_t in_port = netvm_meta(nf, pkt)->in_port;

	ports_refresh(queue, nf); /* per packet, since related() may let the rules change */
	return in_port < PORT_NUMBERS ? queue->port_in[in_port] : 0;
}

/* The rules' word on a packet, counted. */
static bool rules_allow(struct queue *queue, struct netvm *nf, const struct netvm_packet *pkt,
	const struct inspection *seen, enum state state)
{
	struct subject subject = {
		.key = seen->packet.key,
		.in = subject_in(queue, nf, pkt),
		.state = (uint8_t)state,
		.fragment = seen->fragment,
	};
	uint32_t rule = cache_match(queue->cache, queue->ruleset, &subject);

	queue->rule_count[rule].pkts++;
	queue->rule_count[rule].bytes += netvm_length(pkt);
	queue->stats.fragments += seen->fragment;
	return ruleset_allows(queue->ruleset, rule);
}

/* Track what an allowed packet did. False: there is no room for its connection. */
static bool track(
	struct queue *queue, const struct inspection *seen, const struct conntrack_hit *hit)
{
	const struct conntrack_policy *policy = &queue->ruleset->policy;

	if (!queue->ruleset->stateful || !seen->trackable)
		return true;
	if (hit->connection)
		conntrack_advance(policy, &seen->packet, hit);
	else if (conntrack_open(queue->conntrack, policy, &seen->packet))
		return false;
	return true;
}

static enum cause ip_decide(struct queue *queue, struct netvm *nf, const struct netvm_packet *pkt,
	const struct inspection *seen, bool *allow)
{
	struct conntrack_hit hit;
	enum state state = state_of(queue, seen, &hit);

	*allow = false;
	if (state == STATE_INVALID)
		return CAUSE_INVALID;
	if (!rules_allow(queue, nf, pkt, seen, state))
		return CAUSE_RULES;
	if (!track(queue, seen, &hit))
		return CAUSE_TABLE_FULL;
	*allow = true;
	return CAUSE_RULES;
}

static enum cause packet_decide(struct queue *queue, struct netvm *nf,
	const struct netvm_packet *pkt, uint32_t now_s, bool *allow)
{
	struct inspection seen;

	inspect(nf, pkt, &seen);
	seen.packet.now_s = now_s;
	switch (seen.kind) {
	case KIND_IP:
		return ip_decide(queue, nf, pkt, &seen, allow);
	case KIND_ARP:
		*allow = queue->ruleset->allow_arp;
		return CAUSE_ARP;
	case KIND_NDP:
		*allow = queue->ruleset->allow_ndp;
		return CAUSE_NDP;
	case KIND_OTHER:
		*allow = queue->ruleset->allow_other;
		return CAUSE_OTHER;
	default:
		*allow = false;
		return CAUSE_MALFORMED;
	}
}

static void firewall_packet(
	struct queue *queue, struct netvm *nf, struct netvm_packet *pkt, uint32_t now_s)
{
	bool allow;
	enum cause cause = packet_decide(queue, nf, pkt, now_s, &allow);

	if (allow) {
		queue->stats.allowed[cause]++;
	} else {
		queue->stats.dropped[cause]++;
		netvm_drop(pkt);
	}
}

static void firewall_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	struct queue *queue = firewall.queue[netvm_queue(nf)];
	uint32_t now_s = (uint32_t)(monotonic_ns() / 1000000000);

	(void)arg;
	pthread_mutex_lock(&queue->lock);
	for (unsigned i = 0; i < n; i++)
		firewall_packet(queue, nf, &pkts[i], now_s);
	pthread_mutex_unlock(&queue->lock);
}

/* ---- queues -------------------------------------------------------------------------------- */

static struct rule_count *rule_counts_create(const struct ruleset *ruleset)
{
	return calloc(ruleset->n_rules + 1, sizeof(struct rule_count));
}

static void queue_destroy(struct queue *queue)
{
	if (!queue)
		return;
	conntrack_destroy(queue->conntrack);
	cache_destroy(queue->cache);
	free(queue->rule_count);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

static struct queue *queue_create(const struct ruleset *ruleset)
{
	struct queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return NULL;
	pthread_mutex_init(&queue->lock, NULL);
	queue->ruleset = ruleset;
	queue->rule_count = rule_counts_create(ruleset);
	if (queue->rule_count && !cache_create(&queue->cache) &&
		!conntrack_create((uint32_t)firewall.n_connections, &queue->conntrack))
		return queue;
	queue_destroy(queue);
	return NULL;
}

/* A queue that attaches again keeps its connections. */
static int firewall_start(struct netvm *nf, void *arg)
{
	unsigned i = netvm_queue(nf);
	int error = 0;

	(void)arg;
	pthread_mutex_lock(&firewall.lock);
	if (firewall.queue[i]) {
		firewall.queue[i]->ports_known = false;
	} else {
		struct queue *queue = queue_create(firewall.ruleset);

		__atomic_store_n(&firewall.queue[i], queue, __ATOMIC_RELEASE);
		error = queue ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&firewall.lock);
	if (error)
		options_error(&options, "--connections", "not so much memory; valid: less");
	return error;
}

/* ---- handing over -------------------------------------------------------------------------- */

static const struct state_form state_form = {
	.magic = "netvm-fw",
	.version = 1,
	.head_bytes = sizeof(uint32_t), /* how many queues there were */
	.record_bytes = sizeof(struct conntrack_record),
};

static uint32_t n_queues(void)
{
	uint32_t n = 0;

	while (n < NETVM_QUEUES_MAX && firewall.queue[n])
		n++;
	return n;
}

static int queue_save(const struct queue *queue, uint8_t number, uint32_t now_s, FILE *file)
{
	struct conntrack_record record;
	uint32_t at = 0;

	while (conntrack_next(queue->conntrack, now_s, &at, &record)) {
		record.queue = number;
		if (state_record(file, &state_form, &record))
			return -EIO;
	}
	return 0;
}

/* Nobody changes connections meanwhile: there are no packets. */
static int firewall_save(struct netvm *nf, FILE *file, void *arg)
{
	uint32_t now_s = (uint32_t)(monotonic_ns() / 1000000000), n = n_queues();
	int error = state_begin(file, &state_form, &n);

	(void)nf, (void)arg;
	for (uint32_t i = 0; i < n && !error; i++)
		error = queue_save(firewall.queue[i], (uint8_t)i, now_s, file);
	return error;
}

/* With as many queues as before each connection has its own; else it may come to any. */
static int record_load(const struct conntrack_record *record, bool same_queues, uint32_t now_s)
{
	uint32_t n = n_queues();
	int error = 0;

	for (uint32_t i = 0; i < n && !error; i++)
		if (!same_queues || i == record->queue)
			error = conntrack_restore(firewall.queue[i]->conntrack,
				&firewall.ruleset->policy, record, now_s);
	return error;
}

static int records_load(const uint8_t *records, size_t n, bool same_queues)
{
	uint32_t now_s = (uint32_t)(monotonic_ns() / 1000000000);
	struct conntrack_record record;
	size_t n_left_out = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(&record, records + i * sizeof(record), sizeof(record));
		if (!conntrack_is_record(&record))
			return -EBADMSG;
		n_left_out += record_load(&record, same_queues, now_s) != 0;
	}
	if (n_left_out)
		fprintf(stderr, "netvm-firewall: %zu of %zu connections found no room\n",
			n_left_out, n);
	return 0;
}

/* Without rules about state there is nothing to know. */
static int firewall_load(struct netvm *nf, const void *state, size_t n_bytes, void *arg)
{
	const uint8_t *records;
	uint32_t n_before;
	int error = 0;
	size_t n;

	(void)nf, (void)arg;
	pthread_mutex_lock(&firewall.lock);
	if (firewall.ruleset->stateful) {
		error = state_read(state, n_bytes, &state_form, &n_before, &records, &n);
		if (!error)
			error = records_load(records, n, n_before == n_queues());
		if (error)
			fputs("netvm-firewall: these are not the connections of a firewall\n",
				stderr);
	}
	pthread_mutex_unlock(&firewall.lock);
	return error;
}

/* ---- the background thread ----------------------------------------------------------------- */

static void queue_swap_rules(
	struct queue *queue, const struct ruleset *ruleset, struct rule_count *rule_count)
{
	struct rule_count *old = queue->rule_count;

	pthread_mutex_lock(&queue->lock);
	queue->ruleset = ruleset;
	queue->rule_count = rule_count;
	queue->ports_known = false;
	cache_clear(queue->cache);
	pthread_mutex_unlock(&queue->lock);
	free(old);
}

/* All queues or none; returns the ruleset that is not needed any more. */
static struct ruleset *rules_publish(struct ruleset *ruleset)
{
	struct rule_count *rule_count[NETVM_QUEUES_MAX] = {0};
	struct ruleset *old = firewall.ruleset;

	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++) {
		rule_count[i] = firewall.queue[i] ? rule_counts_create(ruleset) : NULL;
		if (firewall.queue[i] && !rule_count[i])
			goto fail;
	}
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++) {
		if (firewall.queue[i])
			queue_swap_rules(firewall.queue[i], ruleset, rule_count[i]);
	}
	firewall.ruleset = ruleset;
	firewall.reloads++;
	return old;
fail:
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		free(rule_count[i]);
	fprintf(stderr, "netvm-firewall: no memory for the new rules; the old ones stay\n");
	return ruleset;
}

static void rules_reload(void)
{
	struct rules_error error;
	struct ruleset *ruleset;

	if (ruleset_load(firewall.rules, &ruleset, &error)) {
		rules_error_print(&error, firewall.rules, stderr);
		fprintf(stderr, "netvm-firewall: the old rules stay\n");
		return;
	}
	pthread_mutex_lock(&firewall.lock);
	ruleset = rules_publish(ruleset);
	pthread_mutex_unlock(&firewall.lock);
	ruleset_destroy(ruleset);
}

static void queue_collect(struct queue *queue, struct stats *stats, struct rule_count *rule_count)
{
	struct conntrack_counters counters;

	pthread_mutex_lock(&queue->lock);
	for (unsigned i = 0; i < CAUSES; i++) {
		stats->allowed[i] += queue->stats.allowed[i];
		stats->dropped[i] += queue->stats.dropped[i];
	}
	for (uint32_t i = 0; i <= queue->ruleset->n_rules; i++) {
		rule_count[i].pkts += queue->rule_count[i].pkts;
		rule_count[i].bytes += queue->rule_count[i].bytes;
	}
	stats->fragments += queue->stats.fragments;
	stats->connections +=
		conntrack_count(queue->conntrack, (uint32_t)(monotonic_ns() / 1000000000));
	conntrack_counters(queue->conntrack, &counters);
	stats->conntrack.opened += counters.opened;
	stats->conntrack.evicted += counters.evicted;
	stats->conntrack.refused += counters.refused;
	pthread_mutex_unlock(&queue->lock);
}

/* `json` is NULL for the table. Called by outfile_write(). */
static void stats_print(FILE *file, void *json)
{
	struct stats stats = {.reloads = firewall.reloads};
	struct rule_count *rule_count;

	pthread_mutex_lock(&firewall.lock);
	rule_count = rule_counts_create(firewall.ruleset);
	for (unsigned i = 0; rule_count && i < NETVM_QUEUES_MAX; i++) {
		if (firewall.queue[i])
			queue_collect(firewall.queue[i], &stats, rule_count);
	}
	if (rule_count)
		(json ? stats_print_json : stats_print_table)(
			&stats, firewall.ruleset, rule_count, file);
	pthread_mutex_unlock(&firewall.lock);
	free(rule_count);
}

static void stats_save(void)
{
	int error = outfile_write(firewall.stats_path, stats_print, &firewall);

	if (error)
		fprintf(stderr, "netvm-firewall: %s: %s\n", firewall.stats_path, strerror(-error));
}

static void firewall_wake(int signal, void *arg)
{
	(void)arg;
	if (signal == SIGHUP)
		rules_reload();
	else if (signal == SIGUSR1)
		outfile_write(NULL, stats_print, NULL);
	else
		stats_save();
}

/* ---- main ---------------------------------------------------------------------------------- */

/* Returns an exit status. */
static int rules_check(const char *path, struct ruleset **ruleset)
{
	struct rules_error error;

	if (!ruleset_load(path, ruleset, &error))
		return 0;
	rules_error_print(&error, path, stderr);
	return OPTIONS_BAD_USAGE;
}

static int firewall_main(int argc, char **argv)
{
	struct background background = {
		.wake = firewall_wake,
		.signals = {SIGHUP, SIGUSR1},
		.interval_ns = firewall.stats_path ? firewall.interval_s * 1000000000 : 0,
	};
	int status;

	if (background_start(&background))
		return options_error(&options, "start", "no resources for a thread");
	status = netvm_main(argc, argv,
		&(struct netvm_options){.burst = firewall_burst,
			.start = firewall_start,
			.save = firewall_save,
			.load = firewall_load,
			.meta = true});
	background_stop(&background);
	if (firewall.stats_path)
		stats_save();
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		queue_destroy(firewall.queue[i]);
	return status;
}

int main(int argc, char **argv)
{
	int status;

	if (!options_parse(&options, &argc, argv, &status))
		return status;
	if (!firewall.rules == !firewall.check)
		return options_error(&options, "--rules",
			"say which rules; valid: either --rules FILE or --check FILE");
	status = rules_check(firewall.check ? firewall.check : firewall.rules, &firewall.ruleset);
	if (status == 0 && !firewall.check)
		status = firewall_main(argc, argv);
	ruleset_destroy(firewall.ruleset);
	return status;
}
