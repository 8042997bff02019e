/* Services by name. See services.h and, for nf_service(), nf.h. */
#include "modules/nf/services.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "engine/engine.h"
#include "manager/schema.h"
#include "modules/group/group.h"
#include "modules/nf/nf.h"

#define SERVICES_MAX (ENGINE_SERVICES_MAX - 1) /* number 0 is none */

struct entry {
	TAILQ_ENTRY(entry) link;
	char name[NETVM_NAME_BYTES];
	struct service *service;
	struct buffer_pool *pool;
	bool is_new; /* of the document being prepared */
};

static TAILQ_HEAD(, entry) entries = TAILQ_HEAD_INITIALIZER(entries);

static struct entry *find(const char *name, bool is_new)
{
	struct entry *entry;

	TAILQ_FOREACH (entry, &entries, link)
		if (entry->is_new == is_new && strcmp(entry->name, name) == 0)
			return entry;
	return NULL;
}

struct service *nf_service(const char *name)
{
	const struct entry *entry = find(name, true);

	if (!entry)
		entry = find(name, false);
	return entry ? entry->service : NULL;
}

static void entry_destroy(struct engine *engine, struct entry *entry)
{
	engine_service_destroy(engine, entry->service);
	TAILQ_REMOVE(&entries, entry, link);
	free(entry);
}

/* ---- check ----------------------------------------------------------------------------------- */

/* `fillers`: the NFs before this one that fill its service, in the document's order. */
static int check_filler(const json_t *section, const char *name, const json_t *object,
	const json_t *fillers, struct error *error)
{
	const char *service = value_text(object, "service");
	const char *first = json_string_value(json_array_get(fillers, 0));
	const char *group = value_text(json_object_get(section, first), "group");
	char path[2 * NETVM_NAME_BYTES], hint[ERROR_HINT_BYTES];

	if (json_array_size(fillers) == SERVICE_INSTANCES_MAX) {
		snprintf(path, sizeof(path), "%s.service", name);
		return error_set(error, E2BIG, path, "give some of them another service",
			"%u NFs fill service %s already, more cannot", SERVICE_INSTANCES_MAX,
			service);
	}
	if (strcmp(value_text(object, "group"), group) == 0)
		return 0;
	snprintf(path, sizeof(path), "%s.group", name);
	snprintf(hint, sizeof(hint),
		"all NFs of service %s must be in group %s, as %s is; "
		"or give this one another service",
		service, group, first);
	return error_set(error, EINVAL, path, hint, "service %s is in group %s", service, group);
}

/* `services` is a map from each service to the list of NFs that fill it. */
static int check_object(json_t *services, const json_t *section, const char *name,
	const json_t *object, struct error *error)
{
	const char *service = value_text(object, "service");
	json_t *fillers = json_object_get(services, service);
	int rc = fillers ? check_filler(section, name, object, fillers, error) : 0;

	if (rc)
		return rc;
	if (!fillers && json_object_size(services) == SERVICES_MAX)
		return error_set(error, E2BIG, name, "several NFs may fill one service",
			"there are %u services already, more cannot be", SERVICES_MAX);
	if (!fillers)
		json_object_set_new(services, service, fillers = json_array());
	json_array_append_new(fillers, json_string(name));
	return 0;
}

int services_check(const json_t *section, struct error *error)
{
	json_t *services, *object;
	const char *name;
	int rc = 0;

	if (json_object_size(section) > ENGINE_NFS_MAX)
		return error_set(error, E2BIG, "", "remove some, or run them on another host",
			"%zu NFs, at most %u can be", json_object_size(section), ENGINE_NFS_MAX);
	services = json_object();
	json_object_foreach ((json_t *)section, name, object) {
		rc = check_object(services, section, name, object, error);
		if (rc)
			break;
	}
	json_decref(services);
	return rc;
}

/* ---- transaction ----------------------------------------------------------------------------- */

static int entry_create(
	struct engine *engine, const char *name, struct buffer_pool *pool, struct error *error)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	int rc;

	if (!entry)
		return error_set(error, ENOMEM, "", "", "no memory for service %s", name);
	rc = engine_service_create(engine, name, pool, &entry->service, error);
	if (rc) {
		free(entry);
		return rc;
	}
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->pool = pool;
	entry->is_new = true;
	TAILQ_INSERT_TAIL(&entries, entry, link);
	return 0;
}

int services_prepare(struct engine *engine, const json_t *section, struct error *error)
{
	const char *name;
	json_t *object;

	json_object_foreach ((json_t *)section, name, object) {
		const char *service = value_text(object, "service");
		struct buffer_pool *pool = group_pool(value_text(object, "group"));
		const struct entry *old = find(service, false);
		int rc;

		if (find(service, true) || (old && old->pool == pool))
			continue;
		rc = entry_create(engine, service, pool, error);
		if (rc) {
			error_prefix(error, name);
			return rc;
		}
	}
	return 0;
}

static bool is_filled(const json_t *section, const char *service)
{
	const char *name;
	json_t *object;

	json_object_foreach ((json_t *)section, name, object)
		if (strcmp(value_text(object, "service"), service) == 0)
			return true;
	return false;
}

void services_finish(struct engine *engine, const json_t *section)
{
	struct entry *entry, *next;

	for (entry = TAILQ_FIRST(&entries); entry; entry = next) {
		next = TAILQ_NEXT(entry, link);
		if (!entry->is_new && (!is_filled(section, entry->name) || find(entry->name, true)))
			entry_destroy(engine, entry);
	}
	TAILQ_FOREACH (entry, &entries, link)
		entry->is_new = false;
}

void services_abort(struct engine *engine)
{
	struct entry *entry, *next;

	for (entry = TAILQ_FIRST(&entries); entry; entry = next) {
		next = TAILQ_NEXT(entry, link);
		if (entry->is_new)
			entry_destroy(engine, entry);
	}
}
