/*
 * Connection tracking: which connections exist and how far they are. Called by firewall.c for each
 * packet that can belong to one: TCP, UDP, ICMP echo, and other protocols by their addresses.
 *
 *   state = conntrack_find(packet)     what the packet is, before the rules are asked
 *   rules say allow                    (a packet that they drop changes nothing here)
 *   conntrack_advance(hit) when there is a connection, else conntrack_open(packet)
 *
 * TCP follows RFC 9293 3.3.2 as seen from the middle. Sequence numbers are checked once: what
 * completes a handshake must acknowledge the other side's SYN, so that an established connection
 * cannot be had with forged addresses. Later ones are not, so who can forge packets of a known
 * connection can end its entry (never open one). Timeouts: RFC 5382, RFC 4787, RFC 5508.
 *
 * BOUNDED. An entry lives in one bucket of eight, chosen by a hash with a secret key. A new
 * connection that finds its bucket full replaces, in this order: what has expired; what nobody
 * answered, or has ended; what was answered but is not TCP, or is TCP and closing. It never
 * replaces established TCP: then it is refused. So a flood of new connections replaces itself, and
 * costs a bucket at most one answered connection that is not established TCP.
 *
 * Thread-safety: one thread at a time per struct; the caller locks. Times are CLOCK_MONOTONIC.
 */
#ifndef NFS_FIREWALL_CONNTRACK_H
#define NFS_FIREWALL_CONNTRACK_H

#include <stdbool.h>
#include <stdint.h>

#include <netvm.h>

/* What a packet is to the rules; they ask for a set of these. */
enum state {
	STATE_NEW = 1 << 0, /* of no connection, or of one that nobody answered yet */
	STATE_ESTABLISHED = 1 << 1,
	STATE_RELATED = 1 << 2, /* an ICMP error about a connection's packet */
	STATE_INVALID = 1 << 3, /* cannot be: dropped before the rules */
	STATE_ANY = STATE_NEW | STATE_ESTABLISHED | STATE_RELATED,
};

enum conntrack_timeout {
	TIMEOUT_TCP_OPENING,
	TIMEOUT_TCP_ESTABLISHED,
	TIMEOUT_TCP_CLOSING,
	TIMEOUT_TCP_CLOSED,
	TIMEOUT_UDP_NEW,
	TIMEOUT_UDP,
	TIMEOUT_ICMP,
	TIMEOUT_OTHER,
	TIMEOUTS,
};

extern const char *const conntrack_timeout_names[TIMEOUTS + 1]; /* NULL-terminated */

struct conntrack_policy {
	uint32_t timeout_s[TIMEOUTS];
	bool midstream; /* TCP connections whose handshake was not seen may be tracked */
};

extern const struct conntrack_policy conntrack_policy_default;

/* One packet. ICMP echo has its identifier as the port of the side that asked, and 0. */
struct conntrack_packet {
	struct netvm_flow_key key; /* VLAN id without priority */
	uint8_t tcp_flags;
	uint32_t tcp_seq, tcp_ack; /* host byte order */
	uint32_t now_s;
};

struct conntrack_counters {
	uint64_t opened;
	uint64_t evicted; /* replaced before they expired */
	uint64_t refused; /* no room: the packet must be dropped */
};

struct conntrack;
struct connection;

/* A connection found, and which way the packet goes. Valid until the next call. */
struct conntrack_hit {
	struct connection *connection; /* NULL: none */
	uint32_t *expires_s;
	bool back; /* from the side that was called */
};

/* Room for at least n_connections. -ENOMEM; -errno of getting the secret key. */
int conntrack_create(uint32_t n_connections, struct conntrack **conntrack);
void conntrack_destroy(struct conntrack *conntrack);

enum state conntrack_find(struct conntrack *conntrack, const struct conntrack_policy *policy,
	const struct conntrack_packet *packet, struct conntrack_hit *hit);

/* An allowed packet of a connection was seen. */
void conntrack_advance(const struct conntrack_policy *policy, const struct conntrack_packet *packet,
	const struct conntrack_hit *hit);

/* An allowed packet without a connection: track it. -ENOSPC: refused, drop the packet. */
int conntrack_open(struct conntrack *conntrack, const struct conntrack_policy *policy,
	const struct conntrack_packet *packet);

/* Is there a connection with this key, either way round? */
bool conntrack_knows(
	const struct conntrack *conntrack, const struct netvm_flow_key *key, uint32_t now_s);

/* A connection on its way to a successor of this firewall. */
struct conntrack_record {
	struct netvm_flow_key key; /* of the caller's packets */
	uint32_t back_isn;
	uint32_t left_s; /* until it expires */
	uint8_t progress;
	uint8_t queue; /* the caller's */
	uint8_t pad[2];
};

/* The next connection from *at (0 at first) on that has not expired. False: that was the last. */
bool conntrack_next(const struct conntrack *conntrack, uint32_t now_s, uint32_t *at,
	struct conntrack_record *record);

/* Could conntrack_next() have made this? Whatever it is, nothing in it is trusted further. */
bool conntrack_is_record(const struct conntrack_record *record);

/* A good record; it lives no longer than `policy` gives it. -ENOSPC: no room. */
int conntrack_restore(struct conntrack *conntrack, const struct conntrack_policy *policy,
	const struct conntrack_record *record, uint32_t now_s);

void conntrack_counters(const struct conntrack *conntrack, struct conntrack_counters *counters);

/* Connections not expired; reads one line per bucket. */
uint32_t conntrack_count(const struct conntrack *conntrack, uint32_t now_s);

#endif
