/*
 * The NF module: services and NFs follow the document, the NF socket and the engine's faults are
 * led to the instance they concern. Called by the manager through nf_module, and see nf.h.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "manager/module.h"
#include "modules/group/group.h"
#include "modules/nf/attach.h"
#include "modules/nf/control.h"
#include "modules/nf/instance.h"
#include "modules/nf/nf.h"
#include "modules/nf/pools.h"
#include "modules/nf/services.h"
#include "modules/nf/suspects.h"
#include "modules/nf/upgrade.h"
#include "modules/nf/survivor.h"
#include "modules/nf/tell.h"

#define HELLO_DEADLINE_MS 2000
#define FAULTS_AT_ONCE    16

static struct {
	struct manager *manager;
	struct attach *attach;
	struct event *notify;
	TAILQ_HEAD(, nf_instance) instances;
} nfs = {.instances = TAILQ_HEAD_INITIALIZER(nfs.instances)};

static struct nf_instance *find(const char *name, enum nf_place place)
{
	struct nf_instance *instance;

	TAILQ_FOREACH (instance, &nfs.instances, link)
		if (instance->place == place && strcmp(instance->settings.name, name) == 0)
			return instance;
	return NULL;
}

/* ---- hooks of instances ---------------------------------------------------------------------- */

static void instance_ended(struct nf_instance *instance)
{
	TAILQ_REMOVE(&nfs.instances, instance, link);
	instance_destroy(instance);
}

/* A state of its own for people; for the engine it is who has which flows. */
static void tell_standby(struct nf_instance *instance)
{
	const char *name = instance->settings.name, *service = instance->settings.service;
	bool stands_by = instance_stands_by(instance);

	/* Of a takeover the one that has no place now: it goes on as it was, or goes. */
	if (instance->session && engine_nf_is_parked(session_nf(instance->session)))
		return;
	if (stands_by && !instance->stands_by)
		nf_tell(name, "nf-standby", "stands by for service %s", service);
	else if (instance->stands_by && !stands_by && instance->session)
		nf_tell(name, "nf-takeover", "takes over flows of service %s", service);
	instance->stands_by = stands_by;
}

void nf_changed(void)
{
	struct nf_instance *instance;

	TAILQ_FOREACH (instance, &nfs.instances, link)
		tell_standby(instance);
	suspects_tell();
}

/* ---- hooks of the NF socket ------------------------------------------------------------------ */

/* Who attaches hears of NFs that he could be, and of no others. NULL: an API call, hears of all. */
static bool could_be(const struct attach_request *request, const struct nf_instance *instance)
{
	if (!request)
		return true;
	if (request->guest || instance->guest)
		return request->guest == instance->guest;
	return request->uid == 0 || request->uid == instance->settings.uid;
}

static void list_declared(const struct attach_request *request, char *text, size_t size)
{
	const struct nf_instance *instance;
	size_t n = (size_t)snprintf(text, size, "declared are:");

	TAILQ_FOREACH (instance, &nfs.instances, link)
		if (instance->place == PLACE_CURRENT && could_be(request, instance) && n < size)
			n += (size_t)snprintf(text + n, size - n, " %s", instance->settings.name);
}

static uint32_t refuse_unknown(const struct attach_request *request, char *text)
{
	int n = snprintf(text, NETVM_TEXT_BYTES, "name: no NF %s is declared%s; ",
		request->hello.name, request->guest ? " for this guest" : "");

	list_declared(request, text + n, NETVM_TEXT_BYTES - (size_t)n);
	return NETVM_REFUSED_UNKNOWN;
}

/* Of two with one name, the one that is leaving has had its turn. */
static uint32_t admit(const struct attach_request *request, struct attach_grant *grant, char *text)
{
	struct nf_instance *instance = find(request->hello.name, PLACE_CURRENT);

	if (!instance || (request->guest && !could_be(request, instance)))
		return refuse_unknown(request, text);
	return instance_admit(instance, request, grant, text);
}

static void attached(void *owner, struct session *session)
{
	instance_attached(owner, session);
}

static void gone(void *owner, struct session *session, const char *why)
{
	(void)session;
	instance_gone(owner, why);
}

