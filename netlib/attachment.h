/*
 * One attached NF: its memory, its validated layout, and one struct netvm_private per queue, the
 * private half of the public struct netvm.
 *
 *   struct attachment (one per NF)          struct netvm_private (one per queue and thread)
 *   +-----------------------------+         +----------------------------------------+
 *   | transport: memory, doorbells| <------ | nf: what the NF sees                   |
 *   | layout: copied, validated   |         | rings[worker]: rx, tx, stock ends      |
 *   | worker_of[buffer]           |         | burst in the callback, counters, waiting|
 *   +-----------------------------+         +----------------------------------------+
 *
 * attachment.c opens and closes (one thread); queue.c moves packets, wait.c sleeps (the thread of
 * the queue). `lost` may be set by any queue thread; `worker_of` has one byte per buffer, written
 * by whoever owns the buffer.
 */
#ifndef NETVM_NETLIB_ATTACHMENT_H
#define NETVM_NETLIB_ATTACHMENT_H

#include <time.h>

#include <netvm.h>
#include <netvm/abi/ring.h>
#include <netvm/abi/socket.h>

#include "transport.h"

struct worker_rings {
	struct netvm_ring_end rx;
	struct netvm_ring_end tx;
	struct netvm_ring_end stock;
	uint32_t rung; /* the worker's sleep ticket we rang for last */
};

struct netvm_private {
	struct netvm nf;
	struct attachment *attachment;
	struct netvm_nf_queue_state *state; /* shared, this queue's line */
	unsigned queue;
	unsigned n_workers;
	unsigned next_worker; /* where to look first, for fairness */
	uint32_t staged;      /* bit per worker: its tx ring has words not shown yet */
	uint8_t *worker_of;   /* attachment's; NULL with one worker */

	/* what the last take brought; during a callback the burst and what was taken out of it */
	unsigned burst_worker;
	unsigned burst_n;
	const struct netvm_packet *burst;
	uint64_t burst_taken; /* bit per packet: held or sent by the NF itself */

	uint64_t turns;
	uint64_t rx_pkts;
	uint64_t tx_pkts;
	uint64_t busy_ns;

	bool busy; /* options.busy */
	uint32_t idle_turns;
	uint64_t idle_since_ns;
	uint32_t ticket; /* of our last sleep */
	int wait_fd;     /* epoll of the doorbell, the host's and the stop's descriptors */

	struct worker_rings rings[];
};

struct attachment {
	struct transport transport;
	struct netvm_channel *channel; /* transport's */
	struct netvm_layout layout;
	uint32_t features;          /* granted */
	uint8_t *worker_of;         /* which worker a buffer came from; NULL with one worker */
	int lost;                   /* the host is gone or broke the contract */
	struct netvm_options hooks; /* `save`, `load` and `arg` of netvm_run(), or nothing */
	char name[NETVM_NAME_BYTES];
	unsigned n_queues;
	struct netvm_private *queue[NETVM_QUEUES_MAX];
};

/*
 * Attach over a transport. `address` is what the transport's open wants. Errors as netvm_run().
 */
int attachment_open(const struct transport_ops *ops, const char *address,
	const struct netvm_options *options, struct attachment **attachment);
/* Also while the host is gone. NULL is fine. Ends the use of all its queues. */
void attachment_close(struct attachment *attachment);

/* The socket's path, or "pci", that the options, the environment or this machine's devices say. */
const char *attachment_address(const struct netvm_options *options);

/* Attach to the host there. */
int attachment_attach(const struct netvm_options *options, struct attachment **attachment);

/* The host is of no use any more: every queue returns -ECONNRESET from now on. */
void attachment_lose(struct attachment *attachment, const char *why);

static inline bool attachment_lost(const struct attachment *attachment)
{
	return __atomic_load_n(&attachment->lost, __ATOMIC_RELAXED) != 0;
}

/* ---- queue.c: called on the queue's thread ------------------------------------------------- */

/*
 * One turn: take up to `max` packets, all from one worker (queue->burst_worker), and ask for their
 * first lines. Returns the number, 0 when there are none, -ECONNRESET. Shows nothing staged.
 */
int queue_take(struct netvm_private *queue, struct netvm_packet *pkts, unsigned max);

/* These packets of the last take will outlive it: note their worker. */
void queue_remember(struct netvm_private *queue, const struct netvm_packet *pkts, unsigned n);

/* A burst that queue_take() brought goes through the callback and back. */
void queue_work(struct netvm_private *queue, const struct netvm_options *options,
	struct netvm_packet *pkts, unsigned n);

/* Wait a moment until the host has taken what was sent. */
void queue_settle(struct netvm_private *queue);

/* Store the numbers where the host and its tools read them. */
void queue_report(struct netvm_private *queue);

/* ---- wait.c: called on the queue's thread -------------------------------------------------- */

int wait_open(struct netvm_private *queue);
void wait_close(struct netvm_private *queue);

/* The turn brought nothing: yield, or sleep until a doorbell or the deadline. */
void wait_idle(struct netvm_private *queue, uint64_t deadline_ns);

/* Take note of what made netvm_fd() readable. */
void wait_events(struct netvm_private *queue);

/* The host asked this NF to stop. */
bool wait_stop_asked(const struct netvm_private *queue);

/* ... and to attach again to what it offers next. */
bool wait_move_asked(const struct netvm_private *queue);

/* ---- state.c: called on the queue's thread ------------------------------------------------- */

/* The host's descriptor is readable: false when that is its end; what it said is done. */
bool state_host_is_there(struct netvm_private *queue);

static inline uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
