/*
 * Ports on the control side: opens drivers by spec, attaches ports to the engine, follows changes.
 *
 * A port whose device changes is opened anew and the old one closed after the data path has
 * switched. When the new one wants the same device (more queues, another group, a new name), the
 * old one must make room first; then an abort opens it again.
 */
#include "modules/port/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include <event2/event.h>

#include "engine/engine.h"
#include "engine/port.h"
#include "manager/events.h"
#include "manager/module.h"
#include "manager/store.h"
#include "modules/group/group.h"
#include "modules/port/heritage.h"
#include "modules/stats/counters.h"

#define PORTS_MAX     (ENGINE_PORTS_MAX - 1) /* number 0 is none */
#define DRAIN_US      20000 /* longer than packets take, shorter than anybody notices */
#define DRAIN_LOOK_US 200
#define LINK_LOOK_S   1 /* drivers differ in how they tell; looking is cheap and works for all */

struct entry {
	TAILQ_ENTRY(entry) next;
	struct port *port;     /* of the running document; NULL: new */
	struct port *prepared; /* of the one being prepared; NULL: the same */
	bool closed;           /* `port` made room and is closed; its memory is still there */
	bool quiet;            /* `port` goes and receives no more */
	bool link_up;          /* as last told */
	char name[NETVM_NAME_BYTES];
};

static TAILQ_HEAD(, entry) entries = TAILQ_HEAD_INITIALIZER(entries);
static struct engine *engine;
static struct event *link_timer;

static struct entry *find(const char *name)
{
	struct entry *entry;

	TAILQ_FOREACH (entry, &entries, next)
		if (strcmp(entry->name, name) == 0)
			return entry;
	return NULL;
}

struct port *port_find(const char *name)
{
	struct entry *entry = find(name);

	return !entry ? NULL : entry->prepared ? entry->prepared : entry->port;
}

static struct entry *find_or_add(const char *name)
{
	struct entry *entry = find(name);

	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (entry) {
		strncpy(entry->name, name, sizeof(entry->name) - 1);
		TAILQ_INSERT_TAIL(&entries, entry, next);
	}
	return entry;
}

