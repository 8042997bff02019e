/* Guests in store. See pools.h. */
#include "modules/nf/pools.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/buffers.h"
#include "manager/events.h"
#include "manager/module.h"
#include "modules/group/group.h"
#include "modules/guest/qemu.h"
#include "modules/nf/instance.h"

#define PAUSE_FIRST_S 1u
#define PAUSE_LAST_S  30u
#define REFILL_S      1u /* the guest just taken has the cores for itself while its NF starts */

TAILQ_HEAD(spares, spare);

struct guest_pool {
	TAILQ_ENTRY(guest_pool) link;
	enum nf_place place;
	const struct manager *manager;
	char name[NETVM_NAME_BYTES];
	json_t *object;
	json_t *settings; /* of its spares, as an object of section nfs */
	struct buffer_pool *memory;
	struct event *work;
	unsigned pause_s; /* after a failure */

	enum { TEMPLATE_NONE, TEMPLATE_WANTED, TEMPLATE_SAVED } template;
	int template_fd;          /* -1: none */
	struct spares made, idle; /* made: becoming ready */
	unsigned n_made, n_idle, n_claims, n_taken;
	TAILQ_HEAD(, claim) claims;
};

static TAILQ_HEAD(, guest_pool) pools = TAILQ_HEAD_INITIALIZER(pools);

static struct guest_pool *find(const char *name, enum nf_place place)
{
	struct guest_pool *pool;

	TAILQ_FOREACH (pool, &pools, link)
		if (pool->place == place && strcmp(pool->name, name) == 0)
			return pool;
	return NULL;
}

/* In the document being prepared, else in the running one. */
static struct guest_pool *find_any(const char *name)
{
	struct guest_pool *pool = find(name, PLACE_NEW);

	return pool ? pool : find(name, PLACE_CURRENT);
}

static void tell(const struct guest_pool *pool, const char *kind, const char *text)
{
	char object[8 + NETVM_NAME_BYTES];

	snprintf(object, sizeof(object), "pools.%s", pool->name);
	events_add(kind, object, "%s", text);
}

static void work_after(struct guest_pool *pool, unsigned s)
{
	const struct timeval pause = {s, 0};

	if (s)
		event_add(pool->work, &pause);
	else
		event_active(pool->work, EV_TIMEOUT, 0);
}

/* ---- spares -------------------------------------------------------------------------------- */

static void fail_claim(struct guest_pool *pool, const char *why)
{
	struct claim *claim = TAILQ_FIRST(&pool->claims);

	if (!claim)
		return;
	pool_withdraw(claim);
	claim->failed(claim->arg, why);
}

static void template_close(struct guest_pool *pool)
{
	if (pool->template_fd >= 0)
		close(pool->template_fd);
	pool->template_fd = -1;
}

/* One that had booted and could not be saved will not be so the next time. */
static void template_failed(struct guest_pool *pool, bool booted)
{
	template_close(pool);
	if (!booted)
		return;
	pool->template = TEMPLATE_NONE;
	tell(pool, "pool-no-template", "each of its guests boots");
}

static void spare_ended(void *arg, struct spare *spare, const char *why)
{
	struct guest_pool *pool = arg;

	tell(pool, "pool-guest-ended", why);
	if (spare->ready) {
		TAILQ_REMOVE(&pool->idle, spare, link);
		pool->n_idle--;
		work_after(pool, 0);
		return;
	}
	TAILQ_REMOVE(&pool->made, spare, link);
	pool->n_made--;
	if (pool->template == TEMPLATE_WANTED)
		template_failed(pool, spare->booted);
	fail_claim(pool, why);
	work_after(pool, pool->pause_s);
	pool->pause_s = pool->pause_s * 2 < PAUSE_LAST_S ? pool->pause_s * 2 : PAUSE_LAST_S;
}

