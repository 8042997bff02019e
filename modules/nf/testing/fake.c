/* Test doubles. See fake.h. */
#include "modules/nf/testing/fake.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/events.h"
#include "manager/module.h"
#include "modules/group/group.h"
#include "modules/nf/testing/client.h"

#define EVENTS_MAX  256
#define POOL_BYTES  65536
#define GUARD_S     100
#define QUEUE_BYTES 65536

struct nf {
	bool parked;
};

struct service {
	char name[NETVM_NAME_BYTES];
};

struct fake fake;
static char events[EVENTS_MAX][512];
static unsigned n_events;

void fake_reset(void)
{
	fake = (struct fake){0};
	n_events = 0;
}

/* ---- engine ---------------------------------------------------------------------------------- */

unsigned engine_n_workers(const struct engine *engine)
{
	(void)engine;
	return FAKE_WORKERS;
}

void nf_layout(const struct engine *engine, const struct buffer_pool *pool, uint32_t ring_words,
	uint32_t stock_words, uint32_t n_queues, struct netvm_layout *layout)
{
	*layout = (struct netvm_layout){
		.queue_offset = 20480,
		.queue_stride = QUEUE_BYTES,
		.rx_words = ring_words,
		.tx_words = ring_words,
		.stock_words = stock_words,
		.n_workers = engine_n_workers(engine),
		.n_queues = n_queues,
		.group_bytes = pool->size_bytes,
	};
	layout->channel_bytes =
		layout->queue_offset + layout->queue_stride * layout->n_workers * n_queues;
}

int engine_nf_attach(struct engine *engine, const struct nf_options *options, struct nf **nf,
	struct error *error)
{
	(void)engine;
	if (fake.attach_error)
		return error_set(error, fake.attach_error, "", "", "the fake engine is full");
	fake.options = *options;
	fake.layout = *options->layout;
	snprintf(fake.name, sizeof(fake.name), "%s", options->name);
	fake.attached++;
	*nf = fake.last = calloc(1, sizeof(**nf));
	fake.last->parked = options->parked;
	return 0;
}

unsigned engine_nf_detach(struct engine *engine, struct nf *nf, enum drop_reason reason,
	uint64_t drain_ns, struct counters *counters)
{
	if (counters) {
		engine_nf_counters(engine, nf, counters);
		counters->rx_pkts += fake.drained;
		counters->drops[reason] = fake.lost;
	}
	free(nf);
	fake.detached++;
	fake.reason = reason;
	fake.drain_ns = drain_ns;
	return fake.lost;
}

void engine_nf_pulse(
	struct engine *engine, const struct nf *nf, unsigned queue, struct nf_pulse *pulse)
{
	(void)engine;
	(void)nf;
	*pulse = (struct nf_pulse){.mark = fake.n_pulses, .has_work = queue == fake.hung_queue};
	fake.n_pulses += !fake.hangs;
}

unsigned engine_suspects(const struct engine *engine, struct suspect *list, unsigned max)
{
	(void)engine;
	if (!fake.suspect || max == 0)
		return 0;
	*list = *fake.suspect;
	return 1;
}

bool engine_suspect_news(struct engine *engine, struct suspect *news)
{
	bool is_new = fake.suspect_is_new;

	(void)engine;
	if (is_new)
		*news = *fake.suspect;
	fake.suspect_is_new = false;
	return is_new;
}

void engine_suspects_refresh(struct engine *engine)
{
	(void)engine;
	fake.suspect = NULL;
}

void engine_suspects_clear(struct engine *engine)
{
	engine_suspects_refresh(engine);
}

bool engine_nf_stands_by(const struct nf *nf)
{
	return fake.stands_by && !nf->parked;
}

bool engine_nf_is_parked(const struct nf *nf)
{
	return nf->parked;
}

void engine_nf_replace(struct engine *engine, struct nf *from, struct nf *to, bool hold)
{
	(void)engine;
	from->parked = true;
	to->parked = false;
	fake.replaced++;
	fake.from = from;
	fake.to = to;
	fake.held = hold;
}

void engine_nf_release(struct engine *engine, struct nf *to)
{
	(void)engine;
	assert_ptr_equal(to, fake.to);
	fake.held = false;
}

unsigned engine_faults(struct engine *engine, struct nf **nfs, unsigned max)
{
	(void)engine;
	if (!fake.faulty || max == 0)
		return 0;
	nfs[0] = fake.faulty;
	fake.faulty = NULL;
	return 1;
}

