/* `help`, `version` and the manual page, all from the tables and the schema. See actions.h. */
#include "cli/help.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/actions.h"
#include "cli/schema.h"
#include "cli/table.h"

/* ---- parts of help ----------------------------------------------------------------------------
 */

/* What follows "usage: " for a command. */
static char *usage_of(const struct command *command, const json_t *section, char *text, size_t size)
{
	command_usage(command, section, text, size);
	return text + strlen("usage: ");
}

#define OVERVIEW_COLUMNS 46

/* In the overview the last options of a long line are left out. */
static char *shorten(char *usage)
{
	char *cut = usage;

	if (strlen(usage) <= OVERVIEW_COLUMNS)
		return usage;
	for (char *at = usage; (at = strstr(at, " [")) && at - usage <= OVERVIEW_COLUMNS - 6; at++)
		cut = at;
	if (cut != usage)
		strcpy(cut, " [...]");
	return usage;
}

static struct table *begin(struct cli *cli, const char *const headers[])
{
	struct table *table = table_begin(headers);

	table_wrap(table, cli->columns);
	return table;
}

/* Does the section have a command of its own in place of the one for any OBJECT? */
static bool is_replaced(const struct command *command, const json_t *section)
{
	if (!section || strcmp(command->word[0], OBJECT) != 0)
		return false;
	for (const struct command *own = commands; own->word[0]; own++) {
		if (own->word[1] && strcmp(own->word[0], schema_noun(section)) == 0 &&
			strcmp(own->word[1], command->word[1]) == 0)
			return true;
	}
	return false;
}

static void list_commands(struct cli *cli, const bool live[COMMANDS_MAX], const json_t *section)
{
	struct table *table = begin(cli, (const char *[]){"", "", NULL});
	char usage[200];

	for (int i = 0; commands[i].word[0]; i++) {
		if (!live[i] || commands[i].hidden || is_replaced(&commands[i], section))
			continue;
		table_cell(table, COLOUR_NONE, "%s",
			shorten(usage_of(&commands[i], section, usage, sizeof(usage))) +
				strlen("netvm "));
		table_cell(table, COLOUR_NONE, "%s", commands[i].help);
	}
	table_end(table, cli->out, cli->colour);
}

void option_text(const struct option *option, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s%s%s", option->letter ? option->letter : "",
		option->letter ? ", " : "", option->name, option->argument ? " " : "",
		option->argument ? option->argument : "");
}

static void add_option_row(struct table *table, const struct option *option)
{
	char text[80];

	option_text(option, text, sizeof(text));
	table_cell(table, COLOUR_NONE, "%s", text);
	table_cell(table, COLOUR_NONE, "%s", option->help);
}

static void list_places(struct cli *cli, const struct command *command)
{
	struct table *table = begin(cli, (const char *[]){"", "", NULL});
	const char *rest = command->arguments;
	struct place place;

	while (place_next(&rest, &place)) {
		if (place.word[0] == '-') {
			add_option_row(table, grammar_option(place.word));
		} else {
			table_cell(table, COLOUR_NONE, "%s", place.word);
			table_cell(table, COLOUR_NONE, "%s", grammar_argument(place.word)->help);
		}
	}
	table_end(table, cli->out, cli->colour);
}

static void list_global_options(struct cli *cli)
{
	struct table *table = begin(cli, (const char *[]){"", "", NULL});

	for (const struct option *option = grammar_options; option->name; option++) {
		if (option->everywhere)
			add_option_row(table, option);
	}
	table_end(table, cli->out, cli->colour);
}

/* "a number 68..15000 (bytes); default 1500" */
static void add_valid_row(struct table *table, const json_t *entry)
{
	char preset[64];

	schema_preset(entry, preset, sizeof(preset));
	table_cell(table, COLOUR_NONE, "%s", "");
	if (strcmp(preset, "none") == 0)
		table_cell(table, COLOUR_DIM, "%s", schema_text(entry, "valid"));
	else
		table_cell(table, COLOUR_DIM, "%s; %s%s", schema_text(entry, "valid"),
			strcmp(preset, "required") == 0 ? "" : "default: ", preset);
}

