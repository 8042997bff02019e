/*
 * trace.run: begin a trace in the engine, look now and then whether it is done, answer. One caller
 * at a time; his trace ends with his connection. Called by the manager through trace_module.
 */
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/clock.h"
#include "engine/trace.h"
#include "manager/module.h"
#include "manager/schema_types.h"
#include "manager/store.h"
#include "modules/chain/match.h"
#include "modules/port/control.h"
#include "modules/trace/report.h"
#include "modules/trace/trace.h"

#define LOOK_MS 10 /* between two looks whether it is done */

static struct {
	const struct manager *manager;
	struct rpc_request *request; /* NULL: no trace is on */
	struct event *timer;         /* pending while one is on */
	uint64_t deadline_ns;
} self;

/* ---- the end --------------------------------------------------------------------------------- */

static struct trace *stop(void)
{
	event_del(self.timer);
	self.request = NULL;
	return engine_trace_stop(self.manager->engine);
}

static void answer(void)
{
	struct rpc_request *request = self.request;
	struct trace *trace = stop();

	rpc_answer(request, report_value(trace, store_complete(),
				    clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC)));
	free(trace);
}

static void look(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	if (engine_trace_done(self.manager->engine) ||
		clock_ns(CLOCK_MONOTONIC) >= self.deadline_ns)
		answer();
}

static void caller_is_gone(struct rpc_request *request, void *arg)
{
	(void)request, (void)arg;
	free(stop());
}

/* ---- the beginning --------------------------------------------------------------------------- */

static int unknown(const char *field, const char *section, const char *name, struct error *error)
{
	const char *known[SCHEMA_LIST_MAX];
	char text[200], hint[ERROR_HINT_BYTES];

	schema_keys(json_object_get(store_complete(), section), known);
	schema_join(known, text, sizeof(text));
	snprintf(hint, sizeof(hint), "%s there are: %s", section, text[0] ? text : "none");
	return error_set(error, ENOENT, field, hint, "there is no \"%s\" in %s", name, section);
}

static int read_options(const json_t *params, struct trace_options *options, struct error *error)
{
	const char *port = value_text(params, "in_port"), *chain = value_text(params, "chain");
	int rc = match_read(params, &options->match, error);

	if (rc)
		return rc;
	options->match.in_port = port ? port_find(port) : NULL;
	if (port && !options->match.in_port)
		return unknown("in_port", "ports", port, error);
	if (chain && !document_object(store_complete(), "chains", chain))
		return unknown("chain", "chains", chain, error);
	options->chain = chain;
	options->n_pkts = (unsigned)value_int(params, "count");
	return 0;
}

static int trace_run(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	const struct timeval every = {0, LOOK_MS * 1000};
	struct trace_options options;
	int rc = read_options(params, &options, error);

	(void)result;
	if (rc == 0)
		rc = engine_trace_start(self.manager->engine, &options, error);
	if (rc)
		return rc;
	self.request = request;
	self.deadline_ns =
		clock_ns(CLOCK_MONOTONIC) + (uint64_t)value_int(params, "timeout_s") * 1000000000u;
	event_add(self.timer, &every);
	rpc_on_cancel(request, caller_is_gone, NULL);
	return RPC_LATER;
}

static const struct field trace_params[] = {
	{"in_port", FIELD_REF, .ref = "ports", .help = "Port it comes in by"},
	{"chain", FIELD_REF, .ref = "chains", .help = "Chain it takes"},
	MATCH_FIELDS,
	{"count", FIELD_INT, .min = 1, .max = TRACE_PKTS_MAX, .preset = "1", .unit = "packets",
		.help = "How many packets to follow, the next ones that match"},
	{"timeout_s", FIELD_INT, .min = 1, .max = 3600, .preset = "10", .unit = "s",
		.help = "When to end, also with fewer packets"},
	{},
};

/* ---- the module ------------------------------------------------------------------------------ */

static int trace_init(struct manager *manager, struct error *error)
{
	self.manager = manager;
	self.timer = event_new(manager->base, -1, EV_PERSIST, look, NULL);
	return self.timer ? 0 : error_set(error, ENOMEM, "", "", "no memory");
}

/* Callers have been hung up on before, and their traces with them. */
static void trace_fini(void)
{
	event_free(self.timer);
	self.timer = NULL;
}

static const struct rpc_method trace_methods[] = {
	{"trace.run", trace_params, "The way of the next packets that match, step by step",
		trace_run, ROLE_OPERATE},
	{},
};

const struct module trace_module = {
	.name = "trace",
	.after = (const char *const[]){"port", "nf", "chain", NULL},
	.methods = trace_methods,
	.init = trace_init,
	.fini = trace_fini,
};
