/*
 * The packets that netvm-speed makes: Ethernet, IPv4, UDP, and with --timestamps a stamp at the
 * start of the payload. Flow number n comes from address 198.18.0.0 + n (RFC 2544 C.2.2 gives
 * 198.18.0.0/15 to such tests); all go to 198.19.0.1, port 9 (discard).
 *
 * Thread-safety: pure functions on the memory given.
 */
#ifndef NFS_SPEED_FRAME_H
#define NFS_SPEED_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <netvm.h>

#define FRAME_FLOWS_MAX   65536u
#define FRAME_BYTES_MAX   9216u
#define FRAME_HEADERS     42u /* least size of a frame without a stamp */
#define FRAME_STAMP_BYTES 18u

struct frame_stamp {
	uint32_t sequence; /* of its flow, from 0 */
	uint16_t flow;
	uint64_t sent_ns; /* CLOCK_MONOTONIC */
};

struct frame {
	uint32_t size_bytes;
	uint8_t bytes[FRAME_BYTES_MAX];
};

/* Prepare a frame that frame_write() only has to change a little. */
void frame_init(struct frame *frame, uint32_t size_bytes);

/* Write a frame of this flow to `at`, with the stamp unless it is NULL. */
void frame_write(
	const struct frame *frame, uint16_t flow, const struct frame_stamp *stamp, uint8_t *at);

/* Find the stamp in a UDP payload. False when there is none. */
bool frame_read_stamp(const uint8_t *payload, uint32_t length, struct frame_stamp *stamp);

/* Swap source and destination: MAC addresses, IP addresses, ports. No checksum changes by that. */
void frame_reflect(struct netvm_headers *headers);

#endif
