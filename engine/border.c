/*
 * The border: the only file of the host that touches memory shared with NFs. Runs on workers.
 *
 * Everything an NF wrote is read once into a local, checked there, and only the local is used. The
 * two things that are read are ring indices (checked in abi/ring.h against the window) and
 * descriptor words (checked in own() and destination() below against the private table). A ring
 * index outside its window makes the link faulty: it is not touched again and the manager is told.
 */
#include <string.h>
#include <unistd.h>

#include <rte_branch_prediction.h>
#include <rte_prefetch.h>

#include "engine/datapath.h"

/* Bursts taken from one NF in one turn: bounds how long the others wait. */
#define COLLECT_BURSTS 4

/* Refused handles after which an NF is quarantined. */
#define VIOLATIONS_MAX 65536u

static void fault(struct worker *worker, struct nf_link *link)
{
	uint64_t one = 1;

	if (link->faulty)
		return;
	__atomic_store_n(&link->faulty, true, __ATOMIC_RELEASE);
	(void)!write(worker->engine->options.notify_fd, &one, sizeof(one));
}

/* A handle that is not the NF's own. A slip is refused and counted; who goes on is quarantined. */
static void violation(struct worker *worker, struct nf_link *link)
{
	counter_add(&link->counters.violations, 1);
	if (link->counters.violations >= VIOLATIONS_MAX)
		fault(worker, link);
}

static void mark_staged(struct worker *worker, struct nf_link *link, struct nf_queue *queue)
{
	queue->staged = true;
	if (!link->dirty) {
		link->dirty = true;
		worker->dirty[worker->n_dirty++] = link;
	}
}

/* Back from a copy in registers. Control looks at `own` meanwhile, and `mask` never changes. */
static inline void keep(struct netvm_ring_end *end, const struct netvm_ring_end *copy)
{
	__atomic_store_n(&end->own, copy->own, __ATOMIC_RELAXED);
	end->peer = copy->peer;
}

/* ---- host to NF ---------------------------------------------------------------------------- */

static void write_meta(struct worker *worker, struct buffer_pool *pool,
	const struct program *program, uint64_t word, struct buffer_state *state)
{
	struct netvm_meta *meta = (struct netvm_meta *)(void *)buffer_slot(pool, word);
	const uint8_t *data = buffer_data(pool, word);
	bool tagged =
		netvm_desc_length(word) >= 18 &&
		(netvm_flow_be16(data + 12) == 0x8100 || netvm_flow_be16(data + 12) == 0x88a8);

	meta->arrival_ns = engine_ns(worker->engine, state->arrival_tsc);
	meta->flow_hash = input_hash(pool, word);
	meta->in_port = state->in_port;
	meta->chain = program ? program->chain : 0;
	meta->direction = program ? program->direction : 0;
	meta->vlan_tci = tagged ? netvm_flow_be16(data + 14) : 0;
	meta->flags = 0;
	/* The first NF that can see it: nothing of an earlier packet is left. A clone keeps its
	 * own. */
	if (!state->has_user)
		memset(meta->user, 0, sizeof(meta->user));
	state->has_user = 1;
}

unsigned border_put(struct worker *worker, struct nf *nf, unsigned queue_number,
	const struct program *program, unsigned step, unsigned next, struct buffer_pool *pool,
	const uint64_t *words, unsigned n)
{
	struct nf_link *link = &nf->link[worker->id];
	struct nf_queue *queue = &link->queue[queue_number];
	struct netvm_ring_end rx = queue->rx; /* a copy the compiler can keep in registers */
	uint32_t room = netvm_ring_room(&rx, n);
	uint64_t head = buffer_head(link->owner, next, step), bytes = 0;
	const uint64_t kept = BUFFER_HEAD_GENERATION | BUFFER_HEAD_PACKET | BUFFER_HEAD_HOPS;

	if (unlikely(room == NETVM_RING_CORRUPT)) {
		fault(worker, link);
		return 0;
	}
	if (n > room)
		n = room;
	if (unlikely(worker->trace))
		trace_given(worker, nf, pool, words, n);
	for (unsigned i = 0; i < n; i++) {
		struct buffer_state *state = buffer_state(pool, words[i]);

		state->head = head | ((state->head & kept) + BUFFER_HEAD_HOP);
		state->program = program;
		if (nf->features & NETVM_FEATURE_META)
			write_meta(worker, pool, program, words[i], state);
		bytes += netvm_desc_length(words[i]);
		netvm_ring_stage(&rx, netvm_desc_set_verdict(words[i], next));
	}
	keep(&queue->rx, &rx);
	counter_add(&link->counters.tx_pkts, n);
	counter_add(&link->counters.tx_bytes, bytes);
	counter_add(&link->counters.tx_bursts, n > 0);
	mark_staged(worker, link, queue);
	return n;
}