static void said(void *owner, uint32_t type, uint64_t value)
{
	takeover_said(owner, type, value);
}

const struct attach_hooks nf_attach_hooks = {
	.admit = admit,
	.attached = attached,
	.gone = gone,
	.said = said,
};

/* ---- faults ---------------------------------------------------------------------------------- */

static void fault_of(const struct nf *nf)
{
	struct nf_instance *instance;

	TAILQ_FOREACH (instance, &nfs.instances, link) {
		if (instance->session && session_nf(instance->session) == nf) {
			instance_fault(instance);
			return;
		}
	}
}

static void notify_event(evutil_socket_t fd, short what, void *arg)
{
	struct nf_instance *instance, *next;
	struct nf *faulty[FAULTS_AT_ONCE];
	uint64_t count;
	unsigned n;

	(void)what;
	(void)arg;
	(void)!read(fd, &count, sizeof(count));
	do {
		n = engine_faults(nfs.manager->engine, faulty, FAULTS_AT_ONCE);
		for (unsigned i = 0; i < n; i++)
			fault_of(faulty[i]);
	} while (n == FAULTS_AT_ONCE);
	for (instance = TAILQ_FIRST(&nfs.instances); instance; instance = next) {
		next = TAILQ_NEXT(instance, link);
		takeover_look(instance);
	}
}

/* ---- the transaction ------------------------------------------------------------------------- */

/* What it boots must be there, as a program must be. */
static int check_boot(const struct nf_settings *settings, struct error *error)
{
	json_t *words;
	int rc = guest_arguments(
		nfs.manager, settings, (struct guest_start){false, false}, &words, error);

	if (rc)
		error_prefix(error, "guest.boot");
	else
		json_decref(words);
	return rc;
}

/* A change is taken back while the one it replaced still lives: that one is what is asked for. */
static struct nf_instance *find_predecessor(const char *name, const json_t *object)
{
	const struct nf_instance *current = find(name, PLACE_CURRENT);
	struct nf_instance *old = current ? current->predecessor : NULL;

	return old && json_equal(old->settings.object, object) ? old : NULL;
}

static int check_object(const char *name, json_t *object, struct error *error)
{
	struct nf_settings settings;
	/* The document is checked before modules are initialised, too. */
	const char *binary_dir = nfs.manager ? nfs.manager->binary_dir : NULL;
	int rc = nf_settings_read(&settings, name, object, binary_dir, error);

	if (rc)
		return rc;
	if (settings.guest && !settings.external && !settings.pool && nfs.manager)
		rc = check_boot(&settings, error);
	nf_settings_free(&settings);
	return rc;
}

/* Those that run were fine once: a program that vanished since does not forbid other changes. */
static int nf_check(const struct change *change, struct error *error)
{
	const json_t *section = json_object_get(change->new, "nfs");
	const char *name;
	json_t *object;
	int rc = pools_check(change, nfs.manager, error);

	if (rc)
		return rc;
	rc = services_check(section, error);
	json_object_foreach ((json_t *)section, name, object) {
		if (rc)
			break;
		if (change_kind(change, "nfs", name) == CHANGE_NONE ||
			find_predecessor(name, object))
			continue;
		rc = check_object(name, object, error);
		if (rc)
			error_prefix(error, name);
	}
	if (rc)
		error_prefix(error, "nfs");
	return rc;
}

/* Make and start one. */
static int instance_add(const char *name, json_t *object, enum nf_place place,
	struct nf_instance **instance, struct error *error)
{
	struct nf_settings settings;
	int rc = nf_settings_read(&settings, name, object, nfs.manager->binary_dir, error);

	if (rc)
		return rc;
	rc = instance_create(nfs.manager, instance_ended, &settings, nf_service(settings.service),
		group_pool(settings.group), instance);
	if (rc)
		return error_set(error, -rc, "", "", "no memory for an NF");
	(*instance)->place = place;
	rc = instance_start(*instance, error);
	if (rc) {
		instance_destroy(*instance);
		if (strcmp(error->path, "user") != 0) /* which the helper may not like */
			error_prefix(error, settings.guest ? "guest" : "command");
		return rc;
	}
	TAILQ_INSERT_TAIL(&nfs.instances, *instance, link);
	return 0;
}

