/*
 * Where packets leave a worker: ports, other workers, other groups, and drops. Runs on workers.
 */
#include <string.h>

#include <rte_branch_prediction.h>

#include "engine/datapath.h"

static void count_sent(struct worker *worker, struct port_slot *slot, uint64_t pkts, uint64_t bytes)
{
	struct counters *books = &slot->counters[worker->id];

	counter_add(&worker->sent, pkts);
	counter_add(&books->tx_pkts, pkts);
	counter_add(&books->tx_bytes, bytes);
	counter_add(&books->tx_bursts, pkts > 0);
}

/* Returns how many the port took. */
static unsigned transmit(
	struct worker *worker, struct port_slot *slot, const uint64_t *words, unsigned n)
{
	struct port *port = slot->port;
	uint64_t bytes = 0;
	unsigned sent;

	/* Lengths first: accepted buffers are the driver's. */
	for (unsigned i = 0; i < n; i++)
		bytes += netvm_desc_length(words[i]);
	sent = port->ops->tx(&port->tx[worker->id], words, n);
	for (unsigned i = sent; i < n; i++)
		bytes -= netvm_desc_length(words[i]);
	count_sent(worker, slot, sent, bytes);
	return sent;
}

/* Whether the port stopped because of this packet: then it is dropped and the next ones may go. */
static bool refused(struct worker *worker, struct port_slot *slot, const uint64_t *word)
{
	struct port_queue *queue = &slot->port->tx[worker->id];

	if (!queue->refused)
		return false;
	queue->refused = false;
	output_drop(
		worker, DROP_PORT_REFUSED, &slot->counters[worker->id], slot->port->pool, word, 1);
	return true;
}

static void flush_port(struct worker *worker, struct port_slot *slot)
{
	struct tx_batch *batch = worker->tx[slot->number];
	struct port *port = slot->port;
	unsigned n = batch->n, done = 0;

	batch->n = 0;
	if (n == 0)
		return;
	if (unlikely(!port || !slot->up)) {
		output_drop(worker, DROP_PORT_DOWN, &slot->counters[worker->id], slot->pool,
			batch->words, n);
		return;
	}
	if (unlikely(worker->trace))
		trace_sent(worker, slot, batch->words, n);
	while (done < n) {
		done += transmit(worker, slot, batch->words + done, n - done);
		if (done == n || !refused(worker, slot, batch->words + done))
			break;
		done++;
	}
	if (unlikely(done < n))
		output_drop(worker, DROP_PORT_TX_FULL, &slot->counters[worker->id], port->pool,
			batch->words + done, n - done);
}

void output_flush(struct worker *worker)
{
	for (unsigned i = 0; i < worker->n_tx_dirty; i++)
		flush_port(worker, worker->tx_dirty[i]);
	worker->n_tx_dirty = 0;
}

static void append(struct worker *worker, struct port_slot *slot, const uint64_t *words, unsigned n)
{
	struct tx_batch *batch = worker->tx[slot->number];

	if (batch->n == 0)
		worker->tx_dirty[worker->n_tx_dirty++] = slot;
	while (n > 0) {
		unsigned some = BURST - batch->n < n ? BURST - batch->n : n;

		memcpy(batch->words + batch->n, words, some * sizeof(*words));
		batch->n = (uint16_t)(batch->n + some);
		words += some;
		n -= some;
		if (batch->n == BURST)
			flush_port(worker, slot);
	}
}

/* A port with fewer queues than workers is served by the workers that have one. */
static void hand_to_owner(struct worker *worker, struct port_slot *slot, struct buffer_pool *pool,
	const uint64_t *words, unsigned n)
{
	unsigned owner = worker->id % slot->port->n_tx_queues;

	for (unsigned i = 0; i < n; i++) {
		struct buffer_state *state = buffer_state(pool, words[i]);

		state->program = slot->out;
		state->step = 0;
		if (!output_handoff(worker, owner, pool, words[i]))
			output_drop(worker, DROP_HANDOFF_FULL, &slot->counters[worker->id], pool,
				&words[i], 1);
	}
}

/* Drop what the port cannot send; returns how many stay, moved to the front. */
static unsigned drop_too_long(struct worker *worker, struct port_slot *slot,
	struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	uint32_t limit = slot->port->frame_bytes_max;
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (netvm_desc_length(words[i]) <= limit)
			words[kept++] = words[i];
		else
			output_drop(worker, DROP_PORT_TX_SIZE, &slot->counters[worker->id], pool,
				&words[i], 1);
	}
	return kept;
}

static bool all_fit(
	const struct port_slot *slot, const uint64_t *words, unsigned n, uint64_t *bytes)
{
	uint32_t longest = 0;
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t length = netvm_desc_length(words[i]);

		longest = length > longest ? length : longest;
		sum += length;
	}
	*bytes = sum;
	return longest <= slot->port->frame_bytes_max;
}

void output_send(struct worker *worker, struct port_slot *slot, struct counters *chain,
	struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	struct counters *blame = &slot->counters[worker->id];
	uint64_t bytes;

	if (unlikely(!slot->port || !slot->up)) {
		output_drop(worker, DROP_PORT_DOWN, blame, pool, words, n);
		return;
	}
	if (unlikely(slot->pool != pool)) {
		n = output_copy(worker, pool, slot->pool, chain, blame, words, n);
		pool = slot->pool;
	}
	if (unlikely(!all_fit(slot, words, n, &bytes))) {
		n = drop_too_long(worker, slot, pool, words, n);
		all_fit(slot, words, n, &bytes);
	}
	if (chain) {
		counter_add(&chain->tx_pkts, n);
		counter_add(&chain->tx_bytes, bytes);
		counter_add(&chain->tx_bursts, n > 0);
	}
	if (likely(worker->id < slot->port->n_tx_queues))
		append(worker, slot, words, n);
	else
		hand_to_owner(worker, slot, pool, words, n);
}

