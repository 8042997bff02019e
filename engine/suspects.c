/*
 * Suspects: flows whose packets were in an NF's hands when it crashed. A flow seen in as many
 * crashes of a service as its chain says (guard_crashes) is led past that service, or dropped.
 * Called by nf.c and steer.c, on the control thread; see engine.h for what others may ask.
 *
 *   crash ── last burst ──► suspects[]  flow, service, crashes
 *                               │ with the steering in force
 *                               ▼
 *   suspect_table: flow ──► the program it takes instead      read by input.c on a cache miss
 *
 * Which packets: with long rings thousands are under way when an NF dies, and all but a few are
 * innocent. Those it had not taken from its ring are; so are those it took earlier and holds. What
 * is left is the last burst it took, as far as it did not hand it back: at most 64 packets.
 * Innocents among them come to few crashes, and are forgotten guard_ms after the last one.
 *
 * Which flow: as the packet's headers say now. One whose addresses an NF on the way has changed is
 * not found again where it enters.
 *
 * The table is immutable and belongs to the steering it was made for. The programs in it are the
 * steering's own ones without the steps that are passed over; they are retired like these.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "engine/control.h"

#define DROPPED UINT64_MAX /* of a variant's steps, all are passed over: the packet is dropped */

struct suspect_flow {
	struct flow_id id;
	struct service *service;
	unsigned n_crashes;
	uint64_t last_ns; /* CLOCK_MONOTONIC */
	bool guarded, bypassed, told;
};

struct suspects {
	struct suspect_flow flow[SUSPECTS_MAX];
	unsigned n;
};

