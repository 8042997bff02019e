/* Counters as JSON, the same for ports, NFs and chains. Called by the modules that own those. */
#ifndef NETVM_MODULES_STATS_COUNTERS_H
#define NETVM_MODULES_STATS_COUNTERS_H

#include <stdint.h>

#include <jansson.h>

struct counters;

/* What all have: {"rx_pkts": ..., "drops": {LABEL: n, ...}}. New reference. */
json_t *counters_value(const struct counters *counters);

/* {LABEL: n, ...} of an array by reason, without those that never happened. New reference. */
json_t *drops_value(const uint64_t *drops);

#endif
