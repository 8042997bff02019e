/*
 * netvm-forward: where packets go, decided by as little as possible.
 *
 *   --next        on in the chain                            nothing is looked at
 *   --to PORT     all out of one port                        nothing is looked at
 *   --patch A B   in by A out by B, and back                 the metadata is looked at
 *   (default)     learning bridge over all granted ports     metadata and Ethernet header
 *
 * A port that the manager has not granted (yet) is no error: its packets are dropped, and counted
 * by the host as dropped by this NF, until it is.
 */
#include <signal.h>

#include <netvm.h>

#include "common/background.h"
#include "common/options.h"
#include "forward/bridge.h"

struct forward_port {
	const char *name;
	unsigned verdict; /* drop while it is not granted */
	uint32_t id;      /* UINT32_MAX while it is not granted */
};

/* What one queue knows of the ports named in the options; version of the table it is from. */
struct forward_queue {
	uint32_t version;
	struct forward_port port[2];
} __attribute__((aligned(64)));

static struct {
	bool next;
	const char *to;
	const char *patch[2];
	uint64_t n_macs, age_s;
	struct bridge *bridge;
	struct forward_queue queue[NETVM_QUEUES_MAX];
} forward = {.n_macs = 8192, .age_s = 300};

static const struct option_spec specs[] = {
	{"--next", NULL, "pass everything on in its chain", .flag = &forward.next},
	{"--to", "PORT", "send everything out of one port", .text = &forward.to},
	{"--patch", "A B", "connect two ports: in by one, out by the other", .text = forward.patch,
		.n_texts = 2},
	{"--macs", "N", "bridge: addresses to remember (8192)", .number = &forward.n_macs,
		.min = 16, .max = 1 << 24},
	{"--age", "SECONDS", "bridge: forget an address unseen for so long (300)",
		.number = &forward.age_s, .min = 1, .max = 1000000},
	{0},
};

static const struct options options = {
	.program = "netvm-forward",
	.usage = "[--next | --to PORT | --patch A B] [options]",
	.summary = "Forward packets; by default as a learning bridge over all ports granted to it.",
	.specs = specs,
};

static void port_look_up(struct netvm *nf, struct forward_port *port)
{
	struct netvm_destination entry;
	int verdict = netvm_destination(nf, NETVM_DESTINATION_PORT, port->name);

	port->verdict = NETVM_VERDICT_DROP;
	port->id = UINT32_MAX;
	if (verdict < 0 || netvm_destination_get(nf, (unsigned)verdict, &entry)) {
		fprintf(stderr, "netvm-forward: port %s: not granted, dropping its packets\n",
			port->name);
		return;
	}
	port->verdict = (unsigned)verdict;
	port->id = entry.id;
}

/* This queue's ports, looked up again when the host changed its grants. */
static struct forward_port *queue_ports(struct netvm *nf)
{
	struct forward_queue *queue = &forward.queue[netvm_queue(nf)];
	uint32_t version = netvm_destination_version(nf);

	if (queue->version != version) {
		port_look_up(nf, &queue->port[0]);
		if (queue->port[1].name)
			port_look_up(nf, &queue->port[1]);
		queue->version = version;
	}
	return queue->port;
}

static int ports_start(struct netvm *nf, void *arg)
{
	struct forward_queue *queue = &forward.queue[netvm_queue(nf)];

	(void)arg;
	queue->port[0].name = forward.to ? forward.to : forward.patch[0];
	queue->port[1].name = forward.patch[1];
	queue->version = ~netvm_destination_version(nf);
	queue_ports(nf);
	return 0;
}

static void next_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)nf, (void)pkts, (void)n, (void)arg; /* "next" is what they say already */
}

static void to_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	unsigned verdict = queue_ports(nf)[0].verdict;

	(void)arg;
	for (unsigned i = 0; i < n; i++)
		netvm_to(&pkts[i], verdict);
}

static void patch_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	const struct forward_port *port = queue_ports(nf);

	(void)arg;
	for (unsigned i = 0; i < n; i++) {
		uint16_t in_port = netvm_meta(nf, &pkts[i])->in_port;

		if (in_port == port[0].id)
			netvm_to(&pkts[i], port[1].verdict);
		else if (in_port == port[1].id)
			netvm_to(&pkts[i], port[0].verdict);
		else
			netvm_drop(&pkts[i]);
	}
}

static void learn_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)arg;
	bridge_burst(forward.bridge, nf, pkts, n, (uint32_t)(monotonic_ns() / 1000000000));
}

static void bridge_show(int signal, void *arg)
{
	(void)signal, (void)arg;
	bridge_print(forward.bridge, (uint32_t)(monotonic_ns() / 1000000000), stderr);
}

static int bridge_main(int argc, char **argv)
{
	struct background background = {.wake = bridge_show, .signals = {SIGUSR1}};
	int status;

	if (bridge_create((uint32_t)forward.n_macs, (uint32_t)forward.age_s, &forward.bridge))
		return options_error(&options, "--macs", "not so much memory; valid: less");
	if (background_start(&background)) {
		bridge_destroy(forward.bridge);
		return options_error(&options, "start", "no resources for a thread");
	}
	status = netvm_main(argc, argv,
		&(struct netvm_options){.burst = learn_burst, .meta = true, .stock = true});
	background_stop(&background);
	bridge_destroy(forward.bridge);
	return status;
}

int main(int argc, char **argv)
{
	int status;

	if (!options_parse(&options, &argc, argv, &status))
		return status;
	if (forward.next + !!forward.to + !!forward.patch[0] > 1)
		return options_error(&options, forward.to ? "--to" : "--patch",
			"only one way to forward; valid: one of --next, --to, --patch, or none");
	if (forward.next)
		return netvm_main(argc, argv, &(struct netvm_options){.burst = next_burst});
	if (forward.to)
		return netvm_main(argc, argv,
			&(struct netvm_options){.burst = to_burst, .start = ports_start});
	if (forward.patch[0])
		return netvm_main(argc, argv,
			&(struct netvm_options){
				.burst = patch_burst, .start = ports_start, .meta = true});
	return bridge_main(argc, argv);
}
