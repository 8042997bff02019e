/*
 * Taking and giving back buffers on the data path: a worker's LIFO cache in front of the pool's
 * shared ring. Called by workers and port drivers. See buffers.h.
 */
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "engine/buffers.h"

/* How many move between a cache and the shared ring at a time. */
#define CACHE_MOVE (BUFFER_CACHE_WORDS / 4)

void buffer_cache_init(struct buffer_cache *cache, struct buffer_pool *pool)
{
	cache->pool = pool;
	cache->n = 0;
}

void buffer_cache_flush(struct buffer_cache *cache)
{
	rte_ring_enqueue_bulk_elem(
		cache->pool->free, cache->index, sizeof(uint32_t), cache->n, NULL);
	cache->n = 0;
}

unsigned buffer_alloc(struct buffer_cache *cache, uint64_t *words, unsigned n)
{
	struct buffer_pool *pool = cache->pool;

	if (cache->n < n)
		cache->n += rte_ring_dequeue_burst_elem(
			pool->free, cache->index + cache->n, sizeof(uint32_t), CACHE_MOVE, NULL);
	if (n > cache->n)
		n = cache->n;
	for (unsigned i = 0; i < n; i++) {
		uint32_t index = cache->index[--cache->n];
		struct buffer_state *state = &pool->state[index];

		state->head = OWNER_ENGINE | (state->head & BUFFER_HEAD_GENERATION);
		words[i] = netvm_desc(index, state->generation, pool->headroom, 0, 0);
	}
	return n;
}

void buffer_free(struct buffer_cache *cache, const uint64_t *words, unsigned n)
{
	struct buffer_pool *pool = cache->pool;

	if (cache->n + n > BUFFER_CACHE_WORDS) {
		cache->n -= CACHE_MOVE;
		rte_ring_enqueue_bulk_elem(
			pool->free, cache->index + cache->n, sizeof(uint32_t), CACHE_MOVE, NULL);
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t index = netvm_desc_index(words[i]);
		struct buffer_state *state = &pool->state[index];

		state->head = (state->head + (UINT64_C(1) << 16)) & BUFFER_HEAD_GENERATION;
		cache->index[cache->n++] = index;
	}
}
