/* The module in a daemon of cardboard. See rig.h. */
#include "modules/nf/testing/rig.h"

#include <event2/event.h>
#include <limits.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/store.h"
#include "modules/nf/instance.h"
#include "modules/nf/nf.h"
#include "modules/nf/testing/fake.h"

struct manager rig_manager;
enum change_phase rig_phase;
char rig_run_dir[PATH_MAX], rig_nf_socket[PATH_MAX];

static json_t *document;
static json_t *previous; /* while an upgrade waits to be confirmed */
struct rig_upgrade rig_upgrade;
static char actor[PATH_MAX];
static unsigned fds_before;

/* ---- documents ------------------------------------------------------------------------------- */

/* A complete object; what `fields` (may be NULL, is taken over) says goes before the presets. */
json_t *rig_object(const char *name, json_t *fields)
{
	json_t *object = json_pack("{s:s s:s s:s s:s s:[] s:s s:i s:i s:i}", "service", name,
		"group", "default", "image", "process", "user", getpwuid(geteuid())->pw_name,
		"cpus", "restart", "always", "ring", 2048, "stock", 512, "queues", 1);

	if (fields)
		json_object_update(object, fields);
	json_decref(fields);
	return object;
}

json_t *rig_acting(const char *role)
{
	char command[PATH_MAX + 32];

	snprintf(command, sizeof(command), "'%s' %s", actor, role);
	return json_pack("{s:s}", "command", command);
}

json_t *rig_external(void)
{
	return json_pack("{s:s}", "image", "external");
}

json_t *rig_with(json_t *object, const char *field, const char *value)
{
	json_object_set_new(object, field, json_string(value));
	return object;
}

json_t *rig_one(const char *name, json_t *fields)
{
	return json_pack("{s:{s:o}}", "nfs", name, rig_object(name, fields));
}

/* One transaction, as the rig_manager does it. Takes over the document. */
int rig_apply(json_t *next, struct error *error)
{
	const struct change change = {.old = document, .new = next, .phase = rig_phase};
	int rc = nf_module.check(&change, error);

	if (!rc) {
		rc = nf_module.prepare(&change, error);
		if (rc)
			nf_module.abort(&change);
		else
			nf_module.finish(&change);
	}
	if (rc) {
		json_decref(next);
		return rc;
	}
	json_decref(document);
	document = next;
	return 0;
}

void rig_apply_ok(json_t *next)
{
	struct error error = {0};
	int rc = rig_apply(next, &error);

	if (rc)
		fail_msg("%s: %s (%s)", error.path, error.message, error.hint);
}

/* ---- looking --------------------------------------------------------------------------------- */

json_t *rig_stats(const char *name)
{
	json_t *stats = json_object();
	json_t *object;

	nf_module.stats(stats);
	object = json_incref(document_object(stats, "nfs", name));
	json_decref(stats);
	return object;
}

json_int_t rig_figure(const char *name, const char *field)
{
	json_t *object = rig_stats(name);
	json_int_t value = value_int(object, field);

	json_decref(object);
	return value;
}

bool rig_is_state(const char *name, const char *state)
{
	json_t *object = rig_stats(name);
	bool is = object && strcmp(value_text(object, "state"), state) == 0;

	json_decref(object);
	return is;
}

static bool fw_in_state(void *state)
{
	return rig_is_state("fw", state);
}

void rig_await(const char *state)
{
	fake_loop_until(rig_manager.base, fw_in_state, (void *)state);
}

/* An event of this kind whose text contains this part has happened. */
struct happening {
	const char *kind;
	const char *part;
};

static bool has_happened(void *arg)
{
	const struct happening *happening = arg;

	return fake_events(happening->kind, happening->part) > 0;
}

void rig_await_event(const char *kind, const char *part)
{
	struct happening happening = {kind, part};

	fake_loop_until(rig_manager.base, has_happened, &happening);
}

bool rig_no_children(void *arg)
{
	(void)arg;
	return waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG | WNOWAIT) < 0;
}

/* ---- fixture --------------------------------------------------------------------------------- */

static void short_times(void)
{
	instance_times = (struct instance_times){.settle_ms = 90000,
		.attach_ms = 90000,
		.stop_ms = 90000,
		.drain_ms = 7,
		.backoff_min_ms = 1,
		.backoff_max_ms = 8,
		.steady_ms = 90000,
		.patience_ms = 90000,
		.state_ms = 90000,
		.probation_ms = 0};
	rig_upgrade = (struct rig_upgrade){0};
}