static bool same(const struct flow_id *a, const struct flow_id *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- after a crash ------------------------------------------------------------------------- */

static bool calls(const struct program *program, const struct service *service)
{
	for (unsigned i = 0; i < program->n_steps; i++)
		if (program->step[i].op == PROGRAM_CALL && program->step[i].service == service)
			return true;
	return false;
}

static bool is_watched(const struct engine *engine, const struct service *service)
{
	for (unsigned i = 0; i < engine->steering->n_programs; i++)
		if (engine->steering->program[i]->guard_crashes &&
			calls(engine->steering->program[i], service))
			return true;
	return false;
}

static struct suspect_flow *find(
	struct suspects *suspects, const struct flow_id *id, const struct service *service)
{
	for (unsigned i = 0; i < suspects->n; i++)
		if (suspects->flow[i].service == service && same(&suspects->flow[i].id, id))
			return &suspects->flow[i];
	return NULL;
}

/* A free place, else that of the one with the fewest crashes, of those the one that is longest ago.
 */
static struct suspect_flow *place(struct suspects *suspects)
{
	struct suspect_flow *least = &suspects->flow[0];

	if (suspects->n < SUSPECTS_MAX)
		return &suspects->flow[suspects->n++];
	for (unsigned i = 1; i < SUSPECTS_MAX; i++) {
		struct suspect_flow *flow = &suspects->flow[i];

		if (flow->n_crashes < least->n_crashes ||
			(flow->n_crashes == least->n_crashes && flow->last_ns < least->last_ns))
			least = flow;
	}
	return least;
}

/* Several packets of one flow are one suspicion: `crash_ns` says which crash. */
static void suspect(struct suspects *suspects, const struct flow_id *id, struct service *service,
	uint64_t crash_ns)
{
	struct suspect_flow *flow = find(suspects, id, service);

	if (!flow) {
		flow = place(suspects);
		*flow = (struct suspect_flow){.id = *id, .service = service};
	}
	flow->n_crashes += flow->last_ns != crash_ns;
	flow->last_ns = crash_ns;
}

static void note_queue(struct engine *engine, const struct nf_link *link,
	const struct nf_queue *queue, uint64_t crash_ns)
{
	struct buffer_pool *pool = link->nf->pool;
	uint64_t words[BURST];
	unsigned n = border_last_burst(link, queue, words);

	for (unsigned i = 0; i < n; i++) {
		struct flow_id id = {.in_port = buffer_state(pool, words[i])->in_port};

		if (id.in_port == 0)
			continue; /* an NF made it */
		netvm_flow_extract(
			buffer_data(pool, words[i]), netvm_desc_length(words[i]), &id.key);
		suspect(engine->suspects, &id, link->nf->service, crash_ns);
	}
}

void suspects_note(struct engine *engine, const struct nf *nf)
{
	uint64_t crash_ns = clock_ns(CLOCK_MONOTONIC);

	if (!is_watched(engine, nf->service))
		return;
	for (unsigned w = 0; w < nf->n_workers; w++)
		for (unsigned q = 0; q < nf->n_queues; q++)
			note_queue(engine, &nf->link[w], &nf->link[w].queue[q], crash_ns);
}

/* ---- programs without a service ------------------------------------------------------------ */

/* A port that is gone is as good as one that is down. */
static struct program_step step_of(const struct step *step)
{
	if (step->op == PROGRAM_OUTPUT && !step->port->port)
		return (struct program_step){.op = PROGRAM_DROP, .reason = DROP_PORT_DOWN};
	return (struct program_step){
		.op = (enum program_op)step->op,
		.service = step->service,
		.port = step->op == PROGRAM_OUTPUT ? step->port->port : NULL,
		.reason = (enum drop_reason)step->reason,
	};
}

static struct program *variant_new(
	struct engine *engine, const struct program *program, uint64_t skip)
{
	struct program_options options = {
		.name = program->name,
		.chain = program->chain,
		.direction = program->direction,
		.on_failure = program->on_failure,
		.hold_pkts = program->hold_pkts,
		.hold_ms = program->hold_ms,
	};

	for (unsigned i = 0; i < program->n_steps && skip != DROPPED; i++)
		if (!(skip >> i & 1))
			options.step[options.n_steps++] = step_of(&program->step[i]);
	if (skip == DROPPED)
		options.step[options.n_steps++] =
			(struct program_step){.op = PROGRAM_DROP, .reason = DROP_FLOW_GUARDED};
	return program_compile(engine, &options);
}

/* Flows that lack the same steps of the same program share a variant. NULL without memory. */
static const struct program *variant_of(struct engine *engine, struct suspect_table *table,
	const struct program *program, uint64_t skip)
{
	struct suspect_variant *variant;

	for (unsigned i = 0; i < table->n_variants; i++)
		if (table->variant[i].of == program && table->variant[i].skip == skip)
			return table->variant[i].program;
	variant = &table->variant[table->n_variants];
	*variant = (struct suspect_variant){
		.of = program, .skip = skip, .program = variant_new(engine, program, skip)};
	table->n_variants += variant->program != NULL;
	return variant->program;
}

/* ---- the table ----------------------------------------------------------------------------- */

/* Which steps of the program the flow has to be kept from; marks the suspicions that count. */
static uint64_t steps_to_skip(struct suspects *suspects, const struct program *program,
	const struct flow_id *id, uint64_t when_ns)
{
	uint64_t skip = 0;

	for (unsigned s = 0; s < suspects->n; s++) {
		struct suspect_flow *flow = &suspects->flow[s];

		if (flow->n_crashes < program->guard_crashes || !same(&flow->id, id) ||
			when_ns - flow->last_ns > program->guard_ms * UINT64_C(1000000))
			continue;
		for (unsigned i = 0; i < program->n_steps; i++) {
			if (program->step[i].op != PROGRAM_CALL ||
				program->step[i].service != flow->service)
				continue;
			skip |= UINT64_C(1) << i;
			flow->guarded = true;
			flow->bypassed = program->guard_bypass;
		}
	}
	return skip && !program->guard_bypass ? DROPPED : skip;
}

static const struct program *program_of(const struct steering *steering, const struct flow_id *id)
{
	if (steering->entry[id->in_port].classify)
		return classifier_lookup(steering, id);
	return steering->entry[id->in_port].only;
}

static void insert(
	struct suspect_table *table, const struct flow_id *id, const struct program *program)
{
	uint32_t at = netvm_flow_hash(&id->key);

	while (table->entry[at % SUSPECT_PLACES].program)
		at++;
	table->entry[at % SUSPECT_PLACES] = (struct suspect_entry){.id = *id, .program = program};
	table->n++;
}

static void fill(struct engine *engine, const struct steering *steering,
	struct suspect_table *table, uint64_t when_ns)
{
	struct suspects *suspects = engine->suspects;

	for (unsigned s = 0; s < suspects->n; s++) {
		const struct flow_id *id = &suspects->flow[s].id;
		const struct program *program = program_of(steering, id), *variant;
		uint64_t skip;

		if (!program || !program->guard_crashes ||
			suspect_lookup(table, id, netvm_flow_hash(&id->key)))
			continue;
		skip = steps_to_skip(suspects, program, id, when_ns);
		variant = skip ? variant_of(engine, table, program, skip) : NULL;
		if (variant)
			insert(table, id, variant);
	}
}

/* What no chain asks for any more. */
static void expire(struct suspects *suspects, const struct steering *steering, uint64_t when_ns)
{
	uint64_t keep_ns = 0;
	unsigned kept = 0;

	for (unsigned i = 0; i < steering->n_programs; i++) {
		const struct program *program = steering->program[i];
		uint64_t guard_ns = program->guard_ms * UINT64_C(1000000);

		if (program->guard_crashes && guard_ns > keep_ns)
			keep_ns = guard_ns;
	}
	for (unsigned s = 0; s < suspects->n; s++)
		if (when_ns - suspects->flow[s].last_ns <= keep_ns)
			suspects->flow[kept++] = suspects->flow[s];
	suspects->n = kept;
}

/* One that was never published. */
static void table_free(const struct engine *engine, struct suspect_table *table)
{
	for (unsigned i = 0; table && i < table->n_variants; i++)
		program_free(engine, table->variant[i].program);
	free(table);
}

int suspects_prepare(struct engine *engine, struct steering *steering)
{
	struct suspects *suspects = engine->suspects;
	uint64_t when_ns = clock_ns(CLOCK_MONOTONIC);

	expire(suspects, steering, when_ns);
	for (unsigned s = 0; s < suspects->n; s++)
		suspects->flow[s].guarded = false;
	if (suspects->n == 0)
		return 0;
	steering->suspects = calloc(1, sizeof(*steering->suspects));
	if (!steering->suspects)
		return -ENOMEM;
	fill(engine, steering, steering->suspects, when_ns);
	if (steering->suspects->n == 0) {
		table_free(engine, steering->suspects);
		steering->suspects = NULL;
	}
	return 0;
}

void suspects_retire(struct engine *engine, struct suspect_table *table)
{
	for (unsigned i = 0; table && i < table->n_variants; i++)
		program_retire(engine, table->variant[i].program);
	free(table);
}

static void forget_flows(struct worker *worker, void *arg)
{
	(void)arg;
	worker_forget_flows(worker);
}

/* What the table makes of a flow; NULL: nothing. */
static const struct suspect_variant *variant_for(
	const struct suspect_table *table, const struct flow_id *id)
{
	const struct program *program =
		table ? suspect_lookup(table, id, netvm_flow_hash(&id->key)) : NULL;

	for (unsigned i = 0; program && i < table->n_variants; i++)
		if (table->variant[i].program == program)
			return &table->variant[i];
	return NULL;
}

static bool is_within(const struct suspect_table *table, const struct suspect_table *other)
{
	for (unsigned i = 0; table && i < SUSPECT_PLACES; i++) {
		const struct suspect_variant *a, *b;

		if (!table->entry[i].program)
			continue;
		a = variant_for(table, &table->entry[i].id);
		b = variant_for(other, &table->entry[i].id);
		if (!b || a->of != b->of || a->skip != b->skip)
			return false;
	}
	return true;
}

/* The steering stays, but for its suspects. Without memory they get through once more. */
void engine_suspects_refresh(struct engine *engine)
{
	struct steering *steering = engine->steering, fresh = *steering;

	if (engine->suspects->n == 0 && !steering->suspects)
		return;
	fresh.suspects = NULL;
	suspects_prepare(engine, &fresh);
	if (is_within(fresh.suspects, steering->suspects) &&
		is_within(steering->suspects, fresh.suspects)) {
		table_free(engine, fresh.suspects);
		return;
	}
	fresh.suspects = __atomic_exchange_n(&steering->suspects, fresh.suspects, __ATOMIC_ACQ_REL);
	workers_call(engine, forget_flows, NULL);
	suspects_retire(engine, fresh.suspects);
	steer_reap(engine);
}

/* ---- life ---------------------------------------------------------------------------------- */

int suspects_create(struct engine *engine)
{
	engine->suspects = calloc(1, sizeof(*engine->suspects));
	return engine->suspects ? 0 : -ENOMEM;
}

void suspects_destroy(struct engine *engine)
{
	free(engine->suspects);
}

void suspects_forget(struct engine *engine, const struct service *service, unsigned in_port)
{
	struct suspects *suspects = engine->suspects;
	unsigned kept = 0;

	for (unsigned s = 0; s < suspects->n; s++) {
		const struct suspect_flow *flow = &suspects->flow[s];

		if (flow->service != service && flow->id.in_port != in_port)
			suspects->flow[kept++] = *flow;
	}
	suspects->n = kept;
}

void engine_suspects_clear(struct engine *engine)
{
	engine->suspects->n = 0;
	engine_suspects_refresh(engine);
}

/* ---- for the manager ----------------------------------------------------------------------- */

static void describe(
	const struct engine *engine, const struct suspect_flow *flow, struct suspect *out)
{
	const struct port *port = engine->port[flow->id.in_port].port;

	*out = (struct suspect){
		.key = flow->id.key,
		.in_port = port ? port->name : "",
		.service = flow->service->name,
		.n_crashes = flow->n_crashes,
		.age_ms = (clock_ns(CLOCK_MONOTONIC) - flow->last_ns) / 1000000,
		.guarded = flow->guarded,
		.bypassed = flow->guarded && flow->bypassed,
	};
}

unsigned engine_suspects(const struct engine *engine, struct suspect *list, unsigned max)
{
	const struct suspects *suspects = engine->suspects;
	unsigned n = suspects->n < max ? suspects->n : max;

	for (unsigned s = 0; s < n; s++)
		describe(engine, &suspects->flow[s], &list[s]);
	return n;
}

bool engine_suspect_news(struct engine *engine, struct suspect *news)
{
	struct suspects *suspects = engine->suspects;

	for (unsigned s = 0; s < suspects->n; s++) {
		struct suspect_flow *flow = &suspects->flow[s];

		if (flow->guarded && !flow->told) {
			flow->told = true;
			describe(engine, flow, news);
			return true;
		}
	}
	return false;
}
