/*
 * From words to a call, in two steps: options are picked out (they may stand anywhere), then the
 * remaining words are led through the table of commands. See grammar.h.
 */
#include <errno.h>
#include <string.h>

#include "cli/grammar.h"
#include "cli/schema.h"

struct parser {
	struct cli *cli;
	struct call *call;
	/* step 1 */
	int plain[WORDS_MAX]; /* places of the words that are no options */
	int n_plain;
	bool only_plain;              /* after "--" */
	const struct option *pending; /* wants its value next */
	/* step 2 */
	bool live[COMMANDS_MAX]; /* commands that begin with the words so far */
	unsigned level;          /* number of those words */
	const char *rest;        /* of the grammar, behind `place` */
	struct place place;      /* the argument that comes next; word "" when there is none */
	struct fault no_schema;  /* why there are no sections to choose from */
};

/* ---- step 1: options ------------------------------------------------------------------------- */

static void add_option(
	struct parser *parser, const struct option *option, int word, const char *value)
{
	struct call *call = parser->call;

	call->option[call->n_options].option = option;
	call->option[call->n_options].word = word;
	call->option[call->n_options++].value = value;
	if (strcmp(option->name, "--json") == 0)
		parser->cli->json = true;
	if (strcmp(option->name, "--socket") == 0)
		cli_use_socket(parser->cli, value);
}

static bool takes_option(const struct command *command, const struct option *option)
{
	const char *rest = command->arguments;
	struct place place;

	while (place_next(&rest, &place)) {
		if (place.word[0] == '-' && grammar_option(place.word) == option)
			return true;
	}
	return option->everywhere;
}

/* Those of the command; before it is known, those that every command has. */
static void add_options(const struct parser *parser, struct choices *choices)
{
	const struct command *command = parser->call->command;

	for (const struct option *option = grammar_options; option->name; option++) {
		if (command ? takes_option(command, option) : option->everywhere)
			choices_add(choices, option->name, option->help);
	}
}

static int take_plains(struct parser *parser, int n);

/* An option that no other begins like may be shortened. */
static const struct option *find_option(
	struct parser *parser, const char *text, size_t length, int word)
{
	const struct option *option = grammar_option(text);
	struct choices names = {0};
	int found = -1;

	if (option)
		return option;
	for (option = grammar_options; option->name; option++) {
		if (strncmp(option->name, text, length) == 0)
			choices_add(&names, option->name, option->help);
	}
	if (names.n == 0 && take_plains(parser, parser->n_plain) == 0)
		add_options(parser, &names);
	if (!parser->cli->fault.status)
		found = choices_match(&names, text, length, "an option",
			(struct spot){word, 0, length}, &parser->cli->fault);
	option = found < 0 ? NULL : grammar_option(names.at[found].text);
	choices_free(&names);
	return option;
}

static int take_option(struct parser *parser, int word)
{
	const char *text = parser->call->words[word];
	const char *equals = text[1] == '-' ? strchr(text, '=') : NULL;
	size_t length = equals ? (size_t)(equals - text) : strlen(text);
	const struct option *option = find_option(parser, text, length, word);

	if (!option)
		return -EINVAL;
	if (equals && !option->argument)
		return fault_usage(&parser->cli->fault, word, length, 0, NULL, "%s takes no value",
			option->name);
	if (option->argument && !equals)
		parser->pending = option;
	else
		add_option(parser, option, word, equals ? equals + 1 : "");
	return 0;
}

static int take_word(struct parser *parser, int word)
{
	const char *text = parser->call->words[word];

	if (parser->pending) {
		add_option(parser, parser->pending, word, text);
		parser->pending = NULL;
	} else if (!parser->only_plain && strcmp(text, "--") == 0) {
		parser->only_plain = true;
	} else if (!parser->only_plain && text[0] == '-' && text[1]) {
		return take_option(parser, word);
	} else {
		parser->plain[parser->n_plain++] = word;
	}
	return 0;
}