static void remove_if_empty(struct entry *entry)
{
	if (entry->port)
		return;
	TAILQ_REMOVE(&entries, entry, next);
	free(entry);
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int set_link(struct port *port, bool up, struct error *error)
{
	return port->ops->set_link ? port->ops->set_link(port, up, error) : 0;
}

static void port_close(struct port *port)
{
	engine_port_detach(engine, port);
	heritage_strike(port);
	port->ops->close(port);
}

/* It receives only when the steering knows it, see finish_entry(). */
static int attach(struct port *port, bool up, struct error *error)
{
	int rc = engine_port_attach(engine, port, error);

	if (rc) {
		port->ops->close(port);
		return rc;
	}
	rc = set_link(port, up, error);
	if (rc)
		port_close(port);
	return rc;
}

/* `port` may be one that was closed: it is opened again in its place. */
static int port_open(struct port *port, struct buffer_pool *pool, const char *name,
	const json_t *settings, struct error *error)
{
	const char *spec = value_text(settings, "spec");
	const struct port_config config = {
		.name = name,
		.args = strchr(spec, ':') + 1,
		.pool = pool,
		.n_rx_queues = (unsigned)value_int(settings, "queues"),
		.n_tx_queues = engine_n_workers(engine),
		.mtu = (uint32_t)value_int(settings, "mtu"),
		.promiscuous = value_bool(settings, "promiscuous"),
		.force = value_bool(settings, "force"),
		.inherited = heritage_has(settings),
	};
	int rc;

	memset(port, 0, sizeof(*port));
	port->ops = port_driver_of(spec);
	port->pool = pool;
	strncpy(port->name, name, sizeof(port->name) - 1);
	rc = port->ops->open(port, &config, error);
	if (rc == 0)
		rc = attach(port, value_bool(settings, "up"), error);
	if (rc == 0)
		heritage_note(port, settings);
	return rc;
}

/* Puts "ports.NAME" in front; what a driver says of no field is about the spec. */
static int located(struct error *error, const char *name, int rc)
{
	if (rc == 0)
		return 0;
	if (error->path[0] == '\0')
		error_prefix(error, "spec");
	error_prefix(error, name);
	error_prefix(error, "ports");
	return rc;
}

/* ---- check ----------------------------------------------------------------------------------- */

#define FRAME_EXTRA 22 /* Ethernet header and two VLAN tags */

static int check_mtu(const json_t *document, const json_t *settings, struct error *error)
{
	const char *group = value_text(settings, "group");
	const json_t *pool = document_object(document, "groups", group);
	int64_t most = value_int(pool, "buffer_bytes") - BUFFER_HEADROOM - FRAME_EXTRA;
	char hint[160];

	if (value_int(settings, "mtu") <= most)
		return 0;
	snprintf(hint, sizeof(hint), "at most %lld, or a larger groups.%s.buffer_bytes",
		(long long)most, group);
	return error_set(error, EINVAL, "mtu", hint,
		"a frame of MTU %lld does not fit a buffer of group %s",
		(long long)value_int(settings, "mtu"), group);
}

/* No port before this one, `name`, has its device. */
static int check_device(
	const json_t *ports, const char *name, const json_t *settings, struct error *error)
{
	const char *spec = value_text(settings, "spec"), *other;
	json_t *others;

	json_object_foreach ((json_t *)ports, other, others) {
		if (strcmp(other, name) == 0)
			break;
		if (port_driver_of(spec)->exclusive &&
			strcmp(spec, value_text(others, "spec")) == 0)
			return error_set(error, EEXIST, "spec",
				"give each port an interface of its own",
				"%.60s is port %s already", spec, other);
	}
	return 0;
}

static int port_check(const struct change *change, struct error *error)
{
	const json_t *ports = json_object_get(change->new, "ports");
	const char *name;
	json_t *settings;

	if (json_object_size(ports) > PORTS_MAX)
		return error_set(error, E2BIG, "ports", "remove some",
			"%zu ports, at most %u can be", json_object_size(ports), PORTS_MAX);
	json_object_foreach ((json_t *)ports, name, settings) {
		int rc = check_mtu(change->new, settings, error);

		if (!rc)
			rc = check_device(ports, name, settings, error);
		if (rc)
			return located(error, name, rc);
	}
	return 0;
}

/* ---- prepare --------------------------------------------------------------------------------- */

/* Also one that was lost (see reopen()) is tried again with each change. */
static bool is_opened(const struct change *change, const char *name)
{
	enum change_kind kind = change_kind(change, "ports", name);
	const struct entry *entry = find(name);

	return kind == CHANGE_ADD || kind == CHANGE_RECREATE || !entry || !entry->port;
}

/* The device without options: "tap:lan0" of "tap:lan0,queues=2". */
static bool same_device(const char *a, const char *b)
{
	size_t length = strcspn(a, ",");

	return length == strcspn(b, ",") && memcmp(a, b, length) == 0;
}

static bool is_device_wanted(const struct change *change, const char *spec)
{
	const char *name;
	json_t *settings;

	json_object_foreach (json_object_get(change->new, "ports"), name, settings)
		if (is_opened(change, name) && same_device(value_text(settings, "spec"), spec))
			return true;
	return false;
}

static void make_room(const struct change *change)
{
	struct entry *entry;

	TAILQ_FOREACH (entry, &entries, next) {
		const json_t *old = document_object(change->old, "ports", entry->name);
		enum change_kind kind = change_kind(change, "ports", entry->name);

		if (!entry->port || (kind != CHANGE_DEL && kind != CHANGE_RECREATE) ||
			!is_device_wanted(change, value_text(old, "spec")))
			continue;
		port_close(entry->port);
		entry->closed = true;
	}
}

static int prepare_new(const char *name, const json_t *settings, struct error *error)
{
	struct entry *entry = find_or_add(name);
	struct port *port = entry ? calloc(1, sizeof(*port)) : NULL;
	int rc;

	if (!port)
		return error_set(error, ENOMEM, "", "", "no memory");
	rc = port_open(port, group_pool(value_text(settings, "group")), name, settings, error);
	if (rc)
		free(port);
	else
		entry->prepared = port;
	return rc;
}

static int unsupported(const struct port *port, const char *field, struct error *error)
{
	return error_set(error, ENOTSUP, field, "delete the port and add it again",
		"%s ports cannot change it while they are open", port->ops->kind);
}

static int set_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	return port->ops->set_mtu ? port->ops->set_mtu(port, mtu, error)
				  : unsupported(port, "mtu", error);
}

static int set_promiscuous(struct port *port, bool on, struct error *error)
{
	return port->ops->set_promiscuous ? port->ops->set_promiscuous(port, on, error)
					  : unsupported(port, "promiscuous", error);
}

static bool differs(const json_t *a, const json_t *b, const char *field)
{
	return !json_equal(json_object_get(a, field), json_object_get(b, field));
}

/* The same call the other way round undoes it. */
static int change_live(struct port *port, const json_t *from, const json_t *to, struct error *error)
{
	int rc = 0;

	if (differs(from, to, "mtu"))
		rc = set_mtu(port, (uint32_t)value_int(to, "mtu"), error);
	if (rc == 0 && differs(from, to, "promiscuous"))
		rc = set_promiscuous(port, value_bool(to, "promiscuous"), error);
	if (rc == 0 && differs(from, to, "up"))
		rc = set_link(port, value_bool(to, "up"), error);
	return rc;
}

