/*
 * Checking a document against the descriptor tables and completing it with presets. Called by the
 * document store for each change and by the RPC server for each method's parameters.
 */
#include "manager/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manager/module.h"
#include "manager/schema_types.h"

static const struct field *find_field(const struct field *fields, const char *name)
{
	for (; fields && fields->name; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

/* ---- one object ------------------------------------------------------------------------------ */

static int complete_object(const struct field *fields, const char *name, const json_t *given,
	json_t **complete, struct error *error);
static int complete_value(
	const struct field *field, const json_t *given, json_t **complete, struct error *error);

static void prefix_index(struct error *error, size_t index)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", index);
	error_prefix(error, text);
}

static int complete_list(
	const struct field *field, const json_t *given, json_t **complete, struct error *error)
{
	size_t max = field->max ? (size_t)field->max : SCHEMA_LIST_MAX;
	json_t *list, *item;
	int rc = 0;

	if (json_array_size(given) > max)
		return schema_wrong(field, given, error);
	list = json_array();
	for (size_t i = 0; rc == 0 && i < json_array_size(given); i++) {
		rc = complete_value(field->element, json_array_get(given, i), &item, error);
		if (rc)
			prefix_index(error, i);
		else
			json_array_append_new(list, item);
	}
	if (rc)
		json_decref(list);
	else
		*complete = list;
	return rc;
}

static int complete_value(
	const struct field *field, const json_t *given, json_t **complete, struct error *error)
{
	int rc = schema_check_value(field, given, error);

	if (rc)
		return rc;
	if (field->type == FIELD_LIST)
		return complete_list(field, given, complete, error);
	if (field->type == FIELD_MAP)
		return complete_object(field->fields, NULL, given, complete, error);
	*complete = json_deep_copy(given);
	return 0;
}

/* New reference, NULL when the field has no preset. */
static json_t *preset_value(const struct field *field, const char *name)
{
	if (field->preset_name && name)
		return json_string(name);
	return field->preset ? json_loads(field->preset, JSON_DECODE_ANY, NULL) : NULL;
}

static int missing(const struct field *field, struct error *error)
{
	char hint[ERROR_HINT_BYTES];

	schema_describe(field, hint, sizeof(hint));
	return error_set(error, EINVAL, field->name, hint, "%s must be given", field->name);
}

static int complete_field(const struct field *field, const char *name, const json_t *given,
	json_t *object, struct error *error)
{
	json_t *value = NULL;

	if (given) {
		int rc = complete_value(field, given, &value, error);

		if (rc) {
			error_prefix(error, field->name);
			return rc;
		}
	} else if (field->required) {
		return missing(field, error);
	} else {
		value = preset_value(field, name);
	}
	if (value)
		json_object_set_new(object, field->name, value);
	return 0;
}

static int check_keys(const struct field *fields, const json_t *given, struct error *error)
{
	const char *names[SCHEMA_LIST_MAX] = {NULL}, *key;
	json_t *value;

	for (unsigned n = 0; fields && fields[n].name && n < SCHEMA_LIST_MAX - 1; n++)
		names[n] = fields[n].name;
	json_object_foreach ((json_t *)given, key, value)
		if (!find_field(fields, key))
			return schema_unknown(EINVAL, "field", key, names, error);
	return 0;
}

/* `name`: the object's own, for presets that repeat it; NULL when it has none. */
static int complete_object(const struct field *fields, const char *name, const json_t *given,
	json_t **complete, struct error *error)
{
	json_t *object;
	int rc;

	if (!json_is_object(given))
		return error_set(error, EINVAL, "", "give a map of fields", "%s is not valid here",
			schema_type_of(given));
	rc = check_keys(fields, given, error);
	object = json_object();
	for (; rc == 0 && fields && fields->name; fields++)
		rc = complete_field(
			fields, name, json_object_get(given, fields->name), object, error);
	if (rc)
		json_decref(object);
	else
		*complete = object;
	return rc;
}

int schema_complete_object(
	const struct field *fields, const json_t *given, json_t **complete, struct error *error)
{
	return complete_object(fields, NULL, given, complete, error);
}

/* ---- one section ----------------------------------------------------------------------------- */

static int complete_named(const struct section *section, const char *name, const json_t *given,
	json_t *objects, struct error *error)
{
	json_t *object = NULL;
	int rc = schema_check_name(name, error);

	if (rc == 0)
		rc = complete_object(section->fields, name, given, &object, error);
	if (rc) {
		char path[48];

		snprintf(path, sizeof(path), "%.40s", name);
		error_prefix(error, path);
		return rc;
	}
	json_object_set_new(objects, name, object);
	return 0;
}

static int complete_map(
	const struct section *section, const json_t *given, json_t *objects, struct error *error)
{
	const char *name;
	json_t *value;
	int rc = 0;

	if (!json_is_object(given))
		return error_set(error, EINVAL, "", "give a map of names", "%s is not valid here",
			schema_type_of(given));
	json_object_foreach ((json_t *)given, name, value) {
		rc = complete_named(section, name, value, objects, error);
		if (rc)
			return rc;
	}
	if (section->always && !json_object_get(objects, section->always)) {
		json_t *none = json_object();

		rc = complete_named(section, section->always, none, objects, error);
		json_decref(none);
	}
	return rc;
}

/* A section that is named but empty (`ports:`) is null in YAML; it means no objects. */
static int complete_section(
	const struct section *section, const json_t *given, json_t *complete, struct error *error)
{
	json_t *none = json_object();
	json_t *result = json_object();
	int rc;

	if (!given || json_is_null(given))
		given = none;
	if (section->single) {
		json_decref(result);
		result = NULL;
		rc = complete_object(section->fields, NULL, given, &result, error);
	} else {
		rc = complete_map(section, given, result, error);
	}
	if (rc)
		error_prefix(error, section->name);
	if (rc == 0)
		json_object_set(complete, section->name, result);
	json_decref(result);
	json_decref(none);
	return rc;
}

/* ---- references ------------------------------------------------------------------------------ */

/* Whose references are checked, in which transaction. */
struct user {
	const struct change *change;
	const struct section *section;
	const char *name; /* NULL: the section is one object */
};

/* The object is deleted, but not all that refers to it. */
static int in_use(
	const struct field *field, const char *name, const struct user *user, struct error *error)
{
	const char *object = schema_section(user->change->sections, field->ref)->object;
	char hint[ERROR_HINT_BYTES];

	snprintf(hint, sizeof(hint), "change or delete the %s first, or both in one file",
		user->section->object);
	return error_set(error, EBUSY, "", hint, "%s%s%s uses %s \"%s\", which would go",
		user->section->object, user->name ? " " : "", user->name ? user->name : "", object,
		name);
}

static int dangling(
	const struct field *field, const char *name, const struct user *user, struct error *error)
{
	const char *known[SCHEMA_LIST_MAX];
	char text[200], hint[ERROR_HINT_BYTES];
	unsigned n = schema_keys(json_object_get(user->change->new, field->ref), known);

	if (document_object(user->change->old, field->ref, name))
		return in_use(field, name, user, error);
	schema_join(known, text, sizeof(text));
	snprintf(hint, sizeof(hint), "%s there are: %s", field->ref, n ? text : "none");
	return error_set(error, ENOENT, "", hint, "there is no \"%s\" in %s", name, field->ref);
}

static int check_references(const struct field *fields, const json_t *object,
	const struct user *user, struct error *error);

static int check_reference(const struct field *field, const json_t *value, const struct user *user,
	struct error *error)
{
	int rc = 0;

	if (field->type == FIELD_MAP)
		return check_references(field->fields, value, user, error);
	if (field->type == FIELD_LIST) {
		for (size_t i = 0; rc == 0 && i < json_array_size(value); i++) {
			rc = check_reference(field->element, json_array_get(value, i), user, error);
			if (rc)
				prefix_index(error, i);
		}
		return rc;
	}
	if (field->type == FIELD_REF &&
		!document_object(user->change->new, field->ref, json_string_value(value)))
		return dangling(field, json_string_value(value), user, error);
	return 0;
}

static int check_references(const struct field *fields, const json_t *object,
	const struct user *user, struct error *error)
{
	for (; fields && fields->name; fields++) {
		const json_t *value = json_object_get(object, fields->name);
		int rc = value ? check_reference(fields, value, user, error) : 0;

		if (rc) {
			error_prefix(error, fields->name);
			return rc;
		}
	}
	return 0;
}

static int check_section_references(
	const struct section *section, const struct change *change, struct error *error)
{
	json_t *objects = json_object_get(change->new, section->name), *object;
	struct user user = {change, section, NULL};
	const char *name;
	int rc;

	if (section->single)
		return check_references(section->fields, objects, &user, error);
	json_object_foreach (objects, name, object) {
		user.name = name;
		rc = check_references(section->fields, object, &user, error);
		if (rc) {
			error_prefix(error, name);
			return rc;
		}
	}
	return 0;
}

/* ---- the document ---------------------------------------------------------------------------- */

static int check_sections(
	const struct section *const *sections, const json_t *given, struct error *error)
{
	const char *key;
	json_t *value;

	if (!json_is_object(given))
		return error_set(error, EINVAL, "", "give a map of sections",
			"%s is not a document", schema_type_of(given));
	json_object_foreach ((json_t *)given, key, value)
		if (!schema_section(sections, key))
			return schema_unknown_section(EINVAL, sections, key, error);
	return 0;
}

const struct section *schema_section(const struct section *const *sections, const char *name)
{
	for (; *sections; sections++)
		if (strcmp((*sections)->name, name) == 0)
			return *sections;
	return NULL;
}

int schema_complete(const struct section *const *sections, const json_t *old, const json_t *given,
	json_t **complete, struct error *error)
{
	json_t *document = json_object();
	const struct change change = {old, document, sections};
	int rc = check_sections(sections, given, error);

	for (unsigned i = 0; rc == 0 && sections[i]; i++)
		rc = complete_section(
			sections[i], json_object_get(given, sections[i]->name), document, error);
	for (unsigned i = 0; rc == 0 && sections[i]; i++) {
		rc = check_section_references(sections[i], &change, error);
		if (rc)
			error_prefix(error, sections[i]->name);
	}
	if (rc)
		json_decref(document);
	else
		*complete = document;
	return rc;
}
