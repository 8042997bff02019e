/*
 * Rule files of the firewall (nfs/firewall/parse.c, values.c, rules.c, cache.c).
 *
 * Properties: an error names a line and a column within the file; the text kept of each rule
 * parses to the same rule; the cache finds what the walk over the rules finds.
 * Input: the file up to a NUL, then bytes of packets' subjects.
 */
#include "firewall/cache.h"
#include "firewall/rules.h"
#include "tests/fuzz/fuzz.h"

static struct ruleset *parse(const char *text, size_t length, struct rules_error *error)
{
	struct ruleset *ruleset = NULL;
	FILE *file = fmemopen((void *)text, length, "r");

	require(file);
	if (ruleset_parse(file, &ruleset, error))
		require(!ruleset && error->message[0] && error->valid[0]);
	fclose(file);
	return ruleset;
}

static bool is_same_end(const struct prefix *a, const struct prefix *b, struct port_range range_a,
	struct port_range range_b)
{
	return memcmp(a, b, sizeof(*a)) == 0 && range_a.min == range_b.min &&
	       range_a.max == range_b.max;
}

/* The name of its port has another number in a file of its own. */
static void parses_again(const struct rule *rule)
{
	struct rules_error error;
	struct ruleset *ruleset = parse(rule->text, strlen(rule->text), &error);
	const struct rule *again;

	require(ruleset && ruleset->n_rules == 1);
	again = &ruleset->rules[0];
	require(is_same_end(&rule->src, &again->src, rule->src_port, again->src_port));
	require(is_same_end(&rule->dst, &again->dst, rule->dst_port, again->dst_port));
	require(rule->family == again->family && rule->has_protocol == again->has_protocol);
	require(!rule->has_protocol || rule->protocol == again->protocol);
	require(rule->states == again->states && rule->has_ports == again->has_ports);
	require(rule->allow == again->allow && !rule->in == !again->in);
	ruleset_destroy(ruleset);
}

static void is_sound(const struct ruleset *ruleset)
{
	require(ruleset->n_ports <= RULES_PORTS_MAX);
	for (uint32_t i = 0; i < ruleset->n_rules; i++) {
		const struct rule *rule = &ruleset->rules[i];

		require(rule->src_port.min <= rule->src_port.max);
		require(rule->dst_port.min <= rule->dst_port.max);
		require(rule->in <= ruleset->n_ports && rule->states);
		if (i < 8)
			parses_again(rule);
	}
}

static void cache_agrees(const struct ruleset *ruleset, struct feed *feed)
{
	static struct cache *cache;

	if (!cache)
		require(cache_create(&cache) == 0);
	cache_clear(cache);
	for (int i = 0; i < 8; i++) {
		struct subject subject = {0};
		uint32_t rule;

		for (size_t at = 0; at < sizeof(subject); at++)
			((uint8_t *)&subject)[at] = (uint8_t)feed_number(feed, 1);
		subject.state |= STATE_NEW; /* none is no state of a packet */
		rule = ruleset_match(ruleset, &subject);
		require(rule <= ruleset->n_rules);
		require(cache_match(cache, ruleset, &subject) == rule);
		require(cache_match(cache, ruleset, &subject) == rule);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
	size_t length = end ? (size_t)(end - data) : size;
	struct feed feed = {data + length, size - length};
	struct rules_error error;
	struct ruleset *ruleset;

	if (length == 0)
		return -1;
	ruleset = parse((const char *)data, length, &error);
	if (ruleset) {
		is_sound(ruleset);
		cache_agrees(ruleset, &feed);
	} else {
		require(error.line >= 1 && error.line <= length + 1 && error.column >= 1);
	}
	ruleset_destroy(ruleset);
	return 0;
}
