/*
 * Choices: what may stand at one place of a command line. The same list decides what a word means
 * (exactly, or as a unique prefix), what an error names as valid, and what completion offers.
 *
 * A list owns its texts; the help is borrowed from constant tables or the schema.
 */
#ifndef NETVM_CLI_CHOICES_H
#define NETVM_CLI_CHOICES_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/fault.h"

struct choice {
	char *text;       /* ending in "=": more must follow at once */
	const char *help; /* one line or NULL */
};

struct choices {
	struct choice *at;
	unsigned n;
	/* for completion */
	size_t keep; /* bytes of the word in front of what the choices stand for: "mtu=" */
	bool files;  /* names of files may stand here, too */
};

/* Add one, unless its text is there already. */
void choices_add(struct choices *choices, const char *text, const char *help);
void choices_free(struct choices *choices);

/* Where a word, or a part of it, stands in the line: for the caret. */
struct spot {
	int word;
	size_t offset;
	size_t length;
};

/*
 * Index of the choice that `text` (of `length` bytes) names, or is a unique prefix of. Otherwise
 * -EINVAL with a fault: `what` is what was looked for ("a command", "a field of port").
 */
int choices_match(const struct choices *choices, const char *text, size_t length, const char *what,
	struct spot spot, struct fault *fault);

/* "a, b or c", as much as fits; of those beginning with the prefix. */
void choices_list(
	const struct choices *choices, const char *prefix, size_t length, char *text, size_t size);

#endif