void border_watch(struct worker *worker, struct nf_link *link)
{
	mark_staged(worker, link, &link->queue[0]);
}

/*
 * Keep the NF supplied with empty buffers, up to its quota. What waits in the ring of a queue is
 * bounded by its share, so that an idle one leaves the others some. Returns false when there is no
 * more to do.
 */
static bool top_up_stock(struct worker *worker, struct nf_link *link, struct nf_queue *queue)
{
	struct nf *nf = link->nf;
	uint32_t share = nf->stock_quota / nf->n_queues, n = share < BURST ? share : BURST;
	uint32_t room, wanted;
	uint64_t words[BURST];

	if (n == 0 || link->n_stock + n > nf->stock_quota)
		return false;
	wanted = queue->stock.mask + 1 - share + n;
	room = netvm_ring_room(&queue->stock, wanted);
	if (room == NETVM_RING_CORRUPT) {
		fault(worker, link);
		return false;
	}
	if (room < wanted)
		return false;
	n = buffer_alloc(worker->cache[nf->pool->number], words, n);
	for (uint32_t i = 0; i < n; i++) {
		struct buffer_state *state = buffer_state(nf->pool, words[i]);

		state->owner = link->owner;
		state->origin = buffer_origin(0);
		state->program = NULL;
		netvm_ring_stage(
			&queue->stock, netvm_desc_set_verdict(words[i], NETVM_VERDICT_DROP));
	}
	netvm_ring_publish(&queue->stock);
	link->n_stock += n;
	return n > 0;
}

/* As much in a turn as is taken from it in one. */
static void supply(struct worker *worker, struct nf_link *link, struct nf_queue *queue)
{
	for (int burst = 0; burst < COLLECT_BURSTS && top_up_stock(worker, link, queue); burst++)
		;
}

/* ---- NF to host ---------------------------------------------------------------------------- */

/* The private state of a buffer that this NF may hand back to this worker, or NULL. */
static inline struct buffer_state *own(const struct nf_link *link, uint64_t word)
{
	const struct buffer_pool *pool = link->nf->pool;
	uint32_t index = netvm_desc_index(word);
	struct buffer_state *state;

	if (unlikely(index >= pool->n_buffers))
		return NULL;
	state = &pool->state[index];
	if (unlikely(state->owner != link->owner ||
		     state->generation != netvm_desc_generation(word)))
		return NULL;
	return state;
}

/* Within the slot, behind the metadata line, at least an Ethernet header. */
static inline bool extent_is_good(const struct buffer_pool *pool, uint64_t word)
{
	uint32_t offset = netvm_desc_offset(word), length = netvm_desc_length(word);

	return offset >= NETVM_META_BYTES && length >= 14 && offset + length <= pool->stride;
}

static const struct destination *granted(const struct nf_link *link, unsigned verdict)
{
	const struct destination_table *table =
		__atomic_load_n(&link->nf->service->destinations, __ATOMIC_ACQUIRE);

	return &table->entry[verdict];
}

/* `program` and `step` are where the packets go on behind a detour; NULL for an NF's own packets.
 */
static void to_destination(struct worker *worker, struct nf_link *link,
	const struct destination *to, const struct program *program, unsigned step, uint64_t *words,
	unsigned n)
{
	struct buffer_pool *pool = link->nf->pool;
	struct counters *chain = program ? &program->counters[worker->id] : NULL;
	unsigned fit;

	switch (to->kind) {
	case NETVM_DESTINATION_PORT:
		output_send(worker, to->port, chain, pool, words, n);
		return;
	case NETVM_DESTINATION_SERVICE:
		program_detour(worker, to->service, program, step, pool, words, n);
		return;
	case NETVM_DESTINATION_CHAIN:
		n = program_end_loops(worker, NULL, 0, chain, pool, words, n);
		fit = program_reserve(worker, to->program, to->step, n);
		program_run(worker, to->program, to->step, pool, words, fit);
		output_drop(worker, program_refusal(worker, to->program),
			&to->program->counters[worker->id], pool, words + fit, n - fit);
		return;
	case NETVM_DESTINATION_NONE:
		break;
	}
	output_drop(worker, DROP_NF_BAD_VERDICT, &link->counters, pool, words, n);
}