static void list_fields(struct cli *cli, const json_t *section)
{
	struct schema_fields fields = schema_fields(section);
	struct table *table =
		begin(cli, (const char *[]){"FIELD", "MEANING; VALID; DEFAULT", NULL});

	for (unsigned i = 0; i < fields.n; i++) {
		table_cell(table, COLOUR_BOLD, "%s", fields.at[i].path);
		table_cell(table, COLOUR_NONE, "%s", schema_text(fields.at[i].entry, "help"));
		add_valid_row(table, fields.at[i].entry);
	}
	table_end(table, cli->out, cli->colour);
	free(fields.at);
}

/* ---- the commands -----------------------------------------------------------------------------
 */

static void help_all(struct cli *cli, const bool live[COMMANDS_MAX])
{
	fputs("netvm: look at and change a running NetVM. Words may be shortened while they are\n"
	      "unique. Without a command on a terminal, a prompt opens.\n\n",
		cli->out);
	list_commands(cli, live, NULL);
	fputs("\n  OBJECT is a part of the configuration: port, nf, chain ...; SETTINGS is "
	      "engine\n\n",
		cli->out);
	list_global_options(cli);
}

static void help_one(struct cli *cli, const struct call *call)
{
	char usage[200];

	fprintf(cli->out, "%s\n\n  %s\n\n",
		usage_of(call->command, call->schema, usage, sizeof(usage)), call->command->help);
	list_places(cli, call->command);
	if (!call->schema)
		return;
	if (call->section)
		fprintf(cli->out, "\n%s: %s\n", call->section, schema_text(call->schema, "help"));
	else
		fputc('\n', cli->out);
	list_fields(cli, call->schema);
}

static int load_schema(struct cli *cli, const char *file)
{
	json_t *answer = json_load_file(file, 0, NULL);

	cli->schema = json_incref(json_object_get(answer, "sections"));
	json_decref(answer);
	return cli->schema ? 0
			   : fault_other(&cli->fault, FAULT_USAGE,
				     "valid: the output of schema.get", "%s holds no schema", file);
}

int run_help(struct cli *cli, const struct call *call)
{
	const char *schema_file = call_option(call, "--schema");
	bool live[COMMANDS_MAX];
	char *words[WORDS_MAX];
	struct call asked;

	if (schema_file && load_schema(cli, schema_file))
		return -EINVAL;
	if (call_option(call, "--man")) {
		print_man(cli);
		return 0;
	}
	for (unsigned i = 0; i < call->n_args; i++)
		words[i] = call->words[call->arg[i].word];
	if (parse_live(cli, (int)call->n_args, words, live, &asked)) {
		cli->fault.word = call->arg[cli->fault.word].word;
		return -EINVAL;
	}
	if (call->n_args == 0)
		help_all(cli, live);
	else if (asked.command)
		help_one(cli, &asked);
	else
		list_commands(cli, live, asked.schema);
	return 0;
}

int run_version(struct cli *cli, const struct call *call)
{
	json_t *info;

	(void)call;
	if (!cli->json)
		fprintf(cli->out, "netvm %s\n", NETVM_VERSION);
	info = cli_ask(cli, "daemon.info", NULL);
	if (!info)
		return -EIO;
	if (cli->json)
		print_json(cli, info);
	else
		fprintf(cli->out, "netvmd %s, ABI %lld, %s, pid %lld\n",
			json_string_value(json_object_get(info, "version")),
			(long long)json_integer_value(json_object_get(info, "abi")),
			json_string_value(json_object_get(info, "dpdk")),
			(long long)json_integer_value(json_object_get(info, "pid")));
	json_decref(info);
	return 0;
}
