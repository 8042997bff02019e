/*
 * What the daemon can tell about itself at run time. stats.get asks every module for its part and
 * adds the workers and the books; events.get waits for news (long poll).
 */
#include "modules/stats/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/clock.h"
#include "engine/engine.h"
#include "manager/events.h"
#include "manager/module.h"
#include "modules/stats/counters.h"

#define WAIT_MS_MAX 60000

static const struct manager *manager;
static uint64_t started_ns;

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* ---- stats.get ------------------------------------------------------------------------------- */

static json_t *worker_value(unsigned worker)
{
	struct worker_info info = {0};
	json_t *object = json_object();

	engine_worker_info(manager->engine, worker, &info);
	json_object_set_new(object, "cpu", json_integer(info.cpu));
	json_object_set_new(object, "sleeping", json_boolean(info.sleeping));
	json_object_set_new(object, "turns", number(info.turns));
	json_object_set_new(object, "busy_turns", number(info.busy_turns));
	json_object_set_new(object, "sleeps", number(info.sleeps));
	json_object_set_new(object, "flow_cache_hits", number(info.flow_cache_hits));
	json_object_set_new(object, "flow_cache_misses", number(info.flow_cache_misses));
	return object;
}

static json_t *workers_value(void)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < engine_n_workers(manager->engine); i++)
		json_array_append_new(list, worker_value(i));
	return list;
}

static json_t *buffers_value(const struct books *books)
{
	json_t *object = json_object();

	json_object_set_new(object, "free", number(books->buffers_free));
	json_object_set_new(object, "stock", number(books->buffers_stock));
	json_object_set_new(object, "port", number(books->buffers_port));
	json_object_set_new(object, "total", number(books->buffers_total));
	return object;
}

static json_t *books_value(void)
{
	struct books books = {0};
	json_t *object = json_object();

	engine_books(manager->engine, &books);
	json_object_set_new(object, "received", number(books.received));
	json_object_set_new(object, "injected", number(books.injected));
	json_object_set_new(object, "sent", number(books.sent));
	json_object_set_new(object, "consumed", number(books.consumed));
	json_object_set_new(object, "dropped", number(books.dropped));
	json_object_set_new(object, "in_flight", number(books.in_flight));
	json_object_set_new(object, "copied", number(books.copied));
	json_object_set_new(object, "balanced", json_boolean(books.balanced));
	json_object_set_new(object, "drops", drops_value(books.drops));
	json_object_set_new(object, "buffers", buffers_value(&books));
	return object;
}

/* What an NF of one trust group may see: the ports and NFs of that group. */
static json_t *part_of_group(const json_t *stats, const char *group)
{
	static const char *const sections[] = {"ports", "nfs"};
	json_t *part = json_object(), *object;
	const char *name;

	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		json_t *mine = json_object();

		json_object_foreach (json_object_get(stats, sections[i]), name, object)
			if (strcmp(value_text(object, "group"), group) == 0)
				json_object_set(mine, name, object);
		json_object_set_new(part, sections[i], mine);
	}
	return part;
}

static int stats_get(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	const char *group = rpc_group(request);
	json_t *stats = json_object();

	(void)params, (void)error;
	json_object_set_new(stats, "time_ns", number(clock_ns(CLOCK_REALTIME)));
	json_object_set_new(stats, "uptime_ns", number(clock_ns(CLOCK_MONOTONIC) - started_ns));
	for (const struct module *const *m = modules; *m; m++)
		if ((*m)->stats)
			(*m)->stats(stats);
	json_object_set_new(stats, "workers", workers_value());
	json_object_set_new(stats, "books", books_value());
	*result = group ? part_of_group(stats, group) : stats;
	if (group)
		json_decref(stats);
	return 0;
}

/* ---- drops.get ------------------------------------------------------------------------------- */

static int drops_get(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	json_t *list = json_array();
	struct books books = {0};

	(void)request, (void)params, (void)error;
	engine_books(manager->engine, &books);
	for (unsigned i = 0; i < DROP_REASONS; i++)
		json_array_append_new(
			list, json_pack("{ss ss so}", "label", drop_label((enum drop_reason)i),
				      "sentence", drop_sentence((enum drop_reason)i), "count",
				      number(books.drops[i])));
	*result = json_pack("{so}", "reasons", list);
	return 0;
}