static int take_words(struct parser *parser, int n_words)
{
	if (n_words >= WORDS_MAX)
		return fault_usage(&parser->cli->fault, FAULT_NO_WORD, 0, 0, NULL,
			"more than %d words", WORDS_MAX - 1);
	for (int i = 0; i < n_words; i++) {
		int error = take_word(parser, i);

		if (error)
			return error;
	}
	return 0;
}

/* ---- step 2: the command --------------------------------------------------------------------- */

static bool is_section_word(const char *word)
{
	return strcmp(word, OBJECT) == 0 || strcmp(word, SETTINGS) == 0;
}

static const char *command_word(const struct command *command, unsigned level)
{
	return level < COMMAND_WORDS_MAX ? command->word[level] : NULL;
}

static void add_nouns(const json_t *schema, bool single, struct choices *choices)
{
	const char *name;
	json_t *section;

	json_object_foreach ((json_t *)schema, name, section) {
		if (schema_is_single(section) == single)
			choices_add(choices, schema_noun(section), schema_text(section, "help"));
	}
}

/*
 * The words that may come next, in the order of the table; hidden ones only when written out. None:
 * the command is complete.
 */
static void add_command_words(struct parser *parser, const char *text, struct choices *choices)
{
	for (int i = 0; commands[i].word[0]; i++) {
		const char *word = command_word(&commands[i], parser->level);

		if (!parser->live[i] || !word || (commands[i].hidden && strcmp(word, text) != 0))
			continue;
		if (is_section_word(word))
			add_nouns(parser->cli->schema, strcmp(word, SETTINGS) == 0, choices);
		else
			choices_add(choices, word,
				command_word(&commands[i], parser->level + 1) ? NULL
									      : commands[i].help);
	}
}

/* Does this place of the table stand for `text`? Finds the section, too. */
static bool word_means(struct parser *parser, const char *word, const char *text)
{
	const json_t *section;
	const char *name;

	if (!is_section_word(word))
		return strcmp(word, text) == 0;
	section = schema_section_of(parser->cli->schema, text, &name);
	if (!section || schema_is_single(section) != (strcmp(word, SETTINGS) == 0))
		return false;
	parser->call->section = name;
	parser->call->schema = section;
	return true;
}

/* Keep the commands that go on with `text`. */
static void narrow(struct parser *parser, const char *text)
{
	for (int i = 0; commands[i].word[0]; i++) {
		const char *word = command_word(&commands[i], parser->level);

		parser->live[i] = parser->live[i] && word && word_means(parser, word, text);
	}
	parser->level++;
}

/* Is `text` a whole command, so that no schema is needed to understand it? */
static bool is_whole_command(const char *text)
{
	bool found = false;

	for (int i = 0; commands[i].word[0]; i++) {
		if (strcmp(commands[i].word[0], text) != 0)
			continue;
		if (commands[i].word[1])
			return false;
		found = true;
	}
	return found;
}

/* Learn the sections if the daemon can be asked; if not, the other commands still work. */
static void learn_sections(struct parser *parser)
{
	struct cli *cli = parser->cli;

	if (cli_schema(cli))
		return;
	parser->no_schema = cli->fault;
	cli->fault = (struct fault){.word = FAULT_NO_WORD};
}

/* Fail for the reason that there is no schema. */
static int fail_without_schema(struct parser *parser)
{
	fault_clear(&parser->cli->fault);
	parser->cli->fault = parser->no_schema;
	parser->no_schema = (struct fault){0};
	return -EINVAL;
}

static int take_command_word(struct parser *parser, int word)
{
	const char *text = parser->call->words[word];
	struct fault *fault = &parser->cli->fault;
	struct choices choices = {0};
	int found;

	if (parser->level == 0 && !is_whole_command(text))
		learn_sections(parser);
	add_command_words(parser, text, &choices);
	if (parser->level == 0 && schema_section(parser->cli->schema, text))
		text = schema_noun(schema_section(parser->cli->schema, text));
	found = choices_match(
		&choices, text, strlen(text), "a command", (struct spot){word, 0, 0}, fault);
	if (found >= 0) {
		narrow(parser, choices.at[found].text);
	} else if (parser->no_schema.status) {
		fail_without_schema(parser);
	}
	choices_free(&choices);
	return found < 0 ? -EINVAL : 0;
}

