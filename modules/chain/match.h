/*
 * A flow's match, from the document to the engine's terms. Called by check.c, compile.c and, since
 * a trace has one, too, by modules/trace.
 */
#ifndef NETVM_MODULES_CHAIN_MATCH_H
#define NETVM_MODULES_CHAIN_MATCH_H

#include <jansson.h>

#include "common/error.h"
#include "engine/engine.h"

/* The names of the schema; NULL-terminated. */
extern const char *const match_eth_type_names[];
extern const char *const match_protocol_names[];

/* What match_read() reads, for tables of the schema (struct field); the port stands beside it. */
/* clang-format off */
#define MATCH_FIELDS                                                                               \
	{"eth_type", FIELD_ENUM, .values = match_eth_type_names, .max = UINT16_MAX,                \
		.help = "Ethernet type, behind VLAN tags"},                                        \
	{"vlan", FIELD_INT, .max = 4094, .help = "VLAN id of the outer tag; 0: untagged"},         \
	{"protocol", FIELD_ENUM, .values = match_protocol_names, .max = UINT8_MAX,                 \
		.help = "IP protocol"},                                                            \
	{"src", FIELD_PREFIX, .help = "Source address", .example = "10.0.0.0/8"},                  \
	{"dst", FIELD_PREFIX, .help = "Destination address", .example = "2001:db8::/32"},          \
	{"src_port", FIELD_RANGE, .max = UINT16_MAX, .help = "Source port",                        \
		.example = "1000-2000"},                                                           \
	{"dst_port", FIELD_RANGE, .max = UINT16_MAX, .help = "Destination port", .example = "443"}
/* clang-format on */

/* The schema's name of a number; NULL: it has none. */
const char *match_eth_type_name(uint16_t eth_type);
const char *match_protocol_name(uint8_t protocol);

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
