/* The manual page netvm.1 from the tables of the command and the daemon's schema. See help.h. */
#include <stdlib.h>
#include <string.h>

#include "cli/help.h"
#include "cli/schema.h"

/* Text with what roff would take as its own escaped. */
static void man_text(struct cli *cli, const char *text)
{
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			fputc('\\', cli->out);
		fputs(*text == '\\' ? "e" : (char[]){*text, '\0'}, cli->out);
	}
}

/* A tagged paragraph: the tag in bold, then the text. */
static void man_item(struct cli *cli, const char *tag, const char *text)
{
	fputs(".TP\n\\fB", cli->out);
	man_text(cli, tag);
	fputs("\\fR\n", cli->out);
	man_text(cli, text);
	fputs(".\n", cli->out);
}

static void man_commands(struct cli *cli)
{
	char usage[200];

	fputs(".SH COMMANDS\n", cli->out);
	for (const struct command *command = commands; command->word[0]; command++) {
		if (command->hidden)
			continue;
		command_usage(command, NULL, usage, sizeof(usage));
		man_item(cli, usage + strlen("usage: netvm "), command->help);
	}
	fputs(".SS Arguments\n", cli->out);
	for (const struct argument *argument = grammar_arguments; argument->word; argument++)
		man_item(cli, argument->word, argument->help);
}

static void man_options(struct cli *cli)
{
	char tag[80];

	fputs(".SH OPTIONS\n", cli->out);
	for (const struct option *option = grammar_options; option->name; option++) {
		option_text(option, tag, sizeof(tag));
		man_item(cli, tag, option->help);
	}
}

static void man_fields(struct cli *cli, const json_t *section)
{
	struct schema_fields fields = schema_fields(section);
	char text[700], preset[64];

	for (unsigned i = 0; i < fields.n; i++) {
		const json_t *entry = fields.at[i].entry;
		const char *help = schema_text(entry, "help");
		const char *valid = schema_text(entry, "valid");

		schema_preset(entry, preset, sizeof(preset));
		snprintf(text, sizeof(text), "%s. Valid: %s. Default: %s. Change: %s",
			help ? help : "", valid ? valid : "", preset,
			schema_text(entry, "mutability"));
		man_item(cli, fields.at[i].path, text);
	}
	free(fields.at);
}

static void man_sections(struct cli *cli)
{
	const char *name;
	json_t *section;

	if (!cli->schema)
		return;
	fputs(".SH CONFIGURATION\nThe sections of the document, which is the configuration file "
	      "and\n"
	      "the running state at once, and the fields of each. A change of a field is live "
	      "(takes effect at once), recreate\n"
	      "(the object is made again) or restart (netvmd must be started again).\n",
		cli->out);
	json_object_foreach (cli->schema, name, section) {
		fprintf(cli->out, ".SS %s\n", name);
		man_text(cli, schema_text(section, "help"));
		fputs(".\n", cli->out);
		man_fields(cli, section);
	}
}

void print_man(struct cli *cli)
{
	fprintf(cli->out, ".TH NETVM 1 \"\" \"NetVM %s\"\n", NETVM_VERSION);
	fputs(".SH NAME\nnetvm \\- look at and change a running NetVM\n"
	      ".SH SYNOPSIS\n\\fBnetvm\\fR [\\fB\\-j\\fR] [\\fB\\-s\\fR \\fIPATH\\fR] "
	      "[\\fICOMMAND\\fR ...]\n"
	      ".SH DESCRIPTION\nAsks and steers the daemon\n.B netvmd\n"
	      "over its socket. Words may be shortened while they are unique. Without a command, "
	      "on\n"
	      "a terminal, a prompt opens that completes with Tab and explains with ?.\n"
	      "OBJECT stands for a part of the configuration (port, nf, chain ...), SETTINGS for "
	      "one\n"
	      "without names (engine).\n",
		cli->out);
	man_commands(cli);
	man_options(cli);
	man_sections(cli);
	fputs(".SH EXIT STATUS\n", cli->out);
	man_item(cli, "0", "Done");
	man_item(cli, "1", "The daemon refused, or a check failed");
	man_item(cli, "2", "The command line is wrong; nothing was done");
	man_item(cli, "3", "The daemon cannot be reached");
	fputs(".SH ENVIRONMENT\n", cli->out);
	man_item(cli, "NETVM_API", "The daemon's socket");
	man_item(cli, "NO_COLOR", "When set, no colours");
}
