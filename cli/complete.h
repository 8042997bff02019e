/* Completion of the last word of a line; for shells and for the prompt. */
#ifndef NETVM_CLI_COMPLETE_H
#define NETVM_CLI_COMPLETE_H

#include "cli/choices.h"
#include "cli/cli.h"

/*
 * What the last word, complete or begun, can become: whole words, without those that do not go on
 * from it. Never a fault: a line that is wrong has no choices. The caller frees them.
 */
void complete_words(struct cli *cli, int n_words, char *const *words, struct choices *choices);

#endif