static int prepare_port(const struct change *change, const char *name, struct error *error)
{
	const json_t *settings = document_object(change->new, "ports", name);
	int rc = 0;

	if (is_opened(change, name))
		rc = prepare_new(name, settings, error);
	else if (change_kind(change, "ports", name) == CHANGE_LIVE)
		rc = change_live(find(name)->port, document_object(change->old, "ports", name),
			settings, error);
	return located(error, name, rc);
}

/* Nothing more comes in; what is under way gets a moment to leave. */
static void drain(void)
{
	const struct timespec pause = {.tv_nsec = DRAIN_LOOK_US * 1000};
	struct entry *entry;
	struct books books;

	TAILQ_FOREACH (entry, &entries, next)
		engine_port_quiet(engine, entry->port);
	for (unsigned waited_us = 0; waited_us < DRAIN_US; waited_us += DRAIN_LOOK_US) {
		engine_books(engine, &books);
		if (books.in_flight == 0)
			return;
		nanosleep(&pause, NULL);
	}
}

static int port_prepare(const struct change *change, struct error *error)
{
	const char *name;
	json_t *settings;
	int rc;

	if (change->phase == PHASE_START)
		heritage_find(json_object_get(change->new, "ports"));
	if (change->phase == PHASE_HAND_OVER)
		drain();
	make_room(change);
	json_object_foreach (json_object_get(change->new, "ports"), name, settings) {
		rc = prepare_port(change, name, error);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- link state ------------------------------------------------------------------------------ */

static bool look_at_link(const struct entry *entry)
{
	struct port_info info = {0};

	entry->port->ops->info(entry->port, &info);
	return info.link_up;
}

static void look_at_links(evutil_socket_t fd, short what, void *arg)
{
	struct entry *entry;

	(void)fd, (void)what, (void)arg;
	TAILQ_FOREACH (entry, &entries, next) {
		bool up = look_at_link(entry);
		char object[48];

		if (up == entry->link_up)
			continue;
		entry->link_up = up;
		snprintf(object, sizeof(object), "ports.%s", entry->name);
		events_add("port-link", object, "link %s", up ? "up" : "down");
	}
}

/* ---- commit, finish and abort ---------------------------------------------------------------- */

static bool goes(const struct change *change, const struct entry *entry)
{
	return entry->prepared || !document_object(change->new, "ports", entry->name);
}

/* The steering that comes next no longer knows ports that go: what they received would be no-flow.
 */
static int port_commit(const struct change *change, struct error *error)
{
	struct entry *entry;

	(void)error;
	TAILQ_FOREACH (entry, &entries, next) {
		if (!entry->port || entry->closed || !goes(change, entry))
			continue;
		engine_port_quiet(engine, entry->port);
		entry->quiet = true;
	}
	return 0;
}

static void port_destroy(struct port *port, bool closed)
{
	if (port && !closed)
		port_close(port);
	free(port);
}

static void finish_entry(const struct change *change, struct entry *entry)
{
	const json_t *settings = document_object(change->new, "ports", entry->name);

	if (goes(change, entry)) {
		if (entry->port)
			entry->port->stays = change->phase == PHASE_HAND_OVER;
		port_destroy(entry->port, entry->closed);
		entry->port = entry->prepared;
		entry->prepared = NULL;
		entry->closed = entry->quiet = false;
	}
	if (entry->port) {
		if (change->phase != PHASE_START)
			engine_port_set_up(engine, entry->port, value_bool(settings, "up"));
		entry->link_up = look_at_link(entry);
	} else {
		remove_if_empty(entry);
	}
}

static void port_finish(const struct change *change)
{
	struct entry *entry, *following;

	for (entry = TAILQ_FIRST(&entries); entry; entry = following) {
		following = TAILQ_NEXT(entry, next);
		if (change_kind(change, "ports", entry->name) != CHANGE_NONE || entry->prepared)
			finish_entry(change, entry);
	}
	if (change->phase == PHASE_START)
		heritage_end(json_object_get(change->new, "ports"));
}

/* The device was ours a moment ago; should it be gone now, the port is, too. */
static void reopen(struct entry *entry, const json_t *settings)
{
	struct error error = {0};

	entry->closed = false;
	if (port_open(entry->port, entry->port->pool, entry->name, settings, &error) == 0) {
		engine_port_set_up(engine, entry->port, value_bool(settings, "up"));
		return;
	}
	events_add("port-lost", entry->name, "cannot be opened again: %s", error.message);
	free(entry->port);
	entry->port = NULL;
}

static void abort_entry(const struct change *change, struct entry *entry)
{
	const json_t *old = document_object(change->old, "ports", entry->name);
	const json_t *new = document_object(change->new, "ports", entry->name);
	struct error ignored = {0};

	if (entry->closed)
		reopen(entry, old);
	else if (entry->port && change_kind(change, "ports", entry->name) == CHANGE_LIVE)
		change_live(entry->port, new, old, &ignored);
	else if (entry->quiet)
		engine_port_set_up(engine, entry->port, value_bool(old, "up"));
	entry->quiet = false;
}

static void port_abort(const struct change *change)
{
	struct entry *entry, *following;

	TAILQ_FOREACH (entry, &entries, next) {
		if (entry->prepared)
			entry->prepared->stays =
				heritage_has(document_object(change->new, "ports", entry->name));
		port_destroy(entry->prepared, false);
		entry->prepared = NULL;
	}
	for (entry = TAILQ_FIRST(&entries); entry; entry = following) {
		following = TAILQ_NEXT(entry, next);
		abort_entry(change, entry);
		remove_if_empty(entry);
	}
}

/* ---- statistics ------------------------------------------------------------------------------ */

static json_t *offload_names(uint32_t offloads)
{
	static const char *const names[] = {
		"rx-checksum", "tx-checksum", "rx-vlan", "tso", "rss", NULL};
	json_t *list = json_array();

	for (unsigned i = 0; names[i]; i++)
		if (offloads & 1u << i)
			json_array_append_new(list, json_string(names[i]));
	return list;
}

static void add_info(json_t *object, const struct port *port)
{
	struct port_info info = {0};
	char mac[18];

	port->ops->info((struct port *)port, &info);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", info.mac[0], info.mac[1],
		info.mac[2], info.mac[3], info.mac[4], info.mac[5]);
	json_object_set_new(object, "link", json_string(info.link_up ? "up" : "down"));
	json_object_set_new(object, "mtu", json_integer(info.mtu));
	json_object_set_new(object, "mac", json_string(mac));
	json_object_set_new(object, "promiscuous", json_boolean(info.promiscuous));
	json_object_set_new(object, "speed_mbps", json_integer(info.speed_mbps));
	json_object_set_new(object, "rx_missed", json_integer((json_int_t)info.rx_missed));
	json_object_set_new(object, "rx_errors", json_integer((json_int_t)info.rx_errors));
	json_object_set_new(object, "tx_errors", json_integer((json_int_t)info.tx_errors));
	json_object_set_new(object, "offloads", offload_names(info.offloads));
	json_object_set_new(object, "offloads_available", offload_names(info.offloads_available));
	json_object_set_new(object, "detail", json_string(info.detail));
}

static void port_stats(json_t *stats)
{
	json_t *list = json_object();
	struct entry *entry;

	TAILQ_FOREACH (entry, &entries, next) {
		const json_t *settings = document_object(store_complete(), "ports", entry->name);
		struct counters counters = {0};
		json_t *object;

		engine_port_counters(engine, entry->port, &counters);
		object = counters_value(&counters);
		add_info(object, entry->port);
		json_object_set_new(object, "number", json_integer(entry->port->number));
		json_object_set_new(object, "group", json_string(entry->port->pool->name));
		json_object_set(object, "spec", json_object_get(settings, "spec"));
		json_object_set_new(list, entry->name, object);
	}
	json_object_set_new(stats, "ports", list);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int port_init(struct manager *manager, struct error *error)
{
	const struct timeval period = {.tv_sec = LINK_LOOK_S};

	engine = manager->engine;
	link_timer = event_new(manager->base, -1, EV_PERSIST, look_at_links, NULL);
	if (!link_timer || event_add(link_timer, &period))
		return error_set(error, ENOMEM, "ports", "", "no memory for a timer");
	return 0;
}

static void port_go(void)
{
	struct entry *entry;

	TAILQ_FOREACH (entry, &entries, next)
		engine_port_set_up(engine, entry->port,
			value_bool(document_object(store_complete(), "ports", entry->name), "up"));
}

static void port_fini(void)
{
	event_free(link_timer);
	link_timer = NULL;
}

const struct module port_module = {
	.name = "port",
	.after = (const char *const[]){"group", NULL},
	.sections = (const struct section *const[]){&port_section, NULL},
	.init = port_init,
	.fini = port_fini,
	.check = port_check,
	.prepare = port_prepare,
	.commit = port_commit,
	.finish = port_finish,
	.abort = port_abort,
	.stats = port_stats,
	.go = port_go,
};