/* Nobody writes there any more, not even the QEMU that did. */
static void template_saved(struct guest_pool *pool, struct spare *spare)
{
	fcntl(pool->template_fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	pool->template = TEMPLATE_SAVED;
	tell(pool, "pool-template", "its guests are copies of one that has booted");
	spare_discard(spare);
}

static void spare_ready(void *arg, struct spare *spare)
{
	struct guest_pool *pool = arg;

	TAILQ_REMOVE(&pool->made, spare, link);
	pool->n_made--;
	pool->pause_s = PAUSE_FIRST_S;
	if (pool->template == TEMPLATE_WANTED) {
		template_saved(pool, spare);
	} else {
		TAILQ_INSERT_TAIL(&pool->idle, spare, link);
		pool->n_idle++;
	}
	work_after(pool, 0);
}

static const struct spare_hooks spare_hooks = {.ready = spare_ready, .ended = spare_ended};

/* Each reader needs a file position of its own. */
static int template_open(const struct guest_pool *pool)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pool->template_fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int options_fill(struct guest_pool *pool, struct spare_options *options)
{
	*options = (struct spare_options){
		.manager = pool->manager,
		.settings = pool->settings,
		.pool = pool->memory,
		.load_fd = -1,
		.save_fd = -1,
		.hooks = &spare_hooks,
		.arg = pool,
	};
	if (pool->template == TEMPLATE_NONE)
		return 0;
	if (pool->template == TEMPLATE_SAVED) {
		options->load_fd = template_open(pool);
		return options->load_fd < 0 ? -errno : 0;
	}
	template_close(pool);
	pool->template_fd = memfd_create("netvm-template", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	options->save_fd =
		pool->template_fd < 0 ? -1 : fcntl(pool->template_fd, F_DUPFD_CLOEXEC, 0);
	return options->save_fd < 0 ? -errno : 0;
}

static int make(struct guest_pool *pool, struct error *error)
{
	struct spare_options options;
	struct spare *spare;
	int rc = options_fill(pool, &options);

	if (rc)
		return error_set(error, -rc, "", "", "the template: %s", strerror(-rc));
	rc = spare_start(&options, &spare, error);
	if (rc)
		return rc;
	TAILQ_INSERT_TAIL(&pool->made, spare, link);
	pool->n_made++;
	spare_hurry(spare, pool->n_claims > 0);
	return 0;
}

/* ---- claims ---------------------------------------------------------------------------------- */

static void larger(json_t *settings, const char *field, uint32_t wanted)
{
	if ((json_int_t)wanted > value_int(settings, field))
		json_object_set_new(settings, field, json_integer(wanted));
}

/* Guests are made before their NF is known: as for the largest there was. */
static void fit(struct guest_pool *pool, const struct nf_settings *settings)
{
	larger(pool->settings, "ring", settings->ring_words);
	larger(pool->settings, "stock", settings->stock_words);
	larger(pool->settings, "queues", settings->n_queues);
}

static bool fits(const struct spare *spare, const struct claim *claim)
{
	const struct guest_pool *pool = claim->pool;

	return guest_channel_need(pool->manager, claim->settings, pool->memory) <=
	       guest_channel_bytes(spare->guest);
}

/* Was one given away? */
static bool hand_out(struct guest_pool *pool)
{
	struct spare *spare;
	struct claim *claim;
	bool given = false;

	while ((claim = TAILQ_FIRST(&pool->claims)) && (spare = TAILQ_FIRST(&pool->idle))) {
		bool suits = fits(spare, claim);

		TAILQ_REMOVE(&pool->idle, spare, link);
		pool->n_idle--;
		if (!suits) {
			spare_discard(spare);
			continue;
		}
		pool->n_taken++;
		pool_withdraw(claim);
		claim->given(claim->arg, spare);
		given = true;
	}
	return given;
}

/* For those who wait at once and for each; in store one after the other. */
static bool wants_more(const struct guest_pool *pool)
{
	if (pool->template == TEMPLATE_WANTED)
		return pool->n_made == 0;
	return pool->n_made < pool->n_claims ||
	       (pool->n_made == 0 && pool->n_idle < value_int(pool->object, "idle"));
}

static void fill(struct guest_pool *pool)
{
	struct error error = {0};
	struct spare *spare;

	if (pool->n_claims)
		TAILQ_FOREACH (spare, &pool->made, link)
			spare_hurry(spare, true);
	while (wants_more(pool)) {
		if (make(pool, &error) == 0)
			continue;
		tell(pool, "pool-guest-ended", error.message);
		fail_claim(pool, error.message);
		work_after(pool, PAUSE_LAST_S);
		return;
	}
}

static void trim(struct guest_pool *pool)
{
	struct spare *spare;

	while (pool->n_idle > value_int(pool->object, "idle") &&
		(spare = TAILQ_FIRST(&pool->idle))) {
		TAILQ_REMOVE(&pool->idle, spare, link);
		pool->n_idle--;
		spare_discard(spare);
	}
}

static void work_event(evutil_socket_t fd, short what, void *arg)
{
	struct guest_pool *pool = arg;
	bool given = hand_out(pool);

	(void)fd;
	(void)what;
	trim(pool);
	if (given && pool->n_claims == 0)
		work_after(pool, REFILL_S);
	else if (pool->place == PLACE_CURRENT)
		fill(pool);
}

int pool_claim(struct claim *claim, struct error *error)
{
	struct guest_pool *pool = find_any(claim->settings->pool);

	if (!pool)
		return error_set(
			error, ENOENT, "pool", "", "there is no pool %s", claim->settings->pool);
	fit(pool, claim->settings);
	claim->pool = pool;
	TAILQ_INSERT_TAIL(&pool->claims, claim, link);
	pool->n_claims++;
	work_after(pool, 0);
	return 0;
}

void pool_withdraw(struct claim *claim)
{
	if (!claim->pool)
		return;
	TAILQ_REMOVE(&claim->pool->claims, claim, link);
	claim->pool->n_claims--;
	claim->pool = NULL;
}

int pool_load(const char *name, const struct nf_settings *settings, int load_fd,
	const struct spare_hooks *hooks, void *arg, struct spare **spare, struct error *error)
{
	struct guest_pool *pool = find_any(name);
	struct spare_options options;

	if (!pool) {
		close(load_fd);
		return error_set(error, ENOENT, "name", "", "there is no pool %s", name);
	}
	fit(pool, settings);
	options = (struct spare_options){
		.manager = pool->manager,
		.settings = pool->settings,
		.pool = pool->memory,
		.load_fd = load_fd,
		.save_fd = -1,
		.hooks = hooks,
		.arg = arg,
	};
	return spare_start(&options, spare, error);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void discard_all(struct spares *spares)
{
	struct spare *spare;

	while ((spare = TAILQ_FIRST(spares))) {
		TAILQ_REMOVE(spares, spare, link);
		spare_discard(spare);
	}
}

/* NFs that wait have been made for another pool, or leave. */
static void pool_destroy(struct guest_pool *pool)
{
	while (TAILQ_FIRST(&pool->claims))
		fail_claim(pool, "its pool is no more");
	discard_all(&pool->made);
	discard_all(&pool->idle);
	template_close(pool);
	if (pool->work)
		event_free(pool->work);
	json_decref(pool->object);
	json_decref(pool->settings);
	free(pool);
}

static int pool_add(
	const struct manager *manager, const char *name, json_t *object, struct error *error)
{
	struct guest_pool *made = calloc(1, sizeof(*made));

	if (!made)
		return error_set(error, ENOMEM, "", "", "no memory for a pool");
	snprintf(made->name, sizeof(made->name), "%s", name);
	made->place = PLACE_NEW;
	made->manager = manager;
	made->object = json_incref(object);
	made->settings = pool_settings(name, object);
	made->memory = group_pool(value_text(object, "group"));
	made->template = value_bool(object, "template") ? TEMPLATE_WANTED : TEMPLATE_NONE;
	made->template_fd = -1;
	made->pause_s = PAUSE_FIRST_S;
	made->work = evtimer_new(manager->base, work_event, made);
	TAILQ_INIT(&made->made);
	TAILQ_INIT(&made->idle);
	TAILQ_INIT(&made->claims);
	if (!made->settings || !made->work) {
		pool_destroy(made);
		return error_set(error, ENOMEM, "", "", "no memory for a pool");
	}
	TAILQ_INSERT_TAIL(&pools, made, link);
	return 0;
}

/* ---- the document ---------------------------------------------------------------------------- */

static int check_memory(const char *group, struct error *error)
{
	const struct buffer_pool *memory = group_pool(group);

	if (memory->size_bytes <= QEMU_PLUG_BYTES_MAX)
		return 0;
	return error_set(error, E2BIG, "group", "a group of at most 4 GB",
		"the memory of group %s is too large to be plugged into a guest", group);
}

int pools_prepare(const struct change *change, const struct manager *manager, struct error *error)
{
	const char *name;
	json_t *object;
	int rc = 0;

	json_object_foreach (json_object_get(change->new, "pools"), name, object) {
		enum change_kind kind = change_kind(change, "pools", name);

		if (kind != CHANGE_ADD && kind != CHANGE_RECREATE)
			continue;
		rc = check_memory(value_text(object, "group"), error);
		if (!rc)
			rc = pool_add(manager, name, object, error);
		if (rc) {
			error_prefix(error, name);
			error_prefix(error, "pools");
			break;
		}
	}
	return rc;
}

static void destroy_all(enum nf_place place)
{
	struct guest_pool *pool, *next;

	for (pool = TAILQ_FIRST(&pools); pool; pool = next) {
		next = TAILQ_NEXT(pool, link);
		if (pool->place != place)
			continue;
		TAILQ_REMOVE(&pools, pool, link);
		pool_destroy(pool);
	}
}

static void update(struct guest_pool *pool, json_t *object)
{
	json_incref(object);
	json_decref(pool->object);
	pool->object = object;
	work_after(pool, 0);
}

void pools_finish(const struct change *change)
{
	struct guest_pool *pool;

	TAILQ_FOREACH (pool, &pools, link) {
		json_t *object = document_object(change->new, "pools", pool->name);

		if (pool->place == PLACE_CURRENT && (!object || find(pool->name, PLACE_NEW)))
			pool->place = PLACE_LEAVING;
		else if (pool->place == PLACE_CURRENT)
			update(pool, object);
	}
	destroy_all(PLACE_LEAVING);
	TAILQ_FOREACH (pool, &pools, link) {
		pool->place = PLACE_CURRENT;
		work_after(pool, 0);
	}
}

void pools_abort(void)
{
	destroy_all(PLACE_NEW);
}

void pools_fini(void)
{
	destroy_all(PLACE_CURRENT);
	spare_await_all();
}

/* ---- figures --------------------------------------------------------------------------------- */

static json_t *stats_of(const struct guest_pool *pool)
{
	struct stat st = {0};

	if (pool->template == TEMPLATE_SAVED)
		fstat(pool->template_fd, &st);
	return json_pack("{s:i, s:i, s:i, s:i, s:I}", "idle", (int)pool->n_idle, "starting",
		(int)pool->n_made, "waiting", (int)pool->n_claims, "taken", (int)pool->n_taken,
		"template_bytes", (json_int_t)st.st_size);
}

json_t *pools_stats(void)
{
	const struct guest_pool *pool;
	json_t *object = json_object();

	TAILQ_FOREACH (pool, &pools, link)
		if (pool->place == PLACE_CURRENT)
			json_object_set_new(object, pool->name, stats_of(pool));
	return object;
}