/* The command is known once none of the live ones has a further word. */
static bool is_settled(struct parser *parser)
{
	bool settled = false;

	for (int i = 0; commands[i].word[0]; i++) {
		if (!parser->live[i])
			continue;
		if (command_word(&commands[i], parser->level))
			return false;
		parser->call->command = &commands[i];
		settled = true;
	}
	return settled;
}

/* ---- step 2: its arguments ------------------------------------------------------------------- */

static void next_place(struct parser *parser)
{
	do {
		if (!place_next(&parser->rest, &parser->place))
			return;
	} while (parser->place.word[0] == '-');
}

/* Names of files may be any bytes; the rest goes to the daemon as JSON. */
static bool may_stand(const struct place *place, const char *text)
{
	json_t *string = json_string(text);
	bool is_utf8 = string != NULL;

	json_decref(string);
	return is_utf8 || strcmp(place->word, "FILE") == 0 || strcmp(place->word, "DIR") == 0;
}

static int take_argument(struct parser *parser, int word)
{
	struct call *call = parser->call;
	char usage[200];

	if (!parser->place.word[0]) {
		command_usage(call->command, parser->call->schema, usage, sizeof(usage));
		return fault_usage(&parser->cli->fault, word, 0, 0, usage, "one word too many");
	}
	if (!call->schema && strcmp(parser->place.word, "FIELD=VALUE") == 0)
		return fail_without_schema(parser);
	if (!may_stand(&parser->place, call->words[word]))
		return fault_usage(&parser->cli->fault, word, 0, 0, "valid: text in UTF-8",
			"%s holds bytes that are no text", parser->place.word);
	call->arg[call->n_args].name = grammar_argument(parser->place.word)->word;
	call->arg[call->n_args++].word = word;
	if (parser->place.repeats)
		parser->place.optional = true;
	else
		next_place(parser);
	return 0;
}

/* Its fields, if it takes any, are the parameters of its method. */
static const json_t *learn_parameters(struct parser *parser)
{
	const struct command *command = parser->call->command;
	struct cli *cli = parser->cli;
	const json_t *parameters;

	if (!strstr(command->arguments, "FIELD=VALUE"))
		return NULL;
	parameters = cli_parameters(cli, command->method, command->word[0]);
	if (!parameters) {
		parser->no_schema = cli->fault;
		cli->fault = (struct fault){.word = FAULT_NO_WORD};
	}
	return parameters;
}

static void begin_arguments(struct parser *parser)
{
	struct call *call = parser->call;

	if (!is_section_word(call->command->word[0])) { /* `nf new` is not about the section nfs */
		call->section = NULL;
		call->schema = learn_parameters(parser);
	}
	parser->rest = call->command->arguments;
	next_place(parser);
}

static int take_plain(struct parser *parser, int word)
{
	int error;

	if (parser->call->command)
		return take_argument(parser, word);
	error = take_command_word(parser, word);
	if (!error && is_settled(parser))
		begin_arguments(parser);
	return error;
}

static int take_plains(struct parser *parser, int n)
{
	for (int i = 0; i < n; i++) {
		int error = take_plain(parser, parser->plain[i]);

		if (error)
			return error;
	}
	return 0;
}

/* ---- what must hold at the end --------------------------------------------------------------- */

static int check_options(struct parser *parser)
{
	const struct call *call = parser->call;
	char usage[200];

	for (unsigned i = 0; i < call->n_options; i++) {
		const struct option *option = call->option[i].option;

		if (takes_option(call->command, option))
			continue;
		command_usage(call->command, call->schema, usage, sizeof(usage));
		return fault_usage(&parser->cli->fault, call->option[i].word, 0, 0, usage,
			"%s has no meaning here", option->name);
	}
	return 0;
}

