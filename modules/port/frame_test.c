/* Tests of checksums and cutting; DPDK's checksum functions are the judge. */
#define ALLOW_EXPERIMENTAL_API /* rte_ipv4_udptcp_cksum_verify() */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "modules/port/frame.h"

#define TCPV4  1
#define TCPV6  4
#define UDP_L4 5
#define ECN    0x80

struct shape {
	unsigned version, protocol, n_tags, ip_options, tcp_options;
	uint32_t payload;
};

static uint8_t payload_byte(uint32_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

static uint32_t put_l4(uint8_t *at, const struct shape *shape)
{
	struct rte_tcp_hdr *tcp = (void *)at;
	struct rte_udp_hdr *udp = (void *)at;

	if (shape->protocol == IPPROTO_UDP) {
		*udp = (struct rte_udp_hdr){.src_port = 5,
			.dst_port = 6,
			.dgram_len = rte_cpu_to_be_16((uint16_t)(8 + shape->payload))};
		return sizeof(*udp);
	}
	*tcp = (struct rte_tcp_hdr){.src_port = 5,
		.dst_port = 6,
		.sent_seq = rte_cpu_to_be_32(0xfffffff0),
		.data_off = (uint8_t)((5 + shape->tcp_options) << 4),
		.tcp_flags =
			RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_CWR_FLAG};
	memset(tcp + 1, 1, shape->tcp_options * 4);
	return (uint32_t)sizeof(*tcp) + shape->tcp_options * 4;
}

static uint32_t put_ip(uint8_t *at, const struct shape *shape, uint32_t l4_bytes)
{
	struct rte_ipv4_hdr *v4 = (void *)at;
	struct rte_ipv6_hdr *v6 = (void *)at;
	uint32_t header = (uint32_t)sizeof(*v4) + shape->ip_options * 4;

	if (shape->version == 6) {
		*v6 = (struct rte_ipv6_hdr){.vtc_flow = rte_cpu_to_be_32(6u << 28),
			.payload_len = rte_cpu_to_be_16((uint16_t)l4_bytes),
			.proto = (uint8_t)shape->protocol,
			.hop_limits = 64,
			.src_addr = {1, 2, 3},
			.dst_addr = {4, 5, 6}};
		return sizeof(*v6);
	}
	*v4 = (struct rte_ipv4_hdr){.version_ihl = (uint8_t)(0x40 | header / 4),
		.total_length = rte_cpu_to_be_16((uint16_t)(header + l4_bytes)),
		.packet_id = rte_cpu_to_be_16(0xffff),
		.time_to_live = 64,
		.next_proto_id = (uint8_t)shape->protocol,
		.src_addr = 0x01020304,
		.dst_addr = 0x05060708};
	memset(v4 + 1, 1, shape->ip_options * 4);
	v4->hdr_checksum = (uint16_t)~rte_raw_cksum(v4, header);
	return header;
}

/* A frame without transport checksum. Returns its length; *ip and *l4 are offsets. */
static uint32_t make_frame(uint8_t *frame, const struct shape *shape, uint32_t *ip, uint32_t *l4)
{
	uint32_t at = 12, l4_header;
	uint8_t scratch[128];

	memset(frame, 0xee, 12);
	for (unsigned i = 0; i < shape->n_tags; i++, at += 4)
		memcpy(frame + at, i ? "\x81\x00\x00\x05" : "\x88\xa8\x00\x07", 4);
	memcpy(frame + at, shape->version == 4 ? "\x08\x00" : "\x86\xdd", 2);
	*ip = at + 2;
	l4_header = put_l4(scratch, shape);
	*l4 = *ip + put_ip(frame + *ip, shape, l4_header + shape->payload);
	memcpy(frame + *l4, scratch, l4_header);
	for (uint32_t i = 0; i < shape->payload; i++)
		frame[*l4 + l4_header + i] = payload_byte(i);
	return *l4 + l4_header + shape->payload;
}

static uint16_t *checksum_field(uint8_t *frame, const struct shape *shape, uint32_t l4)
{
	return (uint16_t *)(void *)(frame + l4 + (shape->protocol == IPPROTO_TCP ? 16 : 6));
}

/* What a local sender leaves in the field. */
static void put_partial(uint8_t *frame, const struct shape *shape, uint32_t ip, uint32_t l4)
{
	uint16_t sum = shape->version == 4 ? rte_ipv4_phdr_cksum((void *)(frame + ip), 0)
					   : rte_ipv6_phdr_cksum((void *)(frame + ip), 0);

	memcpy(checksum_field(frame, shape, l4), &sum, 2);
}

static void assert_checksums(uint8_t *frame, const struct shape *shape, uint32_t ip, uint32_t l4)
{
	if (shape->version == 6) {
		assert_int_equal(rte_ipv6_udptcp_cksum_verify((void *)(frame + ip), frame + l4), 0);
		return;
	}
	assert_int_equal(rte_raw_cksum(frame + ip, l4 - ip), 0xffff);
	assert_int_equal(rte_ipv4_udptcp_cksum_verify((void *)(frame + ip), frame + l4), 0);
}

static const struct shape shapes[] = {
	{4, IPPROTO_TCP, 0, 0, 0, 100},
	{4, IPPROTO_TCP, 1, 2, 3, 101},
	{4, IPPROTO_TCP, 0, 0, 0, 0},
	{4, IPPROTO_UDP, 0, 0, 0, 1},
	{4, IPPROTO_UDP, 2, 1, 0, 999},
	{6, IPPROTO_TCP, 0, 0, 3, 100},
	{6, IPPROTO_TCP, 2, 0, 0, 1},
	{6, IPPROTO_UDP, 1, 0, 0, 100},
};
#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static void test_complete(void **state)
{
	uint8_t frame[2000];
	uint32_t ip, l4, length;

	(void)state;
	for (size_t i = 0; i < N_SHAPES; i++) {
		const struct shape *shape = &shapes[i];
		uint32_t field = shape->protocol == IPPROTO_TCP ? 16 : 6;

		length = make_frame(frame, shape, &ip, &l4);
		put_partial(frame, shape, ip, l4);
		assert_int_equal(frame_complete(frame, length, l4, field), 0);
		assert_checksums(frame, shape, ip, l4);
		assert_int_equal(frame_complete(frame, length, length, 0), -EBADMSG);
		assert_int_equal(frame_complete(frame, length, length + 1, 0), -EBADMSG);
		assert_int_equal(frame_complete(frame, length, l4, length - l4 - 1), -EBADMSG);
		assert_int_equal(frame_complete(frame, length, l4, UINT32_MAX), -EBADMSG);
	}
}

/* A sum of zero must not become UDP's "no checksum". */
static void test_udp_zero(void **state)
{
	struct shape shape = {4, IPPROTO_UDP, 0, 0, 0, 2};
	uint8_t frame[100];
	uint32_t ip, l4, length = make_frame(frame, &shape, &ip, &l4);
	uint16_t rest;

	(void)state;
	put_partial(frame, &shape, ip, l4);
	memset(frame + l4 + 8, 0, 2);
	rest = (uint16_t)~rte_raw_cksum(frame + l4, length - l4);
	memcpy(frame + l4 + 8, &rest, 2);
	assert_int_equal(frame_complete(frame, length, l4, 6), 0);
	assert_int_equal(*checksum_field(frame, &shape, l4), 0xffff);
}

static uint32_t crc32c(const uint8_t *data, uint32_t length)
{
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; i < length; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void test_sctp(void **state)
{
	struct shape shape = {4, IPPROTO_UDP, 0, 0, 0, 50};
	uint8_t frame[200];
	uint32_t ip, l4, length = make_frame(frame, &shape, &ip, &l4), want, got;

	(void)state;
	assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
	frame[ip + 9] = IPPROTO_SCTP;
	memset(frame + l4 + 8, 0, 4);
	want = crc32c(frame + l4, length - l4);
	memset(frame + l4 + 8, 0x55, 4);
	/* Padding of Ethernet is not part of it. */
	assert_int_equal(frame_complete(frame, length + 7, l4, 8), 0);
	memcpy(&got, frame + l4 + 8, 4);
	assert_int_equal(rte_le_to_cpu_32(got), want);
}

static void test_repair(void **state)
{
	uint8_t frame[2000], before[2000];
	uint32_t ip, l4, length;

	(void)state;
	for (size_t i = 0; i < N_SHAPES; i++) {
		length = make_frame(frame, &shapes[i], &ip, &l4);
		put_partial(frame, &shapes[i], ip, l4);
		frame_repair(frame, length);
		assert_checksums(frame, &shapes[i], ip, l4);
		memcpy(before, frame, length);
		frame_repair(frame, length); /* whole: stays */
		assert_memory_equal(frame, before, length);
		frame[l4] ^= 1; /* corrupt: stays so */
		memcpy(before, frame, length);
		frame_repair(frame, length);
		assert_memory_equal(frame, before, length);
	}
}

static void test_tag(void **state)
{
	uint8_t frame[24] = "....aaaaaabbbbbb\x08\x00IP";

	(void)state;
	assert_ptr_equal(frame_push_tag(frame + 4, 0x88a8, 0x2123), frame);
	assert_memory_equal(frame, "aaaaaabbbbbb\x88\xa8\x21\x23\x08\x00IP", 20);
}

/* ---- cutting --------------------------------------------------------------------------------- */

struct cut {
	struct shape shape;
	uint8_t type;
	uint16_t size;
};

static const struct cut cuts[] = {
	{{4, IPPROTO_TCP, 0, 0, 0, 4000}, TCPV4, 1460},
	{{4, IPPROTO_TCP, 0, 0, 0, 2920}, TCPV4, 1460},
	{{4, IPPROTO_TCP, 1, 1, 3, 64000}, TCPV4 | ECN, 1448},
	{{4, IPPROTO_TCP, 2, 0, 3, 100}, TCPV4, 1448},
	{{4, IPPROTO_TCP, 0, 0, 0, 1000}, TCPV4, 1},
	{{6, IPPROTO_TCP, 0, 0, 3, 64000}, TCPV6, 1428},
	{{6, IPPROTO_TCP, 2, 0, 0, 1429}, TCPV6, 1428},
	{{4, IPPROTO_UDP, 0, 0, 0, 40000}, UDP_L4, 1000},
	{{4, IPPROTO_UDP, 1, 0, 0, 39321}, UDP_L4, 1001},
	{{6, IPPROTO_UDP, 0, 0, 0, 40000}, UDP_L4, 1200},
};
#define N_CUTS (sizeof(cuts) / sizeof(cuts[0]))

static void check_tcp(const uint8_t *l4, uint32_t sent, bool first, bool last)
{
	const struct rte_tcp_hdr *tcp = (const void *)l4;
	unsigned want = RTE_TCP_ACK_FLAG | (last ? RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG : 0) |
			(first ? RTE_TCP_CWR_FLAG : 0);

	assert_int_equal(rte_be_to_cpu_32(tcp->sent_seq), 0xfffffff0 + sent);
	assert_int_equal(tcp->tcp_flags, want);
}

static void check_cut(const struct cut *cut)
{
	static uint8_t frame[70000];
	const struct shape *shape = &cut->shape;
	uint32_t ip, l4, length = make_frame(frame, shape, &ip, &l4);
	uint32_t header = length - shape->payload, sent = 0, some;
	struct frame_cutter cutter;
	uint8_t out[2000];

	put_partial(frame, shape, ip, l4);
	assert_int_equal(frame_cut_start(&cutter, frame, length, cut->type, cut->size, 1900), 0);
	for (uint16_t n = 0; (some = frame_cut_next(&cutter, out)) != 0; n++) {
		uint32_t left = shape->payload - sent;

		assert_int_equal(some - header, left < cut->size ? left : cut->size);
		assert_memory_equal(out, frame, ip);
		assert_checksums(out, shape, ip, l4);
		if (shape->version == 4)
			assert_int_equal(rte_be_to_cpu_16(*(uint16_t *)(void *)(out + ip + 4)),
				(uint16_t)(0xffff + n));
		if (shape->protocol == IPPROTO_TCP)
			check_tcp(out + l4, sent, n == 0, sent + some - header == shape->payload);
		for (uint32_t i = header; i < some; i++)
			assert_int_equal(out[i], payload_byte(sent + i - header));
		sent += some - header;
	}
	assert_int_equal(sent, shape->payload);
}

static void test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_CUTS; i++)
		check_cut(&cuts[i]);
}

