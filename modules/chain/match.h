/* A flow's match, from the document to the engine's terms. Called by check.c and compile.c. */
#ifndef NETVM_MODULES_CHAIN_MATCH_H
#define NETVM_MODULES_CHAIN_MATCH_H

#include <jansson.h>

#include "common/error.h"
#include "engine/engine.h"

/* The names of the schema; NULL-terminated. */
extern const char *const match_eth_type_names[];
extern const char *const match_protocol_names[];

/*
 * Fill `match` from a flow's checked `match` (without in_port). -EINVAL when no packet can match:
 * source and destination of different families, or an address with an eth_type that has none.
 */
int match_read(const json_t *given, struct match *match, struct error *error);

/* All packets. */
void match_all(struct match *match);

/* What replies look like: source and destination swapped. */
void match_swap(struct match *match);

#endif
