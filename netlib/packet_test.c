/*
 * Parsing: a table of good and malformed packets, all truncations of all of them, random damage;
 * growing and shrinking.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <netvm.h>

#include "test_packet.h"

#define ETHERNET(high, low) 0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, high, low
#define VLAN(high, low)     0, 7, high, low
#define IPV4(first, total, flags, protocol)                                                        \
	first, 0, 0, total, 0, 1, flags, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2
#define ADDRESS6(last)            0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last
#define IPV6(payload, next)       0x60, 0, 0, 0, 0, payload, next, 64, ADDRESS6(1), ADDRESS6(2)
#define TCP(offset)               0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, offset, 2, 1, 0, 0, 0, 0, 0
#define UDP                       0x12, 0x34, 0, 53, 0, 12, 0, 0
#define ICMP                      8, 0, 0, 0, 0, 1, 0, 1
#define EXTENSION(next, more)     next, more, 0, 0, 0, 0, 0, 0
#define FRAGMENT(next, high, low) next, 0, high, low, 0, 0, 0, 9
#define DATA4                     'd', 'a', 't', 'a'

enum found {
	ETH = 1 << 0,
	VLAN1 = 1 << 1,
	VLAN2 = 1 << 2,
	IP4 = 1 << 3,
	IP6 = 1 << 4,
	TCPH = 1 << 5,
	UDPH = 1 << 6,
	ICMPH = 1 << 7,
	FRAG = 1 << 8,
	LATER = 1 << 9,
};

struct sample {
	const char *name;
	uint8_t bytes[160];
	uint32_t length;
	int result;
	unsigned found;
	uint8_t protocol;
	int payload; /* bytes; -1: not looked at */
};

#define P(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
#define BAD    -EBADMSG

