/* config.*: the document store as remote calls. Listed in rpc.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manager/document.h"
#include "manager/modules.h"
#include "manager/rpc.h"
#include "manager/schema_types.h"
#include "manager/store.h"
#include "manager/yaml.h"

#define CONFIRM_FIELD                                                                              \
	{                                                                                          \
		"confirm_s", FIELD_INT,                                                            \
			.max = 86400, .unit = "s",                                                 \
			.help = "Go back unless config.confirm comes within this time"             \
	}
#define DOCUMENT_FIELD                                                                             \
	{                                                                                          \
		"document", FIELD_ANY, .required = true, .help = "A document, or its YAML text"    \
	}

static const struct field get_params[] = {
	{"section", FIELD_TEXT, .help = "Only this section", .example = "ports"},
	{"name", FIELD_NAME, .help = "Only this object of the section"},
	{"defaults", FIELD_BOOL, .preset = "false", .help = "With all fields that were not given"},
	{},
};
static const struct field document_params[] = {DOCUMENT_FIELD, {}};
static const struct field apply_params[] = {DOCUMENT_FIELD, CONFIRM_FIELD, {}};
static const struct field patch_params[] = {
	{"changes", FIELD_LIST, .max = 256, .required = true, .element = &document_change_field,
		.help = "Changes, made in this order as one transaction"},
	CONFIRM_FIELD,
	{},
};
static const struct field save_params[] = {
	{"path", FIELD_TEXT, .max = 4000,
		.help = "Absolute path; default: where it is read at start"},
	{},
};

/* ---- get ------------------------------------------------------------------------------------- */

static int get_object(const json_t *document, const struct section *section, const char *name,
	json_t **result, struct error *error)
{
	json_t *objects = json_object_get(document, section->name);

	*result = json_object_get(objects, name);
	if (!*result)
		return schema_unknown_object(section, objects, name, error);
	json_incref(*result);
	return 0;
}

static int config_get(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	const json_t *document = value_bool(params, "defaults") ? store_complete() : store_given();
	const char *section_name = value_text(params, "section");
	const char *name = value_text(params, "name");
	const struct section *section;

	(void)request;
	if (name && !section_name)
		return error_set(error, EINVAL, "section", "name the section, too",
			"the section is missing");
	if (!section_name) {
		*result = json_deep_copy(document);
		return 0;
	}
	section = schema_section(modules_sections(), section_name);
	if (!section)
		return schema_unknown_section(ENOENT, modules_sections(), section_name, error);
	if (name && !section->single)
		return get_object(document, section, name, result, error);
	*result = json_object_get(document, section_name);
	*result = *result ? json_incref(*result) : json_object();
	return 0;
}

/* ---- check, diff, apply ---------------------------------------------------------------------- */

/* The parameter `document`: as it is, or parsed. New reference. */
static int read_document(const json_t *params, json_t **document, struct error *error)
{
	json_t *given = json_object_get(params, "document");
	const char *text = json_string_value(given);
	int rc;

	if (!text) {
		*document = json_incref(given);
		return 0;
	}
	rc = yaml_parse(text, json_string_length(given), document, error);
	/* More likely what a failed program did not write than a wish to remove everything. */
	if (rc == 0 && json_is_null(*document))
		rc = error_set(error, EINVAL, "", "{} is the document that removes everything",
			"the document is empty");
	return rc;
}

/* Takes over the list. */
static json_t *changes_value(json_t *changes)
{
	return json_pack("{so}", "changes", changes);
}

static int config_diff(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	json_t *document, *changes;
	int rc = read_document(params, &document, error);

	(void)request;
	if (rc)
		return rc;
	rc = store_check(document, &changes, error);
	json_decref(document);
	if (rc == 0)
		*result = changes_value(changes);
	return rc;
}

/* Each section says what changing it takes. Takes over the list. */
static int check_roles(const struct rpc_request *request, json_t *changes, struct error *error)
{
	json_t *change;
	size_t i;
	int rc = 0;

	json_array_foreach (changes, i, change) {
		const char *path = value_text(change, "path");
		char name[SCHEMA_NAME_MAX + 1];
		const struct section *section;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(path, "."), path);
		section = schema_section(modules_sections(), name);
		if (rc == 0)
			rc = rpc_need(request, section ? section->role : ROLE_ADMIN, path, error);
	}
	json_decref(changes);
	return rc;
}

/* Checked as a whole before anything is done. */
static int apply_as_caller(const struct rpc_request *request, const json_t *params,
	const json_t *document, json_t **result, struct error *error)
{
	json_t *changes;
	int rc = store_check(document, &changes, error);

	if (rc == 0)
		rc = check_roles(request, changes, error);
	if (rc == 0)
		rc = store_apply(
			document, (unsigned)value_int(params, "confirm_s"), &changes, error);
	if (rc == 0)
		*result = changes_value(changes);
	return rc;
}

static int config_apply(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	json_t *document;
	int rc = read_document(params, &document, error);

	if (rc)
		return rc;
	rc = apply_as_caller(request, params, document, result, error);
	json_decref(document);
	return rc;
}

static int config_patch(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	json_t *document;
	int rc = document_patch(modules_sections(), store_given(), store_complete(),
		json_object_get(params, "changes"), &document, error);

	if (rc)
		return rc;
	rc = apply_as_caller(request, params, document, result, error);
	json_decref(document);
	return rc;
}

/* ---- confirm, rollback, save ----------------------------------------------------------------- */

static int config_confirm(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	int rc = store_confirm(error);

	(void)request, (void)params;
	if (rc == 0)
		*result = json_object();
	return rc;
}

static int config_rollback(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	json_t *changes;
	int rc = 0;

	(void)params;
	if (store_previous() && store_check(store_previous(), &changes, error) == 0)
		rc = check_roles(request, changes, error);
	if (rc == 0)
		rc = store_rollback(&changes, error);
	if (rc == 0)
		*result = changes_value(changes);
	return rc;
}

static int config_save(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	const char *path = value_text(params, "path");
	int rc = path ? rpc_need(request, ROLE_ADMIN, "path", error) : 0;

	if (rc)
		return rc;
	if (path && path[0] != '/')
		return error_set(error, EINVAL, "path", "an absolute path",
			"\"%.80s\" depends on the folder the daemon runs in", path);
	rc = store_save(path, error);
	if (rc == 0)
		*result = json_pack("{ss}", "path", path ? path : store_save_path());
	return rc;
}

const struct rpc_method config_methods[] = {
	{"config.get", get_params, "The running document, or a part of it", config_get, ROLE_VIEW},
	{"config.check", document_params, "Check a document; nothing changes", config_diff,
		ROLE_VIEW},
	{"config.diff", document_params, "What applying a document would change", config_diff,
		ROLE_VIEW},
	{"config.apply", apply_params, "Make a document the running one", config_apply,
		ROLE_OPERATE},
	{"config.patch", patch_params, "Change objects of the running document", config_patch,
		ROLE_OPERATE},
	{"config.confirm", NULL, "Keep what was applied with confirm_s", config_confirm,
		ROLE_OPERATE},
	{"config.rollback", NULL, "Go back to before the last apply", config_rollback,
		ROLE_OPERATE},
	{"config.save", save_params, "Write the running document to a file", config_save,
		ROLE_OPERATE},
	{},
};
