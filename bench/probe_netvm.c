/*
 * The probe as two NFs of NetVM in one thread: "generator" sends packets of its own to the service
 * "sink", which consumes them.
 * Usage: bench-probe-netvm SOCKET CPU; see probe.h for stdin.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <netvm.h>

#include "bench/probe.h"

struct ends {
	struct netvm *generator;
	struct netvm *sink;
	int destination;
	struct netvm_packet out[PROBE_BURST]; /* prepared, not sent */
	unsigned n_out;
	struct netvm_packet in[PROBE_BURST]; /* shown to the probe by the last receive */
	unsigned n_in;
};

static unsigned ends_prepare(void *arg, uint8_t **frames, unsigned n)
{
	struct ends *ends = arg;

	if (ends->n_out < n) {
		unsigned first = ends->n_out;

		ends->n_out += netvm_alloc(ends->generator, ends->out + first, n - first);
		for (unsigned i = first; i < ends->n_out; i++)
			netvm_append(ends->generator, &ends->out[i], PROBE_FRAME_BYTES);
	}
	if (n > ends->n_out)
		n = ends->n_out;
	for (unsigned i = 0; i < n; i++)
		frames[i] = netvm_data(ends->generator, &ends->out[i]);
	return n;
}

static unsigned ends_send(void *arg, unsigned n)
{
	struct ends *ends = arg;

	for (unsigned i = 0; i < n; i++)
		netvm_to(&ends->out[i], (unsigned)ends->destination);
	netvm_send(ends->generator, ends->out, n);
	netvm_flush(ends->generator);
	ends->n_out -= n;
	for (unsigned i = 0; i < ends->n_out; i++)
		ends->out[i] = ends->out[n + i];
	return n;
}

static int ends_receive(void *arg, const uint8_t **frames, unsigned max)
{
	struct ends *ends = arg;
	int n;

	for (unsigned i = 0; i < ends->n_in; i++)
		netvm_consume(&ends->in[i]);
	netvm_send(ends->sink, ends->in, ends->n_in);
	n = netvm_receive(ends->sink, ends->in, max, 0);
	ends->n_in = n > 0 ? (unsigned)n : 0;
	for (int i = 0; i < n; i++)
		frames[i] = netvm_data(ends->sink, &ends->in[i]);
	return n;
}

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static int ends_attach(struct ends *ends, const char *socket)
{
	const struct netvm_options generator = {
		.name = "generator", .socket = socket, .stock = true, .busy = true};
	const struct netvm_options sink = {.name = "sink", .socket = socket, .busy = true};
	int result = netvm_attach(&sink, &ends->sink);

	if (result == 0)
		result = netvm_attach(&generator, &ends->generator);
	if (result == 0) {
		ends->destination =
			netvm_destination(ends->generator, NETVM_DESTINATION_SERVICE, "sink");
		result = ends->destination < 0 ? ends->destination : 0;
	}
	if (result != 0)
		fprintf(stderr, "probe: %s\n", netvm_error());
	return result;
}

int main(int argc, char **argv)
{
	static struct ends ends;
	const struct probe_io io = {ends_prepare, ends_send, ends_receive, &ends};
	int status = 1;

	if (argc != 3 || pin(atoi(argv[2])) != 0) {
		fprintf(stderr, "usage: bench-probe-netvm SOCKET CPU\n");
		return 2;
	}
	if (ends_attach(&ends, argv[1]) == 0)
		status = probe_serve(&io);
	netvm_detach(ends.generator);
	netvm_detach(ends.sink);
	return status;
}
