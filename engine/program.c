/*
 * Programs: admitting packets, running steps, leaving early. Runs on workers.
 *
 * A burst on a program is at one step at a time. CALL hands it to an NF and ends here; border.c
 * comes back with the same program and the next step when the NF said "next".
 */
#include <rte_branch_prediction.h>

#include "engine/datapath.h"

/*
 * A program may hold at most SHARE times what it leaves to the others in its fullest service, so
 * that one whose packets are stuck behind a hung NF cannot close the services it shares: a lone
 * program gets SHARE / (SHARE + 1) of a ring. After A. K. Choudhury, E. L. Hahne, "Dynamic Queue
 * Length Thresholds for Shared-Memory Packet Switches", IEEE/ACM ToN 6(2), 1998.
 */
#define SHARE 3u

static uint32_t fair_room(const struct worker *worker, const struct program *program, uint32_t room)
{
	const struct under_way *under_way = &program->under_way[worker->id];
	uint64_t own = under_way->n_pkts - under_way->n_held;
	uint64_t limit = (uint64_t)room * SHARE;

	/* The most n for which own + n <= SHARE * (room - n). */
	return own < limit ? (uint32_t)((limit - own) / (SHARE + 1)) : 0;
}

/* Packets that are not `held` any more pass the first step's hold; at another one they wait. */
static uint32_t service_room(
	const struct worker *worker, const struct program *program, unsigned step, bool held)
{
	uint32_t room = UINT32_MAX;

	for (; step < program->n_steps; step++) {
		const struct step *s = &program->step[step];
		const struct service_view *view;
		uint32_t used, capacity;

		if (s->op != PROGRAM_CALL)
			continue;
		view = view_of(s->service);
		if (unlikely(s->hold) && !held && hold_is_due(s->hold[worker->id], view))
			break;
		held = false;
		capacity = view->capacity;
		used = worker->reserved[s->service->number];
		if (capacity == 0 && program->on_failure == ON_FAILURE_OPEN)
			continue; /* nobody there: the step will be passed over */
		if (used >= capacity)
			return 0;
		if (capacity - used < room)
			room = capacity - used;
	}
	return room == UINT32_MAX ? room : fair_room(worker, program, room);
}

unsigned program_room(const struct worker *worker, const struct program *program, unsigned step)
{
	uint32_t room = service_room(worker, program, step, false), hold;

	if (likely(program->on_failure != ON_FAILURE_HOLD))
		return room;
	hold = hold_room(worker, program, step);
	return hold < room ? hold : room;
}

static void under_way(struct worker *worker, const struct program *program, int64_t n)
{
	if (program->under_way) /* NULL: "out of a port", which lives as long as the port */
		counter_add(&program->under_way[worker->id].n_pkts, (uint64_t)n);
}

static void reserve(struct worker *worker, const struct program *program, unsigned step, int64_t n)
{
	for (; step < program->n_steps; step++)
		if (program->step[step].op == PROGRAM_CALL)
			worker->reserved[program->step[step].service->number] += (uint32_t)n;
}

unsigned program_reserve(
	struct worker *worker, const struct program *program, unsigned step, unsigned n)
{
	unsigned room = program_room(worker, program, step);

	if (n > room)
		n = room;
	reserve(worker, program, step, n);
	under_way(worker, program, n);
	return n;
}

void program_leave(struct worker *worker, const struct program *program, unsigned step, unsigned n)
{
	reserve(worker, program, step, -(int64_t)n);
	under_way(worker, program, -(int64_t)n);
}

static void held(struct worker *worker, const struct program *program, int64_t n)
{
	counter_add(&program->under_way[worker->id].n_held, (uint64_t)n);
}

void program_pause(struct worker *worker, const struct program *program, unsigned step, unsigned n)
{
	reserve(worker, program, step, -(int64_t)n);
	held(worker, program, n);
}

unsigned program_resume(
	struct worker *worker, const struct program *program, unsigned step, unsigned n)
{
	unsigned room = service_room(worker, program, step, true);

	if (n > room)
		n = room;
	reserve(worker, program, step, n);
	held(worker, program, -(int64_t)n);
	return n;
}

void program_forget(struct worker *worker, const struct program *program, unsigned n)
{
	held(worker, program, -(int64_t)n);
	under_way(worker, program, -(int64_t)n);
}

/* The instance and queue for each packet by its flow; packets come one by one, rings batch. */
static unsigned put_spread(struct worker *worker, const struct service_view *view,
	const struct program *program, unsigned step, unsigned next, struct buffer_pool *pool,
	uint64_t *words, unsigned n)
{
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++) {
		uint32_t hash = input_hash(pool, words[i]);
		struct nf *nf = view->instance[view->table[hash % SERVICE_TABLE_SIZE]];
		unsigned queue = (hash >> 16) % nf->n_queues;

		if (!border_put(worker, nf, queue, program, step, next, pool, &words[i], 1))
			words[left++] = words[i];
	}
	return n - left;
}

/*
 * Hand packets to the service, to go on at `step` of `program` afterwards. The service is reserved
 * for; what does not fit all the same is dropped, with all it had reserved. That happens when an NF
 * lies about its ring, when an instance with a smaller ring has just joined, and when a service
 * that was passed over comes up with more under way than it has room for.
 */