/* Not before the first document: then the daemon before has let go of the socket. */
static int listen_to_nfs(struct error *error)
{
	if (nfs.attach)
		return 0;
	survivors_find();
	return attach_open(nfs.manager->base, nfs.manager->engine, nfs.manager->nf_socket,
		HELLO_DEADLINE_MS, &nf_attach_hooks, &nfs.attach, error);
}

static int nf_prepare(const struct change *change, struct error *error)
{
	const json_t *section = json_object_get(change->new, "nfs");
	struct nf_instance *instance;
	const char *name;
	json_t *object;
	int rc = listen_to_nfs(error);

	if (rc)
		return rc;
	rc = pools_prepare(change, nfs.manager, error);
	if (rc)
		return rc;
	rc = services_prepare(nfs.manager->engine, section, error);
	json_object_foreach ((json_t *)section, name, object) {
		enum change_kind kind = change_kind(change, "nfs", name);

		if (rc)
			break;
		if (kind != CHANGE_ADD && kind != CHANGE_RECREATE)
			continue;
		instance = find_predecessor(name, object);
		if (instance && instance->service == nf_service(instance->settings.service)) {
			instance->place = PLACE_NEW;
			continue;
		}
		rc = instance_add(name, object, PLACE_NEW, &instance, error);
		if (rc)
			error_prefix(error, name);
	}
	if (rc)
		error_prefix(error, "nfs");
	return rc;
}

/* Its name is gone or taken by a new one, which takes over if it can: same service, same way. */
static void finish_old(struct nf_instance *instance)
{
	struct nf_instance *next = find(instance->settings.name, PLACE_NEW);

	instance->place = PLACE_LEAVING;
	if (next && next == instance->predecessor)
		takeover_return(instance);
	else if (next && next->service == instance->service && !next->settings.external)
		takeover_begin(next, instance);
	else
		instance_leave(instance);
}

/* One that was only asked to come back goes on as it was. */
static void leave_all(enum nf_place place, void (*leave)(struct nf_instance *))
{
	struct nf_instance *instance, *next;

	for (instance = TAILQ_FIRST(&nfs.instances); instance; instance = next) {
		next = TAILQ_NEXT(instance, link);
		if (instance->place != place)
			continue;
		instance->place = PLACE_LEAVING;
		if (!instance->successor)
			leave(instance);
	}
}

/* They look for the next daemon's socket as soon as they are let go. */
static void finish_alive(void)
{
	attach_close(nfs.attach);
	nfs.attach = NULL;
	leave_all(PLACE_CURRENT, instance_leave_alive);
}

static void nf_finish(const struct change *change)
{
	struct nf_instance *instance, *next;

	if (change->phase == PHASE_HAND_OVER)
		finish_alive();
	for (instance = TAILQ_FIRST(&nfs.instances); instance; instance = next) {
		const char *name = instance->settings.name;

		next = TAILQ_NEXT(instance, link);
		if (instance->place != PLACE_CURRENT)
			continue;
		if (!document_object(change->new, "nfs", name) || find(name, PLACE_NEW))
			finish_old(instance);
		else if (change_kind(change, "nfs", name) == CHANGE_LIVE)
			instance_update(instance, document_object(change->new, "nfs", name));
	}
	TAILQ_FOREACH (instance, &nfs.instances, link)
		if (instance->place == PLACE_NEW)
			instance->place = PLACE_CURRENT;
	survivors_end();
	services_finish(nfs.manager->engine, json_object_get(change->new, "nfs"));
	pools_finish(change);
}

/* A start that fails is no reason to end what an earlier daemon started. */
static void leave_as_found(struct nf_instance *instance)
{
	if (instance->child.adopted)
		instance_leave_alive(instance);
	else
		instance_leave(instance);
}

static void nf_abort(const struct change *change)
{
	leave_all(PLACE_NEW, change->phase == PHASE_START ? leave_as_found : instance_leave);
	services_abort(nfs.manager->engine);
	pools_abort();
}