/* clang-format off: a table */
static const struct sample samples[] = {
	/* good */
	{"arp", P(ETHERNET(8, 6), 0, 1, 8, 0), 0, ETH, 0, 4},
	{"nothing behind ethernet", P(ETHERNET(8, 6)), 0, ETH, 0, 0},
	{"tcp", P(ETHERNET(8, 0), IPV4(0x45, 44, 0, 6), TCP(0x50), DATA4), 0, ETH | IP4 | TCPH, 6,
		4},
	{"tcp with options", P(ETHERNET(8, 0), IPV4(0x45, 48, 0, 6), TCP(0x60), 1, 1, 1, 0, DATA4),
		0, ETH | IP4 | TCPH, 6, 4},
	{"ip options", P(ETHERNET(8, 0), IPV4(0x46, 36, 0, 17), 1, 1, 1, 0, UDP, DATA4), 0,
		ETH | IP4 | UDPH, 17, 4},
	{"ethernet padding", P(ETHERNET(8, 0), IPV4(0x45, 28, 0, 17), UDP, DATA4, DATA4), 0,
		ETH | IP4 | UDPH, 17, 0},
	{"icmp", P(ETHERNET(8, 0), IPV4(0x45, 28, 0, 1), ICMP), 0, ETH | IP4 | ICMPH, 1, 4},
	{"icmpv6 over ipv4 is unknown", P(ETHERNET(8, 0), IPV4(0x45, 28, 0, 58), ICMP), 0,
		ETH | IP4, 58, 8},
	{"gre", P(ETHERNET(8, 0), IPV4(0x45, 24, 0, 47), DATA4), 0, ETH | IP4, 47, 4},
	{"don't fragment", P(ETHERNET(8, 0), IPV4(0x45, 32, 0x40, 17), UDP, DATA4), 0,
		ETH | IP4 | UDPH, 17, 4},
	{"first fragment", P(ETHERNET(8, 0), IPV4(0x45, 32, 0x20, 17), UDP, DATA4), 0,
		ETH | IP4 | UDPH | FRAG, 17, 4},
	{"later fragment", P(ETHERNET(8, 0), IPV4(0x45, 24, 0x01, 17), DATA4), 0,
		ETH | IP4 | FRAG | LATER, 17, 4},
	{"one tag", P(ETHERNET(0x81, 0), VLAN(8, 0), IPV4(0x45, 28, 0, 17), UDP), 0,
		ETH | VLAN1 | IP4 | UDPH, 17, 0},
	{"two tags", P(ETHERNET(0x88, 0xa8), VLAN(0x81, 0), VLAN(8, 0), IPV4(0x45, 28, 0, 17), UDP),
		0, ETH | VLAN1 | VLAN2 | IP4 | UDPH, 17, 0},
	{"a third tag is payload",
		P(ETHERNET(0x88, 0xa8), VLAN(0x81, 0), VLAN(0x81, 0), VLAN(8, 0)), 0,
		ETH | VLAN1 | VLAN2, 0, 4},
	{"ipv6 udp", P(ETHERNET(0x86, 0xdd), IPV6(12, 17), UDP, DATA4), 0, ETH | IP6 | UDPH, 17, 4},
	{"ipv6 no next header", P(ETHERNET(0x86, 0xdd), IPV6(0, 59)), 0, ETH | IP6, 59, 0},
	{"ipv6 padding", P(ETHERNET(0x86, 0xdd), IPV6(0, 59), DATA4), 0, ETH | IP6, 59, 0},
	{"icmpv6", P(ETHERNET(0x86, 0xdd), IPV6(8, 58), ICMP), 0, ETH | IP6 | ICMPH, 58, 4},
	{"three extensions",
		P(ETHERNET(0x86, 0xdd), IPV6(40, 0), EXTENSION(43, 0), EXTENSION(60, 1),
			EXTENSION(0, 0), EXTENSION(17, 0), UDP),
		0, ETH | IP6 | UDPH, 17, 0},
	{"authentication", P(ETHERNET(0x86, 0xdd), IPV6(20, 51), EXTENSION(17, 1), DATA4, UDP), 0,
		ETH | IP6 | UDPH, 17, 0},
	{"atomic fragment", P(ETHERNET(0x86, 0xdd), IPV6(16, 44), FRAGMENT(17, 0, 0), UDP), 0,
		ETH | IP6 | UDPH, 17, 0},
	{"ipv6 first fragment", P(ETHERNET(0x86, 0xdd), IPV6(16, 44), FRAGMENT(17, 0, 1), UDP), 0,
		ETH | IP6 | UDPH | FRAG, 17, 0},
	{"ipv6 later fragment", P(ETHERNET(0x86, 0xdd), IPV6(12, 44), FRAGMENT(17, 0, 8), DATA4), 0,
		ETH | IP6 | FRAG | LATER, 17, 4},
	{"later fragment's data is no extension",
		P(ETHERNET(0x86, 0xdd), IPV6(12, 44), FRAGMENT(60, 0, 8), DATA4), 0,
		ETH | IP6 | FRAG | LATER, 60, 4},
	{"eight extensions",
		P(ETHERNET(0x86, 0xdd), IPV6(72, 60), EXTENSION(60, 0), EXTENSION(60, 0),
			EXTENSION(60, 0), EXTENSION(60, 0), EXTENSION(60, 0), EXTENSION(60, 0),
			EXTENSION(60, 0), EXTENSION(17, 0), UDP),
		0, ETH | IP6 | UDPH, 17, 0},

	/* malformed */
	{"empty", {0}, 0, BAD, 0, 0, 0},
	{"runt", P(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), BAD, 0, 0, -1},
	{"cut tag", P(ETHERNET(0x81, 0), 0, 7, 8), BAD, ETH, 0, -1},
	{"cut second tag", P(ETHERNET(0x88, 0xa8), VLAN(0x81, 0), 0), BAD, ETH | VLAN1, 0, -1},
	{"ipv4 without header", P(ETHERNET(8, 0)), BAD, ETH, 0, -1},
	{"ipv4 header cut", P(ETHERNET(8, 0), 0x45, 0, 0, 20, 0, 0, 0, 0), BAD, ETH, 0, -1},
	{"ipv4 of version 5", P(ETHERNET(8, 0), IPV4(0x55, 28, 0, 17), UDP), BAD, ETH, 0, -1},
	{"ipv4 header of 16 bytes", P(ETHERNET(8, 0), IPV4(0x44, 28, 0, 17), UDP), BAD, ETH, 0, -1},
	{"ipv4 header beyond packet", P(ETHERNET(8, 0), IPV4(0x4f, 28, 0, 17), UDP), BAD, ETH, 0,
		-1},
	{"ipv4 total below header", P(ETHERNET(8, 0), IPV4(0x45, 19, 0, 17), UDP), BAD, ETH, 0, -1},
	{"ipv4 total beyond packet", P(ETHERNET(8, 0), IPV4(0x45, 29, 0, 17), UDP), BAD, ETH, 0,
		-1},
	{"udp cut by total length", P(ETHERNET(8, 0), IPV4(0x45, 27, 0, 17), UDP), BAD, ETH | IP4,
		17, -1},
	{"tcp cut", P(ETHERNET(8, 0), IPV4(0x45, 39, 0, 6), TCP(0x50)), BAD, ETH | IP4, 6, -1},
	{"tcp header of 16 bytes", P(ETHERNET(8, 0), IPV4(0x45, 40, 0, 6), TCP(0x40)), BAD,
		ETH | IP4, 6, -1},
	{"tcp options beyond packet", P(ETHERNET(8, 0), IPV4(0x45, 40, 0, 6), TCP(0x60)), BAD,
		ETH | IP4, 6, -1},
	{"icmp cut", P(ETHERNET(8, 0), IPV4(0x45, 23, 0, 1), 8, 0, 0), BAD, ETH | IP4, 1, -1},
	{"tiny first fragment", P(ETHERNET(8, 0), IPV4(0x45, 28, 0x20, 6), DATA4, DATA4), BAD,
		ETH | IP4 | FRAG, 6, -1},
	{"ipv6 header cut", P(ETHERNET(0x86, 0xdd), 0x60, 0, 0, 0, 0, 0), BAD, ETH, 0, -1},
	{"ipv6 of version 4", P(ETHERNET(0x86, 0xdd), IPV4(0x45, 40, 0, 6), TCP(0x50)), BAD, ETH, 0,
		-1},
	{"ipv6 payload beyond packet", P(ETHERNET(0x86, 0xdd), IPV6(9, 17), UDP), BAD, ETH, 0, -1},
	{"ipv6 udp cut", P(ETHERNET(0x86, 0xdd), IPV6(7, 17), UDP), BAD, ETH | IP6, 17, -1},
	{"extension cut", P(ETHERNET(0x86, 0xdd), IPV6(7, 0), EXTENSION(17, 0)), BAD, ETH | IP6, 0,
		-1},
	{"extension beyond packet", P(ETHERNET(0x86, 0xdd), IPV6(16, 0), EXTENSION(17, 9), UDP),
		BAD, ETH | IP6, 0, -1},
	{"nine extensions",
		P(ETHERNET(0x86, 0xdd), IPV6(80, 60), EXTENSION(60, 0), EXTENSION(60, 0),
			EXTENSION(60, 0), EXTENSION(60, 0), EXTENSION(60, 0), EXTENSION(60, 0),
			EXTENSION(60, 0), EXTENSION(60, 0), EXTENSION(17, 0), UDP),
		BAD, ETH | IP6, 0, -1},
};
/* clang-format on */

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

