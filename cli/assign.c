/* FIELD=VALUE arguments. See assign.h. */
#include "cli/assign.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/schema.h"

#define FIELD_VALUE "FIELD=VALUE"

static bool is_assignment(const struct call *call, unsigned arg)
{
	return strcmp(call->arg[arg].name, FIELD_VALUE) == 0;
}

static void field_choices(const struct schema_fields *fields, struct choices *choices)
{
	for (unsigned i = 0; i < fields->n; i++)
		choices_add(choices, fields->at[i].path, schema_text(fields->at[i].entry, "help"));
}

/* The field that the first `length` bytes of `text` name, or NULL with a fault. */
static const struct schema_field *find_field(const struct call *call,
	const struct schema_fields *fields, const char *text, size_t length, int word,
	struct fault *fault)
{
	struct choices choices = {0};
	char what[64];
	int found;

	snprintf(what, sizeof(what), "a field of %s", schema_noun(call->schema));
	field_choices(fields, &choices);
	found = choices_match(&choices, text, length, what, (struct spot){word, 0, length}, fault);
	choices_free(&choices);
	return found < 0 ? NULL : &fields->at[found];
}

/* Set object.a.b for the path "a.b", making what lies between. Takes over `value`. */
static void set_path(json_t *object, const char *path, json_t *value)
{
	const char *dot = strchr(path, '.');
	char *key = strndup(path, dot ? (size_t)(dot - path) : strlen(path));
	json_t *inner = json_object_get(object, key);

	if (!dot) {
		json_object_set_new(object, key, value);
	} else {
		if (!inner) {
			inner = json_object();
			json_object_set_new(object, key, inner);
		}
		set_path(inner, dot + 1, value);
	}
	free(key);
}

static json_t *get_path(const json_t *object, const char *path)
{
	const char *dot = strchr(path, '.');
	char *key = strndup(path, dot ? (size_t)(dot - path) : strlen(path));
	json_t *value = json_object_get(object, key);

	free(key);
	return dot ? get_path(value, dot + 1) : value;
}

static int fault_no_value(struct fault *fault, int word, const struct schema_field *field)
{
	const char *valid = schema_text(field->entry, "valid");
	char hint[400];

	snprintf(hint, sizeof(hint), "write %s=VALUE; valid: %s", field->path, valid ? valid : "");
	return fault_usage(fault, word, 0, 0, hint, "%s needs a value", field->path);
}

static int assign_one(struct cli *cli, const struct call *call, const struct schema_fields *fields,
	int word, json_t *object)
{
	const char *text = call->words[word];
	const char *equals = strchr(text, '=');
	size_t length = equals ? (size_t)(equals - text) : strlen(text);
	const struct schema_field *field;
	struct spot spot = {word, length + 1, equals ? strlen(equals + 1) : 0};
	json_t *value;

	field = find_field(call, fields, text, length, word, &cli->fault);
	if (!field)
		return -1;
	if (!equals)
		return fault_no_value(&cli->fault, word, field);
	if (get_path(object, field->path))
		return fault_usage(
			&cli->fault, word, 0, length, NULL, "%s is given twice", field->path);
	value = equals[1] ? schema_value(field->entry, equals + 1, spot, &cli->fault) : json_null();
	if (!value)
		return -1;
	set_path(object, field->path, value);
	return 0;
}

json_t *assign_value(struct cli *cli, const struct call *call)
{
	struct schema_fields fields = schema_fields(call->schema);
	json_t *object = json_object();
	int error = 0;

	for (unsigned i = 0; i < call->n_args && !error; i++) {
		if (is_assignment(call, i))
			error = assign_one(cli, call, &fields, call->arg[i].word, object);
	}
	free(fields.at);
	if (!error)
		return object;
	json_decref(object);
	return NULL;
}

/* ---- completion ------------------------------------------------------------------------------ */

static bool is_given(const struct call *call, const char *path)
{
	size_t length = strlen(path);

	for (unsigned i = 0; i < call->n_args; i++) {
		const char *text = call->words[call->arg[i].word];

		if (is_assignment(call, i) && strncmp(text, path, length) == 0 &&
			text[length] == '=')
			return true;
	}
	return false;
}

