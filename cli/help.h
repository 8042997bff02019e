/* Help and the manual page are made of the same parts. Used by help.c and man.c only. */
#ifndef NETVM_CLI_HELP_H
#define NETVM_CLI_HELP_H

#include "cli/grammar.h"

/* "-n, --count COUNT" */
void option_text(const struct option *option, char *text, size_t size);

/* netvm.1 in roff, on cli->out; with the sections when the schema is known. */
void print_man(struct cli *cli);

#endif
