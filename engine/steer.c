/*
 * Steering on the control side: compiling programs and rules, switching to them at once, and
 * freeing old programs after their last packet. See control.h.
 *
 * Why no packet sees half a change: a packet gets its program when it is admitted and keeps the
 * pointer in its private state; the pointer of the steering is swapped by each worker between two
 * turns. Each worker counts its packets on each program (under_way). An old program, which is in no
 * steering and no destination table any more, gets no new ones, and packets on a program stay with
 * their worker, so the sum only falls; at 0, and one grace period later, the program is freed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#include "engine/classifier.h"
#include "engine/control.h"

/* ---- programs ------------------------------------------------------------------------------ */

static struct chain_books *chain_books_get(struct engine *engine, const char *name)
{
	struct chain_books *books;

	for (books = engine->chains; books; books = books->next)
		if (strcmp(books->name, name) == 0)
			return books;
	books = calloc(1, sizeof(*books));
	if (!books)
		return NULL;
	books->counters = engine_counters_new(engine);
	if (!books->counters) {
		free(books);
		return NULL;
	}
	snprintf(books->name, sizeof(books->name), "%s", name);
	books->next = engine->chains;
	engine->chains = books;
	return books;
}

/* Those of no program; but a trace knows its chain by where the name lies. */
static void drop_books(struct engine *engine)
{
	struct chain_books **at = &engine->chains;

	while (*at) {
		struct chain_books *books = *at;

		if (books->n_programs || engine->trace) {
			at = &books->next;
			continue;
		}
		*at = books->next;
		free(books->counters);
		free(books);
	}
}

static int check_program(const struct program_options *options, struct error *error)
{
	const struct buffer_pool *pool = NULL;

	if (options->n_steps < 1 || options->n_steps > PROGRAM_STEPS_MAX)
		return error_set(error, EINVAL, "path", "at most 63 services",
			"chain %s would have %u steps", options->name, options->n_steps);
	if (options->step[options->n_steps - 1].op == PROGRAM_CALL)
		return error_set(error, EINVAL, "to", "a port at the end", "chain %s has no end",
			options->name);
	for (unsigned i = 0; i < options->n_steps; i++) {
		const struct program_step *step = &options->step[i];
		const struct buffer_pool *next = step->op == PROGRAM_CALL     ? step->service->pool
						 : step->op == PROGRAM_OUTPUT ? step->port->pool
									      : pool;

		if (step->op != PROGRAM_CALL && i + 1 < options->n_steps)
			return error_set(error, EINVAL, "path", "services only, before the end",
				"chain %s ends at step %u of %u", options->name, i + 1,
				options->n_steps);
		if (pool && next != pool && !options->cross_groups)
			return error_set(error, EINVAL, "cross_groups",
				"services and ports of one group, or cross_groups: true to copy at "
				"the border",
				"chain %s crosses from group %s to group %s", options->name,
				pool->name, next->name);
		pool = next;
	}
	return 0;
}

void program_free(const struct engine *engine, struct program *program)
{
	program->books->n_programs--;
	for (unsigned i = 0; i < program->n_steps; i++) {
		for (unsigned w = 0; program->step[i].hold && w < engine->n_workers; w++)
			free(program->step[i].hold[w]);
		free(program->step[i].hold);
	}
	free(program->under_way);
	free(program);
}

static struct hold *hold_new(
	const struct program *program, unsigned step, const struct program_options *options)
{
	struct hold *hold = calloc(1, sizeof(*hold) + options->hold_pkts * sizeof(hold->held[0]));

	if (!hold)
		return NULL;
	hold->program = program;
	hold->step = (uint16_t)step;
	hold->size = options->hold_pkts;
	hold->tsc = options->hold_ms * (rte_get_tsc_hz() / 1000);
	return hold;
}

