/*
 * The grammar of the command line. A command is one entry of the table in commands.c: its one or
 * two words, and a line that is its usage text and its syntax at once:
 *
 *	{{"config", "apply"}, "FILE [--confirm SECONDS]", ...}
 *	{{OBJECT, "set"}, "NAME FIELD=VALUE...", ...}
 *
 * Upper case: an argument, listed in grammar_arguments. Dashes: an option, listed in
 * grammar_options. Brackets: may be left out. Dots: may be repeated. OBJECT and SETTINGS stand for
 * the sections of the schema, so that `port set`, `chain set` and those of sections to come are
 * one entry.
 *
 * parse_words() turns the words of a line into a call; parse_choices() tells what may stand next.
 * Both walk the line with the same steps, so completion offers exactly what is accepted.
 */
#ifndef NETVM_CLI_GRAMMAR_H
#define NETVM_CLI_GRAMMAR_H

#include <stdbool.h>

#include <jansson.h>

#include "cli/choices.h"
#include "cli/cli.h"

#define WORDS_MAX         128 /* words in a line */
#define COMMANDS_MAX      64
#define COMMAND_WORDS_MAX 2

#define OBJECT   "OBJECT"   /* a section's noun: port, nf, chain ... */
#define SETTINGS "SETTINGS" /* a section that is one object: engine */

struct call;

struct command {
	const char *word[COMMAND_WORDS_MAX];
	const char *arguments;
	const char *help; /* one line, no full stop */
	bool hidden;
	/*
	 * Most commands are one question to the daemon: its method, a function that adds parameters
	 * from the call (NULL: none), and one that prints the result for people. FIELD=VALUE of a
	 * command that is not about a section are parameters of the method.
	 */
	const char *method;
	int (*params)(struct cli *cli, const struct call *call, json_t *params);
	void (*print)(struct cli *cli, const struct call *call, const json_t *result);
	/* The others do it themselves. Return 0, or -errno with cli->fault set. */
	int (*run)(struct cli *cli, const struct call *call);
};

/* An argument in upper case. */
struct argument {
	const char *word;
	const char *help;
	/* What may stand here, for completion; NULL: anything. `text` is what is there already. */
	void (*choices)(struct cli *cli, const struct call *call, const char *text,
		struct choices *choices);
};

struct option {
	const char *name;     /* "--confirm" */
	const char *letter;   /* "-n" or NULL */
	const char *argument; /* NULL: none */
	const char *help;
	bool everywhere; /* understood by every command */
};

extern const struct command commands[];           /* ended by an entry without words */
extern const struct argument grammar_arguments[]; /* ended by an entry without word */
extern const struct option grammar_options[];     /* ended by an entry without name */

/* A line understood. Texts are borrowed from the words. */
struct call {
	const struct command *command;
	const char *section;  /* the section OBJECT or SETTINGS stands for: "ports"; else NULL */
	const json_t *schema; /* of that section */
	int n_words;
	char *const *words;
	unsigned n_args;
	struct {
		const char *name; /* as in the grammar: "FILE" */
		int word;
	} arg[WORDS_MAX];
	unsigned n_options;
	struct {
		const struct option *option;
		const char *value;
		int word; /* of the value */
	} option[WORDS_MAX];
};

/* Text of the first argument of that name, or NULL. */
const char *call_arg(const struct call *call, const char *name);
/* Its place among the words, or FAULT_NO_WORD. */
int call_arg_word(const struct call *call, const char *name);

/* Value of an option ("" for one without argument), or NULL when it was not given. */
const char *call_option(const struct call *call, const char *name);

/* The option's value as a number of at least min; `preset` when not given. */
int call_option_number(struct cli *cli, const struct call *call, const char *name, double min,
	double preset, double *value);

/* Understand a whole line. 0, or -errno with cli->fault set. */
int parse_words(struct cli *cli, int n_words, char *const *words, struct call *call);

/*
 * The commands that begin with these words: live[i] tells for commands[i]. Words behind a whole
 * command are not looked at. call->command is set when it can be only one. 0, or -errno.
 */
int parse_live(struct cli *cli, int n_words, char *const *words, bool live[COMMANDS_MAX],
	struct call *call);

/*
 * What may stand as the last of the words, which is complete or begun ("" at the start). 0, or
 * -errno when the words before it are wrong. The caller frees the choices.
 */
int parse_choices(struct cli *cli, int n_words, char *const *words, struct choices *choices);

/* One element of command.arguments. */
struct place {
	char word[32]; /* "NAME", "--confirm" */
	bool optional;
	bool repeats;
};

/* Take the next place off the text at *arguments. False at its end. */
bool place_next(const char **arguments, struct place *place);

/* "usage: netvm port set NAME FIELD=VALUE..."; the section's noun stands for OBJECT. */
void command_usage(const struct command *command, const json_t *section, char *text, size_t size);

const struct argument *grammar_argument(const char *word);
const struct option *grammar_option(const char *word);

#endif