static void test_cut_refused(void **state)
{
	struct shape shape = {4, IPPROTO_TCP, 0, 0, 0, 4000};
	uint8_t frame[5000];
	uint32_t ip, l4, length = make_frame(frame, &shape, &ip, &l4);
	struct frame_cutter cutter;

	(void)state;
	assert_int_equal(frame_cut_start(&cutter, frame, length, TCPV4, 1460, 1514), 0);
	assert_int_equal(frame_cut_start(&cutter, frame, length, TCPV4, 1460, 1513), -EMSGSIZE);
	assert_int_equal(frame_cut_start(&cutter, frame, length, TCPV4, 0, 1900), -EBADMSG);
	assert_int_equal(frame_cut_start(&cutter, frame, length, TCPV6, 1460, 1900), -EBADMSG);
	assert_int_equal(frame_cut_start(&cutter, frame, length, UDP_L4, 1460, 1900), -EBADMSG);
	assert_int_equal(frame_cut_start(&cutter, frame, length, 3, 1460, 1900), -EBADMSG);
	frame[ip + 6] = 0x20; /* a fragment */
	assert_int_equal(frame_cut_start(&cutter, frame, length, TCPV4, 1460, 1900), -EBADMSG);
	shape.payload = 0;
	length = make_frame(frame, &shape, &ip, &l4);
	assert_int_equal(frame_cut_start(&cutter, frame, length, TCPV4, 1460, 1900), -EBADMSG);
}

