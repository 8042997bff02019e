/* Which rule a subject met. See cache.h. */
#include "firewall/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_ENTRIES 8192u
#define FEW_RULES     16u /* walked faster than looked up */

struct cache_entry {
	struct subject subject; /* an unused one has state 0, which no packet has */
	uint32_t rule;
	uint32_t pad[3];
};

struct cache {
	struct cache_entry entry[CACHE_ENTRIES];
};

int cache_create(struct cache **cache)
{
	*cache = calloc(1, sizeof(**cache));
	return *cache ? 0 : -ENOMEM;
}

void cache_destroy(struct cache *cache)
{
	free(cache);
}

void cache_clear(struct cache *cache)
{
	memset(cache, 0, sizeof(*cache));
}

static uint32_t subject_hash(const struct subject *subject)
{
	uint64_t word[sizeof(*subject) / 8], hash = 0;

	memcpy(word, subject, sizeof(word));
	for (unsigned i = 0; i < sizeof(*subject) / 8; i += 2)
		hash = netvm_flow_mix(hash ^ word[i], word[i + 1]);
	return (uint32_t)(hash ^ hash >> 32);
}

uint32_t cache_match(
	struct cache *cache, const struct ruleset *ruleset, const struct subject *subject)
{
	struct cache_entry *entry;

	if (ruleset->n_rules <= FEW_RULES)
		return ruleset_match(ruleset, subject);
	entry = &cache->entry[subject_hash(subject) % CACHE_ENTRIES];
	if (memcmp(&entry->subject, subject, sizeof(*subject)) != 0) {
		entry->subject = *subject;
		entry->rule = ruleset_match(ruleset, subject);
	}
	return entry->rule;
}
