/* Comparing and changing documents: see document.h. */
#include "manager/document.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manager/schema_types.h"

/* ---- what happens to an object --------------------------------------------------------------- */

static bool is_remade(const struct change *change, const struct field *field, const json_t *value)
{
	return field->type == FIELD_REF && field->effect == EFFECT_RECREATE && value &&
	       change_kind(change, field->ref, json_string_value(value)) == CHANGE_RECREATE;
}

static bool is_equal(const json_t *a, const json_t *b)
{
	return a == b || (a && b && json_equal(a, b));
}

static enum change_kind compare(const struct change *change, const struct field *fields,
	const json_t *old, const json_t *new)
{
	enum change_kind kind = CHANGE_NONE;

	for (const struct field *field = fields; field && field->name; field++) {
		const json_t *before = json_object_get(old, field->name);
		const json_t *after = json_object_get(new, field->name);

		if (is_equal(before, after)) {
			if (is_remade(change, field, after))
				return CHANGE_RECREATE;
		} else if (field->effect == EFFECT_RECREATE) {
			return CHANGE_RECREATE;
		} else {
			kind = CHANGE_LIVE;
		}
	}
	return kind;
}

enum change_kind change_kind(const struct change *change, const char *section, const char *name)
{
	const struct section *described = schema_section(change->sections, section);
	const json_t *old = document_object(change->old, section, name);
	const json_t *new = document_object(change->new, section, name);

	if (!old || !new)
		return old ? CHANGE_DEL : new ? CHANGE_ADD : CHANGE_NONE;
	return described ? compare(change, described->fields, old, new) : CHANGE_NONE;
}

/* ---- difference ------------------------------------------------------------------------------ */

static json_t *or_null(const json_t *value)
{
	return value ? json_incref((json_t *)value) : json_null();
}

static void add_entry(json_t *list, const char *op, const char *path, const json_t *old,
	const json_t *new, enum effect effect)
{
	json_t *entry = json_object();

	json_object_set_new(entry, "op", json_string(op));
	json_object_set_new(entry, "path", json_string(path));
	json_object_set_new(entry, "old", or_null(old));
	json_object_set_new(entry, "new", or_null(new));
	json_object_set_new(entry, "effect", json_string(schema_effect_name(effect)));
	json_array_append_new(list, entry);
}

static void diff_fields(json_t *list, const char *path, const struct field *fields,
	const json_t *old, const json_t *new)
{
	for (const struct field *field = fields; field && field->name; field++) {
		const json_t *before = json_object_get(old, field->name);
		const json_t *after = json_object_get(new, field->name);
		char below[ERROR_PATH_BYTES];

		if (is_equal(before, after))
			continue;
		snprintf(below, sizeof(below), "%s.%s", path, field->name);
		if (field->type == FIELD_MAP && before && after)
			diff_fields(list, below, field->fields, before, after);
		else
			add_entry(list, "set", below, before, after, field->effect);
	}
}

static void diff_object(json_t *list, const struct section *section, const char *name,
	const json_t *old, const json_t *new)
{
	char path[ERROR_PATH_BYTES];

	snprintf(path, sizeof(path), "%s.%s", section->name, name);
	if (old && new)
		diff_fields(list, path, section->fields, old, new);
	else
		add_entry(list, old ? "del" : "add", path, old, new, EFFECT_LIVE);
}

static void diff_section(json_t *list, const struct section *section, json_t *old, json_t *new)
{
	const char *name;
	json_t *object;

	if (section->single) {
		diff_fields(list, section->name, section->fields, old, new);
		return;
	}
	json_object_foreach (old, name, object)
		diff_object(list, section, name, object, json_object_get(new, name));
	json_object_foreach (new, name, object)
		if (!json_object_get(old, name))
			diff_object(list, section, name, NULL, object);
}

json_t *document_diff(const struct change *change)
{
	json_t *list = json_array();

	for (const struct section *const *s = change->sections; *s; s++)
		diff_section(list, *s, json_object_get(change->old, (*s)->name),
			json_object_get(change->new, (*s)->name));
	return list;
}

/* ---- patch ----------------------------------------------------------------------------------- */

static const struct field change_fields[] = {
	{"op", FIELD_ENUM, .required = true,
		.values = (const char *const[]){"add", "set", "del", NULL}, .help = "What to do"},
	{"section", FIELD_TEXT, .required = true, .help = "Section", .example = "ports"},
	{"name", FIELD_NAME, .help = "Object; none in a section that is one object"},
	{"value", FIELD_ANY, .help = "Its fields; null resets one to its preset"},
	{},
};

