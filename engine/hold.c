/*
 * Holding: packets that wait for a service without a live NF (ON_FAILURE_HOLD). Runs on workers.
 *
 * A hold belongs to one worker and one CALL of one program. Packets in it stay on their program, so
 * that it is not freed under them, but have nothing reserved: room is reserved again when they go
 * on, as if they were just admitted. Who comes while older ones still wait waits behind them, so
 * order is kept. The worker's turn begins with its holds; a worker with held packets does not sleep
 * longer than BLIND_MS, so that they expire also when nothing else happens.
 */
#include <rte_branch_prediction.h>

#include "engine/datapath.h"

static struct held *held_at(struct hold *hold, uint32_t i)
{
	uint32_t at = hold->first + i;

	return &hold->held[at < hold->size ? at : at - hold->size];
}

static void forget_first(struct hold *hold, uint32_t n)
{
	hold->first += n;
	if (hold->first >= hold->size)
		hold->first -= hold->size;
	hold->n -= n;
}

/* The held packet's word, and of which pool it is. */
static uint64_t word_of(
	const struct worker *worker, const struct held *held, struct buffer_pool **pool)
{
	*pool = worker->cache[netvm_desc_verdict(held->word)]->pool;
	return netvm_desc_set_verdict(held->word, NETVM_VERDICT_NEXT);
}

bool hold_is_due(const struct hold *hold, const struct service_view *view)
{
	return view->n_instances == 0 || hold->n > 0;
}

uint32_t hold_room(const struct worker *worker, const struct program *program, unsigned step)
{
	for (; step < program->n_steps; step++) {
		const struct step *s = &program->step[step];
		const struct hold *hold = s->hold ? s->hold[worker->id] : NULL;

		if (hold && hold_is_due(hold, view_of(s->service)))
			return hold->size - hold->n;
	}
	return UINT32_MAX;
}

static void list(struct worker *worker, struct hold *hold)
{
	struct hold **end = &worker->holds;

	if (hold->listed)
		return;
	while (*end)
		end = &(*end)->next;
	hold->listed = true;
	hold->next = NULL;
	*end = hold;
}

void hold_put(struct worker *worker, struct hold *hold, struct buffer_pool *pool,
	const uint64_t *words, unsigned n)
{
	const struct program *program = hold->program;
	uint32_t room = hold->size - hold->n, fit = n < room ? n : room;

	for (uint32_t i = 0; i < fit; i++)
		*held_at(hold, hold->n++) = (struct held){
			.word = netvm_desc_set_verdict(words[i], pool->number),
			.since_tsc = worker->now_tsc,
		};
	program_pause(worker, program, hold->step, fit);
	if (unlikely(worker->trace))
		trace_held(worker, program->step[hold->step].service, pool, words, fit);
	if (fit < n) {
		program_leave(worker, program, hold->step, n - fit);
		output_drop(worker, DROP_HOLD_FULL, &program->counters[worker->id], pool,
			words + fit, n - fit);
	}
	if (fit > 0)
		list(worker, hold);
}

static void drop_held(struct worker *worker, const struct hold *hold, const struct held *held,
	enum drop_reason reason)
{
	struct buffer_pool *pool;
	uint64_t word = word_of(worker, held, &pool);

	program_forget(worker, hold->program, 1);
	output_drop(worker, reason, &hold->program->counters[worker->id], pool, &word, 1);
}

static unsigned expire(struct worker *worker, struct hold *hold)
{
	unsigned n = 0;

	for (; hold->n > 0; n++) {
		const struct held *oldest = held_at(hold, 0);

		if (worker->now_tsc - oldest->since_tsc < hold->tsc)
			break;
		drop_held(worker, hold, oldest, DROP_HOLD_EXPIRED);
		forget_first(hold, 1);
	}
	return n;
}

/* The oldest ones that lie in one pool; they stay in the hold. */
static unsigned oldest(const struct worker *worker, struct hold *hold, struct buffer_pool **pool,
	uint64_t words[BURST])
{
	unsigned n = 0;

	for (; n < BURST && n < hold->n; n++) {
		struct buffer_pool *this_pool;

		words[n] = word_of(worker, held_at(hold, n), &this_pool);
		if (n == 0)
			*pool = this_pool;
		else if (this_pool != *pool)
			break;
	}
	return n;
}

static unsigned release(struct worker *worker, struct hold *hold)
{
	const struct program *program = hold->program;
	unsigned total = 0;

	while (hold->n > 0) {
		const struct service_view *view = view_of(program->step[hold->step].service);
		struct buffer_pool *pool = NULL;
		uint64_t words[BURST];
		unsigned n;

		if (view->n_instances == 0)
			break;
		n = oldest(worker, hold, &pool, words);
		n = program_resume(worker, program, hold->step, n);
		if (n == 0)
			break;
		forget_first(hold, n);
		program_call(worker, program, hold->step, view, pool, words, n);
		total += n;
	}
	return total;
}

/* Empty ones leave the list. */
static void tidy(struct worker *worker)
{
	struct hold **at = &worker->holds;

	while (*at) {
		struct hold *hold = *at;

		if (hold->n > 0) {
			at = &hold->next;
			continue;
		}
		*at = hold->next;
		hold->listed = false;
	}
}

unsigned hold_turn(struct worker *worker)
{
	unsigned total = 0;

	for (struct hold *hold = worker->holds; hold; hold = hold->next) {
		total += expire(worker, hold);
		total += release(worker, hold);
	}
	tidy(worker);
	return total;
}

static void flush(struct worker *worker, struct hold *hold, const struct buffer_pool *gone)
{
	uint32_t n = hold->n, kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct held *held = held_at(hold, i);
		struct buffer_pool *pool;

		word_of(worker, held, &pool);
		if (gone && pool != gone)
			*held_at(hold, kept++) = *held;
		else
			drop_held(worker, hold, held, DROP_HOLD_FLUSHED);
	}
	hold->n = kept;
}

void hold_flush(
	struct worker *worker, const struct service *service, const struct buffer_pool *pool)
{
	for (struct hold *hold = worker->holds; hold; hold = hold->next)
		if (pool || hold->program->step[hold->step].service == service)
			flush(worker, hold, pool);
	tidy(worker);
}
