/*
 * Checksums against known vectors, and the repair of real headers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <netvm.h>

#include "test_packet.h"

static uint16_t be16(uint16_t value)
{
	return __builtin_bswap16(value);
}

/* RFC 1071, section 3: the sum of these bytes is ddf2. */
static void rfc_1071_example(void **state)
{
	static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	(void)state;
	assert_int_equal(netvm_checksum(bytes, sizeof(bytes), 0), be16((uint16_t)~0xddf2));
}

/* The header of Wikipedia's "IPv4 header checksum" article: b861. */
static void known_ipv4_header(void **state)
{
	static const uint8_t header[20] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40,
		0x11, 0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};

	(void)state;
	assert_int_equal(netvm_checksum(header, sizeof(header), 0), be16(0xb861));
}

static void odd_length_is_padded_with_zero(void **state)
{
	static const uint8_t odd[] = {0x12, 0x34, 0x56};
	static const uint8_t even[] = {0x12, 0x34, 0x56, 0x00};

	(void)state;
	assert_int_equal(netvm_checksum(odd, 3, 0), netvm_checksum(even, 4, 0));
	assert_int_equal(netvm_checksum(odd, 1, 0), be16((uint16_t)~0x1200));
	assert_int_equal(netvm_checksum(odd, 0, 0), 0xffff);
}

static void a_sum_can_be_taken_in_parts(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 0xff, 0xfe, 7, 8, 9, 10};
	uint16_t first = (uint16_t)~netvm_checksum(bytes, 4, 0);

	(void)state;
	assert_int_equal(netvm_checksum(bytes + 4, 6, first), netvm_checksum(bytes, 10, 0));
}

/* RFC 1624, section 4: 5555 becomes 3285 under dd2f, and the result is 0000, not ffff. */
static void rfc_1624_example(void **state)
{
	(void)state;
	assert_int_equal(netvm_checksum_update16(be16(0xdd2f), be16(0x5555), be16(0x3285)), 0);
}

static void updates_equal_recomputation(void **state)
{
	uint16_t words[6] = {0x1234, 0xffff, 0x0000, 0xabcd, 0x8000, 0x0001};

	(void)state;
	for (uint32_t value = 0; value < 0x10000; value += 0x101) {
		uint16_t before = netvm_checksum(words, sizeof(words), 0);
		uint16_t old_half = words[2];
		uint32_t old_word, new_word = value << 16 | (uint16_t)~value;

		words[2] = (uint16_t)value;
		before = netvm_checksum_update16(before, old_half, words[2]);
		assert_int_equal(before, netvm_checksum(words, sizeof(words), 0));
		memcpy(&old_word, words + 4, 4);
		memcpy(words + 4, &new_word, 4);
		assert_int_equal(netvm_checksum_update32(before, old_word, new_word),
			netvm_checksum(words, sizeof(words), 0));
	}
}

/* ---- whole packets with checksums as scapy computes them ------------------------------------ */

struct sample {
	const char *name;
	uint8_t bytes[96];
	uint32_t length;
};

#include "checksum_test_packets.h"

static void fix_restores_known_checksums(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct test_packet packet = test_packet_make(samples[i].bytes, samples[i].length);
		struct netvm_headers h;

		assert_int_equal(netvm_parse(&packet.nf, &packet.pkt, &h), 0);
		if (h.ipv4)
			h.ipv4->checksum = 0x5a5a;
		if (h.tcp)
			h.tcp->checksum = 0x5a5a;
		if (h.udp)
			h.udp->checksum = 0x5a5a;
		if (h.icmp)
			h.icmp->checksum = 0x5a5a;
		netvm_checksum_fix(&h);
		if (memcmp(netvm_data(&packet.nf, &packet.pkt), samples[i].bytes,
			    samples[i].length))
			fail_msg("%s: checksums differ", samples[i].name);
		test_packet_free(&packet);
	}
}

/* A fragment's layer 4 checksum covers bytes that are elsewhere: it must stay. */
static void fix_leaves_fragments_alone(void **state)
{
	struct test_packet packet = test_packet_make(samples[0].bytes, samples[0].length);
	struct netvm_headers h;

	(void)state;
	assert_int_equal(netvm_parse(&packet.nf, &packet.pkt, &h), 0);
	h.ipv4->fragment = be16(0x2000);
	assert_int_equal(netvm_parse(&packet.nf, &packet.pkt, &h), 0);
	assert_true(h.fragment && !h.later_fragment);
	assert_non_null(h.tcp);
	h.tcp->checksum = 0x5a5a;
	netvm_checksum_fix(&h);
	assert_int_equal(h.tcp->checksum, 0x5a5a);
	assert_int_equal(netvm_checksum(h.ipv4, 20, 0), 0);
	test_packet_free(&packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_1071_example),
		cmocka_unit_test(known_ipv4_header),
		cmocka_unit_test(odd_length_is_padded_with_zero),
		cmocka_unit_test(a_sum_can_be_taken_in_parts),
		cmocka_unit_test(rfc_1624_example),
		cmocka_unit_test(updates_equal_recomputation),
		cmocka_unit_test(fix_restores_known_checksums),
		cmocka_unit_test(fix_leaves_fragments_alone),
	};

	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
