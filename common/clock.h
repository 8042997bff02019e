/*
 * What time it is. Any thread, but not for each packet: workers look at the TSC
 * (engine/datapath.h).
 */
#ifndef NETVM_COMMON_CLOCK_H
#define NETVM_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
