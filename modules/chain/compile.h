/*
 * Chains and flows, from the document to what engine_steer() takes. Called by control.c.
 *
 *   chain web  ─► program 2k    CALL firewall, CALL monitor, OUTPUT wan     forward
 *              └► program 2k+1  CALL monitor, CALL firewall, OUTPUT lan     reverse, if any
 *   flow       ─► rule in_port = from, match           ─► the forward program
 *              └► rule in_port = to, match swapped     ─► the reverse program
 *   default    ─► the same two rules, matching everything, below all flows
 */
#ifndef NETVM_MODULES_CHAIN_COMPILE_H
#define NETVM_MODULES_CHAIN_COMPILE_H

#include <jansson.h>

#include "engine/engine.h"

struct plan {
	struct program_options *programs;
	unsigned n_programs;
	struct rule *rules;
	unsigned n_rules;
};

/* Objects by name, of the document to compile; a port may be missing (NULL). */
struct plan_names {
	struct port *(*port)(const char *name);
	struct service *(*service)(const char *name);
	uint16_t (*chain_number)(const char *name);
};

/* Programs that belong to flows, not to a chain, are counted together under this name. */
#define PLAN_FLOWS_NAME "(flows)"

/* A checked document. -ENOMEM only. */
int plan_compile(const json_t *document, const struct plan_names *names, struct plan *plan);
void plan_free(struct plan *plan);

#endif
