/*
 * Packets through one queue: take, stage, show, and the packets an NF makes or keeps. Called by
 * NFs (netvm.h) and by run.c, on the queue's own thread.
 *
 * A buffer goes back on the tx ring of the worker it came from: that ring has room for all the NF
 * can own of that worker. A burst comes from one worker, so while it is in the callback one number
 * says which; for packets that live longer the attachment's table worker_of does, one byte per
 * buffer, which is not even there when the host has one worker.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "attachment.h"
#include "failure.h"

#define REPORT_TURNS 64u   /* turns from one report to the next: a power of two */
#define ALIVE_TURNS  1024u /* empty turns from one look at the host's socket to the next */
#define SETTLE_NS    100000000u

/* ---- host to NF ---------------------------------------------------------------------------- */

/* The line also holds the sleep ticket, which the host reads for each burst: touch it seldom. */
void queue_report(struct netvm_private *queue)
{
	struct netvm_nf_queue_state *state = queue->state;

	__atomic_store_n(&state->heartbeat, queue->turns, __ATOMIC_RELAXED);
	__atomic_store_n(&state->rx_pkts, queue->rx_pkts, __ATOMIC_RELAXED);
	__atomic_store_n(&state->tx_pkts, queue->tx_pkts, __ATOMIC_RELAXED);
	__atomic_store_n(&state->busy_ns, queue->busy_ns, __ATOMIC_RELAXED);
}

void netvm_alive(struct netvm *nf)
{
	struct netvm_private *queue = nf->private_;

	__atomic_store_n(&queue->state->heartbeat, ++queue->turns, __ATOMIC_RELAXED);
}

/* The ring's end is worked on as a copy, so that the compiler can keep it in registers. */
static uint32_t ring_take(struct netvm_ring_end *shared_end, uint64_t *words, uint32_t max)
{
	struct netvm_ring_end end = *shared_end;
	uint32_t n = netvm_ring_take(&end, words, max);

	*shared_end = end;
	return n;
}

static void prefetch(const struct netvm_private *queue, const struct netvm_packet *pkts, unsigned n)
{
	const struct netvm *nf = &queue->nf;

	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(netvm_data(nf, &pkts[i]));
	if (nf->features & NETVM_FEATURE_META)
		for (unsigned i = 0; i < n; i++)
			__builtin_prefetch(netvm_slot(nf, &pkts[i]));
}

static int queue_lost(struct netvm_private *queue, const char *why)
{
	attachment_lose(queue->attachment, why);
	return -ECONNRESET;
}

static int queue_empty(struct netvm_private *queue)
{
	if (++queue->idle_turns % ALIVE_TURNS == 0)
		wait_events(queue);
	if (attachment_lost(queue->attachment))
		return failure_set(ECONNRESET, "the daemon went away");
	return 0;
}

int queue_take(struct netvm_private *queue, struct netvm_packet *pkts, unsigned max)
{
	unsigned worker = queue->next_worker;

	if (++queue->turns % REPORT_TURNS == 0)
		queue_report(queue);
	for (unsigned i = 0; i < queue->n_workers; i++) {
		uint32_t n = ring_take(&queue->rings[worker].rx, &pkts->word, max);
		unsigned came_from = worker;

		worker = worker + 1 == queue->n_workers ? 0 : worker + 1;
		if (n == 0)
			continue;
		if (n == NETVM_RING_CORRUPT)
			return queue_lost(queue, "the daemon broke the contract: rx ring index");
		queue->burst_worker = came_from;
		queue->next_worker = worker;
		queue->rx_pkts += n;
		queue->idle_turns = 0;
		prefetch(queue, pkts, n);
		return (int)n;
	}
	return queue_empty(queue);
}

/* ---- NF to host ---------------------------------------------------------------------------- */

static void stage(
	struct netvm_private *queue, unsigned worker, const struct netvm_packet *pkts, unsigned n)
{
	struct netvm_ring_end end = queue->rings[worker].tx;
	uint32_t room = netvm_ring_room(&end, n);

