/* The configuration for people: tables of objects, all about one object, YAML. See actions.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/actions.h"
#include "cli/schema.h"
#include "cli/table.h"
#include "cli/value.h"
#include "manager/yaml.h"

#define COLUMNS_MAX 32

/* The section asked for, by its name or its noun; NULL in *section: all. */
static int find_section(struct cli *cli, const struct call *call, const char **section)
{
	const char *text = call_arg(call, "SECTION");
	struct choices sections = {0};
	struct spot spot = {call_arg_word(call, "SECTION"), 0, 0};
	int found = -1;

	*section = call->section;
	if (!text || schema_section_of(cli_schema(cli), text, section))
		return 0;
	if (cli_schema(cli)) {
		grammar_argument("SECTION")->choices(cli, call, text, &sections);
		found = choices_match(
			&sections, text, strlen(text), "a section", spot, &cli->fault);
	}
	if (found >= 0)
		*section = json_object_iter_key(
			json_object_iter_at(cli->schema, sections.at[found].text));
	choices_free(&sections);
	return found < 0 ? -EINVAL : 0;
}

int params_show(struct cli *cli, const struct call *call, json_t *params)
{
	const char *name = call_arg(call, "NAME");
	const char *section;

	if (find_section(cli, call, &section))
		return -EINVAL;
	if (section)
		json_object_set_new(params, "section", json_string(section));
	if (name)
		json_object_set_new(params, "name", json_string(name));
	json_object_set_new(params, "defaults", json_true());
	return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

static void value_cell(struct table *table, enum colour colour, const json_t *value)
{
	char *text = value_words(value, false);

	table_cell(table, colour, "%s", text ? text : "-");
	free(text);
}

/* ---- one object ------------------------------------------------------------------------------ */

static void print_object(struct cli *cli, const json_t *section, const json_t *object)
{
	struct schema_fields fields = schema_fields(section);
	struct table *table =
		table_begin((const char *[]){"FIELD", "VALUE", "UNIT", "CHANGE", "MEANING", NULL});

	table_wrap(table, cli->columns);
	for (unsigned i = 0; i < fields.n; i++) {
		const json_t *entry = fields.at[i].entry;
		const json_t *value = value_at(object, fields.at[i].path);
		const char *unit = schema_text(entry, "unit");
		bool notable = value_is_notable(&fields.at[i], "", object);

		value = value ? value : json_object_get(entry, "default");
		table_cell(table, COLOUR_BOLD, "%s", fields.at[i].path);
		value_cell(table, notable ? COLOUR_NONE : COLOUR_DIM, value);
		table_cell(table, COLOUR_DIM, "%s", unit ? unit : "");
		table_cell(table, COLOUR_DIM, "%s", schema_text(entry, "mutability"));
		table_cell(table, COLOUR_DIM, "%s", schema_text(entry, "help"));
	}
	table_end(table, cli->out, cli->colour);
	free(fields.at);
}

/* ---- all objects of a section ---------------------------------------------------------------- */

/*
 * Columns for the fields that each object has, and for those that say something in at least one.
 * Returns their number.
 */
static unsigned choose_columns(const struct schema_fields *fields, const json_t *objects,
	const struct schema_field *columns[COLUMNS_MAX])
{
	unsigned n = 0;
	const char *name;
	json_t *object;

	for (unsigned i = 0; i < fields->n && n < COLUMNS_MAX; i++) {
		bool show = json_is_true(json_object_get(fields->at[i].entry, "required")) &&
			    !strchr(fields->at[i].path, '.');

		json_object_foreach ((json_t *)objects, name, object)
			show = show || value_is_notable(&fields->at[i], name, object);
		if (show)
			columns[n++] = &fields->at[i];
	}
	return n;
}

static void print_objects(struct cli *cli, const json_t *section, const json_t *objects)
{
	struct schema_fields fields = schema_fields(section);
	const struct schema_field *columns[COLUMNS_MAX];
	unsigned n = choose_columns(&fields, objects, columns);
	const char *headers[COLUMNS_MAX + 2] = {"NAME"};
	struct table *table;
	const char *name;
	json_t *object;

	for (unsigned i = 0; i < n; i++)
		headers[i + 1] = columns[i]->path;
	table = table_begin(headers);
	json_object_foreach ((json_t *)objects, name, object) {
		table_cell(table, COLOUR_BOLD, "%s", name);
		for (unsigned i = 0; i < n; i++)
			value_cell(table, COLOUR_NONE, value_at(object, columns[i]->path));
	}
	table_end(table, cli->out, cli->colour);
	free(fields.at);
}

static void print_section(struct cli *cli, const char *name, const json_t *content)
{
	const json_t *section = schema_section(cli_schema(cli), name);

	if (schema_is_single(section))
		print_object(cli, section, content);
	else
		print_objects(cli, section, content);
}

static void print_all(struct cli *cli, const json_t *document)
{
	const char *name;
	json_t *content;

	json_object_foreach ((json_t *)document, name, content) {
		if (json_object_size(content) == 0)
			continue;
		colour_set(cli->out, cli->colour, COLOUR_BOLD);
		fputs(name, cli->out);
		colour_set(cli->out, cli->colour, COLOUR_NONE);
		fputc('\n', cli->out);
		print_section(cli, name, content);
	}
}

void print_show(struct cli *cli, const struct call *call, const json_t *result)
{
	const char *section;

	if (find_section(cli, call, &section) || !cli_schema(cli))
		return;
	if (!section)
		print_all(cli, result);
	else if (call_arg(call, "NAME"))
		print_object(cli, schema_section(cli->schema, section), result);
	else
		print_section(cli, section, result);
}

/* As any section; and how they are. */
void print_nfs(struct cli *cli, const struct call *call, const json_t *result)
{
	const json_t *section = schema_section(cli_schema(cli), "nfs");

	if (!section)
		return;
	if (call_arg(call, "NF")) {
		print_object(cli, section, result);
		print_nf_state(cli, json_object_get(result, "now"));
	} else {
		print_objects(cli, section, result);
		print_nf_states(cli, result);
	}
}

void print_yaml(struct cli *cli, const struct call *call, const json_t *result)
{
	char *text = yaml_dump(result);

	(void)call;
	if (text)
		fputs(text, cli->out);
	else
		fault_other(&cli->fault, FAULT_FAILED, NULL, "no memory");
	free(text);
}

/* ---- guests ---------------------------------------------------------------------------------- */

static void print_libvirt(struct cli *cli, const char *elements)
{
	if (elements)
		fputs(elements, cli->out);
	else
		fault_other(&cli->fault, FAULT_FAILED,
			"put what --qemu prints into qemu:commandline",
			"libvirt has no elements for the slots that its monitor fills");
}

void print_guest(struct cli *cli, const struct call *call, const json_t *result)
{
	const json_t *word;
	size_t i;

	if (call_option(call, "--libvirt")) {
		print_libvirt(cli, json_string_value(json_object_get(result, "libvirt")));
		return;
	}
	json_array_foreach (json_object_get(result, "qemu"), i, word) {
		if (i)
			fputc(' ', cli->out);
		value_print_quoted(cli->out, json_string_value(word));
	}
	fputc('\n', cli->out);
}
