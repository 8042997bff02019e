/*
 * The books: counters summed over workers, and the conservation line, which the first worker takes
 * while the others stand still. Called on the control thread. See engine.h.
 */
#include <string.h>

#include "engine/control.h"

static void add_counters(struct counters *sum, const struct counters *part)
{
	const uint64_t *from = (const uint64_t *)part;
	uint64_t *to = (uint64_t *)sum;

	_Static_assert(sizeof(struct counters) % sizeof(uint64_t) == 0, "counters are all 64-bit");
	for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
		to[i] += counter_get(&from[i]);
}

void engine_port_counters(struct engine *engine, const struct port *port, struct counters *counters)
{
	memset(counters, 0, sizeof(*counters));
	for (unsigned w = 0; w < engine->n_workers; w++)
		add_counters(counters, &engine->port[port->number].counters[w]);
}

void engine_nf_counters(struct engine *engine, const struct nf *nf, struct counters *counters)
{
	memset(counters, 0, sizeof(*counters));
	for (unsigned w = 0; w < engine->n_workers; w++)
		add_counters(counters, &nf->link[w].counters);
}

void engine_chain_counters(struct engine *engine, const char *name, struct counters *counters)
{
	memset(counters, 0, sizeof(*counters));
	for (struct chain_books *books = engine->chains; books; books = books->next)
		for (unsigned w = 0; w < engine->n_workers && strcmp(books->name, name) == 0; w++)
			add_counters(counters, &books->counters[w]);
}

/* ---- standing still ------------------------------------------------------------------------ */

/* The workers wait for this one: no branch depends on what is counted. */
static void count_buffers(const struct buffer_pool *pool, struct books *books)
{
	uint32_t in_flight = 0, free = 0, port = 0, stock = 0;

	for (uint32_t i = 0; i < pool->n_buffers; i++) {
		const struct buffer_state *state = &pool->state[i];
		uint32_t owner = state->owner, is_packet = state->is_packet;

		/* What a driver has was counted as sent. */
		in_flight += is_packet & (owner != OWNER_PORT);
		free += owner == OWNER_FREE;
		port += owner == OWNER_PORT;
		stock += !is_packet & (owner >= OWNER_NF);
	}
	books->in_flight += in_flight;
	books->buffers_free += free;
	books->buffers_port += port;
	books->buffers_stock += stock;
	books->buffers_total += pool->n_buffers;
}

static void sum_workers(const struct engine *engine, struct books *books)
{
	for (unsigned w = 0; w < engine->n_workers; w++) {
		const struct worker *worker = engine->worker[w];

		books->received += worker->received;
		books->injected += worker->injected;
		books->sent += worker->sent;
		books->consumed += worker->consumed;
		books->copied += worker->copied;
		for (unsigned r = 0; r < DROP_REASONS; r++)
			books->drops[r] += worker->drops[r];
	}
	for (unsigned r = 0; r < DROP_REASONS; r++)
		books->dropped += books->drops[r];
}

struct taking {
	const struct engine *engine;
	struct books *books;
};

/* Run while all workers stand still. */
static void take_books(void *arg)
{
	const struct taking *taking = arg;
	const struct engine *engine = taking->engine;
	struct books *books = taking->books;

	memset(books, 0, sizeof(*books));
	sum_workers(engine, books);
	for (unsigned p = 0; p < POOLS_MAX; p++)
		if (engine->pool[p])
			count_buffers(engine->pool[p], books);
	books->balanced = books->received + books->injected ==
			  books->sent + books->consumed + books->dropped + books->in_flight;
}

void engine_books(struct engine *engine, struct books *books)
{
	struct taking taking = {.engine = engine, .books = books};

	workers_halt(engine, take_books, &taking);
}

void engine_worker_info(struct engine *engine, unsigned number, struct worker_info *info)
{
	const struct worker *worker = engine->worker[number];

	*info = (struct worker_info){
		.cpu = worker->cpu,
		.sleeping = __atomic_load_n(&worker->sleeping, __ATOMIC_RELAXED),
		.turns = counter_get(&worker->turns),
		.busy_turns = counter_get(&worker->busy_turns),
		.sleeps = counter_get(&worker->sleeps),
		.flow_cache_misses = counter_get(&worker->flow_misses),
	};
	/* Misses first, so that hits cannot come out below zero while the worker goes on counting.
	 */
	info->flow_cache_hits = counter_get(&worker->flow_lookups) - info->flow_cache_misses;
}