static int check_complete(struct parser *parser)
{
	const struct call *call = parser->call;
	struct fault *fault = &parser->cli->fault;
	char text[1000] = "valid: ";
	const size_t used = strlen(text);

	if (parser->pending)
		return fault_usage(fault, call->n_words, 0, 0, NULL, "%s needs %s",
			parser->pending->name, parser->pending->argument);
	if (!call->command) {
		struct choices choices = {0};

		if (parser->level == 0)
			learn_sections(parser);
		add_command_words(parser, "", &choices);
		choices_list(&choices, "", 0, text + used, sizeof(text) - used);
		choices_free(&choices);
		return fault_usage(fault, call->n_words, 0, 0, text, "the command lacks a word");
	}
	if (parser->place.word[0] && !parser->place.optional) {
		command_usage(call->command, call->schema, text, sizeof(text));
		return fault_usage(
			fault, call->n_words, 0, 0, text, "%s is missing", parser->place.word);
	}
	return check_options(parser);
}

/* `--help` anywhere: the same as `help` with the words. */
static void turn_to_help(struct parser *parser)
{
	struct call *call = parser->call;

	call->n_args = 0;
	for (int i = 0; i < parser->n_plain; i++) {
		call->arg[call->n_args].name = "COMMAND";
		call->arg[call->n_args++].word = parser->plain[i];
	}
	for (call->command = commands; strcmp(call->command->word[0], "help") != 0;)
		call->command++;
}

static void parser_begin(
	struct parser *parser, struct cli *cli, struct call *call, int n_words, char *const *words)
{
	*call = (struct call){.n_words = n_words, .words = words};
	*parser = (struct parser){.cli = cli, .call = call};
	memset(parser->live, true, sizeof(parser->live));
}

int parse_words(struct cli *cli, int n_words, char *const *words, struct call *call)
{
	struct parser parser;
	int error;

	parser_begin(&parser, cli, call, n_words, words);
	error = take_words(&parser, n_words);
	if (!error && call_option(call, "--help")) {
		turn_to_help(&parser);
		return 0;
	}
	if (!error)
		error = take_plains(&parser, parser.n_plain);
	if (!error)
		error = check_complete(&parser);
	fault_clear(&parser.no_schema);
	return error;
}

int parse_live(struct cli *cli, int n_words, char *const *words, bool live[COMMANDS_MAX],
	struct call *call)
{
	struct parser parser;
	int error;

	parser_begin(&parser, cli, call, n_words, words);
	error = take_words(&parser, n_words);
	for (int i = 0; i < parser.n_plain && !error && !call->command; i++)
		error = take_plain(&parser, parser.plain[i]);
	memcpy(live, parser.live, sizeof(parser.live));
	fault_clear(&parser.no_schema);
	return error;
}

/* ---- what may come next ---------------------------------------------------------------------- */

static void add_next(struct parser *parser, const char *text, struct choices *choices)
{
	const struct argument *argument = grammar_argument(parser->place.word);

	if (parser->pending) {
		choices->files = strcmp(parser->pending->argument, "SOCKET") == 0;
	} else if (text[0] == '-' && !parser->only_plain) {
		add_options(parser, choices);
	} else if (!parser->call->command) {
		if (parser->level == 0)
			learn_sections(parser);
		add_command_words(parser, "", choices);
	} else if (argument && argument->choices) {
		argument->choices(parser->cli, parser->call, text, choices);
	}
}

int parse_choices(struct cli *cli, int n_words, char *const *words, struct choices *choices)
{
	struct parser parser;
	struct call call;
	int error;

	parser_begin(&parser, cli, &call, n_words, words);
	error = take_words(&parser, n_words - 1);
	if (!error)
		error = take_plains(&parser, parser.n_plain);
	if (!error)
		add_next(&parser, words[n_words - 1], choices);
	fault_clear(&parser.no_schema);
	return error;
}