static int make_holds(
	const struct engine *engine, struct program *program, const struct program_options *options)
{
	for (unsigned i = 0; i < program->n_steps; i++) {
		struct step *step = &program->step[i];

		if (step->op != PROGRAM_CALL)
			continue;
		step->hold = calloc(engine->n_workers, sizeof(struct hold *));
		if (!step->hold)
			return -ENOMEM;
		for (unsigned w = 0; w < engine->n_workers; w++) {
			step->hold[w] = hold_new(program, i, options);
			if (!step->hold[w])
				return -ENOMEM;
		}
	}
	return 0;
}

struct program *program_compile(struct engine *engine, const struct program_options *options)
{
	struct chain_books *books = chain_books_get(engine, options->name);
	struct program *program =
		calloc(1, sizeof(*program) + options->n_steps * sizeof(program->step[0]));

	if (!books || !program) {
		free(program);
		return NULL;
	}
	program->chain = options->chain;
	program->direction = options->direction;
	program->on_failure = options->on_failure;
	program->hold_pkts = options->hold_pkts;
	program->hold_ms = options->hold_ms;
	program->guard_crashes = options->guard_crashes;
	program->guard_ms = options->guard_ms;
	program->guard_bypass = options->guard_bypass;
	program->n_steps = (uint16_t)options->n_steps;
	program->counters = books->counters;
	program->under_way = aligned_alloc(64, engine->n_workers * sizeof(*program->under_way));
	if (!program->under_way) {
		free(program);
		return NULL;
	}
	memset(program->under_way, 0, engine->n_workers * sizeof(*program->under_way));
	program->name = books->name;
	program->books = books;
	books->n_programs++;
	for (unsigned i = 0; i < options->n_steps; i++) {
		const struct program_step *from = &options->step[i];
		struct step *step = &program->step[i];

		step->op = (uint8_t)from->op;
		step->reason = (uint16_t)from->reason;
		step->service = from->service;
		step->port = from->port ? &engine->port[from->port->number] : NULL;
	}
	if (options->on_failure != ON_FAILURE_HOLD || make_holds(engine, program, options) == 0)
		return program;
	program_free(engine, program);
	return NULL;
}

/* Its books are the port's own affair: packets that come this way were counted before. */
struct program *program_to_port(struct engine *engine, struct port_slot *slot)
{
	struct program *program = calloc(1, sizeof(*program) + sizeof(program->step[0]));

	if (!program)
		return NULL;
	program->counters = engine_counters_new(engine);
	program->n_steps = 1;
	program->step[0].op = PROGRAM_OUTPUT;
	program->step[0].port = slot;
	if (program->counters)
		return program;
	free(program);
	return NULL;
}

/* ---- old programs -------------------------------------------------------------------------- */

/* Nobody gets on a retired program any more, and nobody changes worker: the sum only falls. */
static bool has_packets(const struct engine *engine, const struct program *program)
{
	uint64_t n = 0;

	for (unsigned w = 0; w < engine->n_workers; w++)
		n += counter_get(&program->under_way[w].n_pkts);
	return n != 0;
}

void steer_reap(struct engine *engine)
{
	struct program **at = &engine->retired, *empty = NULL;

	while (*at) {
		struct program *program = *at;

		if (has_packets(engine, program)) {
			at = &program->retired_next;
			continue;
		}
		*at = program->retired_next;
		program->retired_next = empty;
		empty = program;
	}
	if (empty)
		engine_grace(engine); /* the turn in which the last packet left is over */
	while (empty) {
		struct program *next = empty->retired_next;

		program_free(engine, empty);
		empty = next;
	}
	drop_books(engine);
	services_reap(engine);
}

bool steer_is_named(const struct engine *engine, const struct port_slot *slot)
{
	for (const struct program *p = engine->retired; p; p = p->retired_next)
		for (unsigned i = 0; i < p->n_steps; i++)
			if (p->step[i].op == PROGRAM_OUTPUT && p->step[i].port == slot)
				return true;
	return false;
}

