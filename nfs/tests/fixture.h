/*
 * A struct netvm over plain memory, for unit tests of code that looks into packets. Nothing is
 * attached: only the inline functions of netvm.h and netvm_parse() work on it.
 */
#ifndef NFS_TESTS_FIXTURE_H
#define NFS_TESTS_FIXTURE_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <netvm.h>

#define FIXTURE_BUFFERS  8u
#define FIXTURE_STRIDE   2048u
#define FIXTURE_HEADROOM 192u

static inline struct netvm fixture_nf(void)
{
	struct netvm nf = {
		.buffers = calloc(FIXTURE_BUFFERS, FIXTURE_STRIDE),
		.buffer_stride = FIXTURE_STRIDE,
		.n_buffers = FIXTURE_BUFFERS,
		.headroom = FIXTURE_HEADROOM,
	};

	assert(nf.buffers);
	return nf;
}

/* Put bytes into buffer `index`, as a packet from port `in_port`. */
static inline struct netvm_packet fixture_packet(
	struct netvm *nf, uint32_t index, const void *bytes, uint32_t length, uint16_t in_port)
{
	struct netvm_packet pkt = {
		.word = netvm_desc(index, 0, FIXTURE_HEADROOM, length, NETVM_VERDICT_NEXT)};

	memcpy(netvm_data(nf, &pkt), bytes, length);
	netvm_meta(nf, &pkt)->in_port = in_port;
	return pkt;
}

/*
 * Bytes from text of hexadecimal digits, blanks ignored. Returns how many. For packets written
 * down in a test, header by header.
 */
static inline uint32_t fixture_hex(const char *text, uint8_t *bytes)
{
	uint32_t n = 0;

	for (; *text; text++) {
		char pair[3] = {text[0], text[1]};

		if (*text == ' ')
			continue;
		assert(text[1]);
		bytes[n++] = (uint8_t)strtoul(pair, NULL, 16);
		text++;
	}
	return n;
}

#endif
