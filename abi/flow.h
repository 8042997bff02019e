/*
 * Which flow a packet belongs to: key and hash, the same on both sides of the border, so that an
 * NF can keep tables under the hash the host hands out.
 *
 * All fragments of a datagram have ports 0, so they share a key and stay in order. What is not IP
 * has family 0 and zero addresses; its Ethernet type still tells it apart. IPv4 addresses stand as
 * ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that one comparison and one classifier serve both.
 *
 * Sources: IEEE 802.3, IEEE 802.1Q, RFC 791, RFC 8200 (extension headers), RFC 4302 (AH).
 * Thread-safety: pure functions; never reads outside [data, data + length).
 */
#ifndef NETVM_ABI_FLOW_H
#define NETVM_ABI_FLOW_H

#include <stdint.h>

#include "static_assert.h"

#define NETVM_FLOW_EXTENSIONS_MAX 8 /* IPv6 extension headers followed */
#define NETVM_FLOW_VLANS_MAX      2

struct netvm_flow_key {
	uint8_t src[16];
	uint8_t dst[16];
	uint16_t src_port; /* host byte order */
	uint16_t dst_port;
	uint16_t eth_type; /* host byte order, behind the tags */
	uint16_t vlan_tci; /* of the outer tag; 0 when untagged */
	uint8_t protocol;
	uint8_t family; /* 4, 6 or 0 */
	uint16_t pad;   /* 0 */
};

_Static_assert(sizeof(struct netvm_flow_key) == 44, "flow key has no hidden padding");

static inline uint16_t netvm_flow_be16(const uint8_t *at)
{
	return (uint16_t)((uint32_t)at[0] << 8 | at[1]);
}

static inline void netvm_flow_ports(
	const uint8_t *data, uint32_t length, uint32_t at, struct netvm_flow_key *key)
{
	/* TCP, UDP, SCTP, UDP-Lite and DCCP start with their ports. */
	if (key->protocol != 6 && key->protocol != 17 && key->protocol != 132 &&
		key->protocol != 136 && key->protocol != 33)
		return;
	if (at > length || length - at < 4)
		return;
	key->src_port = netvm_flow_be16(data + at);
	key->dst_port = netvm_flow_be16(data + at + 2);
}

/*
 * ::ffff:a.b.c.d. Its half that is not zero is stored at once: the hash loads it at once, and would
 * have to wait for stores of single bytes to get through.
 */
static inline void netvm_flow_map_ipv4(const uint8_t from[4], uint8_t to[16])
{
	uint32_t address;
	uint64_t half;

	__builtin_memcpy(&address, from, 4);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	half = (uint64_t)address << 32 | UINT64_C(0xffff0000);
#else
	half = UINT64_C(0x0000ffff00000000) | address;
#endif
	__builtin_memcpy(to + 8, &half, 8);
}

static inline void netvm_flow_ipv4(
	const uint8_t *data, uint32_t length, uint32_t at, struct netvm_flow_key *key)
{
	uint32_t header;

	if (length - at < 20 || data[at] >> 4 != 4)
		return;
	header = (data[at] & 15u) * 4;
	if (header < 20 || header > length - at)
		return;
	key->family = 4;
	netvm_flow_map_ipv4(data + at + 12, key->src);
	netvm_flow_map_ipv4(data + at + 16, key->dst);
	key->protocol = data[at + 9];
	if ((netvm_flow_be16(data + at + 6) & 0x3fff) == 0) /* neither more fragments nor offset */
		netvm_flow_ports(data, length, at + header, key);
}

static inline void netvm_flow_ipv6(
	const uint8_t *data, uint32_t length, uint32_t at, struct netvm_flow_key *key)
{
	uint8_t next;
	int fragment = 0;

	if (length - at < 40 || data[at] >> 4 != 6)
		return;
	key->family = 6;
	__builtin_memcpy(key->src, data + at + 8, 16);
	__builtin_memcpy(key->dst, data + at + 24, 16);
	next = data[at + 6];
	at += 40;
	for (int i = 0; i < NETVM_FLOW_EXTENSIONS_MAX; i++) {
		uint32_t bytes;

		/* hop-by-hop, routing, destination options, mobility; fragment; authentication */
		if (next != 0 && next != 43 && next != 60 && next != 135 && next != 44 &&
			next != 51)
			break;
		if (length - at < 8)
			return;
		if (next == 44) {
			/* An atomic fragment (RFC 6946) is a whole datagram. */
			fragment = (netvm_flow_be16(data + at + 2) & 0xfff9) != 0;
			bytes = 8;
		} else if (next == 51) {
			bytes = (data[at + 1] + 2u) * 4;
		} else {
			bytes = (data[at + 1] + 1u) * 8;
		}
		next = data[at];
		if (bytes > length - at)
			return;
		at += bytes;
		/* Only the first fragment has the headers behind: no fragment's key looks there. */
		if (fragment)
			break;
	}
	key->protocol = next;
	if (!fragment)
		netvm_flow_ports(data, length, at, key);
}

static inline void netvm_flow_extract(
	const uint8_t *data, uint32_t length, struct netvm_flow_key *key)
{
	uint32_t at = 14;

	__builtin_memset(key, 0, sizeof(*key));
	if (length < 14)
		return;
	key->eth_type = netvm_flow_be16(data + 12);
	for (int i = 0; i < NETVM_FLOW_VLANS_MAX; i++) {
		if (key->eth_type != 0x8100 && key->eth_type != 0x88a8)
			break;
		if (length - at < 4)
			return;
		if (i == 0)
			key->vlan_tci = netvm_flow_be16(data + at);
		key->eth_type = netvm_flow_be16(data + at + 2);
		at += 4;
	}
	if (key->eth_type == 0x0800)
		netvm_flow_ipv4(data, length, at, key);
	else if (key->eth_type == 0x86dd)
		netvm_flow_ipv6(data, length, at, key);
}

static inline uint64_t netvm_flow_mix(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide product =
		(wide)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xd1b54a32d192ed03));

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t netvm_flow_end(const uint8_t address[16], uint16_t port)
{
	uint64_t high, low;

	__builtin_memcpy(&high, address, 8);
	__builtin_memcpy(&low, address + 8, 8);
	return netvm_flow_mix(high ^ ((uint64_t)port << 48 | port), low + port);
}

/* Both ends are added, so a connection's two directions have one hash. */
static inline uint32_t netvm_flow_hash(const struct netvm_flow_key *key)
{
	uint64_t ends =
		netvm_flow_end(key->src, key->src_port) + netvm_flow_end(key->dst, key->dst_port);
	uint64_t rest = (uint64_t)key->eth_type << 32 | (uint64_t)key->protocol << 24 |
			((uint64_t)key->vlan_tci & 0xfff);
	uint64_t hash = netvm_flow_mix(ends, rest);

	return (uint32_t)(hash ^ hash >> 32);
}

#endif