/* Packets of one program and step with one verdict; they are the engine's again. */
static void settle(struct worker *worker, struct nf_link *link, const struct program *program,
	unsigned step, unsigned verdict, bool next, uint64_t *words, unsigned n)
{
	struct buffer_pool *pool = link->nf->pool;
	const struct destination *to = granted(link, verdict);

	if (unlikely(worker->trace))
		trace_returned(worker, next ? NETVM_VERDICT_NEXT : verdict, to, pool, words, n);
	if (next && program) {
		program_run(worker, program, step, pool, words, n);
		return;
	}
	/* Whatever but a detour ends the packet's way on its program. */
	if (program && to->kind != NETVM_DESTINATION_SERVICE)
		program_leave(worker, program, step, n);
	if (next) {
		output_drop(worker, DROP_NO_NEXT, &link->counters, pool, words, n);
	} else if (verdict == NETVM_VERDICT_DROP) {
		output_drop(worker, DROP_NF_VERDICT, &link->counters, pool, words, n);
	} else if (verdict == NETVM_VERDICT_CONSUME) {
		counter_add(&link->counters.consumed, n);
		output_consume(worker, pool, words, n);
	} else {
		to_destination(worker, link, to, program, step, words, n);
	}
}

/* A buffer of the stock: given back empty, or sent as a packet the NF made. */
static void settle_stock(
	struct worker *worker, struct nf_link *link, struct buffer_state *state, uint64_t word)
{
	struct buffer_pool *pool = link->nf->pool;
	unsigned verdict = netvm_desc_verdict(word);

	link->n_stock--;
	state->owner = OWNER_ENGINE;
	if (verdict == NETVM_VERDICT_DROP || verdict == NETVM_VERDICT_CONSUME) {
		buffer_free(worker->cache[pool->number], &word, 1);
		return;
	}
	state->is_packet = 1;
	state->has_user = (link->nf->features & NETVM_FEATURE_META) != 0;
	state->arrival_tsc = worker->now_tsc;
	counter_add(&worker->injected, 1);
	counter_add(&link->counters.injected, 1);
	if (!extent_is_good(pool, word))
		output_drop(worker, DROP_NF_BAD_EXTENT, &link->counters, pool, &word, 1);
	else if (verdict == NETVM_VERDICT_NEXT)
		output_drop(worker, DROP_NO_NEXT, &link->counters, pool, &word, 1);
	else
		to_destination(worker, link, granted(link, verdict), NULL, 0, &word, 1);
}

static void bad_extent(
	struct worker *worker, struct nf_link *link, struct buffer_state *state, uint64_t word)
{
	state->owner = OWNER_ENGINE;
	if (state->program)
		program_leave(worker, state->program, state->step, 1);
	output_drop(worker, DROP_NF_BAD_EXTENT, &link->counters, link->nf->pool, &word, 1);
}

/* The fields of a head that packets settled together have in common. */
#define HEAD_COMMON (~(BUFFER_HEAD_GENERATION | BUFFER_HEAD_HOPS))

/*
 * How many words from the first on are this NF's packets with the first one's way ahead: the same
 * program, step and verdict, and an extent that is good where it matters. `first` is the first
 * one's state. The packets are taken back on the way, each right after its check, so that a handle
 * that stands twice in the burst is refused the second time.
 */
static unsigned take_back_run(struct nf_link *link, struct buffer_state *first,
	const uint64_t *words, unsigned n, uint64_t *bytes)
{
	const struct buffer_pool *pool = link->nf->pool;
	const struct program *program = first->program;
	const uint64_t common = first->head & HEAD_COMMON;
	const unsigned verdict = netvm_desc_verdict(words[0]);
	const bool ends = verdict == NETVM_VERDICT_DROP || verdict == NETVM_VERDICT_CONSUME;
	unsigned i;

	for (i = 0; i < n; i++) {
		uint64_t word = words[i], expected;
		struct buffer_state *state = buffer_state(pool, word);

		if (unlikely(netvm_desc_index(word) >= pool->n_buffers))
			break;
		expected = common | (uint64_t)netvm_desc_generation(word) << 16;
		if (((state->head ^ expected) & ~BUFFER_HEAD_HOPS) != 0 ||
			state->program != program || netvm_desc_verdict(word) != verdict)
			break;
		if (!ends && unlikely(!extent_is_good(pool, word)))
			break;
		*bytes += netvm_desc_length(word);
		state->owner = OWNER_ENGINE;
	}
	return i;
}

