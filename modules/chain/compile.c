/* Chains and flows to programs and rules: see compile.h. */
#include "modules/chain/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "modules/chain/chain.h"
#include "modules/chain/match.h"

#define PRIORITY_DEFAULT (-1) /* below every flow */

struct compiler {
	const json_t *document;
	const struct plan_names *names;
	struct plan *plan;
	json_t *first_program; /* chain name -> number of its forward program */
};

/* ---- programs -------------------------------------------------------------------------------- */

static unsigned add_program(struct plan *plan, const char *name)
{
	struct program_options *program = &plan->programs[plan->n_programs];

	program->name = name;
	return plan->n_programs++;
}

static void add_step(struct program_options *program, struct program_step step)
{
	program->step[program->n_steps++] = step;
}

/* A port that was lost (modules/port) is as good as one that is down. */
static void add_output(struct program_options *program, struct port *port)
{
	if (port)
		add_step(program, (struct program_step){.op = PROGRAM_OUTPUT, .port = port});
	else
		add_step(program,
			(struct program_step){.op = PROGRAM_DROP, .reason = DROP_PORT_DOWN});
}

static void compile_direction(
	const struct compiler *compiler, const char *name, const json_t *chain, bool reverse)
{
	struct plan *plan = compiler->plan;
	struct program_options *program = &plan->programs[add_program(plan, name)];
	const json_t *path = json_object_get(chain, "path");
	bool backwards = reverse && chain_reverse(chain) == REVERSE_MIRROR;
	size_t n = json_array_size(path);

	program->chain = compiler->names->chain_number(name);
	program->direction = reverse;
	program->on_failure = chain_on_failure(chain);
	program->hold_pkts = (uint32_t)value_int(chain, "hold_pkts");
	program->hold_ms = (uint32_t)value_int(chain, "hold_ms");
	program->guard_crashes = (uint32_t)value_int(chain, "guard_crashes");
	program->guard_ms = (uint32_t)value_int(chain, "guard_s") * 1000;
	program->guard_bypass = strcmp(value_text(chain, "guard"), "bypass") == 0;
	program->cross_groups = value_bool(chain, "cross_groups");
	for (size_t i = 0; i < n; i++) {
		const json_t *service = json_array_get(path, backwards ? n - 1 - i : i);

		add_step(program,
			(struct program_step){.op = PROGRAM_CALL,
				.service = compiler->names->service(json_string_value(service))});
	}
	add_output(program, compiler->names->port(value_text(chain, reverse ? "from" : "to")));
}

static void compile_chain(const struct compiler *compiler, const char *name, const json_t *chain)
{
	json_object_set_new(compiler->first_program, name,
		json_integer((json_int_t)compiler->plan->n_programs));
	compile_direction(compiler, name, chain, false);
	if (chain_reverse(chain) != REVERSE_NONE)
		compile_direction(compiler, name, chain, true);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* `in_port` NULL: by any port. A port that is lost brings no packets. */
static void add_rule(const struct compiler *compiler, const char *in_port,
	const struct match *match, int32_t priority, unsigned program)
{
	struct plan *plan = compiler->plan;
	struct rule *rule = &plan->rules[plan->n_rules];

	*rule = (struct rule){.match = *match, .priority = priority, .program = program};
	if (in_port) {
		rule->match.in_port = compiler->names->port(in_port);
		if (!rule->match.in_port)
			return;
	}
	plan->n_rules++;
}

/* What a chain takes: forward by `from`, and if wanted the replies by `to`. */
static void add_chain_rules(const struct compiler *compiler, const char *name,
	const struct match *match, int32_t priority, bool mirror)
{
	const json_t *chain = document_object(compiler->document, "chains", name);
	unsigned program =
		(unsigned)json_integer_value(json_object_get(compiler->first_program, name));
	struct match replies = *match;

	add_rule(compiler, value_text(chain, "from"), match, priority, program);
	if (!mirror || chain_reverse(chain) == REVERSE_NONE)
		return;
	match_swap(&replies);
	add_rule(compiler, value_text(chain, "to"), &replies, priority, program + 1);
}

static unsigned flow_program(const struct compiler *compiler, const json_t *flow)
{
	struct plan *plan = compiler->plan;
	const char *port = value_text(flow, "port");
	unsigned number = add_program(plan, PLAN_FLOWS_NAME);

	if (port)
		add_output(&plan->programs[number], compiler->names->port(port));
	else
		add_step(&plan->programs[number],
			(struct program_step){.op = PROGRAM_DROP, .reason = DROP_POLICY});
	return number;
}

static void compile_flow(const struct compiler *compiler, const json_t *flow)
{
	const json_t *given = json_object_get(flow, "match");
	int32_t priority = (int32_t)value_int(flow, "priority");
	const char *chain = value_text(flow, "chain");
	struct match match;

	match_read(given, &match, NULL);
	if (chain)
		add_chain_rules(compiler, chain, &match, priority, value_bool(flow, "mirror"));
	else
		add_rule(compiler, value_text(given, "in_port"), &match, priority,
			flow_program(compiler, flow));
}

/* ---- all ------------------------------------------------------------------------------------- */

static void compile_all(const struct compiler *compiler)
{
	json_t *chains = json_object_get(compiler->document, "chains"), *object;
	struct match everything;
	const char *name;

	json_object_foreach (chains, name, object)
		compile_chain(compiler, name, object);
	json_object_foreach (json_object_get(compiler->document, "flows"), name, object)
		compile_flow(compiler, object);
	match_all(&everything);
	json_object_foreach (chains, name, object)
		if (chain_is_default(compiler->document, name, object))
			add_chain_rules(compiler, name, &everything, PRIORITY_DEFAULT, true);
}

int plan_compile(const json_t *document, const struct plan_names *names, struct plan *plan)
{
	struct compiler compiler = {document, names, plan, json_object()};
	size_t n_chains = json_object_size(json_object_get(document, "chains"));
	size_t n_flows = json_object_size(json_object_get(document, "flows"));

	*plan = (struct plan){
		.programs = calloc(2 * n_chains + n_flows + 1, sizeof(*plan->programs)),
		.rules = calloc(2 * n_chains + 2 * n_flows + 1, sizeof(*plan->rules)),
	};
	if (plan->programs && plan->rules)
		compile_all(&compiler);
	else
		plan_free(plan);
	json_decref(compiler.first_program);
	return plan->programs ? 0 : -ENOMEM;
}

void plan_free(struct plan *plan)
{
	free(plan->programs);
	free(plan->rules);
	*plan = (struct plan){0};
}
