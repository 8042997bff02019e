/*
 * A rig for tests of the engine: a port that takes frames from the test and gives them back, and an
 * NF played by the test over a real channel. Everything waits for events: rig_wait() turns until a
 * condition holds or a generous limit has passed (then the test fails).
 */
#ifndef NETVM_ENGINE_TEST_RIG_H
#define NETVM_ENGINE_TEST_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "engine/engine.h"

#define RIG_QUEUE 4096

struct rig_frame {
	uint16_t length;
	uint8_t data[256];
};

/* A port whose frames the test puts in and takes out. */
struct rig_port {
	struct port port;
	int event_fd;
	uint32_t in_head, in_tail;   /* test writes head, worker writes tail */
	uint32_t out_head, out_tail; /* worker writes head, test writes tail */
	unsigned tx_limit;           /* frames tx takes in one call */
	unsigned refused_length;     /* frames of it can never be sent; 0: none */
	struct rig_frame in[RIG_QUEUE];
	struct rig_frame out[RIG_QUEUE];
};

struct rig_port *rig_port_new(const char *name, struct buffer_pool *pool, unsigned n_tx_queues);
void rig_port_free(struct rig_port *rig);
void rig_port_give(struct rig_port *rig, const void *data, unsigned length);
/* Next frame that came out, or NULL. */
const struct rig_frame *rig_port_take(struct rig_port *rig);
uint32_t rig_port_n_out(const struct rig_port *rig);

/* An Ethernet/IPv4/UDP frame; returns its length. */
unsigned rig_udp(uint8_t *frame, uint32_t src, uint32_t dst, uint16_t src_port, uint16_t dst_port);

/* The NF's side of a channel with one queue. */
struct rig_nf {
	struct nf *nf;
	struct netvm_channel *channel;
	struct netvm_layout layout;
	int pipe[2];
	int worker_fd[NETVM_WORKERS_MAX];
	struct netvm_ring_end rx[NETVM_WORKERS_MAX];
	struct netvm_ring_end tx[NETVM_WORKERS_MAX];
	struct netvm_ring_end stock[NETVM_WORKERS_MAX];
};

struct rig_nf *rig_nf_new(struct engine *engine, struct service *service, struct buffer_pool *pool,
	const char *name, uint32_t features);
/* One that stands by. */
struct rig_nf *rig_nf_standby(
	struct engine *engine, struct service *service, struct buffer_pool *pool, const char *name);
/* One that waits to take over from another, see engine_nf_replace(). */
struct rig_nf *rig_nf_parked(
	struct engine *engine, struct service *service, struct buffer_pool *pool, const char *name);
/* Takes the NF out of the engine and ends it; returns the packets lost. */
unsigned rig_nf_free(struct engine *engine, struct rig_nf *rig);
/* One that is out of the engine already. */
void rig_nf_discard(struct rig_nf *rig);
/* Take up to max words from worker w's ring. */
unsigned rig_nf_take(struct rig_nf *rig, unsigned worker, uint64_t *words, unsigned max);
void rig_nf_send(struct rig_nf *rig, unsigned worker, const uint64_t *words, unsigned n);
/* Take what is there from all workers and send it back with this verdict; returns how many. */
unsigned rig_nf_turn(struct rig_nf *rig, unsigned verdict);
/* The verdict that means this destination, or 0. */
unsigned rig_nf_destination(
	const struct rig_nf *rig, enum netvm_destination_kind kind, const char *name);

/* What an NF can do to a ring that is not its to write, and a worker may be reading. */
static inline uint64_t rig_peek(const struct netvm_ring *ring, unsigned at)
{
	return __atomic_load_n(&ring->word[at], __ATOMIC_RELAXED);
}

static inline void rig_scribble(struct netvm_ring *ring, unsigned at, uint64_t word)
{
	__atomic_store_n(&ring->word[at], word, __ATOMIC_RELAXED);
}

/* Yields until `condition` is true; false after ten seconds. */
#define rig_wait(condition)                                                                        \
	({                                                                                         \
		uint64_t until_ = clock_ns(CLOCK_MONOTONIC) + UINT64_C(10000000000);               \
		bool ok_;                                                                          \
		while (!(ok_ = (condition)) && clock_ns(CLOCK_MONOTONIC) < until_)                 \
			rig_yield();                                                               \
		ok_;                                                                               \
	})
uint64_t rig_now_ns(void);
void rig_yield(void);

#endif
