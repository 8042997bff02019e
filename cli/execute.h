/* Running one line: understood, carried out, its fault printed. Called by main.c and prompt.c. */
#ifndef NETVM_CLI_EXECUTE_H
#define NETVM_CLI_EXECUTE_H

#include "cli/cli.h"

/* The words without the program's name. Returns an exit status, see fault.h. */
int execute_line(struct cli *cli, int n_words, char *const *words);

#endif
