/*
 * Trust groups: makes a buffer pool for each and lends it to the engine, ports and NFs. A group
 * whose sizes change is a new pool beside the old one; ports and NFs move over in the same
 * transaction, because their `group` refers to it (see change_kind()), and then the old one goes.
 */
#include "modules/group/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "engine/buffers.h"
#include "engine/engine.h"
#include "manager/module.h"

struct group {
	TAILQ_ENTRY(group) next;
	struct buffer_pool *pool;     /* of the running document; NULL: new */
	struct buffer_pool *prepared; /* of the one being prepared; NULL: the same */
	char name[NETVM_NAME_BYTES];
};

static TAILQ_HEAD(, group) groups = TAILQ_HEAD_INITIALIZER(groups);
static struct engine *engine;

static int group_init(struct manager *manager, struct error *error)
{
	(void)error;
	engine = manager->engine;
	return 0;
}

static struct group *find(const char *name)
{
	struct group *group;

	TAILQ_FOREACH (group, &groups, next)
		if (strcmp(group->name, name) == 0)
			return group;
	return NULL;
}

struct buffer_pool *group_pool(const char *name)
{
	struct group *group = find(name);

	return !group ? NULL : group->prepared ? group->prepared : group->pool;
}

static struct group *find_or_add(const char *name)
{
	struct group *group = find(name);

	if (group)
		return group;
	group = calloc(1, sizeof(*group));
	if (group) {
		strncpy(group->name, name, sizeof(group->name) - 1);
		TAILQ_INSERT_TAIL(&groups, group, next);
	}
	return group;
}

/* ---- pools ----------------------------------------------------------------------------------- */

static int huge_pages_wanted(const json_t *settings)
{
	const char *word = value_text(settings, "huge_pages");

	return strcmp(word, "auto") == 0 ? -1 : strcmp(word, "always") == 0;
}

static int pool_open(
	const char *name, const json_t *settings, struct buffer_pool **pool, struct error *error)
{
	const struct buffer_pool_options options = {
		.name = name,
		.n_buffers = (uint32_t)value_int(settings, "buffers"),
		.buffer_bytes = (uint32_t)value_int(settings, "buffer_bytes"),
		.huge_pages = huge_pages_wanted(settings),
	};
	int rc = buffer_pool_create(&options, pool, error);

	if (rc)
		return rc;
	rc = engine_pool_attach(engine, *pool, error);
	if (rc) {
		buffer_pool_destroy(*pool);
		*pool = NULL;
	}
	return rc;
}

static void pool_close(struct buffer_pool *pool)
{
	if (!pool)
		return;
	engine_pool_detach(engine, pool);
	buffer_pool_destroy(pool);
}

/* ---- transaction ----------------------------------------------------------------------------- */

static int prepare_group(const char *name, const json_t *settings, struct error *error)
{
	struct group *group = find_or_add(name);
	int rc = group ? pool_open(name, settings, &group->prepared, error)
		       : error_set(error, ENOMEM, "", "", "no memory");

	if (rc) {
		error_prefix(error, name);
		error_prefix(error, "groups");
	}
	return rc;
}

static int group_prepare(const struct change *change, struct error *error)
{
	const char *name;
	json_t *settings;
	int rc = 0;

	json_object_foreach (json_object_get(change->new, "groups"), name, settings) {
		enum change_kind kind = change_kind(change, "groups", name);

		if (kind == CHANGE_ADD || kind == CHANGE_RECREATE)
			rc = prepare_group(name, settings, error);
		if (rc)
			break;
	}
	return rc;
}

static void remove_if_empty(struct group *group)
{
	if (group->pool)
		return;
	TAILQ_REMOVE(&groups, group, next);
	free(group);
}

static void group_finish(const struct change *change)
{
	struct group *group, *following;

	for (group = TAILQ_FIRST(&groups); group; group = following) {
		following = TAILQ_NEXT(group, next);
		if (document_object(change->new, "groups", group->name) && !group->prepared)
			continue;
		pool_close(group->pool);
		group->pool = group->prepared;
		group->prepared = NULL;
		remove_if_empty(group);
	}
}

static void group_abort(const struct change *change)
{
	struct group *group, *following;

	(void)change;
	for (group = TAILQ_FIRST(&groups); group; group = following) {
		following = TAILQ_NEXT(group, next);
		pool_close(group->prepared);
		group->prepared = NULL;
		remove_if_empty(group);
	}
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void group_stats(json_t *stats)
{
	json_t *list = json_object();
	struct group *group;

	TAILQ_FOREACH (group, &groups, next)
		json_object_set_new(list, group->name,
			json_pack("{sI sI sI sb}", "buffers", (json_int_t)group->pool->n_buffers,
				"buffer_bytes", (json_int_t)group->pool->stride, "memory_bytes",
				(json_int_t)group->pool->size_bytes, "huge_pages",
				(int)group->pool->huge_pages));
	json_object_set_new(stats, "groups", list);
}

const struct module group_module = {
	.name = "group",
	.sections = (const struct section *const[]){&group_section, NULL},
	.init = group_init,
	.prepare = group_prepare,
	.finish = group_finish,
	.abort = group_abort,
	.stats = group_stats,
};
