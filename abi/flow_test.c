/*
 * Flow key and hash: a table of packets, all their truncations, both directions, the spread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "flow.h"

#define ETHERNET(type_high, type_low)      0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, type_high, type_low
#define VLAN(tci_low, type_high, type_low) 0, tci_low, type_high, type_low
#define IPV4(ihl, flags, protocol)                                                                 \
	0x40 | ihl, 0, 0, 40, 0, 1, flags, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2
#define ADDRESS6(last)            0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last
#define IPV6(next)                0x60, 0, 0, 0, 0, 64, next, 64, ADDRESS6(1), ADDRESS6(2)
#define PORTS                     0x12, 0x34, 0, 80, 0, 0, 0, 0
#define OPTIONS4                  1, 1, 1, 1
#define EXTENSION(next, words)    next, words, 0, 0, 0, 0, 0, 0
#define FRAGMENT(next, high, low) next, 0, high, low, 0, 0, 0, 9

struct sample {
	const char *name;
	uint8_t bytes[128];
	uint32_t length;
	uint8_t family;
	uint8_t protocol;
	uint16_t src_port;
	uint16_t dst_port;
	uint16_t eth_type;
	uint16_t vlan_tci;
};

#define SAMPLE(name, ...) name, {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})

/* clang-format off: a table */
static const struct sample samples[] = {
	{SAMPLE("ipv4 tcp", ETHERNET(8, 0), IPV4(5, 0, 6), PORTS), 4, 6, 0x1234, 80, 0x800, 0},
	{SAMPLE("ipv4 udp", ETHERNET(8, 0), IPV4(5, 0, 17), PORTS), 4, 17, 0x1234, 80, 0x800, 0},
	{SAMPLE("ipv4 sctp", ETHERNET(8, 0), IPV4(5, 0, 132), PORTS), 4, 132, 0x1234, 80, 0x800, 0},
	{SAMPLE("ipv4 icmp has no ports", ETHERNET(8, 0), IPV4(5, 0, 1), PORTS), 4, 1, 0, 0, 0x800,
		0},
	{SAMPLE("ipv4 with options", ETHERNET(8, 0), IPV4(6, 0, 6), OPTIONS4, PORTS), 4, 6, 0x1234,
		80, 0x800, 0},
	{SAMPLE("don't fragment is no fragment", ETHERNET(8, 0), IPV4(5, 0x40, 6), PORTS), 4, 6,
		0x1234, 80, 0x800, 0},
	{SAMPLE("ipv4 first fragment", ETHERNET(8, 0), IPV4(5, 0x20, 6), PORTS), 4, 6, 0, 0, 0x800,
		0},
	{SAMPLE("ipv4 later fragment", ETHERNET(8, 0), IPV4(5, 0x01, 6), PORTS), 4, 6, 0, 0, 0x800,
		0},
	{SAMPLE("ipv4 header length too small", ETHERNET(8, 0), IPV4(4, 0, 6), PORTS), 0, 0, 0, 0,
		0x800, 0},
	{SAMPLE("ipv4 header longer than packet", ETHERNET(8, 0), IPV4(15, 0, 6), PORTS), 0, 0, 0,
		0, 0x800, 0},
	{SAMPLE("ipv4 of version 6", ETHERNET(8, 0), IPV6(6), PORTS), 0, 0, 0, 0, 0x800, 0},
	{SAMPLE("one tag", ETHERNET(0x81, 0), VLAN(7, 8, 0), IPV4(5, 0, 6), PORTS), 4, 6, 0x1234,
		80, 0x800, 7},
	{SAMPLE("two tags", ETHERNET(0x88, 0xa8), VLAN(7, 0x81, 0), VLAN(9, 8, 0), IPV4(5, 0, 6),
		 PORTS),
		4, 6, 0x1234, 80, 0x800, 7},
	{SAMPLE("three tags", ETHERNET(0x81, 0), VLAN(7, 0x81, 0), VLAN(9, 0x81, 0), VLAN(9, 8, 0),
		 IPV4(5, 0, 6), PORTS),
		0, 0, 0, 0, 0x8100, 7},
	{SAMPLE("arp", ETHERNET(8, 6), 0, 1, 8, 0), 0, 0, 0, 0, 0x806, 0},
	{SAMPLE("runt", 1, 2, 3), 0, 0, 0, 0, 0, 0},
	{SAMPLE("ipv6 tcp", ETHERNET(0x86, 0xdd), IPV6(6), PORTS), 6, 6, 0x1234, 80, 0x86dd, 0},
	{SAMPLE("ipv6 hop-by-hop and destination", ETHERNET(0x86, 0xdd), IPV6(0), EXTENSION(60, 0),
		 EXTENSION(17, 1), EXTENSION(0, 0), PORTS),
		6, 17, 0x1234, 80, 0x86dd, 0},
	{SAMPLE("ipv6 authentication", ETHERNET(0x86, 0xdd), IPV6(51), EXTENSION(6, 1), 0, 0, 0, 0,
		 PORTS),
		6, 6, 0x1234, 80, 0x86dd, 0},
	{SAMPLE("ipv6 atomic fragment", ETHERNET(0x86, 0xdd), IPV6(44), FRAGMENT(6, 0, 0), PORTS),
		6, 6, 0x1234, 80, 0x86dd, 0},
	{SAMPLE("ipv6 first fragment", ETHERNET(0x86, 0xdd), IPV6(44), FRAGMENT(6, 0, 1), PORTS), 6,
		6, 0, 0, 0x86dd, 0},
	{SAMPLE("ipv6 later fragment", ETHERNET(0x86, 0xdd), IPV6(44), FRAGMENT(6, 1, 0), PORTS), 6,
		6, 0, 0, 0x86dd, 0},
	{SAMPLE("ipv6 extension longer than packet", ETHERNET(0x86, 0xdd), IPV6(0),
		 EXTENSION(6, 9)),
		6, 0, 0, 0, 0x86dd, 0},
};
/* clang-format on */

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* From memory of exactly this size, so that a sanitizer sees a byte read too far. */
static struct netvm_flow_key extract(const uint8_t *bytes, uint32_t length)
{
	uint8_t *exact = malloc(length ? length : 1);
	struct netvm_flow_key key;