	if (room == NETVM_RING_CORRUPT) {
		(void)queue_lost(queue, "the daemon broke the contract: tx ring index");
		return;
	}
	/* There is room for all an NF can own: what does not fit was sent twice. */
	if (n > room)
		n = room;
	for (unsigned i = 0; i < n; i++)
		netvm_ring_stage(&end, pkts[i].word);
	queue->rings[worker].tx = end;
	queue->staged |= 1u << worker;
	queue->tx_pkts += n;
}

void netvm_flush(struct netvm *nf)
{
	struct netvm_private *queue = nf->private_;
	struct transport *transport = &queue->attachment->transport;
	const struct netvm_channel *channel = queue->attachment->channel;
	uint32_t staged = queue->staged;

	if (!staged)
		return;
	queue->staged = 0;
	for (uint32_t left = staged; left; left &= left - 1)
		netvm_ring_publish(&queue->rings[__builtin_ctz(left)].tx);
	/* Dekker: our words are visible before we look whether the worker sleeps, see ABI.md. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t left = staged; left; left &= left - 1) {
		unsigned worker = (unsigned)__builtin_ctz(left);
		uint32_t ticket =
			__atomic_load_n(&channel->worker[worker].sleep_ticket, __ATOMIC_RELAXED);

		if (ticket == 0 || ticket == queue->rings[worker].rung)
			continue;
		queue->rings[worker].rung = ticket;
		transport->ops->ring(transport, worker);
	}
}

/* Where in the burst of the running callback this packet stands; -1: it is not of the burst. */
static int burst_position(const struct netvm_private *queue, const struct netvm_packet *pkt)
{
	uintptr_t distance = (uintptr_t)pkt - (uintptr_t)queue->burst;

	return distance < queue->burst_n * sizeof(*pkt) ? (int)(distance / sizeof(*pkt)) : -1;
}

static void remember_worker(
	struct netvm_private *queue, const struct netvm_packet *pkts, unsigned n, unsigned worker)
{
	if (!queue->worker_of)
		return;
	for (unsigned i = 0; i < n; i++) {
		uint32_t index = netvm_desc_index(pkts[i].word);

		if (index < queue->nf.n_buffers)
			queue->worker_of[index] = (uint8_t)worker;
	}
}

void queue_remember(struct netvm_private *queue, const struct netvm_packet *pkts, unsigned n)
{
	remember_worker(queue, pkts, n, queue->burst_worker);
}

static unsigned worker_of(const struct netvm_private *queue, const struct netvm_packet *pkt)
{
	uint32_t index = netvm_desc_index(pkt->word);

	if (burst_position(queue, pkt) >= 0)
		return queue->burst_worker;
	return queue->worker_of && index < queue->nf.n_buffers ? queue->worker_of[index] : 0;
}

/* The packet goes now, so not again at the end of the callback. Returns its worker. */
static unsigned leave_burst(struct netvm_private *queue, const struct netvm_packet *pkt)
{
	int position = burst_position(queue, pkt);

	if (position >= 0)
		queue->burst_taken |= UINT64_C(1) << position;
	return worker_of(queue, pkt);
}

void netvm_hold(struct netvm *nf, struct netvm_packet *pkt)
{
	struct netvm_private *queue = nf->private_;
	int position = burst_position(queue, pkt);

	if (position < 0)
		return; /* not of the burst: the NF's own already */
	queue->burst_taken |= UINT64_C(1) << position;
	remember_worker(queue, pkt, 1, queue->burst_worker);
}

void netvm_send(struct netvm *nf, const struct netvm_packet *pkts, unsigned n)
{
	struct netvm_private *queue = nf->private_;

	if (!queue->worker_of && burst_position(queue, pkts) < 0) {
		stage(queue, 0, pkts, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		stage(queue, leave_burst(queue, &pkts[i]), &pkts[i], 1);
}

void netvm_release(struct netvm *nf, const struct netvm_packet *pkt)
{
	struct netvm_private *queue = nf->private_;
	struct netvm_packet back = *pkt;

	netvm_consume(&back);
	stage(queue, leave_burst(queue, pkt), &back, 1);
}

/* ---- the burst of a callback --------------------------------------------------------------- */

static void burst_return(struct netvm_private *queue, const struct netvm_packet *pkts, unsigned n)
{
	if (!queue->burst_taken) {
		stage(queue, queue->burst_worker, pkts, n);
	} else {
		for (unsigned i = 0; i < n; i++)
			if (!(queue->burst_taken >> i & 1))
				stage(queue, queue->burst_worker, &pkts[i], 1);
	}
	queue->burst = NULL;
	queue->burst_n = 0;
	queue->burst_taken = 0;
	netvm_flush(&queue->nf);
}

void queue_work(struct netvm_private *queue, const struct netvm_options *options,
	struct netvm_packet *pkts, unsigned n)
{
	bool sample = queue->turns % REPORT_TURNS == 0;
	uint64_t start_ns = sample ? clock_ns() : 0;

	queue->burst = pkts;
	queue->burst_n = n;
	options->burst(&queue->nf, pkts, n, options->arg);
	if (sample)
		queue->busy_ns += (clock_ns() - start_ns) * REPORT_TURNS;
	burst_return(queue, pkts, n);
}

/* The host keeps what it has taken before the end of the connection, and takes back the rest. */
void queue_settle(struct netvm_private *queue)
{
	uint64_t deadline_ns = clock_ns() + SETTLE_NS;

	for (unsigned worker = 0; worker < queue->n_workers; worker++) {
		const struct netvm_ring_end *tx = &queue->rings[worker].tx;

		while (__atomic_load_n(&tx->ring->consumer, __ATOMIC_ACQUIRE) != tx->own) {
			wait_events(queue);
			if (attachment_lost(queue->attachment) || clock_ns() > deadline_ns)
				return;
			sched_yield();
		}
	}
}

/* ---- buffers of the NF's own --------------------------------------------------------------- */

/* A take gives what the last look at the ring found, so only an empty one says that it is empty. */
static unsigned stock_take_from(
	struct netvm_private *queue, unsigned worker, struct netvm_packet *pkts, unsigned n)
{
	unsigned got = 0;
	uint32_t taken;

	do {
		taken = ring_take(&queue->rings[worker].stock, &pkts[got].word, n - got);
		if (taken == NETVM_RING_CORRUPT) {
			(void)queue_lost(queue, "the daemon broke the contract: stock ring index");
			break;
		}
		got += taken;
	} while (taken > 0 && got < n);
	remember_worker(queue, pkts, got, worker);
	return got;
}

static unsigned stock_take(
	struct netvm_private *queue, unsigned worker, struct netvm_packet *pkts, unsigned n)
{
	unsigned got = 0;

	for (unsigned i = 0; i < queue->n_workers && got < n; i++) {
		got += stock_take_from(queue, worker, pkts + got, n - got);
		worker = worker + 1 == queue->n_workers ? 0 : worker + 1;
	}
	return got;
}

unsigned netvm_alloc(struct netvm *nf, struct netvm_packet *pkts, unsigned n)
{
	struct netvm_private *queue = nf->private_;

	n = stock_take(queue, queue->burst_worker, pkts, n);
	for (unsigned i = 0; i < n; i++) {
		pkts[i].word = netvm_desc_set_extent(pkts[i].word, nf->headroom, 0);
		netvm_drop(&pkts[i]);
	}
	return n;
}

int netvm_clone(struct netvm *nf, const struct netvm_packet *pkt, struct netvm_packet *clone)
{
	struct netvm_private *queue = nf->private_;
	uint32_t offset = netvm_desc_offset(pkt->word);
	uint32_t length = netvm_desc_length(pkt->word);
	struct netvm_packet fresh;

	if (offset + length > nf->buffer_stride)
		return failure_set(EINVAL, "the packet does not lie within its buffer");
	/* From the original's worker when it has one: that keeps the two in order. */
	if (!stock_take(queue, worker_of(queue, pkt), &fresh, 1))
		return failure_set(ENOBUFS, "the stock of empty buffers is used up");
	fresh.word = netvm_desc_set_extent(fresh.word, offset, length);
	fresh.word = netvm_desc_set_verdict(fresh.word, netvm_desc_verdict(pkt->word));
	memcpy(netvm_slot(nf, &fresh), netvm_slot(nf, pkt), NETVM_META_BYTES);
	memcpy(netvm_data(nf, &fresh), netvm_data(nf, pkt), length);
	*clone = fresh;
	return 0;
}
