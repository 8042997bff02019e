/* From the document to struct nf_settings. See settings.h. */
#include "modules/nf/settings.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/schema.h"
#include "modules/guest/qemu.h"

/* ---- field checks --------------------------------------------------------------------------- */

int nf_check_command(const json_t *value, struct error *error)
{
	struct command command;
	int rc = command_split(json_string_value(value), &command, error);

	if (!rc)
		command_free(&command);
	return rc;
}

static bool is_ring_size(json_int_t words)
{
	return words >= (json_int_t)NETVM_RING_WORDS_MIN && (words & (words - 1)) == 0;
}

int nf_check_ring(const json_t *value, struct error *error)
{
	json_int_t words = json_integer_value(value);

	if (is_ring_size(words))
		return 0;
	return error_set(error, EINVAL, "", "64, 128, 256, 512, 1024 and so on up to 65536",
		"%" JSON_INTEGER_FORMAT " is not a power of two", words);
}

int nf_check_stock(const json_t *value, struct error *error)
{
	json_int_t words = json_integer_value(value);

	if (words == 0 || is_ring_size(words))
		return 0;
	return error_set(error, EINVAL, "", "0, or 64, 128, 256, 512, 1024 and so on up to 16384",
		"%" JSON_INTEGER_FORMAT " is neither 0 nor a power of two from 64", words);
}

/* ---- one object ----------------------------------------------------------------------------- */

static enum restart_policy restart_read(const char *word)
{
	if (strcmp(word, "never") == 0)
		return RESTART_NEVER;
	return strcmp(word, "on-failure") == 0 ? RESTART_ON_FAILURE : RESTART_ALWAYS;
}

static void image_read(struct nf_settings *settings, const char *word)
{
	settings->external = strncmp(word, "external", 8) == 0;
	settings->guest = strcmp(word, "guest") == 0 || strcmp(word, "external-guest") == 0;
}

static int cpus_read(struct nf_settings *settings, const json_t *list, struct error *error)
{
	long online = sysconf(_SC_NPROCESSORS_CONF);
	char hint[64];
	json_t *value;
	size_t i;

	snprintf(hint, sizeof(hint), "this machine has the CPUs 0-%ld", online - 1);
	CPU_ZERO(&settings->cpus);
	json_array_foreach (list, i, value) {
		json_int_t cpu = json_integer_value(value);

		if (cpu < 0 || cpu >= online || cpu >= CPU_SETSIZE)
			return error_set(error, EINVAL, "cpus", hint,
				"there is no CPU %" JSON_INTEGER_FORMAT, cpu);
		CPU_SET((int)cpu, &settings->cpus);
	}
	return 0;
}

static int user_read(struct nf_settings *settings, const char *user, struct error *error)
{
	const struct passwd *entry = getpwnam(user);

	if (!entry)
		return error_set(error, ENOENT, "user",
			"the name of a user of this machine, such as " NF_USER_DEFAULT,
			"there is no user %s", user);
	settings->user = strdup(user);
	settings->home = strdup(entry->pw_dir);
	settings->uid = entry->pw_uid;
	settings->gid = entry->pw_gid;
	if (settings->user && settings->home)
		return 0;
	return error_set(error, ENOMEM, "user", "", "no memory for the names of user %s", user);
}

/* Of an NF that the daemon starts as a process. */
static int process_read(
	struct nf_settings *settings, const char *line, const char *binary_dir, struct error *error)
{
	int rc;

	if (!line)
		return error_set(error, EINVAL, "command",
			"for example \"netvm-forward\"; or image: external for one that is started "
			"by "
			"somebody else",
			"an NF that the daemon starts needs a command");
	rc = command_split(line, &settings->command, error);
	if (!rc && binary_dir)
		rc = command_find(settings->command.argv[0], binary_dir, &settings->program, error);
	if (rc)
		error_prefix(error, "command");
	return rc;
}

static int guest_read(
	struct nf_settings *settings, const char *line, const char *binary_dir, struct error *error)
{
	const json_t *fields = json_object_get(settings->object, "guest");
	int rc = 0;

	if (!fields && !settings->pool)
		return error_set(error, EINVAL, "guest",
			"for example guest: {boot: /var/lib/netvm/images/forward}, or the pool to "
			"take it from; or image: external-guest for one that is started by "
			"somebody else",
			"a guest that the daemon starts needs something to boot");
	if (line) {
		rc = command_split(line, &settings->command, error);
		if (!rc)
			rc = qemu_check_command(settings->command.argv, error);
		if (rc)
			error_prefix(error, "command");
	}
	if (!rc && binary_dir && fields) {
		rc = command_find(
			value_text(fields, "qemu"), binary_dir, &settings->program, error);
		if (rc)
			error_prefix(error, "guest.qemu");
	}
	return rc;
}