int rig_setup(void **state)
{
	struct error error = {0};

	(void)state;
	fake_reset();
	fake_pool("default");
	fake_pool("other");
	short_times();
	rig_phase = PHASE_RUN;
	fds_before = fake_open_fds();
	document = json_object();
	rig_manager.base = event_base_new();
	rig_manager.notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig_manager.run_dir = rig_run_dir;
	rig_manager.nf_socket = rig_nf_socket;
	rig_manager.binary_dir = rig_run_dir;
	return nf_module.init(&rig_manager, &error);
}

/* Whatever the test left: everything must be gone afterwards. */
int rig_teardown(void **state)
{
	(void)state;
	instance_times.stop_ms = 50;
	rig_phase = PHASE_STOP;
	rig_apply_ok(json_object());
	nf_module.fini();
	event_base_free(rig_manager.base);
	close(rig_manager.notify_fd);
	json_decref(document);
	json_decref(previous);
	previous = NULL;
	assert_true(rig_no_children(NULL));
	assert_int_equal(fake.services, 0);
	assert_int_equal(fake.attached, fake.detached);
	assert_int_equal(fake_open_fds(), fds_before);
	return 0;
}

int rig_make_places(void **state)
{
	ssize_t n = readlink("/proc/self/exe", actor, sizeof(actor) - 16);

	(void)state;
	strcpy(rig_run_dir, "/tmp/netvm-control-test.XXXXXX");
	if (n < 0 || !mkdtemp(rig_run_dir))
		return -1;
	actor[n] = '\0';
	strcpy(strrchr(actor, '/'), "/nf_actor");
	snprintf(rig_nf_socket, sizeof(rig_nf_socket), "%.4000s/nf.sock", rig_run_dir);
	return 0;
}

int rig_remove_places(void **state)
{
	char command[PATH_MAX + 8];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", rig_run_dir);
	return system(command);
}

/* ---- nf.restart ------------------------------------------------------------------------------ */

int rig_restart(const char *name, struct error *error)
{
	json_t *params = json_pack("{s:s}", "name", name);
	json_t *result = NULL;
	int rc = nf_module.methods[0].call(NULL, params, &result, error);

	json_decref(params);
	json_decref(result);
	return rc;
}

/* ---- nf.upgrade, and the store it goes through ----------------------------------------------- */

int rig_start_upgrade(json_t *params, struct error *error)
{
	json_t *result = NULL;
	int rc;

	if (!json_object_get(params, "probation_ms"))
		json_object_set_new(params, "probation_ms", json_integer(0));
	rc = nf_module.methods[1].call((struct rpc_request *)&rig_upgrade, params, &result, error);
	json_decref(params);
	return rc;
}

static bool is_answered(void *arg)
{
	(void)arg;
	return rig_upgrade.answered || rig_upgrade.refusal.code;
}

void rig_await_upgrade(void)
{
	fake_loop_until(rig_manager.base, is_answered, NULL);
}

int store_patch(const json_t *patch, unsigned confirm_s, json_t **changes, struct error *error)
{
	const json_t *change = json_array_get(patch, 0);
	json_t *next = json_deep_copy(document), *before = json_incref(document);
	json_t *object = json_object_get(json_object_get(next, "nfs"), value_text(change, "name"));
	int rc;

	assert_true(confirm_s > 0);
	json_object_update(object, json_object_get(change, "value"));
	*changes = json_equal(next, document) ? json_array() : json_pack("[O]", change);
	rc = rig_apply(next, error);
	if (rc == 0 && json_array_size(*changes) > 0)
		previous = before;
	else
		json_decref(before);
	return rc;
}

bool store_waits(void)
{
	return previous != NULL;
}

int store_confirm(struct error *error)
{
	(void)error;
	json_decref(previous);
	previous = NULL;
	rig_upgrade.confirmed++;
	return 0;
}

int store_rollback(json_t **changes, struct error *error)
{
	json_t *back = previous;

	previous = NULL;
	*changes = json_array();
	return rig_apply(back, error);
}

void rpc_answer(struct rpc_request *request, json_t *result)
{
	(void)request;
	json_decref(result);
	rig_upgrade.answered = true;
}

void rpc_refuse(struct rpc_request *request, const struct error *error)
{
	(void)request;
	rig_upgrade.refusal = *error;
}

void rpc_on_cancel(
	struct rpc_request *request, void (*cancel)(struct rpc_request *, void *), void *arg)
{
	(void)request, (void)cancel, (void)arg;
}
