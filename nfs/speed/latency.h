/*
 * A histogram of durations: 32 steps per power of two, so that a percentile is at most 1/32 (3 %)
 * too high; the maximum is exact. Used by netvm-speed at the receiving side.
 *
 * Thread-safety: none; the caller locks.
 */
#ifndef NFS_SPEED_LATENCY_H
#define NFS_SPEED_LATENCY_H

#include <stdint.h>

#define LATENCY_STEPS   32u
#define LATENCY_BUCKETS (60u * LATENCY_STEPS)

struct latency {
	uint64_t n;
	uint64_t max_ns;
	uint64_t bucket[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t ns);
void latency_merge(struct latency *into, const struct latency *from);

/*
 * The duration that per_mille of 1000 did not exceed: 500, 990, 999 are p50, p99, p99.9.
 * 0 when nothing was added.
 */
uint64_t latency_percentile(const struct latency *latency, unsigned per_mille);

#endif