/* All but its programs. */
static void steering_free(struct steering *steering)
{
	for (unsigned port = 0; port < ENGINE_PORTS_MAX; port++)
		free((void *)steering->entry[port].reach);
	classifier_destroy(steering->classifier);
	free(steering->program);
	free(steering);
}

void program_retire(struct engine *engine, struct program *program)
{
	program->retired_next = engine->retired;
	engine->retired = program;
}

static void retire(struct engine *engine, struct steering *steering)
{
	for (unsigned i = 0; i < steering->n_programs; i++)
		program_retire(engine, steering->program[i]);
	suspects_retire(engine, steering->suspects);
	steering_free(steering);
}

/* ---- steering ------------------------------------------------------------------------------ */

struct steering *steering_empty(void)
{
	return calloc(1, sizeof(struct steering));
}

/* One that was never published. */
static void steering_abandon(const struct engine *engine, struct steering *steering)
{
	for (unsigned i = 0; i < steering->n_programs; i++)
		program_free(engine, steering->program[i]);
	steering_free(steering);
}

void steering_free_all(struct engine *engine)
{
	if (engine->steering)
		retire(engine, engine->steering);
	while (engine->retired) {
		struct program *program = engine->retired;

		engine->retired = program->retired_next;
		program_free(engine, program);
	}
	services_reap(engine);
	for (unsigned i = 0; i < ENGINE_PORTS_MAX; i++) {
		struct port_slot *slot = &engine->port[i];

		if (slot->out)
			free(slot->out->counters);
		free(slot->out);
		free(slot->counters);
		for (unsigned w = 0; w < engine->n_workers; w++)
			free(slot->batch[w]);
	}
	drop_books(engine);
}

/* A rule that takes every packet of its port. */
static bool takes_all(const struct match *match)
{
	return !match->eth_type && !match->has_vlan && !match->family && !match->has_protocol &&
	       !match->src_prefix && !match->dst_prefix && match->src_port_min == 0 &&
	       match->src_port_max == UINT16_MAX && match->dst_port_min == 0 &&
	       match->dst_port_max == UINT16_MAX;
}

static bool is_for(const struct rule *rule, unsigned port)
{
	return !rule->match.in_port || rule->match.in_port->number == port;
}

static const struct rule *best_rule(const struct rule *rules, unsigned n, unsigned port)
{
	const struct rule *best = NULL;

	for (unsigned i = 0; i < n; i++)
		if (is_for(&rules[i], port) && (!best || rules[i].priority > best->priority))
			best = &rules[i];
	return best;
}

static int set_reach(struct steering *steering, const struct rule *rules, unsigned n, unsigned port)
{
	const struct program **reach = calloc(n + 1, sizeof(*reach));
	unsigned n_reach = 0;

	if (!reach)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		if (is_for(&rules[i], port))
			reach[n_reach++] = steering->program[rules[i].program];
	steering->entry[port].reach = reach;
	return 0;
}

/*
 * A port whose best rule takes all its packets needs no look into them, and its other rules do not
 * matter.
 */
static int set_entries(struct steering *steering, const struct rule *rules, unsigned n,
	const struct engine *engine)
{
	for (unsigned port = 0; port < ENGINE_PORTS_MAX; port++) {
		const struct rule *best =
			engine->port[port].port ? best_rule(rules, n, port) : NULL;
		bool all = best && takes_all(&best->match);

		if (!best)
			continue;
		if (all)
			steering->entry[port].only = steering->program[best->program];
		steering->entry[port].classify = !all;
		if (set_reach(steering, all ? best : rules, all ? 1 : n, port))
			return -ENOMEM;
	}
	return 0;
}

static bool needs_classifier(const struct steering *steering)
{
	for (unsigned port = 0; port < ENGINE_PORTS_MAX; port++)
		if (steering->entry[port].classify)
			return true;
	return false;
}

