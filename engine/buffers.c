/*
 * Taking and giving back buffers on the data path: a worker's LIFO cache in front of the pool's
 * shared ring. Called by workers and port drivers. See buffers.h.
 */
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "engine/buffers.h"

/*
 * A worker that only sends must not end up with all buffers in its cache while the one that only
 * receives has none: the workers' caches together hold half of the pool at most.
 */
void buffer_cache_init(struct buffer_cache *cache, struct buffer_pool *pool, unsigned n_workers)
{
	uint32_t share = pool->n_buffers / (8 * n_workers);

	cache->pool = pool;
	cache->n = 0;
	cache->move = share < BUFFER_CACHE_WORDS / 4 ? share : BUFFER_CACHE_WORDS / 4;
	if (cache->move == 0)
		cache->move = 1;
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
		cache->n += rte_ring_dequeue_burst_elem(pool->free, cache->index + cache->n,
			sizeof(uint32_t), n > cache->move ? n : cache->move, NULL);
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

	for (unsigned i = 0; i < n; i++) {
		uint32_t index = netvm_desc_index(words[i]);
		struct buffer_state *state = &pool->state[index];

		state->head = (state->head + (UINT64_C(1) << 16)) & BUFFER_HEAD_GENERATION;
		cache->index[cache->n++] = index;
	}
	if (cache->n > 4 * cache->move) {
		uint32_t surplus = cache->n - 3 * cache->move;

		cache->n -= surplus;
		rte_ring_enqueue_bulk_elem(
			pool->free, cache->index + cache->n, sizeof(uint32_t), surplus, NULL);
	}
}
