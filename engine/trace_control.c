/*
 * Traces, the control side: making one, giving it to the workers, taking it from them. Called by
 * the manager; see trace.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/classifier.h"
#include "engine/control.h"

static void set_trace(struct worker *worker, void *arg)
{
	worker->trace = arg;
}

/* The one object with that name that all programs of the chain point to, or NULL. */
static const char *unique_name(const struct engine *engine, const char *chain)
{
	const struct chain_books *books = engine->chains;

	while (books && strcmp(books->name, chain) != 0)
		books = books->next;
	return books ? books->name : NULL;
}

static void trace_free(struct trace *trace)
{
	if (trace)
		classifier_destroy(trace->classifier);
	free(trace);
}

int engine_trace_start(
	struct engine *engine, const struct trace_options *options, struct error *error)
{
	const struct rule rule = {.match = options->match};
	struct trace *trace;
	int err;

	if (engine->trace)
		return error_set(error, EBUSY, "", "wait for its end", "another trace is on");
	trace = calloc(1, sizeof(*trace) + options->n_pkts * sizeof(trace->packet[0]));
	if (!trace)
		return error_set(error, ENOMEM, "", "", "no memory for a trace");
	trace->n_pkts_max = options->n_pkts;
	if (options->chain)
		trace->chain = unique_name(engine, options->chain);
	if (options->chain && !trace->chain)
		err = error_set(
			error, ENOENT, "chain", "", "no packets take chain %s", options->chain);
	else
		err = classifier_create(&rule, 1, &trace->classifier, error);
	if (err) {
		trace_free(trace);
		return err;
	}
	engine->trace = trace;
	workers_call(engine, set_trace, trace);
	return 0;
}

bool engine_trace_done(const struct engine *engine)
{
	return __atomic_load_n(&engine->trace->n_ended, __ATOMIC_RELAXED) ==
	       engine->trace->n_pkts_max;
}

/* A worker's turn may have begun before that of the one who handed it the packet: time stands then.
 */
static void set_times(const struct engine *engine, struct trace_packet *packet)
{
	uint64_t before = 0;

	for (unsigned i = 0; i < packet->n_records; i++) {
		uint64_t when = engine_ns(engine, packet->record[i].when);

		packet->record[i].when = when > before ? when : before;
		before = packet->record[i].when;
	}
}

struct trace *engine_trace_stop(struct engine *engine)
{
	struct trace *trace = engine->trace;

	engine->trace = NULL;
	workers_call(engine, set_trace, NULL);
	classifier_destroy(trace->classifier);
	trace->classifier = NULL;
	if (trace->n_pkts > trace->n_pkts_max)
		trace->n_pkts = trace->n_pkts_max;
	for (unsigned i = 0; i < trace->n_pkts; i++)
		set_times(engine, &trace->packet[i]);
	return trace;
}
