/* Which values a field takes, one check per type, and how to say so. Called by schema.c. */
#include "manager/schema_types.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"

static const char *const type_names[] = {
	[FIELD_BOOL] = "bool",
	[FIELD_INT] = "int",
	[FIELD_TEXT] = "text",
	[FIELD_NAME] = "name",
	[FIELD_REF] = "ref",
	[FIELD_ENUM] = "enum",
	[FIELD_RANGE] = "range",
	[FIELD_PREFIX] = "prefix",
	[FIELD_LIST] = "list",
	[FIELD_MAP] = "map",
	[FIELD_ANY] = "any",
};

const char *schema_type_name(enum field_type type)
{
	return type_names[type];
}

const char *schema_type_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "a map";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a text";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	default:
		return "nothing";
	}
}

void schema_join(const char *const *names, char *text, size_t size)
{
	static const char more[] = ", ...";
	size_t at = 0;

	text[0] = '\0';
	for (; names && *names; names++) {
		if (at + strlen(", ") + strlen(*names) + sizeof(more) > size) {
			snprintf(text + at, size - at, "%s", at ? more : more + 2);
			return;
		}
		at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "", *names);
	}
}

int schema_unknown(
	int code, const char *what, const char *name, const char *const *known, struct error *error)
{
	char all[200], hint[ERROR_HINT_BYTES], path[64];
	const char *nearest = error_nearest(name, known);

	schema_join(known, all, sizeof(all));
	if (nearest)
		snprintf(hint, sizeof(hint), "did you mean %s? known: %s", nearest, all);
	else
		snprintf(hint, sizeof(hint), "known: %s", all[0] ? all : "none");
	snprintf(path, sizeof(path), "%.40s", name);
	return error_set(error, code, path, hint, "unknown %s \"%.40s\"", what, name);
}

int schema_unknown_section(
	int code, const struct section *const *sections, const char *name, struct error *error)
{
	const char *known[SCHEMA_LIST_MAX] = {NULL};

	for (unsigned n = 0; sections[n] && n < SCHEMA_LIST_MAX - 1; n++)
		known[n] = sections[n]->name;
	return schema_unknown(code, "section", name, known, error);
}

unsigned schema_keys(const json_t *map, const char *keys[SCHEMA_LIST_MAX])
{
	const char *key;
	json_t *value;
	unsigned n = 0;

	json_object_foreach ((json_t *)map, key, value)
		if (n < SCHEMA_LIST_MAX - 1)
			keys[n++] = key;
	keys[n] = NULL;
	return n;
}

int schema_unknown_object(
	const struct section *section, const json_t *objects, const char *name, struct error *error)
{
	const char *known[SCHEMA_LIST_MAX];

	schema_keys(objects, known);
	schema_unknown(ENOENT, section->object, name, known, error);
	error_prefix(error, section->name);
	return -ENOENT;
}

/* ---- saying what is valid -------------------------------------------------------------------- */

static void describe_enum(const struct field *field, char *text, size_t size)
{
	char all[200];

	schema_join(field->values, all, sizeof(all));
	if (field->max > 0)
		snprintf(text, size, "one of %s, or a number %lld..%lld", all,
			(long long)field->min, (long long)field->max);
	else
		snprintf(text, size, "one of %s", all);
}

static void describe_list(const struct field *field, char *text, size_t size)
{
	char element[160];

	schema_describe(field->element, element, sizeof(element));
	snprintf(text, size, "a list of at most %lld, each %s",
		(long long)(field->max ? field->max : SCHEMA_LIST_MAX), element);
}

static void describe_map(const struct field *field, char *text, size_t size)
{
	const char *names[SCHEMA_LIST_MAX];
	char all[200];
	unsigned n = 0;

	for (const struct field *f = field->fields; f->name && n < SCHEMA_LIST_MAX - 1; f++)
		names[n++] = f->name;
	names[n] = NULL;
	schema_join(names, all, sizeof(all));
	snprintf(text, size, "a map of %s", all);
}

static void describe_number(const struct field *field, char *text, size_t size)
{
	const char *range = field->type == FIELD_RANGE ? " or a range LOW-HIGH within" : "";

	snprintf(text, size, "a number%s %lld..%lld%s%s%s", range, (long long)field->min,
		(long long)field->max, field->unit ? " (" : "", field->unit ? field->unit : "",
		field->unit ? ")" : "");
}

