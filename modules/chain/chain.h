/* Chains and flows: the last module that prepares, and the one that steers the engine. */
#ifndef NETVM_MODULES_CHAIN_H
#define NETVM_MODULES_CHAIN_H

#include "engine/engine.h"
#include "manager/module.h"

extern const struct module chain_module;
extern const struct section chain_section, flow_section;

/* Whole-document rules of both sections; no side effects. In check.c. */
int chain_check(const struct change *change, struct error *error);

/* Whether the chain takes what no flow claims: as it says, else when no flow names it. */
bool chain_is_default(const json_t *document, const char *name, const json_t *chain);

/* What a chain's `reverse` says. */
enum reverse { REVERSE_MIRROR, REVERSE_SAME, REVERSE_NONE };
enum reverse chain_reverse(const json_t *chain);

/* What becomes of packets when the chain's `on_failure` applies. */
enum on_failure chain_on_failure(const json_t *chain);

#endif