/* ---- for the methods ------------------------------------------------------------------------- */

struct nf_instance *nf_current(const char *name)
{
	return find(name, PLACE_CURRENT);
}

int nf_replace(struct nf_instance *old, struct error *error)
{
	struct nf_instance *next;
	int rc =
		instance_add(old->settings.name, old->settings.object, PLACE_CURRENT, &next, error);

	if (rc)
		return rc;
	old->place = PLACE_LEAVING;
	takeover_begin(next, old);
	next->restarts++;
	return 0;
}

void nf_return(struct nf_instance *instance)
{
	instance->predecessor->place = PLACE_CURRENT;
	instance->place = PLACE_LEAVING;
	takeover_return(instance);
}

int nf_unknown(const char *name, struct error *error)
{
	char text[NETVM_TEXT_BYTES];

	list_declared(NULL, text, sizeof(text));
	return error_set(error, ENOENT, "name", text, "there is no NF %s", name);
}

json_t *nf_describe_all(json_t *(*describe)(const struct nf_instance *))
{
	json_t *object = json_object();
	const struct nf_instance *instance;

	TAILQ_FOREACH (instance, &nfs.instances, link)
		if (instance->place == PLACE_CURRENT)
			json_object_set_new(object, instance->settings.name, describe(instance));
	return object;
}

static void nf_stats(json_t *stats)
{
	json_object_set_new(stats, "nfs", nf_describe_all(instance_stats));
	json_object_set_new(stats, "pools", pools_stats());
}

static bool nf_ready(void)
{
	const struct nf_instance *instance;

	TAILQ_FOREACH (instance, &nfs.instances, link)
		if (instance->place == PLACE_CURRENT && !instance->settings.external &&
			!instance->settled)
			return false;
	return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int nf_init(struct manager *manager, struct error *error)
{
	int rc;

	nfs.manager = manager;
	nfs.notify = event_new(
		manager->base, manager->notify_fd, EV_READ | EV_PERSIST, notify_event, NULL);
	if (!nfs.notify)
		return error_set(error, ENOMEM, "", "", "no memory for the NF module");
	event_add(nfs.notify, NULL);
	rc = suspects_open(manager, error);
	if (rc)
		goto fail;
	rc = upgrade_init(manager, error);
	if (rc == 0)
		return 0;
	suspects_close();
fail:
	event_free(nfs.notify);
	return rc;
}

/* Waits together for all processes that are left; the loop does not turn any more. */
static void await_all(unsigned timeout_ms)
{
	struct nf_instance *instance, *next;
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);

	for (instance = TAILQ_FIRST(&nfs.instances); instance; instance = next) {
		uint64_t spent_ms = (clock_ns(CLOCK_MONOTONIC) - start_ns) / 1000000;

		next = TAILQ_NEXT(instance, link);
		instance_await(instance, spent_ms < timeout_ms ? (int)(timeout_ms - spent_ms) : 0);
	}
}

static void signal_all(int number)
{
	const struct nf_instance *instance;

	TAILQ_FOREACH (instance, &nfs.instances, link)
		child_signal(&instance->child, number);
}

static void nf_fini(void)
{
	leave_all(PLACE_CURRENT, instance_leave);
	await_all(instance_times.stop_ms);
	signal_all(SIGTERM);
	await_all(instance_times.stop_ms);
	signal_all(SIGKILL);
	await_all(UINT_MAX);
	upgrade_fini();
	pools_fini();
	attach_close(nfs.attach);
	nfs.attach = NULL;
	suspects_close();
	event_free(nfs.notify);
}

static const char *const nf_after[] = {"group", NULL};
static const struct section *const nf_sections[] = {&pool_section, &nf_section, NULL};

const struct module nf_module = {
	.name = "nf",
	.after = nf_after,
	.sections = nf_sections,
	.methods = nf_methods,
	.init = nf_init,
	.fini = nf_fini,
	.check = nf_check,
	.prepare = nf_prepare,
	.finish = nf_finish,
	.abort = nf_abort,
	.stats = nf_stats,
	.ready = nf_ready,
};
