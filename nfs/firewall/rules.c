/* Which rule a packet meets. See rules.h; parse.c makes rulesets. */
#include "firewall/rules.h"

#include <stdlib.h>
#include <string.h>

void ruleset_destroy(struct ruleset *ruleset)
{
	if (!ruleset)
		return;
	for (uint32_t i = 0; i < ruleset->n_rules; i++)
		free(ruleset->rules[i].text);
	free(ruleset->rules);
	free(ruleset);
}

static bool prefix_matches(const struct prefix *prefix, const uint64_t address[2])
{
	return !(((address[0] ^ prefix->value[0]) & prefix->mask[0]) |
		 ((address[1] ^ prefix->value[1]) & prefix->mask[1]));
}

static bool port_matches(struct port_range range, uint16_t port)
{
	return port >= range.min && port <= range.max;
}

static bool ports_match(const struct rule *rule, const struct subject *subject)
{
	if (!rule->has_ports)
		return true;
	if (subject->fragment)
		return !rule->allow;
	return port_matches(rule->src_port, subject->key.src_port) &&
	       port_matches(rule->dst_port, subject->key.dst_port);
}

static bool rule_matches(const struct rule *rule, const struct subject *subject,
	const uint64_t src[2], const uint64_t dst[2])
{
	const struct netvm_flow_key *key = &subject->key;

	return (rule->states & subject->state) && (!rule->in || rule->in == subject->in) &&
	       (!rule->family || rule->family == key->family) &&
	       (!rule->has_protocol || rule->protocol == key->protocol) &&
	       prefix_matches(&rule->src, src) && prefix_matches(&rule->dst, dst) &&
	       ports_match(rule, subject);
}

uint32_t ruleset_match(const struct ruleset *ruleset, const struct subject *subject)
{
	uint64_t src[2], dst[2];
	uint32_t i;

	memcpy(src, subject->key.src, sizeof(src));
	memcpy(dst, subject->key.dst, sizeof(dst));
	for (i = 0; i < ruleset->n_rules; i++) {
		if (rule_matches(&ruleset->rules[i], subject, src, dst))
			break;
	}
	return i;
}