const struct field document_change_field = {
	"change", FIELD_MAP, .fields = change_fields, .help = "One change"};

/* One entry of the list, taken apart. */
struct patch {
	const char *op;
	const char *name; /* NULL in a single section */
	const struct section *section;
	const json_t *value;
};

/* What the table of fields cannot say: which of them go together. */
static int check_patch(const struct patch *patch, struct error *error)
{
	const struct section *section = patch->section;

	if (section->single && (patch->name || strcmp(patch->op, "set") != 0))
		return error_set(error, EINVAL, section->name, "use set, without a name",
			"%s is one object: it can only be set", section->name);
	if (!section->single && !patch->name)
		return error_set(error, EINVAL, section->name, "give a name",
			"which %s is not said", section->object);
	if (strcmp(patch->op, "del") != 0 && !json_is_object(patch->value))
		return error_set(error, EINVAL, section->name, "give a map of fields as value",
			"%s needs a value", patch->op);
	return 0;
}

static int read_patch(const struct section *const *sections, const json_t *entry,
	struct patch *patch, struct error *error)
{
	patch->op = value_text(entry, "op");
	patch->name = value_text(entry, "name");
	patch->value = json_object_get(entry, "value");
	patch->section = schema_section(sections, value_text(entry, "section"));
	if (!patch->section)
		return schema_unknown_section(
			EINVAL, sections, value_text(entry, "section"), error);
	return check_patch(patch, error);
}

/* RFC 7396, MergePatch, for an object. */
static void merge(json_t *target, const json_t *value)
{
	const char *key;
	json_t *item;

	json_object_foreach ((json_t *)value, key, item) {
		json_t *below = json_object_get(target, key);

		if (json_is_null(item)) {
			json_object_del(target, key);
		} else if (!json_is_object(item)) {
			json_object_set(target, key, item);
		} else {
			if (!json_is_object(below)) {
				below = json_object();
				json_object_set_new(target, key, below);
			}
			merge(below, item);
		}
	}
}

/* The member that is a map, made when it is missing. Borrowed. */
static json_t *child_map(json_t *object, const char *name)
{
	json_t *child = json_object_get(object, name);

	if (!json_is_object(child)) {
		child = json_object();
		json_object_set_new(object, name, child);
	}
	return child;
}

static int exists_already(const struct patch *patch, struct error *error)
{
	error_set(error, EEXIST, patch->name, "use set to change it, or another name",
		"%s \"%s\" exists already", patch->section->object, patch->name);
	error_prefix(error, patch->section->name);
	return -EEXIST;
}

static int apply_op(
	json_t *document, const json_t *complete, const struct patch *patch, struct error *error)
{
	json_t *objects = child_map(document, patch->section->name);
	const char *always = patch->section->always;

	if (patch->section->single) {
		merge(objects, patch->value);
		return 0;
	}
	if (strcmp(patch->op, "add") == 0) {
		if (json_object_get(objects, patch->name))
			return exists_already(patch, error);
	} else if (!json_object_get(objects, patch->name) &&
		   !(always && strcmp(always, patch->name) == 0)) {
		return schema_unknown_object(patch->section,
			json_object_get(complete, patch->section->name), patch->name, error);
	}
	if (strcmp(patch->op, "del") == 0)
		json_object_del(objects, patch->name);
	else
		merge(child_map(objects, patch->name), patch->value);
	return 0;
}

/* A section that has become empty goes: the document stays as a person would write it. */
static int apply_patch(
	json_t *document, const json_t *complete, const struct patch *patch, struct error *error)
{
	int rc = apply_op(document, complete, patch, error);

	if (json_object_size(json_object_get(document, patch->section->name)) == 0)
		json_object_del(document, patch->section->name);
	return rc;
}

int document_patch(const struct section *const *sections, const json_t *given,
	const json_t *complete, const json_t *changes, json_t **result, struct error *error)
{
	json_t *document = json_deep_copy(given);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < json_array_size(changes); i++) {
		struct patch patch;

		rc = read_patch(sections, json_array_get(changes, i), &patch, error);
		if (rc == 0)
			rc = apply_patch(document, complete, &patch, error);
	}
	if (rc)
		json_decref(document);
	else
		*result = document;
	return rc;
}
