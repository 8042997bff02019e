/*
 * What went wrong, as the user sees it: the word of the line that is to blame, what is wrong with
 * it, what would be valid, and the exit status. Every function of the command that can fail fills
 * one of these and returns -errno; the first fault wins; main.c or prompt.c prints it.
 *
 *	netvm: ports has no field "mtuu"
 *	  port set lan mtuu=1500
 *	               ^^^^
 *	  did you mean mtu?
 */
#ifndef NETVM_CLI_FAULT_H
#define NETVM_CLI_FAULT_H

#include <stdio.h>

#include <jansson.h>

/* Exit status: what scripts can tell apart. */
enum fault_status {
	FAULT_NONE = 0,
	FAULT_FAILED = 1, /* the daemon said no, or a check did not hold */
	FAULT_USAGE = 2,  /* the command line is wrong; the daemon was not asked to do anything */
	FAULT_UNREACHABLE = 3, /* no daemon answers */
};

#define FAULT_NO_WORD (-1)

struct fault {
	enum fault_status status;
	int word;       /* index into the words of the line, or FAULT_NO_WORD */
	size_t offset;  /* of the blamed part within that word, in bytes */
	size_t length;  /* of that part; 0: to the word's end */
	char path[160]; /* where in the document, when the daemon named it */
	char message[400];
	char source[400]; /* the line of a file, and its caret; may be empty */
	char hint[1000];  /* what would be valid; may be empty */
	json_t *answer; /* the daemon's error object, owned; NULL when it did not come from there */
};

/* Blame a part of the line. Returns -EINVAL. `hint` may be NULL; so too below. */
int fault_usage(struct fault *fault, int word, size_t offset, size_t length, const char *hint,
	const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Something else, `status` as given. Returns -EIO. */
int fault_other(struct fault *fault, enum fault_status status, const char *hint, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* Print for people; `words` is the line without the program's name. */
void fault_print(const struct fault *fault, FILE *out, int n_words, char *const *words);

/* Ready for the next line. */
void fault_clear(struct fault *fault);

#endif