/* Judge a burst that is already private; runs of packets with the same way ahead go together. */
static void judge(struct worker *worker, struct nf_link *link, uint64_t *words, unsigned n)
{
	uint32_t *reserved = &worker->reserved[link->nf->service->number];
	unsigned i = 0, n_pkts = 0;
	uint64_t bytes = 0;

	while (i < n) {
		struct buffer_state *state = own(link, words[i]);
		unsigned verdict = netvm_desc_verdict(words[i]), run;
		const struct program *program;
		unsigned step;
		bool next;

		if (unlikely(!state)) {
			violation(worker, link);
			i++;
			continue;
		}
		if (unlikely(!state->is_packet)) {
			settle_stock(worker, link, state, words[i++]);
			continue;
		}
		program = state->program;
		step = state->step;
		next = verdict == NETVM_VERDICT_NEXT || verdict == state->next;
		run = take_back_run(link, state, words + i, n - i, &bytes);
		/* The reservation for this NF's own service ends here, whatever comes next. */
		*reserved -= run ? run : 1;
		n_pkts += run ? run : 1;
		if (likely(run > 0))
			settle(worker, link, program, step, verdict, next, words + i, run);
		else
			bad_extent(worker, link, state, words[i]);
		i += run ? run : 1;
	}
	counter_add(&link->counters.rx_bytes, bytes);
	counter_add(&link->counters.rx_pkts, n_pkts);
}

static unsigned collect(struct worker *worker, struct nf_link *link, struct nf_queue *queue)
{
	struct buffer_pool *pool = link->nf->pool;
	unsigned total = 0;

	for (int burst = 0; burst < COLLECT_BURSTS; burst++) {
		uint64_t words[BURST];
		struct netvm_ring_end tx =
			queue->tx; /* a copy the compiler can keep in registers */
		uint32_t n = netvm_ring_take(&tx, words, BURST);

		if (unlikely(n == NETVM_RING_CORRUPT)) {
			fault(worker, link);
			break;
		}
		if (n == 0)
			break;
		keep(&queue->tx, &tx);
		for (uint32_t i = 0; i < n; i++)
			if (netvm_desc_index(words[i]) < pool->n_buffers)
				rte_prefetch0(buffer_state(pool, words[i]));
		counter_add(&link->counters.rx_bursts, 1);
		judge(worker, link, words, n);
		total += n;
	}
	return total;
}

unsigned border_turn(struct worker *worker)
{
	unsigned moved = 0;

	for (unsigned i = 0; i < worker->n_links; i++) {
		struct nf_link *link = worker->link[i];
		struct nf *nf = link->nf;

		for (unsigned q = 0; q < nf->n_queues && !link->faulty; q++) {
			moved += collect(worker, link, &link->queue[q]);
			if ((nf->features & NETVM_FEATURE_STOCK) && !link->parked)
				supply(worker, link, &link->queue[q]);
		}
	}
	return moved;
}

/* ---- after a crash ------------------------------------------------------------------------- */

unsigned border_last_burst(
	const struct nf_link *link, const struct nf_queue *queue, uint64_t words[BURST])
{
	const struct netvm_ring_end *rx = &queue->rx;
	uint32_t taken = __atomic_load_n(&rx->ring->consumer, __ATOMIC_RELAXED);
	uint32_t waiting = rx->own - taken, size = rx->mask + 1;
	unsigned n = 0;

	if (waiting > size)
		return 0;
	/* Words behind the consumer stay readable until newer ones take their places. */
	for (uint32_t i = 1; i <= BURST && i <= size - waiting; i++) {
		uint64_t word =
			__atomic_load_n(&rx->ring->word[(taken - i) & rx->mask], __ATOMIC_RELAXED);
		const struct buffer_state *state = own(link, word);

		if (state && state->is_packet && extent_is_good(link->nf->pool, word))
			words[n++] = word;
	}
	return n;
}

/* ---- one NF takes over from another -------------------------------------------------------- */

/*
 * What was put to an NF that takes over is shown when its predecessor has handed back all it had
 * through this worker, and control does not hold it: so no packet overtakes one of its flow.
 */
static bool may_show(struct worker *worker, struct nf_link *link)
{
	uint64_t one = 1;

	if (likely(!link->gated))
		return true;
	if (link->behind && link_in_flight(link->behind) > 0)
		return false;
	if (!link->told) {
		link->told = true;
		(void)!write(worker->engine->options.notify_fd, &one, sizeof(one));
	}
	if (link->held)
		return false;
	__atomic_store_n(&link->gated, false, __ATOMIC_RELAXED); /* control looks at it meanwhile */
	link->behind = NULL;
	return true;
}

