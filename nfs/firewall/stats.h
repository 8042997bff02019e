/*
 * What the firewall counts, and how it is shown. Counted per queue by firewall.c, summed and
 * printed in its background thread.
 */
#ifndef NFS_FIREWALL_STATS_H
#define NFS_FIREWALL_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "firewall/rules.h"

/* Why a packet had its fate; each is counted allowed and dropped. */
enum cause {
	CAUSE_RULES, /* a rule or the default */
	CAUSE_ARP,
	CAUSE_NDP,
	CAUSE_OTHER,
	CAUSE_MALFORMED,
	CAUSE_INVALID,    /* of no connection, or not possible in its state */
	CAUSE_TABLE_FULL, /* no room to track a new connection */
	CAUSES,
};

struct rule_count {
	uint64_t pkts;
	uint64_t bytes;
};

struct stats {
	uint64_t allowed[CAUSES];
	uint64_t dropped[CAUSES];
	uint64_t fragments; /* of CAUSE_RULES */
	uint64_t reloads;
	uint64_t connections; /* now */
	struct conntrack_counters conntrack;
};

/* `rule` has ruleset->n_rules + 1 entries; the last is the default. */
void stats_print_table(const struct stats *stats, const struct ruleset *ruleset,
	const struct rule_count *rule, FILE *file);
void stats_print_json(const struct stats *stats, const struct ruleset *ruleset,
	const struct rule_count *rule, FILE *file); /* one line */

#endif
