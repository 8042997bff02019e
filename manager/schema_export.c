/*
 * The descriptor tables as JSON, for schema.get: the CLI's grammar and completion, the manual and
 * whoever writes a front end read this instead of having tables of their own.
 */
#include "manager/schema.h"

#include "manager/schema_types.h"

static const char *const effect_names[] = {
	[EFFECT_LIVE] = "live",
	[EFFECT_RECREATE] = "recreate",
	[EFFECT_RESTART] = "restart",
};

const char *schema_effect_name(enum effect effect)
{
	return effect_names[effect];
}

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text)
		json_object_set_new(object, key, json_string(text));
}

static json_t *export_values(const char *const *values)
{
	json_t *list = json_array();

	for (; *values; values++)
		json_array_append_new(list, json_string(*values));
	return list;
}

static void export_limits(const struct field *field, json_t *object)
{
	if (field->max) {
		json_object_set_new(object, "min", json_integer(field->min));
		json_object_set_new(object, "max", json_integer(field->max));
	}
	if (field->values)
		json_object_set_new(object, "values", export_values(field->values));
	if (field->starts)
		json_object_set_new(object, "starts", export_values(field->starts()));
}

static json_t *export_field(const struct field *field)
{
	char valid[ERROR_HINT_BYTES];
	json_t *object = json_object();

	schema_describe(field, valid, sizeof(valid));
	set_text(object, "type", schema_type_name(field->type));
	set_text(object, "help", field->help);
	set_text(object, "valid", valid);
	set_text(object, "unit", field->unit);
	set_text(object, "example", field->example);
	set_text(object, "ref", field->ref);
	json_object_set_new(object, "required", json_boolean(field->required));
	set_text(object, "mutability", effect_names[field->effect]);
	if (field->preset)
		json_object_set_new(
			object, "default", json_loads(field->preset, JSON_DECODE_ANY, NULL));
	if (field->preset_name)
		json_object_set_new(object, "default_name", json_true());
	export_limits(field, object);
	if (field->element)
		json_object_set_new(object, "element", export_field(field->element));
	if (field->fields)
		json_object_set_new(object, "fields", schema_export_fields(field->fields));
	return object;
}

json_t *schema_export_fields(const struct field *fields)
{
	json_t *object = json_object();

	for (; fields && fields->name; fields++)
		json_object_set_new(object, fields->name, export_field(fields));
	return object;
}

static json_t *export_section(const struct section *section)
{
	json_t *object = json_object();

	set_text(object, "object", section->object);
	set_text(object, "help", section->help);
	json_object_set_new(object, "single", json_boolean(section->single));
	set_text(object, "always", section->always);
	set_text(object, "role", role_name(section->role));
	json_object_set_new(object, "fields", schema_export_fields(section->fields));
	return object;
}

json_t *schema_export(const struct section *const *sections)
{
	json_t *object = json_object();

	for (; *sections; sections++)
		json_object_set_new(object, (*sections)->name, export_section(*sections));
	return object;
}