static void value_choices(struct cli *cli, const struct call *call,
	const struct schema_fields *fields, const char *text, struct choices *choices)
{
	const char *equals = strchr(text, '=');
	const char *comma;
	struct fault ignored = {0};
	const struct schema_field *field =
		find_field(call, fields, text, (size_t)(equals - text), 0, &ignored);

	if (!field)
		return;
	comma = strcmp(schema_text(field->entry, "type"), "list") == 0 ? strrchr(equals, ',')
								       : NULL;
	choices->keep = (size_t)((comma ? comma : equals) + 1 - text);
	schema_values(cli, field->entry, choices);
}

static void open_fields(
	const struct call *call, const struct schema_fields *fields, struct choices *choices)
{
	char open[80];

	for (unsigned i = 0; i < fields->n; i++) {
		if (is_given(call, fields->at[i].path))
			continue;
		snprintf(open, sizeof(open), "%s=", fields->at[i].path);
		choices_add(choices, open, schema_text(fields->at[i].entry, "help"));
	}
}

void assign_choices(
	struct cli *cli, const struct call *call, const char *text, struct choices *choices)
{
	struct schema_fields fields = schema_fields(call->schema);

	if (strchr(text, '='))
		value_choices(cli, call, &fields, text, choices);
	else
		open_fields(call, &fields, choices);
	free(fields.at);
}

/* ---- blame ----------------------------------------------------------------------------------- */

/* What follows `part` and a dot in the path; NULL when the path does not begin so. */
static const char *path_behind(const char *path, const char *part)
{
	size_t length = part ? strlen(part) : 0;

	if (!length || strncmp(path, part, length) != 0)
		return NULL;
	if (path[length] == '.')
		return path + length + 1;
	return path[length] ? NULL : path + length;
}

static int name_word(const struct call *call)
{
	for (unsigned i = 0; i < call->n_args; i++) {
		if (strstr(call->arg[i].name, "NAME") || strcmp(call->arg[i].name, "NF") == 0)
			return call->arg[i].word;
	}
	return FAULT_NO_WORD;
}

/* The assignment whose field, written out or as a prefix, the path begins with. */
static int assignment_word(const struct call *call, const char *path)
{
	for (unsigned i = 0; i < call->n_args; i++) {
		const char *text = call->words[call->arg[i].word];

		if (is_assignment(call, i) && strncmp(text, path, strcspn(text, "=")) == 0)
			return call->arg[i].word;
	}
	return FAULT_NO_WORD;
}

/* Within "path=a,b,c", an error about chains.web.path.1 is about b. */
static void blame_value(struct fault *fault, const char *text)
{
	const char *index = strrchr(fault->path, '.');
	unsigned long n = index ? strtoul(index + 1, NULL, 10) : 0;

	fault->offset = strcspn(text, "=");
	fault->offset += text[fault->offset] == '=';
	for (; n > 0 && strchr(text + fault->offset, ','); n--)
		fault->offset = (size_t)(strchr(text + fault->offset, ',') - text) + 1;
	fault->length = strcspn(text + fault->offset, ",");
	if (!index || !isdigit((unsigned char)index[1]))
		fault->length = 0;
}

/*
 * What a path says below the object that the call is about: "ports.lan.mtu" is "mtu", "ports.lan"
 * is "". Parameters of the question, such as "changes.0.name", are left with their own name.
 */
static const char *path_below(const struct call *call, const char *path, const char *name)
{
	const char *dot = strchr(path, '.');
	const char *behind = path_behind(path, "changes.0");

	if (behind)
		return behind;
	/* `show SECTION NAME` gets no error about its section: the first part can only be that. */
	behind = call->section || !dot ? path_behind(path, call->section) : dot + 1;
	path = behind ? behind : path;
	behind = path_behind(path, name);
	return behind ? behind : path;
}

/* The value of the option that is the parameter of that name. */
static int option_word(const struct call *call, const char *parameter)
{
	for (unsigned i = 0; i < call->n_options; i++) {
		if (strcmp(call->option[i].option->name + strlen("--"), parameter) == 0)
			return call->option[i].word;
	}
	return FAULT_NO_WORD;
}

void assign_blame(const struct call *call, struct fault *fault)
{
	int name = name_word(call);
	const char *below;

	if (!fault->answer || !fault->path[0])
		return;
	below = path_below(call, fault->path, name == FAULT_NO_WORD ? NULL : call->words[name]);
	if (!*below || strcmp(below, "name") == 0) {
		fault->word = name;
		return;
	}
	fault->word = assignment_word(call, below);
	if (fault->word != FAULT_NO_WORD)
		blame_value(fault, call->words[fault->word]);
	else
		fault->word = option_word(call, below);
}
