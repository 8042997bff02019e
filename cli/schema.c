/* Reading the daemon's schema: sections, fields, values. See schema.h. */
#include "cli/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* ---- sections -------------------------------------------------------------------------------- */

const json_t *schema_section(const json_t *schema, const char *name)
{
	return json_object_get(schema, name);
}

const char *schema_text(const json_t *entry, const char *key)
{
	return json_string_value(json_object_get(entry, key));
}

const char *schema_noun(const json_t *section)
{
	const char *noun = schema_text(section, "object");

	return noun ? noun : "";
}

bool schema_is_single(const json_t *section)
{
	return json_is_true(json_object_get(section, "single"));
}

const json_t *schema_section_of(const json_t *schema, const char *noun, const char **name)
{
	json_t *section;

	json_object_foreach ((json_t *)schema, *name, section) {
		if (strcmp(schema_noun(section), noun) == 0)
			return section;
	}
	return NULL;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static bool is_type(const json_t *field, const char *type)
{
	const char *is = schema_text(field, "type");

	return is && strcmp(is, type) == 0;
}

static void add_fields(struct schema_fields *fields, const json_t *entries, const char *prefix)
{
	const char *name;
	json_t *entry;

	json_object_foreach ((json_t *)entries, name, entry) {
		struct schema_field field = {.entry = entry};
		struct schema_field *at;

		snprintf(field.path, sizeof(field.path), "%s%s", prefix, name);
		if (is_type(entry, "map")) {
			strncat(field.path, ".", sizeof(field.path) - strlen(field.path) - 1);
			add_fields(fields, json_object_get(entry, "fields"), field.path);
			continue;
		}
		at = realloc(fields->at, (fields->n + 1) * sizeof(*at));
		if (!at)
			return;
		at[fields->n++] = field;
		fields->at = at;
	}
}

struct schema_fields schema_fields(const json_t *section)
{
	struct schema_fields fields = {0};

	add_fields(&fields, json_object_get(section, "fields"), "");
	return fields;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* "ports": names of its objects; "nfs.service": what this field of them says. */
static void add_references(struct cli *cli, const char *ref, struct choices *values)
{
	const char *dot = strchr(ref, '.');
	const char *name;
	char section[32];
	json_t *object;

	snprintf(section, sizeof(section), "%.*s", (int)strcspn(ref, "."), ref);
	json_object_foreach (json_object_get(cli_document(cli), section), name, object) {
		const char *text = dot ? schema_text(object, dot + 1) : name;

		if (text)
			choices_add(values, text, NULL);
	}
}

void schema_values(struct cli *cli, const json_t *field, struct choices *values)
{
	const json_t *value;
	size_t i;

	if (is_type(field, "bool")) {
		choices_add(values, "true", NULL);
		choices_add(values, "false", NULL);
	}
	json_array_foreach (json_object_get(field, "values"), i, value)
		choices_add(values, json_string_value(value), NULL);
	json_array_foreach (json_object_get(field, "starts"), i, value)
		choices_add(values, json_string_value(value), NULL);
	if (schema_text(field, "ref"))
		add_references(cli, schema_text(field, "ref"), values);
	if (is_type(field, "list"))
		schema_values(cli, json_object_get(field, "element"), values);
}

void schema_preset(const json_t *field, char *text, size_t size)
{
	json_t *preset = json_object_get(field, "default");
	char *json = preset ? json_dumps(preset, JSON_ENCODE_ANY) : NULL;

	if (json_is_string(preset))
		snprintf(text, size, "%s", json_string_value(preset));
	else if (json)
		snprintf(text, size, "%s", json);
	else if (json_is_true(json_object_get(field, "default_name")))
		snprintf(text, size, "its name");
	else
		snprintf(text, size,
			json_is_true(json_object_get(field, "required")) ? "required" : "none");
	free(json);
}

static json_t *wrong_value(
	const json_t *field, const char *text, struct spot spot, struct fault *fault)
{
	const char *valid = schema_text(field, "valid");
	char hint[400];

	snprintf(hint, sizeof(hint), "valid: %s", valid ? valid : "");
	fault_usage(fault, spot.word, spot.offset, spot.length, hint, "\"%.*s\" is not valid here",
		(int)spot.length, text);
	return NULL;
}

/* A whole number, or NULL. */
static json_t *number_value(const char *text)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	return end != text && !*end && !errno ? json_integer(number) : NULL;
}

/* One of a list of texts, written out or as a unique prefix. */
static json_t *chosen_value(
	const json_t *field, const char *text, struct spot spot, struct fault *fault)
{
	struct choices values = {0};
	json_t *value = NULL;
	int found;

	schema_values(NULL, field, &values);
	found = choices_match(&values, text, strlen(text), "valid here", spot, fault);
	if (found >= 0 && is_type(field, "bool"))
		value = json_boolean(strcmp(values.at[found].text, "true") == 0);
	else if (found >= 0)
		value = json_string(values.at[found].text);
	choices_free(&values);
	return value;
}

static json_t *list_value(
	const json_t *field, const char *text, struct spot spot, struct fault *fault)
{
	json_t *list = json_array();
	const char *at = text;

	while (*at) {
		size_t length = strcspn(at, ",");
		struct spot item_spot = {spot.word, spot.offset + (size_t)(at - text), length};
		char *item = strndup(at, length);
		json_t *value =
			schema_value(json_object_get(field, "element"), item, item_spot, fault);

		free(item);
		if (!value) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, value);
		at += length + (at[length] == ',');
	}
	return list;
}

json_t *schema_value(const json_t *field, const char *text, struct spot spot, struct fault *fault)
{
	json_t *value;

	if (is_type(field, "list"))
		return list_value(field, text, spot, fault);
	if (is_type(field, "bool"))
		return chosen_value(field, text, spot, fault);
	if (is_type(field, "int")) {
		value = number_value(text);
		return value ? value : wrong_value(field, text, spot, fault);
	}
	if (is_type(field, "enum")) {
		value = json_object_get(field, "max") ? number_value(text) : NULL;
		return value ? value : chosen_value(field, text, spot, fault);
	}
	if (is_type(field, "range")) {
		value = number_value(text);
		return value ? value : json_string(text);
	}
	return json_string(text);
}
