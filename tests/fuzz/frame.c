/*
 * What the kernel leaves to a port (modules/port/frame.c): checksums and cutting of super-packets.
 *
 * Properties: the pieces of a super-packet carry its payload, in order and whole, none longer than
 * the room; each piece is a packet of the kind that was cut, whose checksums are right by another
 * implementation (the library's); repairing a frame twice changes nothing more.
 */
#include "modules/port/frame.h"
#include "netlib/test_packet.h"
#include "tests/fuzz/fuzz.h"

#define ROOM 9018u

/* Right by the library: its checksum is the same, or the other form of zero. */
static void is_sound(const uint8_t *piece, uint32_t length)
{
	struct test_packet packet = test_packet_make(piece, length);
	uint16_t given, right, *field = NULL;
	struct netvm_headers headers;

	if (netvm_parse(&packet.nf, &packet.pkt, &headers) == 0) {
		field = headers.tcp ? &headers.tcp->checksum : NULL;
		field = headers.udp ? &headers.udp->checksum : field;
	}
	if (field) {
		memcpy(&given, field, sizeof(given));
		netvm_checksum_fix(&headers);
		memcpy(&right, field, sizeof(right));
		require(given == right || (given == 0xffff && right == 0));
		memcpy(field, &given, sizeof(given));
		require(memcmp(netvm_data(&packet.nf, &packet.pkt), piece, length) == 0);
	}
	test_packet_free(&packet);
}

static void cut(const uint8_t *frame, uint32_t length, uint8_t gso_type, uint16_t gso_size)
{
	struct frame_cutter cutter;
	struct frame_headers whole, part;
	uint32_t n, at;

	if (frame_cut_start(&cutter, frame, length, gso_type, gso_size, ROOM))
		return;
	require(frame_parse(frame, length, true, &whole) == 0);
	at = whole.payload;
	for (;;) {
		uint8_t *piece = malloc(ROOM);

		require(piece);
		n = frame_cut_next(&cutter, piece);
		require(n <= ROOM);
		if (n > 0) {
			require(frame_parse(piece, n, false, &part) == 0);
			require(part.end == n && part.payload == whole.payload);
			require(part.version == whole.version && part.protocol == whole.protocol);
			require(n - part.payload <= gso_size && n - part.payload <= length - at);
			require(memcmp(piece + part.payload, frame + at, n - part.payload) == 0);
			at += n - part.payload;
			is_sound(piece, n);
		}
		free(piece);
		if (n == 0)
			break;
	}
	require(at == whole.end);
}

static void repair(uint8_t *frame, uint32_t length)
{
	uint8_t *once = malloc(length + 1);

	require(once);
	frame_repair(frame, length);
	memcpy(once, frame, length);
	frame_repair(frame, length);
	require(memcmp(once, frame, length) == 0);
	free(once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	uint8_t gso_type = (uint8_t)feed_number(&feed, 1);
	uint16_t gso_size = (uint16_t)feed_number(&feed, 2);
	uint32_t start = (uint32_t)feed_number(&feed, 2), offset = (uint32_t)feed_number(&feed, 2);
	size_t length = 65535;
	uint8_t *frame = feed_block(&feed, &length);

	cut(frame, (uint32_t)length, gso_type, gso_size);
	repair(frame, (uint32_t)length);
	frame_complete(frame, (uint32_t)length, start, offset);
	free(frame);
	return 0;
}
