/*
 * What one queue of the monitor has counted: totals per protocol, and per flow in a table of fixed
 * size. Filled by monitor.c, read by report.c.
 *
 * A flow is both directions of a connection in one entry; the direction of the first packet seen
 * is "forth". It hashes to a bucket of four entries. When all four are taken, the flow that was
 * silent the longest makes room; what it had counted stays in the totals, and it is itself counted
 * as evicted. So the totals are always exact, and the table holds what talks now: an attacker who
 * invents flows pushes out idle entries first, and costs neither memory nor more time per packet.
 *
 * Thread-safety: the caller holds `lock`, except in create and destroy.
 */
#ifndef NFS_MONITOR_TALLY_H
#define NFS_MONITOR_TALLY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <netvm.h>

#define TALLY_BUCKET_FLOWS 4

enum tally_protocol {
	TALLY_TCP,
	TALLY_UDP,
	TALLY_ICMP,
	TALLY_ICMPV6,
	TALLY_OTHER_IP,
	TALLY_ARP,
	TALLY_OTHER,     /* neither IP nor ARP */
	TALLY_MALFORMED, /* no whole Ethernet header, or not the IP header that it announces */
	TALLY_PROTOCOLS,
};

extern const char *const tally_protocol_names[TALLY_PROTOCOLS];

struct tally_count {
	uint64_t pkts;
	uint64_t bytes;
};

struct tally_flow {
	struct netvm_flow_key key; /* of the first packet; VLAN id without its priority */
	uint32_t hash;
	uint64_t first_ns;
	uint64_t last_ns;
	struct tally_count forth;
	struct tally_count back;
};

struct tally_bucket {
	struct tally_flow flow[TALLY_BUCKET_FLOWS]; /* unused ones have no packets forth */
};

struct tally {
	pthread_mutex_t lock;
	struct tally_count protocol[TALLY_PROTOCOLS];
	uint64_t n_flows;
	uint64_t n_evicted;
	uint32_t n_buckets; /* power of two */
	struct tally_bucket *buckets;
};

/* Room for at least n_flows flows. -ENOMEM. */
int tally_create(uint32_t n_flows, struct tally **tally);
void tally_destroy(struct tally *tally);

/* A good flow of another tally (see tally_is_flow()) goes on here; the totals stay. */
void tally_restore(struct tally *tally, const struct tally_flow *flow);

/* Could this be a flow that was counted until now? Nothing else in it is trusted. */
bool tally_is_flow(const struct tally_flow *flow, uint64_t now_ns);

/* Count a packet of `length` bytes with this key, seen now. */
void tally_packet(
	struct tally *tally, const struct netvm_flow_key *key, uint32_t length, uint64_t now_ns);

#endif