static int build(struct engine *engine, const struct program_options *programs, unsigned n_programs,
	const struct rule *rules, unsigned n_rules, struct steering *steering, struct error *error)
{
	steering->program = calloc(n_programs ? n_programs : 1, sizeof(*steering->program));
	if (!steering->program)
		return error_set(error, ENOMEM, "chains", "", "out of memory");
	for (unsigned i = 0; i < n_programs; i++) {
		int err = check_program(&programs[i], error);

		if (err)
			return err;
		steering->program[i] = program_compile(engine, &programs[i]);
		if (!steering->program[i])
			return error_set(error, ENOMEM, "chains", "", "out of memory");
		steering->n_programs++;
	}
	if (set_entries(steering, rules, n_rules, engine))
		return error_set(error, ENOMEM, "flows", "", "out of memory");
	if (!needs_classifier(steering))
		return 0;
	return classifier_create(rules, n_rules, &steering->classifier, error);
}

/* ---- the chain destinations of services ---------------------------------------------------- */

/* Set each CALL's "next" and list it among the destinations of its service. */
static void link_steps(
	struct program *program, const struct service *service, struct destinations *new)
{
	for (unsigned i = 0; i < program->n_steps; i++) {
		struct destination entry = {
			.kind = NETVM_DESTINATION_CHAIN,
			.program = program,
			.step = (uint16_t)(i + 1),
		};
		struct netvm_destination shown = {
			.kind = NETVM_DESTINATION_CHAIN,
			.direction = program->direction,
			.id = program->chain,
		};

		if (program->step[i].op != PROGRAM_CALL || program->step[i].service != service)
			continue;
		snprintf(shown.name, sizeof(shown.name), "%s", program->name);
		/* A full table costs clones their "next", nothing else. */
		program->step[i].next = (uint8_t)destinations_add(new, service, &entry, &shown);
	}
}

static int make_destinations(struct engine *engine, const struct steering *steering,
	struct destinations *new, struct error *error)
{
	for (unsigned s = 0; s < ENGINE_SERVICES_MAX; s++) {
		struct service *service = engine->service[s];
		int err;

		if (!service)
			continue;
		err = destinations_begin(&new[s], engine, service);
		if (err) {
			while (s-- > 0)
				if (engine->service[s])
					destinations_abort(&new[s]);
			return error_set(error, -err, "chains", "", "service %s: %s", service->name,
				strerror(-err));
		}
		for (unsigned i = 0; i < steering->n_programs; i++)
			link_steps(steering->program[i], service, &new[s]);
	}
	return 0;
}

static void publish_destinations(struct engine *engine, struct destinations *new)
{
	for (unsigned s = 0; s < ENGINE_SERVICES_MAX; s++)
		if (engine->service[s])
			destinations_publish(engine->service[s], &new[s]);
	engine_grace(engine);
	for (unsigned s = 0; s < ENGINE_SERVICES_MAX; s++)
		free(new[s].table);
}

static void switch_steering(struct worker *worker, void *arg)
{
	worker->steering = arg;
	worker_forget_flows(worker);
}

int engine_steer(struct engine *engine, const struct program_options *programs, unsigned n_programs,
	const struct rule *rules, unsigned n_rules, struct error *error)
{
	struct steering *steering = steering_empty(), *old = engine->steering;
	struct destinations *new = calloc(ENGINE_SERVICES_MAX, sizeof(*new));
	int err = -ENOMEM;

	if (!steering || !new) {
		error_set(error, ENOMEM, "chains", "", "out of memory");
		goto fail;
	}
	err = build(engine, programs, n_programs, rules, n_rules, steering, error);
	if (!err)
		err = make_destinations(engine, steering, new, error);
	if (err)
		goto fail;
	/* Without memory suspects get through once more. */
	suspects_prepare(engine, steering);
	engine->steering = steering;
	workers_call(engine, switch_steering, steering);
	publish_destinations(engine, new);
	free(new);
	retire(engine, old);
	steer_reap(engine);
	return 0;
fail:
	if (steering)
		steering_abandon(engine, steering);
	drop_books(engine);
	free(new);
	return err;
}
