/* Changing the configuration: objects one by one, or whole files. See actions.h. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/actions.h"
#include "cli/assign.h"
#include "cli/schema.h"
#include "cli/table.h"
#include "cli/value.h"
#include "manager/yaml.h"

/* ---- objects --------------------------------------------------------------------------------- */

static int params_confirm(struct cli *cli, const struct call *call, json_t *params)
{
	double confirm_s;

	if (call_option_number(cli, call, "--confirm", 1, 0, &confirm_s))
		return -EINVAL;
	if (confirm_s > 0)
		json_object_set_new(params, "confirm_s", json_integer((json_int_t)confirm_s));
	return 0;
}

/* The command's own word, "add", "set" or "del", is what config.patch calls it. */
int params_patch(struct cli *cli, const struct call *call, json_t *params)
{
	const char *op = call->command->word[1];
	const char *new_name = call_arg(call, "NEW-NAME");
	json_t *value = NULL;
	json_t *change;

	if (strcmp(op, "del") != 0) {
		value = assign_value(cli, call);
		if (!value)
			return -EINVAL;
	}
	change = json_pack("{s:s, s:s, s:s*, s:o*}", "op", op, "section", call->section, "name",
		new_name ? new_name : call_arg(call, "NAME"), "value", value);
	json_object_set_new(params, "changes", json_pack("[o]", change));
	return params_confirm(cli, call, params);
}

int params_nf(struct cli *cli, const struct call *call, json_t *params)
{
	(void)cli;
	if (!call_arg(call, "NF"))
		return 0;
	return json_object_set_new(params, "name", json_string(call_arg(call, "NF")));
}

/* ---- files ----------------------------------------------------------------------------------- */

/* All of a file, or of standard input: at most one byte more than a document may have. */
static char *read_file(const char *path, size_t *length)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *text = malloc(YAML_BYTES_MAX + 2);

	if (file && text) {
		*length = fread(text, 1, YAML_BYTES_MAX + 1, file);
		text[*length] = '\0';
	}
	if (file && !ferror(file) && text) {
		if (file != stdin)
			fclose(file);
		return text;
	}
	if (file && file != stdin)
		fclose(file);
	free(text);
	return NULL;
}

/* The file goes to the daemon as text: there is one reader of configurations, and it is there. */
int params_file(struct cli *cli, const struct call *call, json_t *params)
{
	const char *file = call_arg(call, "FILE");
	size_t length;
	json_t *document;

	free(cli->file_text);
	errno = 0;
	cli->file_text = read_file(file, &length);
	if (!cli->file_text)
		return fault_usage(&cli->fault, call_arg_word(call, "FILE"), 0, 0, NULL,
			"cannot read %s: %s", file, strerror(errno));
	if (length > YAML_BYTES_MAX)
		return fault_usage(&cli->fault, call_arg_word(call, "FILE"), 0, 0,
			"valid: up to 1 MiB", "the file is too long");
	document = json_stringn(cli->file_text, length);
	if (!document)
		return fault_usage(&cli->fault, call_arg_word(call, "FILE"), 0, 0,
			"valid: YAML or JSON in UTF-8", "the file is not UTF-8 text");
	json_object_set_new(params, "document", document);
	return params_confirm(cli, call, params);
}