/* Where a guest comes from is said once. */
static int origin_check(const struct nf_settings *settings, struct error *error)
{
	const json_t *object = settings->object;

	if (value_text(object, "monitor") && (!settings->guest || !settings->external))
		return error_set(error, EINVAL, "monitor",
			"leave it out, or use image: external-guest",
			"only a guest that somebody else starts has a monitor of its own");
	if (!settings->pool)
		return 0;
	if (!settings->guest || settings->external)
		return error_set(error, EINVAL, "pool", "leave it out, or use image: guest",
			"only a guest that the daemon starts comes from a pool");
	if (json_object_get(object, "guest") || value_text(object, "user"))
		return error_set(error, EINVAL, json_object_get(object, "guest") ? "guest" : "user",
			"leave it out, or leave pool out", "the pool %s says what its guests are",
			settings->pool);
	return 0;
}

static int command_read(
	struct nf_settings *settings, const char *line, const char *binary_dir, struct error *error)
{
	bool boots = json_object_get(settings->object, "guest") != NULL;
	int rc = origin_check(settings, error);

	if (rc)
		return rc;
	if (boots && (settings->external || !settings->guest))
		return error_set(error, EINVAL, "guest", "leave it out, or use image: guest",
			"only a guest that the daemon starts is told how");
	if (settings->external && line)
		return error_set(error, EINVAL, "command",
			settings->guest ? "leave it out, or use image: guest"
					: "leave it out, or use image: process",
			"an external NF is started by somebody else");
	if (settings->external)
		return 0;
	return settings->guest ? guest_read(settings, line, binary_dir, error)
			       : process_read(settings, line, binary_dir, error);
}

int nf_settings_read(struct nf_settings *settings, const char *name, json_t *object,
	const char *binary_dir, struct error *error)
{
	const char *user = value_text(object, "user");
	int rc;

	memset(settings, 0, sizeof(*settings));
	settings->object = json_incref(object);
	snprintf(settings->name, sizeof(settings->name), "%s", name);
	snprintf(settings->service, sizeof(settings->service), "%s", value_text(object, "service"));
	snprintf(settings->group, sizeof(settings->group), "%s", value_text(object, "group"));
	image_read(settings, value_text(object, "image"));
	settings->standby = value_bool(object, "standby");
	settings->hang_ms = (unsigned)value_int(object, "hang_ms");
	settings->pool = value_text(object, "pool");
	settings->restart = restart_read(value_text(object, "restart"));
	settings->ring_words = (uint32_t)value_int(object, "ring");
	settings->stock_words = (uint32_t)value_int(object, "stock");
	settings->n_queues = (uint32_t)value_int(object, "queues");
	rc = cpus_read(settings, json_object_get(object, "cpus"), error);
	/* No default for external ones: NFs that run as nobody must not be able to take their
	 * place. */
	if (!rc)
		rc = user_read(settings,
			user                 ? user
			: settings->external ? "root"
					     : NF_USER_DEFAULT,
			error);
	if (!rc)
		rc = command_read(settings, value_text(object, "command"), binary_dir, error);
	if (rc)
		nf_settings_free(settings);
	return rc;
}

int nf_settings_set_user(struct nf_settings *settings, const char *user, uid_t uid, gid_t gid)
{
	char *copy = strdup(user);

	if (!copy)
		return -ENOMEM;
	free(settings->user);
	settings->user = copy;
	settings->uid = uid;
	settings->gid = gid;
	return 0;
}

void nf_settings_free(struct nf_settings *settings)
{
	json_decref(settings->object);
	command_free(&settings->command);
	free(settings->program);
	free(settings->user);
	free(settings->home);
	memset(settings, 0, sizeof(*settings));
}

int nf_settings_update(struct nf_settings *settings, json_t *object, struct error *error)
{
	json_incref(object);
	json_decref(settings->object);
	settings->object = object;
	settings->pool = value_text(object, "pool");
	settings->restart = restart_read(value_text(object, "restart"));
	settings->hang_ms = (unsigned)value_int(object, "hang_ms");
	return cpus_read(settings, json_object_get(object, "cpus"), error);
}