/* The verdict field of a word between workers says which pool it belongs to. */
unsigned output_handoff(
	struct worker *worker, unsigned to, const struct buffer_pool *pool, uint64_t word)
{
	struct netvm_ring_end *ring = &worker->handoff_to[to];

	if (netvm_ring_room(ring, 1) == 0)
		return 0;
	netvm_ring_stage(ring, netvm_desc_set_verdict(word, pool->number));
	worker->handed_to |= 1u << to;
	return 1;
}

/* Whether two packets from another worker go on the same way. */
static bool go_together(const struct buffer_state *a, const struct buffer_state *b)
{
	return a->program == b->program && a->step == b->step && a->in_port == b->in_port;
}

/* Packets from another worker: on with their program, or fresh ones to classify. */
static void take_over(struct worker *worker, struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	unsigned first = 0;

	for (unsigned i = 1; i <= n; i++) {
		const struct buffer_state *state = buffer_state(pool, words[first]);
		const struct program *program = state->program;

		if (i < n && go_together(state, buffer_state(pool, words[i])))
			continue;
		if (program)
			program_run(worker, program, state->step, pool, words + first, i - first);
		else
			input_classify(worker, pool, words + first, i - first);
		first = i;
	}
}

unsigned output_turn(struct worker *worker)
{
	unsigned moved = 0;

	for (unsigned from = 0; from < worker->n_workers; from++) {
		uint64_t words[BURST];
		uint32_t n, i = 0;

		if (from == worker->id)
			continue;
		n = netvm_ring_take(&worker->handoff_from[from], words, BURST);
		moved += n;
		while (i < n) {
			uint32_t first = i, number = netvm_desc_verdict(words[i]);

			for (; i < n && netvm_desc_verdict(words[i]) == number; i++)
				words[i] = netvm_desc_set_verdict(words[i], 0);
			take_over(worker, worker->cache[number]->pool, words + first, i - first);
		}
	}
	return moved;
}

void output_publish(struct worker *worker)
{
	uint32_t mask = worker->handed_to;

	if (mask == 0)
		return;
	worker->handed_to = 0;
	for (unsigned to = 0; to < worker->n_workers; to++) {
		if (!(mask & 1u << to))
			continue;
		netvm_ring_publish(&worker->handoff_to[to]);
		worker_wake(worker->engine->worker[to]);
	}
}

/*
 * What crosses a border is the packet, what the daemon knows of it, and what NFs said of it in
 * meta.user; nothing of the packets that the buffer held before. Handle and owner are the new
 * buffer's.
 */
static void copy_user(
	struct buffer_pool *to, uint64_t copy, const struct buffer_pool *from, uint64_t word)
{
	const size_t at = offsetof(struct netvm_meta, user);

	memcpy(buffer_slot(to, copy) + at, buffer_slot(from, word) + at,
		sizeof(((struct netvm_meta *)NULL)->user));
}

static void copy_state(struct buffer_state *to, const struct buffer_state *from)
{
	to->is_packet = 1;
	to->hops = from->hops;
	to->flow_hash = from->flow_hash;
	to->has_hash = from->has_hash;
	to->has_user = from->has_user;
	to->in_port = from->in_port;
	to->trace_mark = from->trace_mark;
	to->program = from->program;
	to->step = from->step;
	to->arrival_tsc = from->arrival_tsc;
}

unsigned output_copy(struct worker *worker, struct buffer_pool *from, struct buffer_pool *to,
	struct counters *chain, struct counters *blame, uint64_t *words, unsigned n)
{
	uint64_t copy[BURST];
	unsigned got = buffer_alloc(worker->cache[to->number], copy, n), kept = 0;

	for (unsigned i = 0; i < got; i++) {
		uint32_t length = netvm_desc_length(words[i]);
		struct buffer_state *state = buffer_state(to, copy[i]);

		if (length > buffer_room(to)) {
			buffer_free(worker->cache[to->number], &copy[i], 1);
			output_drop(worker, DROP_COPY_TOO_LONG, blame, from, &words[i], 1);
			continue;
		}
		memcpy(buffer_data(to, copy[i]), buffer_data(from, words[i]), length);
		copy_state(state, buffer_state(from, words[i]));
		if (state->has_user)
			copy_user(to, copy[i], from, words[i]);
		buffer_free(worker->cache[from->number], &words[i], 1);
		words[kept++] = netvm_desc_set_extent(copy[i], to->headroom, length);
	}
	if (unlikely(worker->trace))
		trace_copied(worker, to, words, kept);
	if (got < n)
		output_drop(worker, DROP_NO_BUFFERS, blame, from, words + got, n - got);
	counter_add(&worker->copied, kept);
	if (chain)
		counter_add(&chain->copied, kept);
	return kept;
}

void output_drop(struct worker *worker, enum drop_reason reason, struct counters *blame,
	struct buffer_pool *pool, const uint64_t *words, unsigned n)
{
	counter_add(&worker->drops[reason], n);
	if (blame)
		counter_add(&blame->drops[reason], n);
	if (unlikely(worker->trace))
		trace_dropped(worker, reason, blame, pool, words, n);
	buffer_free(worker->cache[pool->number], words, n);
}

void output_consume(
	struct worker *worker, struct buffer_pool *pool, const uint64_t *words, unsigned n)
{
	counter_add(&worker->consumed, n);
	if (unlikely(worker->trace))
		trace_consumed(worker, pool, words, n);
	buffer_free(worker->cache[pool->number], words, n);
}