void schema_describe(const struct field *field, char *text, size_t size)
{
	switch (field->type) {
	case FIELD_BOOL:
		snprintf(text, size, "true or false");
		break;
	case FIELD_INT:
	case FIELD_RANGE:
		describe_number(field, text, size);
		break;
	case FIELD_TEXT:
		snprintf(text, size, "a text of 1..%lld bytes",
			(long long)(field->max ? field->max : SCHEMA_TEXT_MAX));
		break;
	case FIELD_NAME:
		snprintf(text, size, "a name");
		break;
	case FIELD_REF:
		snprintf(text, size, "a name out of %s", field->ref);
		break;
	case FIELD_ENUM:
		describe_enum(field, text, size);
		break;
	case FIELD_PREFIX:
		snprintf(text, size, "an IPv4 or IPv6 address or prefix, such as 10.0.0.0/8");
		break;
	case FIELD_LIST:
		describe_list(field, text, size);
		break;
	case FIELD_MAP:
		describe_map(field, text, size);
		break;
	case FIELD_ANY:
		snprintf(text, size, "any value");
		break;
	}
}

static void hint_for(const struct field *field, char *hint, size_t size)
{
	size_t at;

	schema_describe(field, hint, size);
	at = strlen(hint);
	if (field->example && at < size)
		snprintf(hint + at, size - at, "; for example %s", field->example);
}

int schema_wrong(const struct field *field, const json_t *value, struct error *error)
{
	char hint[ERROR_HINT_BYTES];
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	hint_for(field, hint, sizeof(hint));
	if (json_is_object(value) || json_is_array(value) || !text)
		error_set(error, EINVAL, "", hint, "%s is not valid here", schema_type_of(value));
	else
		error_set(error, EINVAL, "", hint, "%.60s is not valid here", text);
	memory_free_text(text);
	return -EINVAL;
}

/* ---- one check per type ---------------------------------------------------------------------- */

static int wrong_unless(
	bool valid, const struct field *field, const json_t *value, struct error *error)
{
	return valid ? 0 : schema_wrong(field, value, error);
}

static bool in_range(const struct field *field, int64_t number)
{
	return number >= field->min && number <= field->max;
}

static bool valid_int(const struct field *field, const json_t *value)
{
	return json_is_integer(value) && in_range(field, json_integer_value(value));
}

/* Control characters would reach terminals, logs and YAML files. */
static bool valid_text(const struct field *field, const json_t *value)
{
	const char *text = json_string_value(value);
	size_t length = json_string_length(value);

	if (!text || length == 0 || strlen(text) != length ||
		length > (size_t)(field->max ? field->max : SCHEMA_TEXT_MAX))
		return false;
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			return false;
	return true;
}

static bool valid_enum(const struct field *field, const json_t *value)
{
	const char *text = json_string_value(value);

	if (field->max > 0 && valid_int(field, value))
		return true;
	for (const char *const *v = field->values; text && *v; v++)
		if (strcmp(*v, text) == 0)
			return true;
	return false;
}

/* "LOW-HIGH" in decimal digits only: no signs, no spaces. */
static bool parse_range(const char *text, long long *low, long long *high)
{
	char *end;

	if (!text || !isdigit((unsigned char)text[0]))
		return false;
	*low = strtoll(text, &end, 10);
	if (*end != '-' || !isdigit((unsigned char)end[1]))
		return false;
	*high = strtoll(end + 1, &end, 10);
	return *end == '\0' && *low <= *high;
}

static bool valid_range(const struct field *field, const json_t *value)
{
	long long low, high;

	return valid_int(field, value) || (parse_range(json_string_value(value), &low, &high) &&
						  in_range(field, low) && in_range(field, high));
}

static int check_name_value(const json_t *value, struct error *error)
{
	return schema_check_name(json_string_value(value), error);
}

static int check_prefix_value(const json_t *value, struct error *error)
{
	uint8_t address[16], bits, family;

	return schema_prefix(json_string_value(value), address, &bits, &family, error);
}

