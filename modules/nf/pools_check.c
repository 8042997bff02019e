/* What the section `pools` may say. See pools.h; called by control.c, pool_settings() by pools.c.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "manager/module.h"
#include "modules/nf/nf.h"
#include "modules/nf/pools.h"

/* The preset of a field of section nfs. */
static json_t *preset(const char *name)
{
	for (const struct field *field = nf_section.fields; field->name; field++)
		if (strcmp(field->name, name) == 0)
			return json_loads(field->preset, JSON_DECODE_ANY, NULL);
	return NULL;
}

/* What an object of section nfs would say of such a guest. */
json_t *pool_settings(const char *name, const json_t *object)
{
	return json_pack("{s:s, s:O, s:s, s:O, s:O, s:o, s:s, s:o, s:o, s:o}", "service", name,
		"group", json_object_get(object, "group"), "image", "guest", "guest",
		json_object_get(object, "guest"), "user", json_object_get(object, "user"), "cpus",
		preset("cpus"), "restart", "never", "ring", preset("ring"), "stock",
		preset("stock"), "queues", preset("queues"));
}

static int check_boot(const json_t *object, struct error *error)
{
	const char *boot = value_text(json_object_get(object, "guest"), "boot");
	struct stat st;

	if (stat(boot, &st) == 0 && !S_ISDIR(st.st_mode))
		return error_set(error, EINVAL, "guest.boot",
			"a folder made by `netvm image build`",
			"a disk has no agent that waits for an NF");
	return 0;
}

/* What it boots must be there, as a program must be. */
static int check_start(
	const struct manager *manager, const struct nf_settings *settings, struct error *error)
{
	const struct guest_start start = {.agent = true};
	json_t *words;
	int rc = guest_arguments(manager, settings, start, &words, error);

	if (rc)
		error_prefix(error, "guest.boot");
	else
		json_decref(words);
	return rc;
}

/* The document is checked before modules are initialised, too; then there is no manager. */
static int check_one(
	const char *name, const json_t *object, const struct manager *manager, struct error *error)
{
	json_t *given = pool_settings(name, object);
	struct nf_settings settings;
	int rc = check_boot(object, error);

	if (!rc)
		rc = nf_settings_read(
			&settings, name, given, manager ? manager->binary_dir : NULL, error);
	json_decref(given);
	if (rc)
		return rc;
	if (manager)
		rc = check_start(manager, &settings, error);
	nf_settings_free(&settings);
	return rc;
}

/* Guests of a pool have the memory of one group. */
static int check_user(const json_t *document, const json_t *nf, struct error *error)
{
	const char *pool = value_text(nf, "pool"), *group = value_text(nf, "group");
	const char *has;

	if (!pool)
		return 0;
	has = value_text(document_object(document, "pools", pool), "group");
	if (!has || strcmp(has, group) == 0)
		return 0;
	return error_set(error, EINVAL, "pool", "give each group a pool of its own",
		"its guests have the memory of group %s, and the NF is of group %s", has, group);
}

static int check_users(const json_t *document, struct error *error)
{
	const char *name;
	json_t *nf;

	json_object_foreach (json_object_get(document, "nfs"), name, nf) {
		int rc = check_user(document, nf, error);

		if (!rc)
			continue;
		error_prefix(error, name);
		error_prefix(error, "nfs");
		return rc;
	}
	return 0;
}

int pools_check(const struct change *change, const struct manager *manager, struct error *error)
{
	const char *name;
	json_t *object;

	json_object_foreach (json_object_get(change->new, "pools"), name, object) {
		int rc = change_kind(change, "pools", name) == CHANGE_NONE
				 ? 0
				 : check_one(name, object, manager, error);

		if (!rc)
			continue;
		error_prefix(error, name);
		error_prefix(error, "pools");
		return rc;
	}
	return check_users(change->new, error);
}
