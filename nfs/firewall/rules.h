/*
 * The rules of the firewall: what a file says (parsed by parse.c), and which rule a packet meets.
 *
 * A ruleset does not change after ruleset_load(); queues share it. The first rule that matches
 * decides, else the default.
 *
 * Fragments have no ports to look at (the later ones carry none, and the first may lie). So that
 * nobody gets past a port rule by fragmenting, a rule with ports never allows a fragment, and a
 * drop rule with ports drops every fragment that its other conditions match.
 */
#ifndef NFS_FIREWALL_RULES_H
#define NFS_FIREWALL_RULES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <netvm.h>

#include "firewall/conntrack.h"

#define RULES_MAX       65536u
#define RULES_PORTS_MAX 255u /* names of ports in one file */

/* What the rules see of a packet. No hidden padding: compared and hashed as bytes. */
struct subject {
	struct netvm_flow_key key;
	uint8_t in;    /* 1 + index into ruleset.port; 0: a port that no rule names */
	uint8_t state; /* enum state */
	uint8_t fragment;
	uint8_t pad;
};
_Static_assert(sizeof(struct subject) == 48, "subject has no hidden padding");

struct prefix {
	uint64_t value[2]; /* as in memory; IPv4 mapped into IPv6 */
	uint64_t mask[2];
};

struct port_range {
	uint16_t min, max;
};

struct rule {
	struct prefix src, dst;
	struct port_range src_port, dst_port;
	uint8_t family; /* 0 any, 4, 6 */
	bool has_protocol;
	uint8_t protocol;
	uint8_t in;     /* 0: any */
	uint8_t states; /* set of enum state */
	bool has_ports;
	bool allow;
	uint32_t line;
	char *text; /* as in the file, blanks and comments removed */
};

struct ruleset {
	struct rule *rules;
	uint32_t n_rules;
	bool allow_default;
	bool allow_arp;
	bool allow_ndp;   /* IPv6 neighbour discovery, RFC 4861 */
	bool allow_other; /* neither IP nor ARP */
	bool stateful;    /* a rule asks for established or related */
	struct conntrack_policy policy;
	unsigned n_ports;
	char port[RULES_PORTS_MAX][NETVM_NAME_BYTES];
};

/* What is wrong in a file and what would be valid there; line and column count from 1. */
struct rules_error {
	unsigned line, column; /* 0: it is about the file itself */
	char message[200];
	char valid[200];
};

/*
 * Read rules. Returns 0; -EINVAL, -errno of reading, -ENOMEM: then `error` says why and *ruleset
 * is untouched.
 */
int ruleset_load(const char *path, struct ruleset **ruleset, struct rules_error *error);
int ruleset_parse(FILE *file, struct ruleset **ruleset, struct rules_error *error);
void ruleset_destroy(struct ruleset *ruleset);

/* Print "path:line:column: message; valid: ...". */
void rules_error_print(const struct rules_error *error, const char *path, FILE *file);

/* Index of the first rule that matches; n_rules when none does. */
uint32_t ruleset_match(const struct ruleset *ruleset, const struct subject *subject);

static inline bool ruleset_allows(const struct ruleset *ruleset, uint32_t rule)
{
	return rule < ruleset->n_rules ? ruleset->rules[rule].allow : ruleset->allow_default;
}

#endif
