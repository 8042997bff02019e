/*
 * Remembers which rule a subject met, so that thousands of rules are walked once per flow and not
 * once per packet. Called by firewall.c.
 *
 * One place per hash, overwritten without asking: it holds nothing that cannot be found again.
 * Traffic that never repeats, such as a flood with forged addresses, gains nothing from it and
 * costs a walk over the rules for each packet, which is the bound.
 *
 * Thread-safety: one thread at a time per struct.
 */
#ifndef NFS_FIREWALL_CACHE_H
#define NFS_FIREWALL_CACHE_H

#include "firewall/rules.h"

struct cache;

int cache_create(struct cache **cache); /* -ENOMEM */
void cache_destroy(struct cache *cache);

/* As ruleset_match(). */
uint32_t cache_match(
	struct cache *cache, const struct ruleset *ruleset, const struct subject *subject);

/* The rules are about to change: forget everything. */
void cache_clear(struct cache *cache);

#endif
