/*
 * What port drivers share: the list of them, counters of what is rare, and buffers that are lent
 * out.
 *
 * A stash is a handful of empty buffers a queue keeps to receive into, so that an idle poll moves
 * none. A loan is the list of all buffers a device or the kernel may hold for longer: it can take
 * them back whatever happened to the device. Both mark their buffers OWNER_PORT.
 *
 * Thread-safety: a stash belongs to its queue. A loan may be used by all queues of a port, since
 * each buffer's mark is touched only by whoever owns the buffer. The `_return_all` functions run on
 * the control thread after the last rx and tx.
 */
#ifndef NETVM_MODULES_PORT_DRIVER_H
#define NETVM_MODULES_PORT_DRIVER_H

#include <stdint.h>
#include <stdlib.h>

#include "engine/buffers.h"
#include "engine/port.h"

extern const struct port_driver null_driver, pcap_driver, tap_driver, af_packet_driver,
	af_xdp_driver, dpdk_driver;

/* As many queues as wanted, but at least one and no more than there is room for. */
static inline unsigned driver_queues(unsigned wanted)
{
	return wanted == 0 ? 1 : wanted > PORT_QUEUES_MAX ? PORT_QUEUES_MAX : wanted;
}

/* ---- counters -------------------------------------------------------------------------------- */

static inline void driver_count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline uint64_t driver_counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- stash ----------------------------------------------------------------------------------- */

#define DRIVER_BURST 32u /* packets a kernel port moves per turn at most */

struct stash {
	unsigned n;
	uint64_t word[DRIVER_BURST];
};

/* Have up to `want` buffers ready; returns how many there are. */
static inline unsigned stash_fill(struct stash *stash, struct buffer_cache *cache, unsigned want)
{
	unsigned got;

	if (stash->n >= want)
		return want;
	got = buffer_alloc(cache, stash->word + stash->n, want - stash->n);
	for (unsigned i = 0; i < got; i++)
		buffer_state(cache->pool, stash->word[stash->n + i])->owner = OWNER_PORT;
	stash->n += got;
	return stash->n;
}

/* Give `n` words back to the pool without a worker's cache. */
void driver_free(struct buffer_pool *pool, const uint64_t *words, unsigned n);

static inline void stash_return_all(struct stash *stash, struct buffer_pool *pool)
{
	driver_free(pool, stash->word, stash->n);
	stash->n = 0;
}

/* ---- loan ------------------------------------------------------------------------------------ */

struct loan {
	struct buffer_pool *pool;
	uint8_t *out; /* one per buffer: lent now */
};

int loan_open(struct loan *loan, struct buffer_pool *pool);
void loan_return_all(struct loan *loan); /* and ends the loan; nothing for a loan never opened */

static inline void loan_out(struct loan *loan, uint32_t index)
{
	loan->out[index] = 1;
	loan->pool->state[index].owner = OWNER_PORT;
}

/* Back from the device; still OWNER_PORT, for buffer_free(). */
static inline uint64_t loan_back(struct loan *loan, uint32_t index)
{
	loan->out[index] = 0;
	return netvm_desc(index, loan->pool->state[index].generation, loan->pool->headroom, 0, 0);
}

/* Back from the device with a packet in it, for the engine. */
static inline uint64_t loan_receive(
	struct loan *loan, uint32_t index, uint32_t offset, uint32_t length)
{
	struct buffer_state *state = &loan->pool->state[index];

	loan->out[index] = 0;
	state->owner = OWNER_ENGINE;
	return netvm_desc(index, state->generation, offset, length, 0);
}

#endif
