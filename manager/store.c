/* The document store: see store.h. */
#include "manager/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "manager/document.h"
#include "manager/events.h"
#include "manager/file.h"
#include "manager/modules.h"
#include "manager/state.h"
#include "manager/yaml.h"

#define RETRY_S 2 /* when what was not confirmed cannot be undone */

static struct {
	json_t *given;
	json_t *complete;
	json_t *previous; /* as given, before the last apply; NULL: none */
	json_t *earlier;  /* the one before that, should the last apply be undone */
	struct event *confirm_timer;
	enum change_phase phase;
	bool expired; /* the last apply was not confirmed in time, and undone */
	const char *save_path;
} store;

bool store_waits(void)
{
	return store.confirm_timer && evtimer_pending(store.confirm_timer, NULL);
}

const json_t *store_given(void)
{
	return store.given;
}

const json_t *store_complete(void)
{
	return store.complete;
}

const json_t *store_previous(void)
{
	return store.previous;
}

const char *store_save_path(void)
{
	return store.save_path;
}

/* ---- applying -------------------------------------------------------------------------------- */

/* Complete and check `given`; fills the transaction, whose `new` the caller must give back. */
static int plan(const json_t *given, struct change *change, struct error *error)
{
	json_t *complete;
	int rc = schema_complete(modules_sections(), store.complete, given, &complete, error);

	if (rc)
		return rc;
	*change = (struct change){store.complete, complete, modules_sections(), store.phase};
	rc = modules_check(change, error);
	if (rc)
		json_decref(complete);
	return rc;
}

int store_check(const json_t *given, json_t **changes, struct error *error)
{
	struct change change;
	int rc = plan(given, &change, error);

	if (rc)
		return rc;
	if (changes)
		*changes = document_diff(&change);
	json_decref((json_t *)change.new);
	return 0;
}

static void replace(json_t **place, json_t *value)
{
	json_decref(*place);
	*place = value;
}

/* Takes a document over that has become the running one; `different`: and not only in wording. */
static void adopt(const struct change *change, const json_t *given, bool different)
{
	if (different) {
		replace(&store.earlier, store.previous);
		store.previous = json_incref(store.given);
	}
	replace(&store.given, json_deep_copy(given));
	replace(&store.complete, json_incref((json_t *)change->new));
}

/* "3 changes applied: ports.lan.mtu, nfs.fw, chains.web.path". */
static void report(const json_t *changes)
{
	size_t n = json_array_size(changes), shown = 0;
	char paths[3 * ERROR_PATH_BYTES] = "", more[32] = "";

	if (n == 0)
		return;
	for (; shown < n && shown < 3; shown++) {
		const char *path =
			json_string_value(json_object_get(json_array_get(changes, shown), "path"));
		size_t used = strlen(paths);

		snprintf(paths + used, sizeof(paths) - used, "%s%s", shown ? ", " : ": ", path);
	}
	if (n > shown)
		snprintf(more, sizeof(more), ", +%zu more", n - shown);
	events_add("config", "", "%zu change%s applied%s%s", n, n == 1 ? "" : "s", paths, more);
}

static int apply(const json_t *given, json_t **changes, struct error *error)
{
	struct change change;
	json_t *list;
	size_t n;
	int rc = plan(given, &change, error);

	if (rc)
		return rc;
	list = document_diff(&change);
	n = json_array_size(list);
	if (n > 0)
		rc = modules_apply(&change, error);
	if (rc == 0) {
		adopt(&change, given, n > 0);
		store.phase = PHASE_RUN;
		store.expired = false;
		report(list);
		*changes = list;
	} else {
		json_decref(list);
	}
	json_decref((json_t *)change.new);
	return rc;
}

int store_apply(const json_t *given, unsigned confirm_s, json_t **changes, struct error *error)
{
	const struct timeval wait = {.tv_sec = confirm_s};
	int rc;

	if (store_waits())
		return error_set(error, EBUSY, "", "confirm or roll back first",
			"an earlier change waits to be confirmed");
	rc = apply(given, changes, error);
	if (rc)
		return rc;
	if (confirm_s > 0 && json_array_size(*changes) > 0)
		evtimer_add(store.confirm_timer, &wait);
	else
		state_write(store.given);
	return 0;
}