/* Line `number`, counted from 1, of a text: where it begins and how long it is. */
static const char *find_line(const char *text, unsigned number, size_t *length)
{
	while (--number > 0 && *text) {
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	*length = strcspn(text, "\n");
	return text;
}

void blame_file(struct cli *cli, const struct call *call)
{
	struct fault *fault = &cli->fault;
	const char *file = call_arg(call, "FILE");
	unsigned line = 0, column = 0;
	const char *source;
	size_t length;
	int n;

	if (!fault->answer || !cli->file_text || !file)
		return;
	if (sscanf(fault->path, "%u:%u", &line, &column) == 2)
		fault->path[0] = '\0';
	else
		yaml_find(cli->file_text, strlen(cli->file_text), fault->path, &line, &column);
	if (line == 0)
		return;
	source = find_line(cli->file_text, line, &length);
	n = snprintf(fault->source, sizeof(fault->source), "%s:%u: ", file, line);
	snprintf(fault->source + n, sizeof(fault->source) - (size_t)n, "%.*s\n  %*s^", (int)length,
		source, n + (int)column - 1, "");
	for (char *tab = fault->source; (tab = strchr(tab, '\t')) != NULL;)
		*tab = ' '; /* one column wide, or the caret would be off */
}

json_t *path_from_here(struct cli *cli, const char *file)
{
	char folder[PATH_MAX] = "";

	if (file[0] != '/' && !getcwd(folder, sizeof(folder))) {
		fault_other(&cli->fault, FAULT_FAILED, "give a path that begins with /",
			"the current folder has no name: %s", strerror(errno));
		return NULL;
	}
	return json_sprintf("%s%s%s", folder, folder[0] ? "/" : "", file);
}

int params_save(struct cli *cli, const struct call *call, json_t *params)
{
	const char *file = call_arg(call, "FILE");
	json_t *path = file ? path_from_here(cli, file) : NULL;

	if (!path)
		return file ? -EINVAL : 0;
	return json_object_set_new(params, "path", path);
}

/* ---- results --------------------------------------------------------------------------------- */

/* What it has other than by default, as one would type it: name "lan" of "ports.lan". */
static void print_fields(struct cli *cli, const char *path, const json_t *object)
{
	const char *name = path + strcspn(path, ".");
	char *key = strndup(path, (size_t)(name - path));
	const json_t *section = key ? schema_section(cli_schema(cli), key) : NULL;
	struct schema_fields fields = schema_fields(section);
	const char *space = "  ";

	for (unsigned i = 0; i < fields.n; i++) {
		char *words;

		if (!value_is_notable(&fields.at[i], name + (*name == '.'), object))
			continue;
		words = value_words(value_at(object, fields.at[i].path), true);
		fprintf(cli->out, "%s%s=", space, fields.at[i].path);
		space = " ";
		value_print_quoted(cli->out, words ? words : "?");
		free(words);
	}
	free(fields.at);
	free(key);
}

static void print_value(struct cli *cli, const json_t *value)
{
	char *words = value_words(value, true);

	fputs(words ? words : "?", cli->out);
	free(words);
}

static void print_set(struct cli *cli, const json_t *change)
{
	const char *effect = json_string_value(json_object_get(change, "effect"));

	fputs("  ", cli->out);
	print_value(cli, json_object_get(change, "old"));
	fputs(" -> ", cli->out);
	print_value(cli, json_object_get(change, "new"));
	if (effect && strcmp(effect, "recreate") == 0)
		fputs("  (made again)", cli->out);
	if (effect && strcmp(effect, "restart") == 0)
		fputs("  (needs a restart of netvmd)", cli->out);
}

/* One line: "+ ports.lan  spec=tap:eth0", "~ ports.lan.mtu  1500 -> 9000", "- ports.lan". */
static void print_change(struct cli *cli, const json_t *change)
{
	const char *op = json_string_value(json_object_get(change, "op"));
	const char *path = json_string_value(json_object_get(change, "path"));
	bool is_set = op && strcmp(op, "set") == 0;
	bool is_add = op && strcmp(op, "add") == 0;

	colour_set(cli->out, cli->colour, is_set ? COLOUR_WARN : is_add ? COLOUR_GOOD : COLOUR_BAD);
	fprintf(cli->out, "  %c %s", is_set ? '~' : is_add ? '+' : '-', path ? path : "?");
	colour_set(cli->out, cli->colour, COLOUR_NONE);
	if (is_set)
		print_set(cli, change);
	else if (is_add && path)
		print_fields(cli, path, json_object_get(change, "new"));
	fputc('\n', cli->out);
}

void print_changes(struct cli *cli, const struct call *call, const json_t *result)
{
	const json_t *changes = json_object_get(result, "changes");
	const char *confirm = call_option(call, "--confirm");
	const json_t *change;
	size_t i;

	if (json_array_size(changes) == 0)
		fputs("  no difference\n", cli->out);
	json_array_foreach (changes, i, change)
		print_change(cli, change);
	if (confirm)
		fprintf(cli->out,
			"in force for %s s: keep it with `netvm config confirm`, else it is "
			"undone\n",
			confirm);
}

void print_checked(struct cli *cli, const struct call *call, const json_t *result)
{
	(void)result;
	fprintf(cli->out, "%s: valid\n", call_arg(call, "FILE"));
}

void print_done(struct cli *cli, const struct call *call, const json_t *result)
{
	const char *path = json_string_value(json_object_get(result, "path"));

	(void)call;
	fprintf(cli->out, path ? "saved to %s\n" : "done\n", path);
}