/* ---- events.get ------------------------------------------------------------------------------ */

/* A caller that waits for event `since`. */
struct waiter {
	LIST_ENTRY(waiter) next;
	struct rpc_request *request;
	struct event *timer;
	uint64_t since;
};

static LIST_HEAD(, waiter) waiters = LIST_HEAD_INITIALIZER(waiters);
static struct event *wake_event; /* answers leave from the loop, not from inside of events_add() */

static json_t *events_value(uint64_t since)
{
	return json_pack("{so so}", "events", events_since(since), "next", number(events_next()));
}

static void waiter_destroy(struct waiter *waiter)
{
	LIST_REMOVE(waiter, next);
	event_free(waiter->timer);
	free(waiter);
}

static void waiter_answer(struct waiter *waiter)
{
	struct rpc_request *request = waiter->request;
	uint64_t since = waiter->since;

	waiter_destroy(waiter);
	rpc_answer(request, events_value(since));
}

static void on_time_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	waiter_answer(arg);
}

static void on_cancel(struct rpc_request *request, void *arg)
{
	(void)request;
	waiter_destroy(arg);
}

static void on_news(void)
{
	event_active(wake_event, 0, 0);
}

static void answer_waiters(evutil_socket_t fd, short what, void *arg)
{
	struct waiter *waiter, *following;

	(void)fd, (void)what, (void)arg;
	for (waiter = LIST_FIRST(&waiters); waiter; waiter = following) {
		following = LIST_NEXT(waiter, next);
		if (waiter->since < events_next())
			waiter_answer(waiter);
	}
}

static int wait_for(
	struct rpc_request *request, uint64_t since, int64_t wait_ms, struct error *error)
{
	const struct timeval limit = {wait_ms / 1000, wait_ms % 1000 * 1000};
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (waiter)
		waiter->timer = evtimer_new(manager->base, on_time_up, waiter);
	if (!waiter || !waiter->timer || evtimer_add(waiter->timer, &limit)) {
		free(waiter);
		return error_set(error, ENOMEM, "", "", "no memory");
	}
	waiter->request = request;
	waiter->since = since;
	LIST_INSERT_HEAD(&waiters, waiter, next);
	rpc_on_cancel(request, on_cancel, waiter);
	return RPC_LATER;
}

static const struct field events_params[] = {
	{"since", FIELD_INT, .max = INT64_MAX,
		.help = "Number of the first event wanted: `next` of the answer before"},
	{"wait_ms", FIELD_INT, .max = WAIT_MS_MAX, .preset = "0", .unit = "ms",
		.help = "How long to wait when there is none yet"},
	{},
};

static int events_get(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	uint64_t since = (uint64_t)value_int(params, "since");
	int64_t wait_ms = value_int(params, "wait_ms");

	if (since >= events_next() && wait_ms > 0)
		return wait_for(request, since, wait_ms, error);
	*result = events_value(since);
	return 0;
}

/* ---- the module ------------------------------------------------------------------------------ */

static int stats_init(struct manager *the_manager, struct error *error)
{
	manager = the_manager;
	started_ns = clock_ns(CLOCK_MONOTONIC);
	wake_event = event_new(manager->base, -1, 0, answer_waiters, NULL);
	if (!wake_event)
		return error_set(error, ENOMEM, "", "", "no memory");
	events_watch(on_news);
	return 0;
}

static void stats_fini(void)
{
	events_unwatch(on_news);
	event_free(wake_event);
	wake_event = NULL;
}

static const struct rpc_method stats_methods[] = {
	{"stats.get", NULL, "Counters and states, read one by one; a snapshot of the books",
		stats_get, ROLE_NF},
	{"drops.get", NULL, "Every reason a packet can be dropped for, with its count", drops_get,
		ROLE_VIEW},
	{"events.get", events_params, "What happened since, or what happens next", events_get,
		ROLE_VIEW},
	{},
};

const struct module stats_module = {
	.name = "stats",
	.after = (const char *const[]){"group", "port", "nf", "chain", NULL},
	.methods = stats_methods,
	.init = stats_init,
	.fini = stats_fini,
};
