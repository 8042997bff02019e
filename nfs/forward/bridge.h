/*
 * The learning bridge over all ports that the NF is granted. Called by forward.c once per burst.
 *
 * Thread-safety: one struct bridge serves all queues; a burst holds its lock.
 */
#ifndef NFS_FORWARD_BRIDGE_H
#define NFS_FORWARD_BRIDGE_H

#include <stdint.h>
#include <stdio.h>

#include <netvm.h>

struct bridge;

struct bridge_counters {
	uint64_t forwarded_pkts;
	uint64_t flooded_pkts; /* sent to all ports but one */
	uint64_t dropped_pkts; /* no way out, or not for bridges to forward */
	uint64_t short_pkts;   /* copies not made because the stock was empty */
};

/* -ENOMEM. Table size and age as mac_table_create(). */
int bridge_create(uint32_t n_macs, uint32_t age_s, struct bridge **bridge);
void bridge_destroy(struct bridge *bridge);

/* Give each packet its verdict; sends the copies that flooding takes. */
void bridge_burst(struct bridge *bridge, struct netvm *nf, struct netvm_packet *pkts, unsigned n,
	uint32_t now_s);

void bridge_print(struct bridge *bridge, uint32_t now_s, FILE *file);
void bridge_counters(struct bridge *bridge, struct bridge_counters *counters);

#endif
