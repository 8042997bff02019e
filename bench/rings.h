/*
 * The rings that limit.c compares. All carry 64-bit words from one producer to one consumer, each
 * as a pair put/get over a struct end (one side's private half), each returning how many words
 * went through.
 *
 *   rte   DPDK's rte_ring in its single-producer single-consumer mode
 *   abi   the ring of abi/ring.h, as NFs and the engine use it: published once per burst
 *   lap   no producer index at all: bit 63 of each word tells whether it was written in this lap
 *         round the ring, so that nothing but the words themselves changes hands; whole lines
 *         of 8 words are checked by their last word. It spends a bit of the descriptor.
 *
 * After J. Giacomoni, T. Moseley, M. Vachharajani, "FastForward for Efficient Pipeline
 * Parallelism", PPoPP 2008 (the state of a slot lives in the slot), here with a lap bit instead of
 * clearing.
 */
#ifndef NETVM_BENCH_RINGS_H
#define NETVM_BENCH_RINGS_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ring.h>

#include "abi/ring.h"

#define RING_WORDS    2048u
#define LAP_BIT       (UINT64_C(1) << 63)
#define LINE_WORDS    8u
#define LOOKS_PARTIAL 64u /* looks before less than a line is taken */

struct end {
	struct netvm_ring_end half; /* abi, lap */
	struct rte_ring *rte;
	unsigned looks; /* lap: that found no whole line, in a row */
	uint32_t shown; /* lap: the consumer index the producer can see */
};

typedef unsigned ring_fn(struct end *end, uint64_t *words, unsigned n);

static inline unsigned rte_put(struct end *end, uint64_t *words, unsigned n)
{
	return rte_ring_sp_enqueue_burst_elem(end->rte, words, sizeof(*words), n, NULL);
}

static inline unsigned rte_get(struct end *end, uint64_t *words, unsigned n)
{
	return rte_ring_sc_dequeue_burst_elem(end->rte, words, sizeof(*words), n, NULL);
}

static inline unsigned abi_put(struct end *end, uint64_t *words, unsigned n)
{
	if (n == 0 || netvm_ring_room(&end->half, n) < n)
		return 0;
	for (unsigned i = 0; i < n; i++)
		netvm_ring_stage(&end->half, words[i]);
	netvm_ring_publish(&end->half);
	return n;
}

static inline unsigned abi_get(struct end *end, uint64_t *words, unsigned n)
{
	return netvm_ring_take(&end->half, words, n);
}

/* The lap bit that position `at` carries when it is fresh: 1 on the first lap over zeroed memory.
 */
static inline uint64_t lap_of(const struct netvm_ring_end *half, uint32_t at)
{
	return at & (half->mask + 1) ? 0 : LAP_BIT;
}

static inline unsigned lap_put(struct end *end, uint64_t *words, unsigned n)
{
	struct netvm_ring_end *half = &end->half;

	if (netvm_ring_room(half, n) < n)
		return 0;
	for (unsigned i = 0; i < n; i++, half->own++)
		__atomic_store_n(&half->ring->word[half->own & half->mask],
			words[i] | lap_of(half, half->own), __ATOMIC_RELEASE);
	return n;
}

static inline bool lap_fresh(const struct netvm_ring_end *half, uint32_t at)
{
	uint64_t word = __atomic_load_n(&half->ring->word[at & half->mask], __ATOMIC_ACQUIRE);

	return (word & LAP_BIT) == lap_of(half, at);
}

/* Words that can be taken: whole lines by one look each, then, after some patience, single ones. */
static inline unsigned lap_filled(struct end *end, unsigned max)
{
	struct netvm_ring_end *half = &end->half;
	unsigned n = 0;

	while (n + LINE_WORDS <= max && lap_fresh(half, half->own + n + LINE_WORDS - 1))
		n += LINE_WORDS;
	if (n == 0 && end->looks++ == LOOKS_PARTIAL)
		while (n < max && lap_fresh(half, half->own + n))
			n++;
	if (n > 0 || end->looks > LOOKS_PARTIAL)
		end->looks = 0;
	return n;
}

static inline unsigned lap_get(struct end *end, uint64_t *words, unsigned max)
{
	struct netvm_ring_end *half = &end->half;
	unsigned n = lap_filled(end, max);

	for (unsigned i = 0; i < n; i++)
		words[i] = half->ring->word[(half->own + i) & half->mask] & ~LAP_BIT;
	half->own += n;
	if (half->own - end->shown >= (half->mask + 1) / 4) {
		end->shown = half->own;
		__atomic_store_n(&half->ring->consumer, half->own, __ATOMIC_RELEASE);
	}
	return n;
}

#endif