static unsigned found_in(const struct netvm_headers *h)
{
	return (h->eth ? ETH : 0u) | (h->vlan[0] ? VLAN1 : 0u) | (h->vlan[1] ? VLAN2 : 0u) |
	       (h->ipv4 ? IP4 : 0u) | (h->ipv6 ? IP6 : 0u) | (h->tcp ? TCPH : 0u) |
	       (h->udp ? UDPH : 0u) | (h->icmp ? ICMPH : 0u) | (h->fragment ? FRAG : 0u) |
	       (h->later_fragment ? LATER : 0u);
}

static void table_of_packets(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		struct test_packet packet = test_packet_make(s->bytes, s->length);
		struct netvm_headers h;
		int result = netvm_parse(&packet.nf, &packet.pkt, &h);

		if (result != s->result || found_in(&h) != s->found || h.protocol != s->protocol ||
			(s->payload >= 0 && h.payload_length != (uint32_t)s->payload))
			fail_msg("%s: result %d found %#x protocol %u payload %u", s->name, result,
				found_in(&h), h.protocol, h.payload_length);
		if (h.tcp || h.udp)
			assert_int_equal(h.src_port, 0x1234);
		else
			assert_int_equal(h.src_port, 0);
		test_packet_free(&packet);
	}
}

/* All that parsing hands out lies within the packet. Reading it shows a lie to the sanitizer. */
static void assert_within(const struct test_packet *packet)
{
	const uint8_t *start = netvm_data(&packet->nf, &packet->pkt);
	const uint8_t *end = start + netvm_length(&packet->pkt);
	struct netvm_headers h;

	(void)netvm_parse(&packet->nf, &packet->pkt, &h);
	assert_true(h.payload >= start && h.payload + h.payload_length <= end);
	assert_true(!h.eth || (uint8_t *)(h.eth + 1) <= end);
	assert_true(!h.vlan[1] || (uint8_t *)(h.vlan[1] + 1) <= end);
	assert_true(!h.ipv4 || (uint8_t *)(h.ipv4 + 1) <= end);
	assert_true(!h.ipv6 || (uint8_t *)(h.ipv6 + 1) <= end);
	assert_true(!h.tcp || (uint8_t *)(h.tcp + 1) <= end);
	assert_true(!h.udp || (uint8_t *)(h.udp + 1) <= end);
	assert_true(!h.icmp || (uint8_t *)(h.icmp + 1) <= end);
	netvm_checksum_fix(&h);
}

