/*
 * What the firewall sees in a packet: which policy it falls under, its flow, and what connection
 * tracking needs. Called by firewall.c once per packet. Never reads outside the packet.
 *
 * Thread-safety: pure functions on the packet's memory.
 */
#ifndef NFS_FIREWALL_INSPECT_H
#define NFS_FIREWALL_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include <netvm.h>

#include "firewall/conntrack.h"

enum packet_kind {
	KIND_MALFORMED, /* netvm_parse() refuses it, or a fragment of the kinds of RFC 3128 */
	KIND_ARP,
	KIND_NDP,   /* IPv6 neighbour discovery that no router has forwarded: RFC 4861 */
	KIND_OTHER, /* neither IP nor ARP, also behind more VLAN tags than are parsed */
	KIND_IP,
};

struct inspection {
	enum packet_kind kind;
	/* KIND_IP only: */
	bool fragment;
	bool trackable;                 /* can belong to a connection, or open one */
	bool has_cause;                 /* an ICMP error about a packet with the key `cause` */
	struct conntrack_packet packet; /* all but the time */
	struct netvm_flow_key cause;
};

void inspect(const struct netvm *nf, const struct netvm_packet *pkt, struct inspection *out);

#endif
