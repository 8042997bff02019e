/*
 * What the kernel leaves to a device, done in software: completing checksums and cutting
 * super-packets into packets of the network's size. Pure functions on bytes; called by the drivers
 * af_packet and af_xdp on workers.
 *
 * A local sender hands its device packets whose transport checksum is "partial": the field holds
 * the sum of the pseudo header only. It also hands over super-packets of up to 64 KiB, to be cut
 * into packets that carry gso_size bytes each. Through a packet socket with PACKET_VNET_HDR both
 * arrive as they are, described by a struct virtio_net_hdr (VIRTIO 1.2, 5.1.6).
 *
 * Sources: RFC 1071 (checksum), RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 9260 6.8 (SCTP, CRC32c),
 * RFC 3168 6.1.2 (CWR is sent once), IEEE 802.1Q.
 *
 * Every length is checked: the bytes come from whoever sends on the network.
 */
#ifndef NETVM_MODULES_PORT_FRAME_H
#define NETVM_MODULES_PORT_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

/* Where a frame's headers start, counted from its first byte. */
struct frame_headers {
	uint32_t ip;
	uint32_t l4;
	uint32_t payload; /* behind TCP or UDP; l4 for other protocols */
	uint32_t end;     /* of the IP packet; padding follows */
	uint8_t protocol;
	uint8_t version; /* of IP: 4 or 6 */
};

/*
 * Find the headers of an IP packet behind any number of VLAN tags. -EBADMSG when it is not IP, a
 * fragment, or cut short. A super-packet's own length fields are not trusted for `end`: see
 * `super`.
 */
int frame_parse(const uint8_t *frame, uint32_t length, bool super, struct frame_headers *headers);

/*
 * Sum from `start` to the end of the frame into the field `offset` behind it, as VIRTIO_NET_HDR_F_
 * NEEDS_CSUM asks. SCTP gets its CRC32c. -EBADMSG when the field lies outside.
 */
int frame_complete(uint8_t *frame, uint32_t length, uint32_t start, uint32_t offset);

/*
 * Complete the checksum of a TCP or UDP packet that arrived without a description: it is partial
 * when the field equals the sum of the pseudo header. (A whole checksum can have that value by
 * chance; then completing it gives the same value again.) Others stay as they are.
 */
void frame_repair(uint8_t *frame, uint32_t length);

/* Put a VLAN tag behind the addresses, growing to the front. Returns the new first byte. */
uint8_t *frame_push_tag(uint8_t *frame, uint16_t tpid, uint16_t tci);

/* ---- cutting --------------------------------------------------------------------------------- */

struct frame_cutter {
	const uint8_t *frame;
	struct frame_headers headers;
	uint32_t segment; /* payload bytes per packet */
	uint32_t next;    /* first payload byte not yet cut, from the frame's start */
	uint32_t n_cut;
};

/*
 * Start cutting the super-packet `frame`, which must stay as it is until the end. -EBADMSG when it
 * is not what gso_type says or has no payload, -EMSGSIZE when its packets would be longer than
 * `room`.
 */
int frame_cut_start(struct frame_cutter *cutter, const uint8_t *frame, uint32_t length,
	uint8_t gso_type, uint16_t gso_size, uint32_t room);

/* Write the next packet to `out`, with all its checksums. Returns its length, 0 at the end. */
uint32_t frame_cut_next(struct frame_cutter *cutter, uint8_t *out);

#endif
