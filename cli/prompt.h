/* The interactive prompt: line editing, history, Tab completes, ? explains. Called by main.c. */
#ifndef NETVM_CLI_PROMPT_H
#define NETVM_CLI_PROMPT_H

#include "cli/cli.h"

/* Run lines until `exit` or the end of input. Returns the status of the last one. */
int prompt_run(struct cli *cli);

#endif
