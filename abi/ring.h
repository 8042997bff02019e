/*
 * The ring: single producer, single consumer, words of 64 bits, size a power of two.
 *
 *   shared memory                         private to each side (struct netvm_ring_end)
 *   +-----------+ 128-byte lines, one     own    where I am
 *   | producer  | writer each             peer   where the other side was when I last looked
 *   +-----------+                         mask   size - 1, from the validated layout,
 *   | consumer  |                                never from the shared memory
 *   +-----------+
 *   | word[0]   |   Indices run freely over 32 bits; the slot is index & mask.
 *   |   ...     |   filled = producer - consumer, always within 0..size.
 *   +-----------+
 *
 * Law of the ring. Only the producer writes `producer` and the words; only the consumer writes
 * `consumer`. A side looks at the other's index only when its private copy says there is not
 * enough room (or nothing to take), so the index lines move between cores once per many bursts.
 * No read-modify-write crosses the border: it would not be atomic between a host and an
 * emulated guest.
 *
 * A hostile peer may store any value in its index. Each fresh value is checked against the
 * window 0..size before it is used; outside it the call returns NETVM_RING_CORRUPT and the
 * private copies stay as they were. Within the window a lie harms only the liar: it re-reads
 * old words (refused by the ownership table) or loses its own.
 *
 * Thread-safety: one thread per end. Producer and consumer need no other synchronisation:
 * words are stored before the index with release order and read after it with acquire order.
 *
 * After: L. Lamport, "Specifying Concurrent Program Modules", ACM TOPLAS 5(2), 1983 (the queue);
 * P. P. C. Lee et al., "A Lock-Free, Cache-Efficient Multi-Core Synchronization Mechanism for
 * Line-Rate Network Traffic Monitoring" (MCRingBuffer), IPDPS 2010 (private copies, batching).
 */
#ifndef NETVM_ABI_RING_H
#define NETVM_ABI_RING_H

#include <stddef.h>
#include <stdint.h>

#include "static_assert.h"

/* Two lines: the adjacent-line prefetcher of x86 fetches pairs. */
#define NETVM_RING_ALIGN 128

#define NETVM_RING_WORDS_MIN 64u
#define NETVM_RING_WORDS_MAX 262144u

#define NETVM_RING_CORRUPT UINT32_MAX

struct netvm_ring {
	uint32_t producer; /* W: producer */
	uint8_t pad0[NETVM_RING_ALIGN - 4];
	uint32_t consumer; /* W: consumer */
	uint8_t pad1[NETVM_RING_ALIGN - 4];
	uint64_t word[]; /* W: producer */
};

_Static_assert(offsetof(struct netvm_ring, consumer) == NETVM_RING_ALIGN, "ring layout");
_Static_assert(offsetof(struct netvm_ring, word) == 2 * NETVM_RING_ALIGN, "ring layout");

static inline size_t netvm_ring_size_bytes(uint32_t n_words)
{
	return sizeof(struct netvm_ring) + (size_t)n_words * sizeof(uint64_t);
}

/* One side's private half. Zeroed indices on both sides and in shared memory at the start. */
struct netvm_ring_end {
	struct netvm_ring *ring;
	uint32_t mask;
	uint32_t own;
	uint32_t peer;
};

static inline void netvm_ring_end_init(struct netvm_ring_end *end, void *ring, uint32_t n_words)
{
	end->ring = (struct netvm_ring *)ring;
	end->mask = n_words - 1;
	end->own = 0;
	end->peer = 0;
}

/*
 * Producer: slots that can be filled now, at most `want` being looked for.
 * Returns NETVM_RING_CORRUPT when the consumer's index is outside the window.
 */
static inline uint32_t netvm_ring_room(struct netvm_ring_end *end, uint32_t want)
{
	uint32_t size = end->mask + 1;
	uint32_t room = size - (end->own - end->peer);

	if (room < want) {
		uint32_t peer = __atomic_load_n(&end->ring->consumer, __ATOMIC_ACQUIRE);

		if (end->own - peer > size)
			return NETVM_RING_CORRUPT;
		end->peer = peer;
		room = size - (end->own - peer);
	}
	return room;
}

/* Producer: store one word without showing it yet. The caller made sure of room. */
static inline void netvm_ring_stage(struct netvm_ring_end *end, uint64_t word)
{
	__atomic_store_n(&end->ring->word[end->own++ & end->mask], word, __ATOMIC_RELAXED);
}

/* Producer: show everything staged so far. */
static inline void netvm_ring_publish(struct netvm_ring_end *end)
{
	__atomic_store_n(&end->ring->producer, end->own, __ATOMIC_RELEASE);
}

/*
 * Consumer: words that can be taken now; looks at the producer only when none are known.
 * Returns NETVM_RING_CORRUPT when the producer's index is outside the window.
 */
static inline uint32_t netvm_ring_filled(struct netvm_ring_end *end)
{
	uint32_t filled = end->peer - end->own;

	if (filled == 0) {
		uint32_t peer = __atomic_load_n(&end->ring->producer, __ATOMIC_ACQUIRE);

		if (peer - end->own > end->mask + 1)
			return NETVM_RING_CORRUPT;
		end->peer = peer;
		filled = peer - end->own;
	}
	return filled;
}

/*
 * Consumer: copy up to `max` words out, each with one 8-byte load, and give their slots back.
 * Returns the number taken, or NETVM_RING_CORRUPT.
 */
static inline uint32_t netvm_ring_take(struct netvm_ring_end *end, uint64_t *words, uint32_t max)
{
	uint32_t n = netvm_ring_filled(end);

	if (n == NETVM_RING_CORRUPT || n == 0)
		return n;
	if (n > max)
		n = max;
	for (uint32_t i = 0; i < n; i++)
		words[i] = __atomic_load_n(
			&end->ring->word[(end->own + i) & end->mask], __ATOMIC_RELAXED);
	end->own += n;
	__atomic_store_n(&end->ring->consumer, end->own, __ATOMIC_RELEASE);
	return n;
}

#endif
