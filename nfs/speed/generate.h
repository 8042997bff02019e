/*
 * The generator: a loop of its own around netvm_attach(), since it sends by the clock and not when
 * packets arrive. What comes back is counted and consumed. Called by speed.c.
 */
#ifndef NFS_SPEED_GENERATE_H
#define NFS_SPEED_GENERATE_H

#include <netvm.h>

#include "speed/meter.h"

struct generate_options {
	const struct netvm_options *netvm;
	const char *to;      /* port; or */
	const char *through; /* service */
	uint64_t rate_pps;   /* 0: as fast as it goes */
	uint64_t size_bytes;
	uint64_t n_flows;
	uint64_t n_pkts;      /* 0: no limit */
	uint64_t duration_ns; /* 0: no limit */
	bool stamps;
};

/*
 * Runs until a limit is reached (then up to a second longer, for what is still under way, if
 * anything came back at all), or until told to stop. Returns 0, or -errno as netvm_attach();
 * netvm_error() says more. -EMSGSIZE: size_bytes does not fit a buffer of the group.
 */
int generate_run(const struct generate_options *options, struct meter *meter);

#endif