void engine_nf_counters(struct engine *engine, const struct nf *nf, struct counters *counters)
{
	(void)engine;
	(void)nf;
	*counters = (struct counters){.tx_pkts = 10, .rx_pkts = 7};
}

void engine_nf_load(struct engine *engine, const struct nf *nf, struct nf_load *load)
{
	(void)engine;
	*load = (struct nf_load){
		.rx_ring_words = 2048, .owned_pkts = nf == fake.from ? fake.in_flight : 0};
}

int engine_service_create(struct engine *engine, const char *name, struct buffer_pool *pool,
	struct service **service, struct error *error)
{
	(void)engine;
	(void)pool;
	(void)error;
	*service = calloc(1, sizeof(**service));
	snprintf((*service)->name, sizeof((*service)->name), "%s", name);
	fake.services++;
	return 0;
}

void engine_service_destroy(struct engine *engine, struct service *service)
{
	(void)engine;
	free(service);
	fake.services--;
}

const char *drop_label(enum drop_reason reason)
{
	return reason == DROP_NF_DIED ? "nf-died" : "other";
}

/* ---- groups ---------------------------------------------------------------------------------- */

struct buffer_pool *fake_pool(const char *name)
{
	static struct buffer_pool pools[] = {{.name = "default"}, {.name = "other"}};
	struct buffer_pool *pool = NULL;

	for (size_t i = 0; i < sizeof(pools) / sizeof(*pools); i++)
		if (strcmp(pools[i].name, name) == 0)
			pool = &pools[i];
	if (pool && pool->size_bytes == 0) {
		pool->size_bytes = POOL_BYTES;
		pool->memfd = memfd_create(name, MFD_CLOEXEC);
		assert_return_code(ftruncate(pool->memfd, POOL_BYTES), errno);
	}
	return pool;
}

struct buffer_pool *group_pool(const char *name)
{
	return fake_pool(name);
}

/* ---- documents ------------------------------------------------------------------------------- */

/* As the manager's, with the live fields of `nfs` known by name. */
enum change_kind change_kind(const struct change *change, const char *section, const char *name)
{
	const json_t *old = document_object(change->old, section, name);
	const json_t *new = document_object(change->new, section, name);
	json_t *live;
	bool same;

	if (!old || !new)
		return new ? CHANGE_ADD : CHANGE_DEL;
	if (json_equal(old, new))
		return CHANGE_NONE;
	live = json_deep_copy(old);
	json_object_set(live, "cpus", json_object_get(new, "cpus"));
	json_object_set(live, "hang_ms", json_object_get(new, "hang_ms"));
	json_object_set(live, "restart", json_object_get(new, "restart"));
	same = json_equal(live, new);
	json_decref(live);
	return same ? CHANGE_LIVE : CHANGE_RECREATE;
}

/* ---- events ---------------------------------------------------------------------------------- */

void events_add(const char *kind, const char *object, const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n_events < EVENTS_MAX)
		snprintf(events[n_events++], sizeof(events[0]), "%s %s: %s", kind, object, text);
	if (getenv("FAKE_EVENTS"))
		fprintf(stderr, "%s %s: %s\n", kind, object, text);
}

unsigned fake_events(const char *kind, const char *part)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_events; i++)
		n += strncmp(events[i], kind, strlen(kind)) == 0 && strstr(events[i], part);
	return n;
}

/* ---- loop and descriptors -------------------------------------------------------------------- */

static void guard_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

void fake_loop_until(struct event_base *base, bool (*done)(void *arg), void *arg)
{
	const struct timeval limit = {.tv_sec = GUARD_S};
	bool late = false;
	struct event *guard = evtimer_new(base, guard_event, &late);

	evtimer_add(guard, &limit);
	while (!done(arg) && !late)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(guard);
	if (late)
		fail_msg("waited %d seconds in vain", GUARD_S);
}

bool fake_is_readable(void *fd)
{
	struct pollfd pollfd = {.fd = *(int *)fd, .events = POLLIN};

	return poll(&pollfd, 1, 0) == 1;
}

int fake_hear(struct event_base *base, struct client *client)
{
	fake_loop_until(base, fake_is_readable, &client->fd);
	return client_receive(client, false);
}

unsigned fake_open_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}
