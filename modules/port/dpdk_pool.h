/*
 * A group's buffers as DPDK sees them: one rte_mempool over the memory of a buffer pool. Called by
 * the driver dpdk on the control thread; DPDK calls its operations on workers.
 *
 *     private to the daemon                group memory
 *     rte_mbuf i, 256 bytes apart ───────► slot i: |meta 64| buf_addr: headroom 128 | packet ...
 *     no cache, no list of its own:        free and lent buffers are those of the buffer pool
 *
 * Object i of the mempool is buffer i, always. What DPDK takes out of the mempool is taken out of
 * the pool's free ring and owned by PORT; what it frees goes back there. The mbuf of a buffer in
 * the engine's hands lies idle. Nothing may clone or attach mbufs of this mempool.
 */
#ifndef NETVM_MODULES_PORT_DPDK_POOL_H
#define NETVM_MODULES_PORT_DPDK_POOL_H

#include <rte_mbuf.h>

#include "modules/port/driver.h"

#define DPDK_MBUF_SHIFT 8 /* mbufs with their mempool header are 256 bytes apart */

struct dpdk_pool {
	struct buffer_pool *pool;
	struct loan loan;
	uint8_t *mbufs;   /* the first */
	unsigned n_users; /* ports */
	bool ready;       /* false while DPDK lists the objects for the first time */
	bool registered;  /* with DPDK as memory that devices may be told of */
};

/*
 * Make sure pool->mempool is there, for one more port. 0 or -errno. The last user's put() ends it
 * and takes back what DPDK did not free.
 */
int dpdk_pool_get(struct buffer_pool *pool, struct dpdk_pool **out);
void dpdk_pool_put(struct dpdk_pool *pool);

/* Before the memory is mapped for a device's DMA. 0 or -errno. */
int dpdk_pool_register(struct dpdk_pool *pool);

static inline struct rte_mbuf *dpdk_pool_mbuf(const struct dpdk_pool *pool, uint32_t index)
{
	return (struct rte_mbuf *)(void *)(pool->mbufs + ((size_t)index << DPDK_MBUF_SHIFT));
}

static inline uint32_t dpdk_pool_index(const struct dpdk_pool *pool, const void *mbuf)
{
	return (uint32_t)((size_t)((const uint8_t *)mbuf - pool->mbufs) >> DPDK_MBUF_SHIFT);
}

#endif