int store_patch(const json_t *patch, unsigned confirm_s, json_t **changes, struct error *error)
{
	json_t *document;
	int rc = document_patch(
		modules_sections(), store.given, store.complete, patch, &document, error);

	if (rc)
		return rc;
	rc = store_apply(document, confirm_s, changes, error);
	json_decref(document);
	return rc;
}

int store_confirm(struct error *error)
{
	if (!store_waits())
		return store.expired ? error_set(error, ENOENT, "", "apply it again",
					       "too late: the change was not confirmed in "
					       "time and is undone")
				     : error_set(error, ENOENT, "", "what runs stays as it is",
					       "no change waits to be confirmed");
	evtimer_del(store.confirm_timer);
	state_write(store.given);
	events_add("config", "", "confirmed");
	return 0;
}

void store_forget_past(void)
{
	replace(&store.previous, NULL);
	replace(&store.earlier, NULL);
}

/* To the document before. What was only tried out takes no step of the past away, and is undone
 * later if not now. */
static int go_back(bool undo, json_t **changes, struct error *error)
{
	const struct timeval later = {.tv_sec = RETRY_S};
	json_t *previous = json_incref(store.previous);
	json_t *earlier = undo ? json_incref(store.earlier) : NULL;
	int rc = apply(previous, changes, error);

	json_decref(previous);
	if (rc) {
		if (undo)
			evtimer_add(store.confirm_timer, &later);
		json_decref(earlier);
		return rc;
	}
	evtimer_del(store.confirm_timer);
	state_write(store.given);
	store_forget_past();
	store.previous = earlier;
	return 0;
}

int store_rollback(json_t **changes, struct error *error)
{
	if (!store.previous)
		return error_set(error, ENOENT, "", "one step back is kept",
			"there is no earlier state to go back to");
	return go_back(store_waits(), changes, error);
}

static void confirm_expired(evutil_socket_t fd, short what, void *arg)
{
	struct error error = {0};
	json_t *changes;

	(void)fd, (void)what, (void)arg;
	events_add("config", "", "not confirmed: going back");
	if (go_back(true, &changes, &error)) {
		events_add("config", error.path, "cannot go back, tried again in %d s: %s", RETRY_S,
			error.message);
		return;
	}
	store.expired = true;
	json_decref(changes);
}

/* ---- saving ---------------------------------------------------------------------------------- */

int store_save(const char *path, struct error *error)
{
	char *text;
	int rc;

	if (store_waits())
		return error_set(error, EBUSY, "", "confirm or roll back first",
			"the running document waits to be confirmed");
	text = yaml_dump(store.given);
	if (!text)
		return error_set(error, ENOMEM, "", "", "no memory");
	path = path ? path : store.save_path;
	rc = file_replace(path, text, strlen(text));
	free(text);
	if (rc)
		return error_set(error, -rc, "path", "a folder that the daemon may write to",
			"cannot write %s: %s", path, strerror(-rc));
	if (strcmp(path, store.save_path) == 0) {
		state_saved();
		state_write(store.given);
	}
	events_add("config", "", "saved to %s", path);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

void store_init(struct event_base *base, const char *save_path)
{
	store.given = json_object();
	store.complete = json_object();
	store.save_path = save_path;
	store.expired = false;
	store.phase = PHASE_START;
	store.confirm_timer = evtimer_new(base, confirm_expired, NULL);
}

int store_fini(enum change_phase phase, struct error *error)
{
	json_t *empty = json_object();
	const struct change change = {store.complete, empty, modules_sections(), phase};
	int rc = modules_apply(&change, error);

	json_decref(empty);
	return rc;
}

void store_free(void)
{
	replace(&store.given, NULL);
	replace(&store.complete, NULL);
	store_forget_past();
	event_free(store.confirm_timer);
	store.confirm_timer = NULL;
}
