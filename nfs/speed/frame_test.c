/* Generated frames are what a host would accept; stamps survive; reflection swaps all it says. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "speed/frame.h"
#include "speed/meter.h"
#include "tests/fixture.h"

static struct netvm nf;
static struct frame frame;

static struct netvm_packet packet_of(uint32_t size, uint16_t flow, const struct frame_stamp *stamp)
{
	uint8_t bytes[1600];

	frame_init(&frame, size);
	frame_write(&frame, flow, stamp, bytes);
	return fixture_packet(&nf, 0, bytes, size, 1);
}

static void frames_are_whole_and_their_checksums_right(void **state)
{
	static const uint32_t sizes[] = {FRAME_HEADERS, 60, 64, 1514};

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct netvm_packet pkt = packet_of(sizes[i], 0x1234, NULL);
		struct netvm_headers headers;

		assert_int_equal(netvm_parse(&nf, &pkt, &headers), 0);
		assert_non_null(headers.udp);
		assert_int_equal(headers.payload_length, sizes[i] - FRAME_HEADERS);
		assert_int_equal(ntohs(headers.udp->length), sizes[i] - 34);
		assert_int_equal(headers.ipv4->src, htonl(0xc6121234));
		assert_int_equal(netvm_checksum(headers.ipv4, 20, 0), 0);
	}
}

static void a_stamp_is_found_again(void **state)
{
	const struct frame_stamp stamp = {.sequence = 7, .flow = 9, .sent_ns = 0x123456789abcdef};
	struct netvm_packet pkt = packet_of(60, 9, &stamp);
	struct netvm_headers headers;
	struct frame_stamp found;

	(void)state;
	assert_int_equal(netvm_parse(&nf, &pkt, &headers), 0);
	assert_true(frame_read_stamp(headers.payload, headers.payload_length, &found));
	assert_int_equal(found.sequence, 7);
	assert_int_equal(found.flow, 9);
	assert_int_equal(found.sent_ns, stamp.sent_ns);
	assert_false(frame_read_stamp(headers.payload, headers.payload_length - 1, &found));
	headers.payload[0] ^= 1;
	assert_false(frame_read_stamp(headers.payload, headers.payload_length, &found));
}

static void reflection_swaps_every_source_and_destination(void **state)
{
	struct netvm_packet pkt = packet_of(64, 5, NULL);
	struct netvm_headers headers;

	(void)state;
	assert_int_equal(netvm_parse(&nf, &pkt, &headers), 0);
	frame_reflect(&headers);
	assert_int_equal(headers.eth->dst[5], 1);
	assert_int_equal(headers.eth->src[5], 2);
	assert_int_equal(headers.ipv4->dst, htonl(0xc6120005));
	assert_int_equal(headers.ipv4->src, htonl(0xc6130001));
	assert_int_equal(ntohs(headers.udp->dst), 1024);
	assert_int_equal(ntohs(headers.udp->src), 9);
	assert_int_equal(netvm_checksum(headers.ipv4, 20, 0), 0);
}

static void loss_and_reordering_are_counted_per_flow(void **state)
{
	static const struct {
		uint16_t flow;
		uint32_t sequence;
	} order[] = {{1, 0}, {2, 0}, {1, 1}, {1, 4}, {1, 3}, {2, 1}};
	struct meter *meter;

	(void)state;
	assert_int_equal(meter_create(&meter), 0);
	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const struct frame_stamp stamp = {
			.sequence = order[i].sequence, .flow = order[i].flow};
		struct netvm_packet pkt = packet_of(64, order[i].flow, &stamp);

		meter_received(meter, &nf, &pkt, 1);
	}
	assert_int_equal(meter->counts.received_pkts, 6);
	assert_int_equal(meter->counts.lost_pkts, 1);
	assert_int_equal(meter->counts.late_pkts, 1);
	assert_int_equal(meter->latency.n, 6);
	meter_destroy(meter);
}

static int setup(void **state)
{
	(void)state;
	nf = fixture_nf();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(nf.buffers);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_whole_and_their_checksums_right),
		cmocka_unit_test(a_stamp_is_found_again),
		cmocka_unit_test(reflection_swaps_every_source_and_destination),
		cmocka_unit_test(loss_and_reordering_are_counted_per_flow),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
