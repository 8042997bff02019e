/*
 * Buffers: the packet memory of one trust group and the private table that says who owns what.
 *
 *   group memory (memfd, shared with the group's NFs)     private to the daemon
 *   +------------------+------------------+----           +-------+-------+----
 *   | slot 0           | slot 1           |               | state | state |
 *   | meta|room|packet | meta|room|packet |               |   0   |   1   |
 *   +------------------+------------------+----           +-------+-------+----
 *                                                          free words: shared ring
 *                                                          + one LIFO cache per worker
 *
 * A free buffer is in exactly one cache or in the shared ring. The table is the judge of every
 * handle an NF hands in: right owner, right generation, or it is refused. The generation grows
 * each time a buffer becomes free.
 *
 * The slot stride is an odd number of cache lines, so that the headers of consecutive buffers fall
 * into different cache sets; a power of two would put all of them into a few.
 *
 * Memory: huge pages when there are, else plain pages; sealed against shrinking and growing.
 *
 * Thread-safety: pool_create/destroy on the control thread; a cache belongs to one worker; the
 * shared ring is multi-producer multi-consumer. A buffer's state is written only by whoever owns
 * the buffer at that moment: the worker that took it in, sent it, or got it back.
 */
#ifndef NETVM_ENGINE_BUFFERS_H
#define NETVM_ENGINE_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/channel.h"
#include "common/error.h"

struct program;
struct rte_ring;

#define BUFFER_HEADROOM    192u /* from the slot's start, metadata line included */
#define BUFFER_CACHE_WORDS 1024u
#define BUFFER_BURST_MAX   256u /* taken or given back in one call */

enum buffer_owner {
	OWNER_FREE = 0,
	OWNER_ENGINE = 1, /* in transit, in a worker's hands */
	OWNER_PORT = 2,   /* lent to a driver or the kernel */
	OWNER_NF = 16,    /* and above: an NF through one worker, see buffer_owner_nf() */
};

/*
 * What the daemon knows of one buffer. 32 bytes: two to a cache line. The first half can be read
 * and written as two words, since on the data path one store of eight bytes beats four small ones.
 */
struct buffer_state {
	union {
		struct {
			uint16_t owner;
			uint8_t generation;
			uint8_t is_packet; /* counted: entered the system and has not left it */
			uint8_t next;      /* the destination that "next" means for its NF */
			uint8_t hops;      /* NFs visited; bounded */
			uint16_t step;     /* where in the program it goes on */
		};
		uint64_t head;
	};
	union {
		struct {
			uint32_t flow_hash;
			uint16_t in_port;
			uint8_t has_hash : 1; /* flow_hash is set */
			uint8_t has_user : 1; /* meta.user is this packet's, not an earlier one's */
			uint8_t trace_mark; /* which packet of the trace this is; 0 none: trace.h */
		};
		uint64_t origin;
	};
	const struct program *program; /* NULL: none */
	uint64_t arrival_tsc;
};
_Static_assert(sizeof(struct buffer_state) == 32, "two buffer states to a cache line");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "head and origin are little-endian");

#define BUFFER_HEAD_GENERATION (UINT64_C(0xff) << 16)
#define BUFFER_HEAD_PACKET     (UINT64_C(1) << 24)
#define BUFFER_HEAD_HOPS       (UINT64_C(0xff) << 40)
#define BUFFER_HEAD_HOP        (UINT64_C(1) << 40)

/* The head's owner, next and step; the other fields are zero. */
static inline uint64_t buffer_head(uint16_t owner, unsigned next, unsigned step)
{
	return owner | (uint64_t)next << 32 | (uint64_t)step << 48;
}

/* No hash yet, not traced. */
static inline uint64_t buffer_origin(uint16_t in_port)
{
	return (uint64_t)in_port << 32;
}

/* An NF owns a buffer through the worker that gave it: it must come back the same way. */
static inline uint16_t buffer_owner_nf(unsigned nf, unsigned worker)
{
	return (uint16_t)(OWNER_NF + nf * NETVM_WORKERS_MAX + worker);
}

struct buffer_pool {
	uint8_t *base; /* slot 0 */
	struct buffer_state *state;
	uint32_t n_buffers;
	uint32_t stride;
	uint32_t headroom;
	size_t size_bytes;
	int memfd;
	uint8_t number; /* which cache of a worker is this pool's; set by engine_pool_attach() */
	int socket;     /* NUMA node or -1 */
	bool huge_pages;
	bool torn;                   /* an NF punched a hole into it, see guard.h; set once */
	struct rte_ring *free;       /* of uint32_t */
	uint32_t *scratch;           /* [n_buffers] for the control thread's scans */
	struct rte_mempool *mempool; /* DPDK's view of these buffers; NULL until a dpdk port asks */
	char name[NETVM_NAME_BYTES];
};

struct buffer_pool_options {
	const char *name;
	uint32_t n_buffers;    /* 64..NETVM_BUFFERS_MAX */
	uint32_t buffer_bytes; /* 512..15360 */
	int huge_pages;        /* -1 when there are, 0 never, 1 fail without */
};

/* Errors: -EINVAL out of range; -ENOMEM no memory (path and hint say which kind). */
int buffer_pool_create(
	const struct buffer_pool_options *options, struct buffer_pool **pool, struct error *error);
void buffer_pool_destroy(struct buffer_pool *pool);

/* One worker's stack of free buffers of one pool. */
struct buffer_cache {
	struct buffer_pool *pool;
	uint32_t n;
	uint32_t move; /* how many go to or come from the shared ring at a time; holds 4 times that
			*/
	uint32_t index[BUFFER_CACHE_WORDS + BUFFER_BURST_MAX];
};

void buffer_cache_init(struct buffer_cache *cache, struct buffer_pool *pool, unsigned n_workers);
void buffer_cache_flush(struct buffer_cache *cache);

/*
 * Take up to n buffers, owner ENGINE, not counted as packets, offset at the headroom, length 0,
 * verdict 0. Returns the number got.
 */
unsigned buffer_alloc(struct buffer_cache *cache, uint64_t *words, unsigned n);

/* Give up to BUFFER_BURST_MAX buffers back. Each must be owned by the caller (ENGINE or PORT). */
void buffer_free(struct buffer_cache *cache, const uint64_t *words, unsigned n);

static inline uint8_t *buffer_slot(const struct buffer_pool *pool, uint64_t word)
{
	return pool->base + (size_t)netvm_desc_index(word) * pool->stride;
}

static inline uint8_t *buffer_data(const struct buffer_pool *pool, uint64_t word)
{
	return buffer_slot(pool, word) + netvm_desc_offset(word);
}

static inline struct buffer_state *buffer_state(const struct buffer_pool *pool, uint64_t word)
{
	return &pool->state[netvm_desc_index(word)];
}

/* Bytes a packet may have when it starts at the headroom. */
static inline uint32_t buffer_room(const struct buffer_pool *pool)
{
	return pool->stride - pool->headroom;
}

#endif
