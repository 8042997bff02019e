/* nf.upgrade. See upgrade.h. */
#include "modules/nf/upgrade.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/store.h"
#include "modules/nf/control.h"
#include "modules/nf/instance_parts.h"

#define CONFIRM_SPARE_S 10 /* the store's own limit comes after all of ours */

const struct field upgrade_params[] = {
	{"name", FIELD_NAME, .required = true, .help = "Which NF"},
	{"binary", FIELD_TEXT, .max = 1000,
		.help = "Another program, with the arguments as they are"},
	{"command", FIELD_TEXT, .max = 1000, .help = "Another program and its arguments"},
	{"image", FIELD_TEXT, .max = 1000, .help = "Of a guest: another guest.boot"},
	{"probation_ms", FIELD_INT, .min = 0, .max = 600000, .preset = "5000", .unit = "ms",
		.help = "If it fails within this time the one before comes back"},
	{},
};

static struct {
	struct event *decided;              /* out of the way of whoever found out */
	const struct nf_instance *instance; /* the new one; NULL: no upgrade is under way */
	struct rpc_request *request;        /* NULL: the caller has gone */
	char name[NETVM_NAME_BYTES];
	char path[32];   /* the parameter that says what is new */
	json_t *changes; /* of the document; empty: the same program again */
	bool failed, left;
	bool ended, clean; /* it rests, see upgrade_ended() */
	char why[CHILD_END_BYTES];
} upgrade;

/* ---- the end --------------------------------------------------------------------------------- */

static void forget(void)
{
	json_decref(upgrade.changes);
	upgrade.changes = NULL;
	upgrade.instance = NULL;
	upgrade.request = NULL;
}

static void tell(const char *text)
{
	nf_tell(upgrade.name, "nf-upgrade", "%s", text);
}

static void refuse(const struct error *error)
{
	char text[sizeof(error->message) + sizeof(error->hint) + 2];

	snprintf(text, sizeof(text), "%s: %s", error->message, error->hint);
	tell(text);
	if (upgrade.request)
		rpc_refuse(upgrade.request, error);
}

static void succeed(const struct nf_instance *instance)
{
	struct error ignored = {0};

	if (json_array_size(upgrade.changes) > 0)
		store_confirm(&ignored); /* the user may have done so himself */
	tell("upgraded: the new one came through its probation");
	if (upgrade.request)
		rpc_answer(upgrade.request, json_pack("{s:s, s:O, s:I}", "name", upgrade.name,
						    "changes", upgrade.changes, "state_bytes",
						    (json_int_t)instance->takeover.state_bytes));
}

/* -ENOENT: nothing is left to go back to. */
static int go_back(struct nf_instance *instance, struct error *error)
{
	json_t *changes;
	int rc;

	if (json_array_size(upgrade.changes) == 0) {
		if (!instance->predecessor)
			return error_set(error, ENOENT, "", "", "it ended, too");
		nf_return(instance);
		return 0;
	}
	if (!store_waits())
		return error_set(error, ENOENT, "", "", "the change was confirmed meanwhile");
	rc = store_rollback(&changes, error);
	if (rc == 0)
		json_decref(changes);
	return rc;
}

static void fail(struct nf_instance *instance)
{
	struct error error = {0}, back = {0};
	char hint[ERROR_HINT_BYTES] = "the one before is back; netvm events tells more";

	if (go_back(instance, &back)) {
		snprintf(hint, sizeof(hint), "the one before cannot come back%s: %.200s",
			store_waits() ? " yet, which is tried again soon" : "", back.message);
		if (upgrade.ended)
			instance_rest(instance, upgrade.clean);
	}
	error_set(&error, ECANCELED, upgrade.path, hint, "the new NF %s failed: %s", upgrade.name,
		upgrade.why);
	refuse(&error);
}

/* Another change took the instance away. */
static void overtaken(void)
{
	struct error error = {0};

	error_set(&error, ECANCELED, "name", "see netvm events",
		"NF %s was changed again before its upgrade was decided", upgrade.name);
	refuse(&error);
}

static void decided_event(evutil_socket_t fd, short what, void *arg)
{
	struct nf_instance *instance = nf_current(upgrade.name);

	(void)fd, (void)what, (void)arg;
	upgrade.instance = NULL; /* what happens to it from here on is our doing */
	if (upgrade.left || !instance)
		overtaken();
	else if (upgrade.failed)
		fail(instance);
	else
		succeed(instance);
	forget();
}

void upgrade_over(const struct nf_instance *instance, const char *why)
{
	if (instance != upgrade.instance || event_pending(upgrade.decided, EV_TIMEOUT, NULL))
		return;
	upgrade.failed = why != NULL;
	snprintf(upgrade.why, sizeof(upgrade.why), "%s", why ? why : "");
	event_active(upgrade.decided, EV_TIMEOUT, 0);
}

bool upgrade_ended(const struct nf_instance *instance, bool clean)
{
	bool decided = event_pending(upgrade.decided, EV_TIMEOUT, NULL);

	if (instance != upgrade.instance || (decided && !upgrade.failed))
		return false;
	upgrade_over(instance, instance->last_exit);
	upgrade.ended = true;
	upgrade.clean = clean;
	return true;
}