static void call_service(struct worker *worker, struct service *service,
	const struct service_view *view, const struct program *program, unsigned step,
	unsigned next, struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	unsigned put;

	if (view->n_instances == 1 && view->instance[0]->n_queues == 1) {
		put = border_put(worker, view->instance[0], 0, program, step, next, pool, words, n);
		words += put;
	} else {
		put = put_spread(worker, view, program, step, next, pool, words, n);
	}
	if (likely(put == n))
		return;
	n -= put; /* the ones not taken are in front of `words` now */
	worker->reserved[service->number] -= n;
	if (program)
		program_leave(worker, program, step, n);
	output_drop(worker, DROP_SERVICE_OVERLOAD, &view->instance[0]->link[worker->id].counters,
		pool, words, n);
}

unsigned program_end_loops(struct worker *worker, const struct program *program, unsigned step,
	struct counters *blame, struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (likely(buffer_state(pool, words[i])->hops < HOPS_MAX)) {
			words[kept++] = words[i];
			continue;
		}
		if (program)
			program_leave(worker, program, step, 1);
		output_drop(worker, DROP_LOOP, blame, pool, &words[i], 1);
	}
	return kept;
}

void program_detour(struct worker *worker, struct service *service, const struct program *program,
	unsigned step, struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	struct counters *blame = program ? &program->counters[worker->id] : NULL;
	const struct service_view *view = view_of(service);
	uint32_t used = worker->reserved[service->number];
	unsigned room = view->capacity > used ? view->capacity - used : 0, fit;

	n = program_end_loops(worker, program, step, blame, pool, words, n);
	fit = n < room ? n : room;
	if (fit < n) {
		if (program)
			program_leave(worker, program, step, n - fit);
		output_drop(worker, view->n_instances ? DROP_SERVICE_OVERLOAD : DROP_SERVICE_DOWN,
			blame, pool, words + fit, n - fit);
	}
	if (fit > 0 && pool != service->pool) {
		n = output_copy(worker, pool, service->pool, blame, blame, words, fit);
		if (program)
			program_leave(worker, program, step, fit - n);
		fit = n;
		pool = service->pool;
	}
	worker->reserved[service->number] += fit;
	if (fit > 0)
		call_service(
			worker, service, view, program, step, NETVM_VERDICT_NEXT, pool, words, fit);
}

/* Into the pool of the group whose service or port comes next; the rest was dropped on the way. */
static unsigned cross(struct worker *worker, const struct program *program, unsigned step,
	struct buffer_pool **pool, struct buffer_pool *to, uint64_t *words, unsigned n)
{
	struct counters *books = &program->counters[worker->id];
	unsigned copied;

	if (likely(*pool == to))
		return n;
	copied = output_copy(worker, *pool, to, books, books, words, n);
	program_leave(worker, program, step, n - copied);
	*pool = to;
	return copied;
}

void program_call(struct worker *worker, const struct program *program, unsigned step,
	const struct service_view *view, struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	const struct step *s = &program->step[step];

	n = cross(worker, program, step, &pool, s->service->pool, words, n);
	call_service(worker, s->service, view, program, step + 1, s->next, pool, words, n);
}

void program_run(struct worker *worker, const struct program *program, unsigned step,
	struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	struct counters *books = &program->counters[worker->id];

	for (; n > 0 && step < program->n_steps; step++) {
		const struct step *s = &program->step[step];
		const struct service_view *view;

		if (s->op == PROGRAM_OUTPUT) {
			under_way(worker, program, -(int64_t)n);
			output_send(worker, s->port, books, pool, words, n);
			return;
		}
		if (s->op == PROGRAM_DROP) {
			under_way(worker, program, -(int64_t)n);
			output_drop(worker, s->reason, books, pool, words, n);
			return;
		}
		view = view_of(s->service);
		if (unlikely(s->hold) && hold_is_due(s->hold[worker->id], view)) {
			hold_put(worker, s->hold[worker->id], pool, words, n);
			return;
		}
		if (view->n_instances > 0) {
			program_call(worker, program, step, view, pool, words, n);
			return;
		}
		if (program->on_failure == ON_FAILURE_CLOSED) {
			program_leave(worker, program, step, n);
			output_drop(worker, DROP_SERVICE_DOWN, books, pool, words, n);
			return;
		}
		worker->reserved[s->service->number] -= n;
	}
}

/* Why packets found no room: a chain that fails closed with a service down takes nothing in. */
enum drop_reason program_refusal(const struct worker *worker, const struct program *program)
{
	if (program->on_failure == ON_FAILURE_HOLD && hold_room(worker, program, 0) < BURST)
		return DROP_HOLD_FULL;
	for (unsigned i = 0; i < program->n_steps; i++)
		if (program->step[i].op == PROGRAM_CALL &&
			program->on_failure == ON_FAILURE_CLOSED &&
			view_of(program->step[i].service)->n_instances == 0)
			return DROP_SERVICE_DOWN;
	return DROP_CHAIN_OVERLOAD;
}

void program_admit(struct worker *worker, const struct program *program, struct buffer_pool *pool,
	uint64_t *words, unsigned n)
{
	struct counters *books = &program->counters[worker->id];
	unsigned fit = program_reserve(worker, program, 0, n);
	uint64_t bytes = 0;

	if (unlikely(worker->trace))
		trace_steered(worker, program, pool, words, n);
	for (unsigned i = 0; i < fit; i++)
		bytes += netvm_desc_length(words[i]);
	counter_add(&books->rx_pkts, fit);
	counter_add(&books->rx_bytes, bytes);
	counter_add(&books->rx_bursts, fit > 0);
	if (unlikely(fit < n))
		output_drop(worker, program_refusal(worker, program), books, pool, words + fit,
			n - fit);
	if (fit > 0)
		program_run(worker, program, 0, pool, words, fit);
}
