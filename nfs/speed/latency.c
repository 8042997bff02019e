/* A histogram of durations. See latency.h. */
#include "speed/latency.h"

#define STEP_BITS 5 /* log2(LATENCY_STEPS) */

/* Below 32 each value has a bucket; above, the 5 bits behind the leading one choose. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned exponent;

	if (ns < LATENCY_STEPS)
		return (unsigned)ns;
	exponent = 63 - (unsigned)__builtin_clzll(ns) - STEP_BITS;
	return (exponent + 1) * LATENCY_STEPS + (unsigned)(ns >> exponent) % LATENCY_STEPS;
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_top(unsigned bucket)
{
	unsigned exponent;

	if (bucket < LATENCY_STEPS)
		return bucket;
	exponent = bucket / LATENCY_STEPS - 1;
	return ((uint64_t)(LATENCY_STEPS + bucket % LATENCY_STEPS) << exponent) +
	       ((UINT64_C(1) << exponent) - 1);
}

void latency_add(struct latency *latency, uint64_t ns)
{
	latency->n++;
	if (ns > latency->max_ns)
		latency->max_ns = ns;
	latency->bucket[bucket_of(ns)]++;
}

void latency_merge(struct latency *into, const struct latency *from)
{
	into->n += from->n;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}

uint64_t latency_percentile(const struct latency *latency, unsigned per_mille)
{
	uint64_t rank = (latency->n * per_mille + 999) / 1000, seen = 0;

	for (unsigned i = 0; i < LATENCY_BUCKETS && rank; i++) {
		seen += latency->bucket[i];
		if (seen >= rank)
			return bucket_top(i) < latency->max_ns ? bucket_top(i) : latency->max_ns;
	}
	return latency->max_ns;
}
