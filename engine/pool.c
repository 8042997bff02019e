/*
 * Making and ending a buffer pool: the group's memory, its private state table, its free ring.
 * Called by the manager's group module. See buffers.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "engine/buffers.h"

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)

static size_t round_up(size_t value, size_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* What a guest sees as a BAR must be a power of two; the part behind the buffers stays untouched.
 */
static size_t power_of_two(size_t value)
{
	size_t power = HUGE_PAGE_BYTES;

	while (power < value)
		power *= 2;
	return power;
}

/* An odd number of cache lines: see buffers.h. */
static uint32_t stride_of(uint32_t buffer_bytes)
{
	uint32_t lines = (NETVM_META_BYTES + buffer_bytes + 63) / 64;

	return (lines | 1) * 64;
}

/*
 * A mapped, sealed memfd. With huge pages a lack of them shows at mmap(), not before, so that is
 * where the fall-back happens.
 */
static int map_memory(struct buffer_pool *pool, bool huge)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0);
	size_t size = power_of_two((size_t)pool->n_buffers * pool->stride);
	char name[64];
	int fd, err;
	void *at;

	snprintf(name, sizeof(name), "netvm-group-%s", pool->name);
	fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0)
		goto fail;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		goto fail;
	madvise(at, (size_t)pool->n_buffers * pool->stride, MADV_POPULATE_WRITE);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		err = -errno;
		munmap(at, size);
		close(fd);
		return err;
	}
	pool->base = at;
	pool->size_bytes = size;
	pool->memfd = fd;
	pool->huge_pages = huge;
	return 0;
fail:
	err = -errno;
	close(fd);
	return err;
}

static int get_memory(struct buffer_pool *pool, int huge_pages, struct error *error)
{
	int err = -ENOMEM;

	if (huge_pages != 0)
		err = map_memory(pool, true);
	if (err && huge_pages <= 0)
		err = map_memory(pool, false);
	if (!err)
		return 0;
	return error_set(error, -err, "huge_pages",
		huge_pages > 0 ? "reserve 2 MB pages in /proc/sys/vm/nr_hugepages, or use auto"
			       : "use fewer buffers",
		"cannot get %llu MiB of %s for group %s: %s",
		(unsigned long long)pool->n_buffers * pool->stride >> 20,
		huge_pages > 0 ? "2 MB pages" : "memory", pool->name, strerror(-err));
}

/* The free ring and the state table, both private to the daemon. */
static int get_tables(struct buffer_pool *pool)
{
	uint32_t ring_words = 1;
	ssize_t ring_bytes;

	while (ring_words <= pool->n_buffers)
		ring_words *= 2;
	ring_bytes = rte_ring_get_memsize_elem(sizeof(uint32_t), ring_words);
	if (ring_bytes < 0)
		return (int)ring_bytes;
	pool->state = aligned_alloc(64, round_up(pool->n_buffers * sizeof(*pool->state), 64));
	pool->free = aligned_alloc(128, round_up((size_t)ring_bytes, 128));
	pool->scratch = calloc(pool->n_buffers, sizeof(*pool->scratch));
	if (!pool->state || !pool->free || !pool->scratch)
		return -ENOMEM;
	memset(pool->state, 0, pool->n_buffers * sizeof(*pool->state));
	rte_ring_init(pool->free, pool->name, ring_words, 0);
	for (uint32_t i = 0; i < pool->n_buffers; i++)
		rte_ring_enqueue_elem(pool->free, &i, sizeof(i));
	return 0;
}

static int check_options(const struct buffer_pool_options *options, struct error *error)
{
	if (options->n_buffers < 64 || options->n_buffers > NETVM_BUFFERS_MAX)
		return error_set(error, EINVAL, "buffers", "64 to 1048576", "%u buffers cannot be",
			options->n_buffers);
	if (options->buffer_bytes < 512 || options->buffer_bytes > 15360)
		return error_set(error, EINVAL, "buffer_bytes", "512 to 15360 bytes",
			"buffers of %u bytes cannot be", options->buffer_bytes);
	return 0;
}

int buffer_pool_create(
	const struct buffer_pool_options *options, struct buffer_pool **out, struct error *error)
{
	struct buffer_pool *pool;
	int err = check_options(options, error);

	if (err)
		return err;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return error_set(error, ENOMEM, "", "", "out of memory");
	snprintf(pool->name, sizeof(pool->name), "%s", options->name);
	pool->n_buffers = options->n_buffers;
	pool->stride = stride_of(options->buffer_bytes);
	pool->headroom = BUFFER_HEADROOM;
	pool->memfd = -1;
	pool->socket = -1;
	err = get_memory(pool, options->huge_pages, error);
	if (!err && get_tables(pool))
		err = error_set(error, ENOMEM, "buffers", "use fewer buffers",
			"no memory for the tables of %u buffers", pool->n_buffers);
	if (err) {
		buffer_pool_destroy(pool);
		return err;
	}
	*out = pool;
	return 0;
}

void buffer_pool_destroy(struct buffer_pool *pool)
{
	if (!pool)
		return;
	rte_mempool_free(pool->mempool);
	free(pool->free);
	free(pool->state);
	free(pool->scratch);
	if (pool->memfd >= 0) {
		munmap(pool->base, pool->size_bytes);
		close(pool->memfd);
	}
	free(pool);
}
