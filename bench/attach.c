/*
 * How long an NF takes from connect to its first packet: attaches, waits for one packet, detaches,
 * N times; one line of JSON for each. The daemon runs and packets keep coming.
 * Usage: bench-attach SOCKET NAME TIMES; called by attach.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <netvm.h>

#define TIMEOUT_NS UINT64_C(5000000000)

static double now_ms(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec * 1e3 + (double)at.tv_nsec * 1e-6;
}

static int attach_once(const struct netvm_options *options)
{
	struct netvm *nf = NULL;
	struct netvm_packet pkts[NETVM_BURST_MAX];
	double start = now_ms();
	double attached;
	int n = netvm_attach(options, &nf);

	attached = now_ms();
	if (n == 0)
		n = netvm_receive(nf, pkts, NETVM_BURST_MAX, TIMEOUT_NS);
	if (n > 0) {
		printf("{\"attached_ms\": %.3f, \"first_packet_ms\": %.3f}\n", attached - start,
			now_ms() - start);
		netvm_send(nf, pkts, (unsigned)n);
	} else {
		fprintf(stderr, "bench-attach: %s\n", n < 0 ? netvm_error() : "no packet in 5 s");
	}
	netvm_detach(nf);
	return n > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: bench-attach SOCKET NAME TIMES\n");
		return 2;
	}
	for (int i = 0; i < atoi(argv[3]); i++)
		if (attach_once(&(struct netvm_options){.name = argv[2], .socket = argv[1]}) != 0)
			return 1;
	return 0;
}
