/*
 * Packet headers for NFs: bounds-checked parsing and checksum repair. Included by netvm.h.
 *
 * Wire structs are packed and in network byte order. netvm_parse() finds them once per packet;
 * each pointer is NULL when that header is absent or does not lie whole within the packet.
 *
 * Sources: Ethernet IEEE 802.3, VLAN IEEE 802.1Q, IPv4 RFC 791, IPv6 and its extension headers
 * RFC 8200, TCP RFC 9293, UDP RFC 768, ICMP RFC 792 / RFC 4443, incremental checksum RFC 1624.
 *
 * Thread-safety: pure functions on the packet's memory.
 */
#ifndef NETVM_PACKET_H
#define NETVM_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include <netvm/abi/flow.h>

struct netvm_eth {
	uint8_t dst[6];
	uint8_t src[6];
	uint16_t type;
} __attribute__((packed));

struct netvm_vlan {
	uint16_t tci;  /* priority 3, DEI 1, VLAN id 12 bits */
	uint16_t type; /* of what follows */
} __attribute__((packed));

struct netvm_ipv4 {
	uint8_t version_ihl;
	uint8_t tos;
	uint16_t total_length;
	uint16_t id;
	uint16_t fragment; /* flags 3, offset 13 bits */
	uint8_t ttl;
	uint8_t protocol;
	uint16_t checksum;
	uint32_t src;
	uint32_t dst;
} __attribute__((packed));

struct netvm_ipv6 {
	uint32_t version_class_flow;
	uint16_t payload_length;
	uint8_t next_header;
	uint8_t hop_limit;
	uint8_t src[16];
	uint8_t dst[16];
} __attribute__((packed));

struct netvm_tcp {
	uint16_t src;
	uint16_t dst;
	uint32_t seq;
	uint32_t ack;
	uint8_t data_offset; /* upper 4 bits, in 32-bit words */
	uint8_t flags;
	uint16_t window;
	uint16_t checksum;
	uint16_t urgent;
} __attribute__((packed));

struct netvm_udp {
	uint16_t src;
	uint16_t dst;
	uint16_t length;
	uint16_t checksum;
} __attribute__((packed));

struct netvm_icmp { /* also ICMPv6 */
	uint8_t type;
	uint8_t code;
	uint16_t checksum;
} __attribute__((packed));

#define NETVM_ETH_IPV4 0x0800
#define NETVM_ETH_ARP  0x0806
#define NETVM_ETH_VLAN 0x8100
#define NETVM_ETH_QINQ 0x88a8
#define NETVM_ETH_IPV6 0x86dd

#define NETVM_PROTO_ICMP   1
#define NETVM_PROTO_TCP    6
#define NETVM_PROTO_UDP    17
#define NETVM_PROTO_ICMPV6 58

#define NETVM_TCP_FIN 0x01
#define NETVM_TCP_SYN 0x02
#define NETVM_TCP_RST 0x04
#define NETVM_TCP_PSH 0x08
#define NETVM_TCP_ACK 0x10

#define NETVM_VLANS_MAX 2 /* tags parsed; deeper ones stay payload */

struct netvm_headers {
	struct netvm_eth *eth;
	struct netvm_vlan *vlan[NETVM_VLANS_MAX]; /* outer first */
	struct netvm_ipv4 *ipv4;
	struct netvm_ipv6 *ipv6;
	struct netvm_tcp *tcp;
	struct netvm_udp *udp;
	struct netvm_icmp *icmp;
	uint8_t *payload;        /* behind the last header parsed */
	uint32_t payload_length; /* as the IP header says, never past the packet's end */
	uint16_t eth_type;       /* host byte order, behind the tags */
	uint8_t protocol;        /* of layer 4; 0 when there is no IP */
	bool fragment;           /* any fragment */
	bool later_fragment;     /* not the first: no layer 4 header in it */
	uint16_t src_port;       /* host byte order; 0 without TCP or UDP */
	uint16_t dst_port;
};

/*
 * Fill `headers`. Returns 0, or -EBADMSG when the packet is malformed: shorter than an Ethernet
 * header, an IP version or header length that cannot be, a total length beyond the packet, a cut
 * layer 4 header, more than 8 IPv6 extension headers. The headers before the fault are set.
 * Ethernet padding behind the IP packet is fine.
 */
int netvm_parse(
	const struct netvm *nf, const struct netvm_packet *pkt, struct netvm_headers *headers);

/*
 * The flow key of a packet, as the host sees it (see netvm/abi/flow.h): comparable with memcmp(),
 * addresses of IPv4 as ::ffff:a.b.c.d, ports 0 in all fragments. netvm_flow_hash(&key) equals
 * netvm_meta()->flow_hash.
 */
static inline void netvm_flow(
	const struct netvm *nf, const struct netvm_packet *pkt, struct netvm_flow_key *key)
{
	netvm_flow_extract(netvm_data(nf, pkt), netvm_length(pkt), key);
}

/*
 * Checksums (RFC 1071). netvm_checksum() of a whole header with its checksum field zero gives what
 * to store there; all values as they lie in the packet.
 */
uint16_t netvm_checksum(const void *data, uint32_t length, uint32_t initial);
uint16_t netvm_checksum_update16(uint16_t checksum, uint16_t old_value, uint16_t new_value);
uint16_t netvm_checksum_update32(uint16_t checksum, uint32_t old_value, uint32_t new_value);

/*
 * Recompute the IPv4 header checksum and, where not a fragment, that of TCP, UDP, ICMP, ICMPv6, of
 * headers that netvm_parse() took without fault.
 */
void netvm_checksum_fix(struct netvm_headers *headers);

#endif