static void move_packet(
	struct worker *worker, struct nf_link *to, struct buffer_state *state, uint64_t word)
{
	struct buffer_pool *pool = to->nf->pool;
	const struct program *program = state->program;
	unsigned step = state->step, queue = 0;

	if (to->nf->n_queues > 1)
		queue = (input_hash(pool, word) >> 16) % to->nf->n_queues;
	state->owner = OWNER_ENGINE;
	state->hops--; /* it has not been to the NF it was put to */
	if (border_put(worker, to->nf, queue, program, step, state->next, pool, &word, 1))
		return;
	worker->reserved[to->nf->service->number]--;
	if (program)
		program_leave(worker, program, step, 1);
	output_drop(worker, DROP_SERVICE_OVERLOAD, &to->counters, pool, &word, 1);
}

/* The words lie where the NF can write, too: one that is not right stays, and goes with the NF. */
void border_move(struct worker *worker, struct nf_link *from, struct nf_link *to)
{
	uint64_t n_pkts = 0, n_bytes = 0;

	for (unsigned q = 0; q < from->nf->n_queues; q++) {
		struct nf_queue *queue = &from->queue[q];
		struct netvm_ring_end *rx = &queue->rx;

		for (uint32_t at = queue->shown; at != rx->own; at++) {
			uint64_t word =
				__atomic_load_n(&rx->ring->word[at & rx->mask], __ATOMIC_RELAXED);
			struct buffer_state *state = own(from, word);

			if (!state || !state->is_packet || !extent_is_good(from->nf->pool, word)) {
				violation(worker, from);
				continue;
			}
			move_packet(worker, to, state, word);
			n_bytes += netvm_desc_length(word);
			n_pkts++;
		}
		rx->own = queue->shown;
	}
	counter_add(&from->counters.tx_pkts, -n_pkts);
	counter_add(&from->counters.tx_bytes, -n_bytes);
}

/* ---- waking and sleeping ------------------------------------------------------------------- */

static void ring_doorbell(struct nf_link *link, struct nf_queue *queue)
{
	uint32_t ticket = __atomic_load_n(queue->sleep_ticket, __ATOMIC_RELAXED);
	char one = 1;

	if (likely(ticket == 0 || ticket == queue->rung))
		return;
	queue->rung = ticket;
	counter_add(&link->counters.wakeups, 1);
	(void)!write(queue->fd, &one, 1); /* a full pipe wakes as well */
}

/* Those that may not be shown yet stay on the list, behind the others; returns how many others. */
static unsigned publish_dirty(struct worker *worker)
{
	unsigned n = worker->n_dirty, i = 0;

	while (i < n) {
		struct nf_link *link = worker->dirty[i];

		if (unlikely(!may_show(worker, link))) {
			worker->dirty[i] = worker->dirty[--n];
			worker->dirty[n] = link;
			continue;
		}
		for (unsigned q = 0; q < link->nf->n_queues; q++)
			if (link->queue[q].staged)
				netvm_ring_publish(&link->queue[q].rx);
		i++;
	}
	return n;
}

void border_publish(struct worker *worker)
{
	unsigned n;

	if (worker->n_dirty == 0)
		return;
	n = publish_dirty(worker);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* publish, then look whether they sleep */
	for (unsigned i = 0; i < n; i++) {
		struct nf_link *link = worker->dirty[i];

		link->dirty = false;
		for (unsigned q = 0; q < link->nf->n_queues; q++) {
			if (link->queue[q].staged)
				ring_doorbell(link, &link->queue[q]);
			link->queue[q].staged = false;
		}
	}
	worker->n_dirty -= n;
	for (unsigned i = 0; i < worker->n_dirty; i++)
		worker->dirty[i] = worker->dirty[n + i];
}

bool border_sleep(struct worker *worker, uint32_t ticket)
{
	bool waits = false;

	for (unsigned i = 0; i < worker->n_links; i++)
		__atomic_store_n(
			&worker->link[i]->worker_state->sleep_ticket, ticket, __ATOMIC_RELAXED);
	if (ticket == 0)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < worker->n_links; i++) {
		struct nf_link *link = worker->link[i];

		for (unsigned q = 0; q < link->nf->n_queues && !link->faulty; q++)
			waits |= netvm_ring_filled(&link->queue[q].tx) != 0;
	}
	return waits;
}