void upgrade_left(const struct nf_instance *instance)
{
	if (instance != upgrade.instance)
		return;
	upgrade.left = true;
	event_active(upgrade.decided, EV_TIMEOUT, 0);
}

static void hung_up(struct rpc_request *request, void *arg)
{
	(void)request, (void)arg;
	upgrade.request = NULL;
}

/* ---- the beginning --------------------------------------------------------------------------- */

/* Which parameters an NF takes depends on where it runs. */
static int check_place(const struct nf_settings *settings, const char *binary, const char *image,
	struct error *error)
{
	if (image && !settings->guest)
		return error_set(error, EINVAL, "image", "valid: binary or command",
			"NF %s is no guest", settings->name);
	if (image && settings->pool)
		return error_set(error, EINVAL, "image",
			"set guest.boot of the pool, then restart the NF",
			"NF %s has its guest from the pool %s", settings->name, settings->pool);
	if (binary && settings->guest)
		return error_set(error, EINVAL, "binary",
			"valid: image, or command for what runs inside", "NF %s is a guest",
			settings->name);
	return 0;
}

/* What is new about it, as fields of the document; the parameter that says so in upgrade.path. */
static int read_value(const struct nf_instance *instance, const json_t *params, json_t **value,
	struct error *error)
{
	const char *line = value_text(instance->settings.object, "command");
	const char *binary = value_text(params, "binary"), *image = value_text(params, "image");
	const char *command = value_text(params, "command");
	char *text;
	int rc;

	if (!binary + !command + !image != 2)
		return error_set(error, EINVAL, "", "binary, command, or image of a guest",
			"say what is new, by one of them");
	snprintf(upgrade.path, sizeof(upgrade.path), "%s",
		binary    ? "binary"
		: command ? "command"
			  : "image");
	rc = check_place(&instance->settings, binary, image, error);
	if (rc)
		return rc;
	if (image) {
		*value = json_pack("{s:{s:s}}", "guest", "boot", image);
		return 0;
	}
	if (command) {
		*value = json_pack("{s:s}", "command", command);
		return 0;
	}
	text = command_with_program(line, binary);
	*value = text ? json_pack("{s:s}", "command", text) : NULL;
	free(text);
	return *value ? 0 : error_set(error, ENOMEM, "", "", "no memory");
}

/* `value` is taken over. */
static int begin(
	struct nf_instance *old, json_t *value, json_int_t probation_ms, struct error *error)
{
	unsigned confirm_s =
		CONFIRM_SPARE_S +
		(unsigned)(probation_ms + instance_times.settle_ms + instance_times.attach_ms +
			   instance_times.patience_ms + 2 * instance_times.state_ms) /
			1000;
	json_t *patch = json_pack("[{s:s, s:s, s:s, s:o}]", "op", "set", "section", "nfs", "name",
		old->settings.name, "value", value);
	int rc = store_patch(patch, confirm_s, &upgrade.changes, error);

	json_decref(patch);
	if (rc == 0 && json_array_size(upgrade.changes) == 0)
		rc = nf_replace(old, error);
	if (rc)
		forget();
	return rc;
}

int upgrade_check(const struct nf_instance *instance, struct error *error)
{
	if (!upgrade.instance || (instance && instance != upgrade.instance))
		return 0;
	return error_set(error, EBUSY, "name", "wait for its end",
		"the upgrade of NF %s is under way", upgrade.name);
}

int upgrade_call(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	const char *name = value_text(params, "name");
	struct nf_instance *instance = nf_current(name);
	json_t *value;
	int rc;

	(void)result;
	if (!instance)
		return nf_unknown(name, error);
	rc = upgrade_check(NULL, error);
	if (rc)
		return rc;
	if (instance->settings.external)
		return error_set(error, EINVAL, "name", "who started it must start another one",
			"the external NF %s is started by somebody else", name);
	rc = read_value(instance, params, &value, error);
	if (rc == 0)
		rc = begin(instance, value, value_int(params, "probation_ms"), error);
	if (rc)
		return rc;
	instance = nf_current(name);
	instance->takeover.probation_ms = (unsigned)value_int(params, "probation_ms");
	snprintf(upgrade.name, sizeof(upgrade.name), "%s", name);
	upgrade.left = upgrade.ended = false;
	upgrade.instance = instance;
	upgrade.request = request;
	rpc_on_cancel(request, hung_up, NULL);
	return RPC_LATER;
}

/* ---- life ------------------------------------------------------------------------------------ */

int upgrade_init(struct manager *manager, struct error *error)
{
	upgrade.decided = evtimer_new(manager->base, decided_event, NULL);
	return upgrade.decided ? 0 : error_set(error, ENOMEM, "", "", "no memory for upgrades");
}

void upgrade_fini(void)
{
	if (upgrade.decided)
		event_free(upgrade.decided);
	upgrade.decided = NULL;
	forget();
}
