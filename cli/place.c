/* The notation of argument lines and the look-up of what they name. See grammar.h. */
#include <stdlib.h>
#include <string.h>

#include "cli/grammar.h"
#include "cli/schema.h"

/* Copy letters up to one that ends a word. */
static const char *copy_word(const char *at, char *word, size_t size)
{
	size_t length = strcspn(at, " ].");

	snprintf(word, size, "%.*s", (int)length, at);
	return at + length;
}

bool place_next(const char **arguments, struct place *place)
{
	const char *at = *arguments + strspn(*arguments, " ");

	*place = (struct place){0};
	if (!*at)
		return false;
	place->optional = *at == '[';
	at = copy_word(at + place->optional, place->word, sizeof(place->word));
	if (place->word[0] == '-') /* what it takes is for readers; grammar_options says it, too */
		at += strcspn(at, place->optional ? "]" : ".[");
	at += *at == ']';
	if (strncmp(at, "...", 3) == 0) {
		place->repeats = true;
		at += 3;
	}
	at += *at == ']';
	*arguments = at;
	return true;
}

const struct argument *grammar_argument(const char *word)
{
	for (const struct argument *argument = grammar_arguments; argument->word; argument++) {
		if (strcmp(argument->word, word) == 0)
			return argument;
	}
	return NULL;
}

const struct option *grammar_option(const char *word)
{
	for (const struct option *option = grammar_options; option->name; option++) {
		if (strcmp(option->name, word) == 0)
			return option;
		if (option->letter && strcmp(option->letter, word) == 0)
			return option;
	}
	return NULL;
}

static const char *shown_word(const char *word, const json_t *section)
{
	bool is_noun = strcmp(word, OBJECT) == 0 || strcmp(word, SETTINGS) == 0;

	return is_noun && section ? schema_noun(section) : word;
}

void command_usage(const struct command *command, const json_t *section, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "usage: netvm");

	for (unsigned i = 0; i < COMMAND_WORDS_MAX && command->word[i] && used < size; i++)
		used += (size_t)snprintf(
			text + used, size - used, " %s", shown_word(command->word[i], section));
	if (command->arguments[0] && used < size)
		snprintf(text + used, size - used, " %s", command->arguments);
}

int call_arg_word(const struct call *call, const char *name)
{
	for (unsigned i = 0; i < call->n_args; i++) {
		if (strcmp(call->arg[i].name, name) == 0)
			return call->arg[i].word;
	}
	return FAULT_NO_WORD;
}

const char *call_arg(const struct call *call, const char *name)
{
	int word = call_arg_word(call, name);

	return word == FAULT_NO_WORD ? NULL : call->words[word];
}

const char *call_option(const struct call *call, const char *name)
{
	for (unsigned i = 0; i < call->n_options; i++) {
		if (strcmp(call->option[i].option->name, name) == 0)
			return call->option[i].value;
	}
	return NULL;
}

static int call_option_word(const struct call *call, const char *name)
{
	for (unsigned i = 0; i < call->n_options; i++) {
		if (strcmp(call->option[i].option->name, name) == 0)
			return call->option[i].word;
	}
	return FAULT_NO_WORD;
}

int call_option_number(struct cli *cli, const struct call *call, const char *name, double min,
	double preset, double *value)
{
	const char *text = call_option(call, name);
	char hint[64];
	char *end;

	*value = preset;
	if (!text)
		return 0;
	*value = strtod(text, &end);
	if (end != text && !*end && *value >= min && *value <= 1e9)
		return 0;
	snprintf(hint, sizeof(hint), "valid: a number of at least %g", min);
	return fault_usage(&cli->fault, call_option_word(call, name), 0, 0, hint,
		"%s cannot be \"%s\"", name, text);
}