static int check_type(const struct field *field, const json_t *value, struct error *error)
{
	switch (field->type) {
	case FIELD_BOOL:
		return wrong_unless(json_is_boolean(value), field, value, error);
	case FIELD_INT:
		return wrong_unless(valid_int(field, value), field, value, error);
	case FIELD_TEXT:
		return wrong_unless(valid_text(field, value), field, value, error);
	case FIELD_NAME:
	case FIELD_REF:
		return json_is_string(value) ? check_name_value(value, error)
					     : schema_wrong(field, value, error);
	case FIELD_ENUM:
		return wrong_unless(valid_enum(field, value), field, value, error);
	case FIELD_RANGE:
		return wrong_unless(valid_range(field, value), field, value, error);
	case FIELD_PREFIX:
		return json_is_string(value) ? check_prefix_value(value, error)
					     : schema_wrong(field, value, error);
	case FIELD_LIST:
		return wrong_unless(json_is_array(value), field, value, error);
	case FIELD_MAP:
		return wrong_unless(json_is_object(value), field, value, error);
	case FIELD_ANY:
		break;
	}
	return 0;
}

int schema_check_value(const struct field *field, const json_t *value, struct error *error)
{
	int rc = check_type(field, value, error);

	return rc == 0 && field->check ? field->check(value, error) : rc;
}

/* ---- names, ranges, prefixes ----------------------------------------------------------------- */

int schema_check_name(const char *name, struct error *error)
{
	static const char hint[] = "1 to 31 of A-Z a-z 0-9 . _ -, the first a letter or digit";

	if (strlen(name) > SCHEMA_NAME_MAX)
		return error_set(error, ENAMETOOLONG, "", hint, "the name \"%.40s%s\" is too long",
			name, strlen(name) > 40 ? "..." : "");
	if (!isalnum((unsigned char)name[0]))
		return error_set(error, EINVAL, "", hint, "\"%s\" is not a name", name);
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return error_set(error, EINVAL, "", hint, "\"%s\" is not a name", name);
	return 0;
}

void schema_range(const json_t *value, uint16_t *low, uint16_t *high)
{
	long long first = json_integer_value(value), last = first;

	if (json_is_string(value))
		parse_range(json_string_value(value), &first, &last);
	*low = (uint16_t)first;
	*high = (uint16_t)last;
}

/* The bits behind the '/', or `all` without one; -1 when it is no number 0..all. */
static int prefix_bits(const char *slash, int all)
{
	char *end;
	long bits;

	if (!slash)
		return all;
	if (!isdigit((unsigned char)slash[1]))
		return -1;
	bits = strtol(slash + 1, &end, 10);
	return *end || bits > all ? -1 : (int)bits;
}

/* IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), as abi/flow.h has it. */
static int parse_address(const char *text, uint8_t address[16])
{
	memset(address, 0, 16);
	if (inet_pton(AF_INET6, text, address) == 1)
		return 6;
	address[10] = address[11] = 0xff;
	return inet_pton(AF_INET, text, address + 12) == 1 ? 4 : 0;
}

static bool host_bits_set(const uint8_t address[16], int bits)
{
	for (int i = bits; i < 128; i++)
		if (address[i / 8] & 0x80 >> i % 8)
			return true;
	return false;
}

int schema_prefix(
	const char *text, uint8_t address[16], uint8_t *bits, uint8_t *family, struct error *error)
{
	static const char hint[] = "an IPv4 or IPv6 address or prefix, such as 10.0.0.0/8";
	const char *slash = strchr(text, '/');
	char host[64];
	int n;

	snprintf(host, sizeof(host), "%.*s", slash ? (int)(slash - text) : 63, text);
	*family = (uint8_t)parse_address(host, address);
	n = prefix_bits(slash, *family == 4 ? 32 : 128);
	if (!*family || n < 0)
		return error_set(
			error, EINVAL, "", hint, "\"%.60s\" is not an address or prefix", text);
	*bits = (uint8_t)(*family == 4 ? n + 96 : n);
	if (host_bits_set(address, *bits))
		return error_set(error, EINVAL, "", "zero the bits behind the prefix",
			"\"%.60s\" has bits set behind its prefix", text);
	return 0;
}
