/*
 * An NF that passes everything on and says when it met its first packet: one line,
 * {"first_packet_ns": CLOCK_REALTIME}. Started by recovery.py as the one that stands by.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include <netvm.h>

static void pass(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	bool *has_told = arg;
	struct timespec at;

	(void)nf;
	(void)pkts;
	(void)n;
	if (*has_told)
		return;
	clock_gettime(CLOCK_REALTIME, &at);
	printf("{\"first_packet_ns\": %" PRIu64 "}\n",
		(uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec);
	fflush(stdout);
	*has_told = true;
}

int main(int argc, char **argv)
{
	bool has_told = false;

	return netvm_main(argc, argv, &(struct netvm_options){.burst = pass, .arg = &has_told});
}