	assert_non_null(exact);
	memcpy(exact, bytes, length);
	netvm_flow_extract(exact, length, &key);
	free(exact);
	return key;
}

static void table_of_packets(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		struct netvm_flow_key key = extract(s->bytes, s->length);

		if (key.family != s->family || key.protocol != s->protocol ||
			key.src_port != s->src_port || key.dst_port != s->dst_port ||
			key.eth_type != s->eth_type || key.vlan_tci != s->vlan_tci)
			fail_msg("%s: family %u protocol %u ports %u %u type %x tci %x", s->name,
				key.family, key.protocol, key.src_port, key.dst_port, key.eth_type,
				key.vlan_tci);
	}
}

static void every_truncation_is_survived(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++)
		for (uint32_t length = 0; length <= samples[i].length; length++)
			(void)extract(samples[i].bytes, length);
}

static void addresses_are_mapped(void **state)
{
	static const uint8_t src[16] = {[10] = 0xff, 0xff, 10, 0, 0, 1};
	static const uint8_t dst[16] = {[10] = 0xff, 0xff, 10, 0, 0, 2};
	static const uint8_t src6[16] = {ADDRESS6(1)};
	struct netvm_flow_key key = extract(samples[0].bytes, samples[0].length);

	(void)state;
	assert_memory_equal(key.src, src, 16);
	assert_memory_equal(key.dst, dst, 16);
	key = extract(samples[16].bytes, samples[16].length);
	assert_string_equal(samples[16].name, "ipv6 tcp");
	assert_memory_equal(key.src, src6, 16);
}

/* The fragmentable part may start with extensions that only the first fragment has. */
static void fragments_of_a_datagram_share_a_key(void **state)
{
	static const uint8_t first[] = {
		ETHERNET(0x86, 0xdd), IPV6(44), FRAGMENT(60, 0, 1), EXTENSION(6, 0), PORTS};
	static const uint8_t later[] = {
		ETHERNET(0x86, 0xdd), IPV6(44), FRAGMENT(60, 1, 0), 17, 0, 2, 3, 4, 5, 6, 7, 8, 9};
	struct netvm_flow_key a = extract(first, sizeof(first));
	struct netvm_flow_key b = extract(later, sizeof(later));

	(void)state;
	assert_memory_equal(&a, &b, sizeof(a));
}

static void both_directions_have_one_hash(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct netvm_flow_key key = extract(samples[i].bytes, samples[i].length);
		struct netvm_flow_key reply = key;

		memcpy(reply.src, key.dst, 16);
		memcpy(reply.dst, key.src, 16);
		reply.src_port = key.dst_port;
		reply.dst_port = key.src_port;
		assert_int_equal(netvm_flow_hash(&key), netvm_flow_hash(&reply));
	}
}

/* Flows that differ in one port or one address byte fill 64 buckets evenly: within a half. */
static void hash_spreads(void **state)
{
	enum { BUCKETS = 64, FLOWS = 64 * 1024 };
	struct netvm_flow_key key = extract(samples[0].bytes, samples[0].length);
	uint32_t low[BUCKETS] = {0}, high[BUCKETS] = {0};

	(void)state;
	for (uint32_t i = 0; i < FLOWS; i++) {
		uint32_t hash;

		key.src_port = (uint16_t)(i & 0xff);
		key.src[15] = (uint8_t)(i >> 8);
		hash = netvm_flow_hash(&key);
		low[hash % BUCKETS]++;
		high[hash >> 26]++;
	}
	for (int i = 0; i < BUCKETS; i++) {
		assert_in_range(low[i], FLOWS / BUCKETS / 2, FLOWS / BUCKETS * 3 / 2);
		assert_in_range(high[i], FLOWS / BUCKETS / 2, FLOWS / BUCKETS * 3 / 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_of_packets),
		cmocka_unit_test(every_truncation_is_survived),
		cmocka_unit_test(addresses_are_mapped),
		cmocka_unit_test(fragments_of_a_datagram_share_a_key),
		cmocka_unit_test(both_directions_have_one_hash),
		cmocka_unit_test(hash_spreads),
	};

	return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
