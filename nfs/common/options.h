/*
 * Command line of an NF: one table says what is accepted, and help and errors come from it.
 * Called by the main() of each NF here, before netvm_main(), which takes what this leaves: the
 * common arguments (--name, --socket, --replay ...).
 *
 * Thread-safety: call from main() before any thread is started.
 */
#ifndef NFS_COMMON_OPTIONS_H
#define NFS_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_BAD_USAGE 2 /* exit status */

/* One option. Exactly one of flag, number, text, choice says where the value goes. */
struct option_spec {
	const char *name;  /* "--rate"; without dashes: the positional argument, a choice */
	const char *value; /* what the help calls the value: "PORT", "A B"; NULL for a flag */
	const char *help;  /* one line */
	bool *flag;
	uint64_t *number; /* decimal, with k, M or G behind it for powers of 1000 */
	uint64_t min, max;
	const char **text;
	unsigned n_texts;           /* values taken by a text option; 0 means 1 */
	unsigned *choice;           /* index into choices */
	const char *const *choices; /* NULL-terminated */
};

struct options {
	const char *program;             /* "netvm-delay" */
	const char *usage;               /* behind the program's name: "[--ns N] ..." */
	const char *summary;             /* one sentence */
	const struct option_spec *specs; /* ends with an entry without name */
};

/*
 * Fill the variables that the table points to; those of options not given keep their value. What
 * netvm_main() does not understand is no longer in argv.
 * Returns true when the program shall run. Else help was printed (*status is 0) or an error that
 * names the option and what would be valid (*status is OPTIONS_BAD_USAGE).
 */
bool options_parse(const struct options *options, int *argc, char **argv, int *status);

/* Print "program: option: message" and return OPTIONS_BAD_USAGE. */
int options_error(const struct options *options, const char *option, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
