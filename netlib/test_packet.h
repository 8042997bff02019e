/*
 * One packet outside any channel, for tests of the pure functions. It lies at the very end of its
 * memory, so that a sanitizer sees a byte read too far.
 */
#ifndef NETVM_NETLIB_TEST_PACKET_H
#define NETVM_NETLIB_TEST_PACKET_H

#include <stdlib.h>
#include <string.h>

#include <netvm.h>

#define TEST_PACKET_HEADROOM 128u

struct test_packet {
	uint8_t *memory;
	struct netvm nf;
	struct netvm_packet pkt;
};

static inline struct test_packet test_packet_make(const uint8_t *bytes, uint32_t length)
{
	struct test_packet packet = {.memory = malloc(TEST_PACKET_HEADROOM + length)};

	if (!packet.memory)
		abort();
	memcpy(packet.memory + TEST_PACKET_HEADROOM, bytes, length);
	packet.nf = (struct netvm){
		.buffers = packet.memory,
		.buffer_stride = TEST_PACKET_HEADROOM + length,
		.n_buffers = 1,
		.headroom = TEST_PACKET_HEADROOM,
	};
	packet.pkt.word = netvm_desc(0, 0, TEST_PACKET_HEADROOM, length, 0);
	return packet;
}

static inline void test_packet_free(struct test_packet *packet)
{
	free(packet->memory);
}

#endif
