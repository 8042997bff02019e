/* The mempool over a group's buffers. See dpdk_pool.h. */
#include "modules/port/dpdk_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_memory.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#define OBJECT_BYTES ((1u << DPDK_MBUF_SHIFT) - RTE_CACHE_LINE_SIZE)
#define FREE_CHUNK   64u

_Static_assert(sizeof(struct rte_mbuf) <= OBJECT_BYTES, "an mbuf fits its place");
_Static_assert(sizeof(struct rte_mempool_objhdr) <= RTE_CACHE_LINE_SIZE, "so does its header");
_Static_assert(NETVM_META_BYTES + RTE_PKTMBUF_HEADROOM == BUFFER_HEADROOM,
	"DPDK puts packets where the other ports do");

static int pool_alloc(struct rte_mempool *mempool)
{
	struct dpdk_pool *dpdk = calloc(1, sizeof(*dpdk));

	if (!dpdk)
		return -ENOMEM;
	dpdk->pool = mempool->pool_config;
	mempool->pool_data = dpdk;
	return loan_open(&dpdk->loan, dpdk->pool);
}

static void pool_free(struct rte_mempool *mempool)
{
	struct dpdk_pool *dpdk = mempool->pool_data;

	if (dpdk)
		loan_return_all(&dpdk->loan);
	free(dpdk);
}

static int pool_enqueue(struct rte_mempool *mempool, void *const *objects, unsigned n)
{
	struct dpdk_pool *dpdk = mempool->pool_data;
	uint64_t words[FREE_CHUNK];

	if (!dpdk->ready)
		return 0;
	while (n > 0) {
		unsigned some = n < FREE_CHUNK ? n : FREE_CHUNK;

		for (unsigned i = 0; i < some; i++)
			words[i] = loan_back(&dpdk->loan, dpdk_pool_index(dpdk, objects[i]));
		driver_free(dpdk->pool, words, some);
		objects += some;
		n -= some;
	}
	return 0;
}

/* All or nothing, as a mempool promises. Indices are read into the end of the same array. */
static int pool_dequeue(struct rte_mempool *mempool, void **objects, unsigned n)
{
	struct dpdk_pool *dpdk = mempool->pool_data;
	uint32_t *index = (uint32_t *)(void *)objects + n;

	if (rte_ring_dequeue_bulk_elem(dpdk->pool->free, index, sizeof(*index), n, NULL) != n)
		return -ENOBUFS;
	for (unsigned i = 0; i < n; i++) {
		uint32_t buffer = index[i];

		loan_out(&dpdk->loan, buffer);
		objects[i] = dpdk_pool_mbuf(dpdk, buffer);
	}
	return 0;
}

static unsigned pool_count(const struct rte_mempool *mempool)
{
	const struct dpdk_pool *dpdk = mempool->pool_data;

	return rte_ring_count(dpdk->pool->free);
}

static const struct rte_mempool_ops pool_ops = {
	.name = "netvm",
	.alloc = pool_alloc,
	.free = pool_free,
	.enqueue = pool_enqueue,
	.dequeue = pool_dequeue,
	.get_count = pool_count,
};

/* DPDK's table of operations is per process and has no way out of it. */
static int register_ops(void)
{
	static bool done;
	int index;

	if (done)
		return 0;
	index = rte_mempool_register_ops(&pool_ops);
	if (index < 0)
		return index;
	done = true;
	return 0;
}

static void init_mbuf(struct rte_mempool *mempool, void *pool, void *object, unsigned index)
{
	struct dpdk_pool *dpdk = mempool->pool_data;
	struct buffer_pool *buffers = pool;
	struct rte_mbuf *mbuf = object;

	if (index == 0)
		dpdk->mbufs = object;
	memset(mbuf, 0, sizeof(*mbuf));
	mbuf->buf_addr = buffers->base + (size_t)index * buffers->stride + NETVM_META_BYTES;
	mbuf->buf_iova = (rte_iova_t)(uintptr_t)mbuf->buf_addr;
	mbuf->buf_len = (uint16_t)(buffers->stride - NETVM_META_BYTES);
	mbuf->data_off = RTE_PKTMBUF_HEADROOM;
	mbuf->pool = mempool;
	mbuf->nb_segs = 1;
	mbuf->port = RTE_MBUF_PORT_INVALID;
	rte_mbuf_refcnt_set(mbuf, 1);
}

/* The mbufs lie in anonymous memory: they are no concern of any device. */
static int make_mempool(struct buffer_pool *pool)
{
	struct rte_pktmbuf_pool_private private = {
		.mbuf_data_room_size = (uint16_t)(pool->stride - NETVM_META_BYTES)};
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *mempool;
	int err;

	snprintf(name, sizeof(name), "netvm_%d", pool->memfd);
	mempool = rte_mempool_create_empty(name, pool->n_buffers, OBJECT_BYTES, 0, sizeof(private),
		pool->socket, RTE_MEMPOOL_F_NO_SPREAD | RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	if (!mempool)
		return -rte_errno;
	err = rte_mempool_set_ops_byname(mempool, pool_ops.name, pool);
	if (!err) {
		memcpy(rte_mempool_get_priv(mempool), &private, sizeof(private));
		err = rte_mempool_populate_anon(mempool) == (int)pool->n_buffers ? 0 : -ENOMEM;
	}
	if (err) {
		rte_mempool_free(mempool);
		return err;
	}
	rte_mempool_obj_iter(mempool, init_mbuf, pool);
	((struct dpdk_pool *)mempool->pool_data)->ready = true;
	pool->mempool = mempool;
	return 0;
}

int dpdk_pool_get(struct buffer_pool *pool, struct dpdk_pool **out)
{
	int err = register_ops();

	if (!err && !pool->mempool)
		err = make_mempool(pool);
	if (err)
		return err;
	*out = pool->mempool->pool_data;
	(*out)->n_users++;
	return 0;
}

int dpdk_pool_register(struct dpdk_pool *dpdk)
{
	struct buffer_pool *pool = dpdk->pool;
	size_t page = pool->huge_pages ? 2u << 20 : 4096;

	if (!dpdk->registered &&
		rte_extmem_register(pool->base, pool->size_bytes, NULL, 0, page) != 0)
		return -rte_errno;
	dpdk->registered = true;
	return 0;
}

void dpdk_pool_put(struct dpdk_pool *dpdk)
{
	struct buffer_pool *pool;

	if (!dpdk || --dpdk->n_users > 0)
		return;
	pool = dpdk->pool;
	if (dpdk->registered)
		rte_extmem_unregister(pool->base, pool->size_bytes);
	rte_mempool_free(pool->mempool);
	pool->mempool = NULL;
}
