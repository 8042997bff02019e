/*
 * The FIELD=VALUE arguments of `add` and `set`: turned into the JSON that config.patch takes, and
 * completed. `mtu=9000`, `match.in_port=lan`, `path=a,b,c`; `mtu=` goes back to the default.
 */
#ifndef NETVM_CLI_ASSIGN_H
#define NETVM_CLI_ASSIGN_H

#include "cli/grammar.h"

/* All assignments of the call as one object. New reference, or NULL with cli->fault set. */
json_t *assign_value(struct cli *cli, const struct call *call);

/* For completion: the fields not given yet, or the values of the field already written. */
void assign_choices(
	struct cli *cli, const struct call *call, const char *text, struct choices *choices);

/*
 * Point a daemon's error at the word that it is about: "ports.lan.mtu" at `mtu=9`, "ports.lan" at
 * the name. Leaves the fault as it is when no word fits.
 */
void assign_blame(const struct call *call, struct fault *fault);

#endif