static void every_truncation_stays_within(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		for (uint32_t length = 0; length <= samples[i].length; length++) {
			struct test_packet packet = test_packet_make(samples[i].bytes, length);

			assert_within(&packet);
			test_packet_free(&packet);
		}
	}
}

static void every_damaged_byte_stays_within(void **state)
{
	static const uint8_t damage[] = {0x00, 0x01, 0x4f, 0x60, 0x7f, 0x80, 0xff};

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		for (uint32_t at = 12; at < samples[i].length; at++) {
			for (size_t d = 0; d < sizeof(damage); d++) {
				struct test_packet packet =
					test_packet_make(samples[i].bytes, samples[i].length);

				netvm_data(&packet.nf, &packet.pkt)[at] = damage[d];
				assert_within(&packet);
				test_packet_free(&packet);
			}
		}
	}
}

/* Where parsing succeeds on an unfragmented packet, the flow key says the same. */
static void flow_key_agrees_with_parsing(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		const struct sample *s = &samples[i];
		struct test_packet packet = test_packet_make(s->bytes, s->length);
		struct netvm_flow_key key;
		struct netvm_headers h;

		netvm_flow(&packet.nf, &packet.pkt, &key);
		if (netvm_parse(&packet.nf, &packet.pkt, &h) == 0) {
			assert_int_equal(key.protocol, h.protocol);
			assert_int_equal(key.eth_type, h.eth_type);
			assert_int_equal(key.src_port, h.fragment ? 0 : h.src_port);
		}
		test_packet_free(&packet);
	}
}

/* ---- growing and shrinking ------------------------------------------------------------------ */

static void at_is_bounded(void **state)
{
	struct test_packet packet = test_packet_make((const uint8_t *)"0123456789", 10);

	(void)state;
	assert_ptr_equal(
		netvm_at(&packet.nf, &packet.pkt, 4, 6), netvm_data(&packet.nf, &packet.pkt) + 4);
	assert_non_null(netvm_at(&packet.nf, &packet.pkt, 10, 0));
	assert_null(netvm_at(&packet.nf, &packet.pkt, 4, 7));
	assert_null(netvm_at(&packet.nf, &packet.pkt, 11, 0));
	assert_null(netvm_at(&packet.nf, &packet.pkt, 4, UINT32_MAX));
	test_packet_free(&packet);
}

static void grow_and_shrink(void **state)
{
	struct test_packet packet = test_packet_make((const uint8_t *)"0123456789", 10);
	struct netvm *nf = &packet.nf;
	struct netvm_packet *pkt = &packet.pkt;
	uint8_t *start = netvm_data(nf, pkt);

	(void)state;
	netvm_to(pkt, 9);
	assert_int_equal(netvm_headroom(pkt), TEST_PACKET_HEADROOM - NETVM_META_BYTES);
	assert_int_equal(netvm_tailroom(nf, pkt), 0);
	assert_null(netvm_append(nf, pkt, 1));
	assert_ptr_equal(netvm_trim_back(nf, pkt, 4), start);
	assert_int_equal(netvm_tailroom(nf, pkt), 4);
	assert_ptr_equal(netvm_append(nf, pkt, 3), start + 6);
	assert_ptr_equal(netvm_trim_front(nf, pkt, 2), start + 2);
	assert_int_equal(netvm_length(pkt), 7);
	assert_ptr_equal(netvm_prepend(nf, pkt, 2 + 64), start - 64);
	assert_int_equal(netvm_length(pkt), 73);
	assert_int_equal(netvm_headroom(pkt), 0);
	assert_null(netvm_prepend(nf, pkt, 1));
	assert_null(netvm_trim_front(nf, pkt, 74));
	assert_null(netvm_trim_back(nf, pkt, 74));
	assert_null(netvm_prepend(nf, pkt, UINT32_MAX));
	assert_null(netvm_append(nf, pkt, UINT32_MAX));
	assert_int_equal(netvm_length(pkt), 73);
	assert_int_equal(netvm_desc_verdict(pkt->word), 9);
	test_packet_free(&packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_of_packets),
		cmocka_unit_test(every_truncation_stays_within),
		cmocka_unit_test(every_damaged_byte_stays_within),
		cmocka_unit_test(flow_key_agrees_with_parsing),
		cmocka_unit_test(at_is_bounded),
		cmocka_unit_test(grow_and_shrink),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
