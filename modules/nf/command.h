/*
 * An NF's command line: one text of the document becomes words and a path. No shell is involved.
 * Called by settings.c.
 */
#ifndef NETVM_MODULES_NF_COMMAND_H
#define NETVM_MODULES_NF_COMMAND_H

#include "common/error.h"

struct command {
	char **argv; /* NULL-terminated, at least one word */
	char *text;  /* what argv points into */
};

/*
 * Split `line` as a shell would: words between blanks, '...' literal, "..." with \" and \\, a
 * backslash outside quotes takes the next character as it is. What only a shell could do (pipes,
 * redirection, variables) is refused unless quoted.
 * Errors: -EINVAL, -ENOMEM. The caller frees the command.
 */
int command_split(const char *line, struct command *command, struct error *error);
void command_free(struct command *command);

/* The same line with another program; it has passed command_split(). The caller frees it. */
char *command_with_program(const char *line, const char *program);

/*
 * Where the executable `word` lies: an absolute path as it is; a plain name is looked for in
 * `binary_dir`, in the build tree's nfs/ beside it, then along PATH.
 * Returns 0 and a new string in *path, or -ENOENT, -EACCES (not executable), -EINVAL (relative).
 */
int command_find(const char *word, const char *binary_dir, char **path, struct error *error);

#endif
