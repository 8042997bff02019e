/* The parser of port specs. See spec.h. */
#include "modules/port/spec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPEC_ITEM_BYTES 256

struct spec_parser {
	const struct spec_field *fields;
	const char *usage;
	void *options;
	struct error *error;
	unsigned next; /* position: fields looked at for the next positional */
	bool given[SPEC_FIELDS_MAX];
};

static int bad_value(const struct spec_parser *parser, const struct spec_field *field,
	const char *value, const char *valid)
{
	return error_set(parser->error, EINVAL, "spec", parser->usage,
		"%s cannot be '%s': valid is %s", field->name, value, valid);
}

static int set_text(
	const struct spec_parser *parser, const struct spec_field *field, const char *value)
{
	char valid[64];

	if (!*value || strlen(value) >= field->size) {
		snprintf(valid, sizeof(valid), "a text of 1 to %zu characters", field->size - 1);
		return bad_value(parser, field, value, valid);
	}
	strcpy((char *)parser->options + field->offset, value);
	return 0;
}

static int set_number(
	const struct spec_parser *parser, const struct spec_field *field, const char *value)
{
	unsigned long long number;
	char valid[64], *end;

	errno = 0;
	number = strtoull(value, &end, 0);
	if (*value < '0' || *value > '9' || *end || errno || number < field->min ||
		number > field->max) {
		snprintf(valid, sizeof(valid), "%llu to %llu", (unsigned long long)field->min,
			(unsigned long long)field->max);
		return bad_value(parser, field, value, valid);
	}
	*(uint64_t *)((char *)parser->options + field->offset) = number;
	return 0;
}

static int set_switch(
	const struct spec_parser *parser, const struct spec_field *field, const char *value)
{
	bool on = strcmp(value, "on") == 0;

	if (!on && strcmp(value, "off") != 0)
		return bad_value(parser, field, value, "on or off");
	*(bool *)((char *)parser->options + field->offset) = on;
	return 0;
}

static int set_address(
	const struct spec_parser *parser, const struct spec_field *field, const char *value)
{
	uint8_t *mac = (uint8_t *)parser->options + field->offset;
	char tail;

	if (sscanf(value, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2],
		    &mac[3], &mac[4], &mac[5], &tail) != 6 ||
		(mac[0] & 1))
		return bad_value(parser, field, value, "a unicast address as 02:00:00:00:00:01");
	return 0;
}

static int set_field(struct spec_parser *parser, unsigned i, const char *value)
{
	const struct spec_field *field = &parser->fields[i];

	if (parser->given[i])
		return error_set(parser->error, EINVAL, "spec", parser->usage, "%s is given twice",
			field->name);
	parser->given[i] = true;
	switch (field->type) {
	case SPEC_TEXT:
		return set_text(parser, field, value);
	case SPEC_NUMBER:
		return set_number(parser, field, value);
	case SPEC_SWITCH:
		return set_switch(parser, field, value);
	case SPEC_ADDRESS:
		return set_address(parser, field, value);
	}
	return -EINVAL;
}

/* The option called `name`, or -1. */
static int find_option(const struct spec_parser *parser, const char *name)
{
	for (int i = 0; parser->fields[i].name; i++)
		if (parser->fields[i].place == SPEC_OPTION &&
			strcmp(parser->fields[i].name, name) == 0)
			return i;
	return -1;
}

static int unknown_option(const struct spec_parser *parser, const char *name)
{
	const char *names[SPEC_FIELDS_MAX + 1], *nearest;
	char valid[160] = "";
	unsigned n = 0;

	for (const struct spec_field *field = parser->fields; field->name; field++) {
		if (field->place != SPEC_OPTION)
			continue;
		names[n++] = field->name;
		snprintf(valid + strlen(valid), sizeof(valid) - strlen(valid), "%s%s",
			*valid ? ", " : "", field->name);
	}
	names[n] = NULL;
	nearest = error_nearest(name, names);
	return error_set(parser->error, EINVAL, "spec", parser->usage,
		"no option is called '%s'; %s%s%svalid: %s", name, nearest ? "did you mean '" : "",
		nearest ? nearest : "", nearest ? "'? " : "", *valid ? valid : "none");
}

static int positional(struct spec_parser *parser, const char *value)
{
	while (parser->fields[parser->next].name &&
		parser->fields[parser->next].place == SPEC_OPTION)
		parser->next++;
	if (!parser->fields[parser->next].name)
		return error_set(parser->error, EINVAL, "spec", parser->usage,
			"'%s' is not name=value", value);
	if (parser->fields[parser->next].place == SPEC_POSITIONAL &&
		(!*value || strcmp(value, "-") == 0)) {
		parser->next++;
		return 0;
	}
	return set_field(parser, parser->next++, value);
}

static bool wants_positional(const struct spec_parser *parser)
{
	for (const struct spec_field *field = &parser->fields[parser->next]; field->name; field++)
		if (field->place != SPEC_OPTION)
			return true;
	return false;
}

/* A mere word before "=", as a mistyped option has; a path says what it is by its other characters.
 */
static bool is_named(const char *item)
{
	size_t length = strspn(item, "abcdefghijklmnopqrstuvwxyz_");

	return length > 0 && item[length] == '=';
}

static int parse_item(struct spec_parser *parser, char *item)
{
	char *equals = strchr(item, '=');
	bool named = is_named(item);
	int i;

	if (!equals)
		return positional(parser, item);
	*equals = '\0';
	i = find_option(parser, item);
	if (i >= 0)
		return set_field(parser, (unsigned)i, equals + 1);
	if (named || !wants_positional(parser))
		return unknown_option(parser, item);
	*equals = '=';
	return positional(parser, item);
}

static int check_required(const struct spec_parser *parser)
{
	for (unsigned i = 0; parser->fields[i].name; i++)
		if (parser->fields[i].place == SPEC_REQUIRED && !parser->given[i])
			return error_set(parser->error, EINVAL, "spec", parser->usage,
				"%s is missing", parser->fields[i].name);
	return 0;
}

int spec_parse(const char *args, const struct spec_field *fields, const char *usage, void *options,
	struct error *error)
{
	struct spec_parser parser = {
		.fields = fields, .usage = usage, .options = options, .error = error};
	char item[SPEC_ITEM_BYTES];
	int err = 0;

	while (args && *args && !err) {
		size_t length = strcspn(args, ",");

		if (length >= sizeof(item))
			return error_set(error, EINVAL, "spec", usage,
				"'%.32s...' is longer than %zu characters", args, sizeof(item) - 1);
		memcpy(item, args, length);
		item[length] = '\0';
		err = parse_item(&parser, item);
		args += length;
		if (*args == ',')
			args++;
	}
	return err ? err : check_required(&parser);
}
