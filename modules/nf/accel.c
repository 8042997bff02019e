/* Whether KVM works. See accel.h. */
#include "modules/nf/accel.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manager/events.h"
#include "manager/module.h"
#include "modules/guest/probe.h"

const char *accel_device = "/dev/kvm";

static json_t *known; /* "UID PROGRAM": "kvm" or "tcg" */

static void key_of(const struct nf_settings *settings, char key[PATH_MAX + 16])
{
	snprintf(key, PATH_MAX + 16, "%u %s", settings->uid, settings->program);
}

const char *accel_choice(const struct nf_settings *settings)
{
	const char *wanted = value_text(json_object_get(settings->object, "guest"), "accel");
	char key[PATH_MAX + 16];
	const char *found;

	if (settings->external || strcmp(wanted, "auto") != 0)
		return wanted;
	if (access(accel_device, F_OK))
		return "tcg";
	key_of(settings, key);
	found = json_string_value(json_object_get(known, key));
	return found ? found : "auto";
}

bool accel_is_unknown(const struct nf_settings *settings)
{
	return strcmp(accel_choice(settings), "auto") == 0;
}

int accel_arguments(const struct manager *manager, const struct nf_settings *settings,
	json_t **words, struct error *error)
{
	char path[PATH_MAX];
	int rc;

	snprintf(path, sizeof(path), "%s/guest/probe.rom", manager->run_dir);
	rc = probe_write(path);
	if (rc)
		return error_set(error, -rc, "", "", "%s: %s", path, strerror(-rc));
	*words = probe_arguments(settings->program, "kvm", path);
	return *words ? 0 : error_set(error, ENOMEM, "", "", "no memory for a command line");
}

void accel_tried(const struct nf_settings *settings, const struct child_end *end)
{
	bool works = end->status == PROBE_STATUS;
	char key[PATH_MAX + 16];

	key_of(settings, key);
	if (!known)
		known = json_object();
	json_object_set_new(known, key, json_string(works ? "kvm" : "tcg"));
	if (works)
		events_add("guest-accel", "", "guests of user %s run under KVM", settings->user);
	else
		events_add("guest-accel", "", "guests of user %s are emulated: a try of KVM %s",
			settings->user,
			end->status < 0 ? "gave no sign of life in time" : end->text);
}
