/* Printing what the firewall counted. See stats.h. */
#include "firewall/stats.h"

#include <inttypes.h>

static const char *const cause_names[CAUSES] = {
	[CAUSE_RULES] = "rules",
	[CAUSE_ARP] = "arp",
	[CAUSE_NDP] = "ndp",
	[CAUSE_OTHER] = "other",
	[CAUSE_MALFORMED] = "malformed",
	[CAUSE_INVALID] = "invalid",
	[CAUSE_TABLE_FULL] = "table-full",
};

static const char *action_name(bool allow)
{
	return allow ? "allow" : "drop";
}

void stats_print_table(const struct stats *stats, const struct ruleset *ruleset,
	const struct rule_count *rule, FILE *file)
{
	fprintf(file, "%-12s %14s %14s\n", "packets", "allowed", "dropped");
	for (unsigned i = 0; i < CAUSES; i++)
		fprintf(file, "%-12s %14" PRIu64 " %14" PRIu64 "\n", cause_names[i],
			stats->allowed[i], stats->dropped[i]);
	fprintf(file,
		"\nfragments %" PRIu64 ", reloads %" PRIu64 ", connections: now %" PRIu64
		", opened %" PRIu64 ", evicted %" PRIu64 ", refused %" PRIu64 "\n\n",
		stats->fragments, stats->reloads, stats->connections, stats->conntrack.opened,
		stats->conntrack.evicted, stats->conntrack.refused);
	fprintf(file, "%5s %14s %16s  %s\n", "line", "packets", "bytes", "rule");
	for (uint32_t i = 0; i < ruleset->n_rules; i++)
		fprintf(file, "%5" PRIu32 " %14" PRIu64 " %16" PRIu64 "  %s\n",
			ruleset->rules[i].line, rule[i].pkts, rule[i].bytes,
			ruleset->rules[i].text);
	fprintf(file, "%5s %14" PRIu64 " %16" PRIu64 "  default %s\n", "-",
		rule[ruleset->n_rules].pkts, rule[ruleset->n_rules].bytes,
		action_name(ruleset->allow_default));
}

static void causes_print_json(const char *name, const uint64_t *count, FILE *file)
{
	fprintf(file, "\"%s\":{", name);
	for (unsigned i = 0; i < CAUSES; i++)
		fprintf(file, "\"%s\":%" PRIu64 "%s", cause_names[i], count[i],
			i + 1 < CAUSES ? "," : "},");
}

/* The texts hold nothing that JSON would need escaped: the parser lets only plain words in. */
void stats_print_json(const struct stats *stats, const struct ruleset *ruleset,
	const struct rule_count *rule, FILE *file)
{
	fputc('{', file);
	causes_print_json("allowed", stats->allowed, file);
	causes_print_json("dropped", stats->dropped, file);
	fprintf(file,
		"\"fragments\":%" PRIu64 ",\"reloads\":%" PRIu64
		",\"connections\":{\"now\":%" PRIu64 ",\"opened\":%" PRIu64 ",\"evicted\":%" PRIu64
		",\"refused\":%" PRIu64 "},\"rules\":[",
		stats->fragments, stats->reloads, stats->connections, stats->conntrack.opened,
		stats->conntrack.evicted, stats->conntrack.refused);
	for (uint32_t i = 0; i < ruleset->n_rules; i++)
		fprintf(file,
			"{\"line\":%" PRIu32 ",\"rule\":\"%s\",\"packets\":%" PRIu64
			",\"bytes\":%" PRIu64 "},",
			ruleset->rules[i].line, ruleset->rules[i].text, rule[i].pkts,
			rule[i].bytes);
	fprintf(file,
		"{\"line\":0,\"rule\":\"default %s\",\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64
		"}]}\n",
		action_name(ruleset->allow_default), rule[ruleset->n_rules].pkts,
		rule[ruleset->n_rules].bytes);
}