/* Cut short at every byte, in memory that ends there, and with every header byte damaged. */
static void test_short(void **state)
{
	uint8_t whole[2000];
	uint32_t ip, l4;

	(void)state;
	for (size_t i = 0; i < N_SHAPES; i++) {
		uint32_t length = make_frame(whole, &shapes[i], &ip, &l4);

		for (uint32_t n = 0; n <= length; n++) {
			uint8_t *frame = malloc(n ? n : 1), out[2000];
			struct frame_cutter cutter;
			uint8_t type = shapes[i].protocol == IPPROTO_UDP ? UDP_L4
				       : shapes[i].version == 4          ? TCPV4
									 : TCPV6;

			memcpy(frame, whole, n);
			frame_repair(frame, n);
			frame_complete(frame, n, l4, 6);
			if (frame_cut_start(&cutter, frame, n, type, 50, 1900) == 0)
				while (frame_cut_next(&cutter, out))
					;
			if (n > 12) {
				frame[12 + n % (l4 + 20 - 12) % (n - 12)] ^= 0xff;
				frame_repair(frame, n);
				frame_cut_start(&cutter, frame, n, type, 50, 1900);
			}
			free(frame);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_udp_zero),
		cmocka_unit_test(test_sctp),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_tag),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_cut_refused),
		cmocka_unit_test(test_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
