/*
 * The wildcard classifier behind the flow cache: rules by in port, VLAN, Ethernet type, 5-tuple
 * with prefixes and port ranges, IPv4 and IPv6 (IPv4 mapped), highest priority first.
 *
 * A thin layer over DPDK's librte_acl: a trie whose lookup visits a bounded number of nodes however
 * hostile the traffic, and whose memory is limited when it is built.
 *
 * Thread-safety: built on the control thread, immutable afterwards; lookups from any thread.
 */
#ifndef NETVM_ENGINE_CLASSIFIER_H
#define NETVM_ENGINE_CLASSIFIER_H

#include "common/error.h"
#include "engine/engine.h"

struct classifier;
struct flow_id;

#define CLASSIFIER_NO_MATCH UINT32_MAX

/* Errors: -E2BIG the rules need more memory than allowed; -ENOMEM. */
int classifier_create(const struct rule *rules, unsigned n_rules, struct classifier **classifier,
	struct error *error);
void classifier_destroy(struct classifier *classifier);

/* The rule's program index, or CLASSIFIER_NO_MATCH. */
uint32_t classifier_match(const struct classifier *classifier, const struct flow_id *id);

#endif
