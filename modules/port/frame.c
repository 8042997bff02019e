/* Checksums and cutting in software. See frame.h. */
#include "modules/port/frame.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* VIRTIO 1.2 5.1.6, newer than Debian 12's header */
#endif

#define ETHER_ADDRESSES  12u
#define EXTENSIONS_MAX   8
#define SCTP_CHECKSUM_AT 8u

static uint16_t load_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void store_be16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* ---- finding the headers --------------------------------------------------------------------- */

static int parse_ipv4(const uint8_t *frame, uint32_t length, struct frame_headers *headers)
{
	const uint8_t *ip = frame + headers->ip;
	uint32_t header;

	if (length - headers->ip < sizeof(struct rte_ipv4_hdr) || ip[0] >> 4 != 4)
		return -EBADMSG;
	header = (ip[0] & 15u) * 4;
	if (header < sizeof(struct rte_ipv4_hdr) || header > length - headers->ip)
		return -EBADMSG;
	if (load_be16(ip + 6) & 0x3fff) /* more fragments, or an offset */
		return -EBADMSG;
	headers->version = 4;
	headers->protocol = ip[9];
	headers->l4 = headers->ip + header;
	headers->end = headers->ip + load_be16(ip + 2);
	return 0;
}

/*
 * Options may stand between IPv6 and transport. A routing header may not: with one the pseudo
 * header has another address than the packet (RFC 8200 8.1).
 */
static int parse_ipv6(const uint8_t *frame, uint32_t length, struct frame_headers *headers)
{
	const uint8_t *ip = frame + headers->ip;
	uint32_t at = headers->ip + sizeof(struct rte_ipv6_hdr);
	uint8_t next;

	if (length - headers->ip < sizeof(struct rte_ipv6_hdr) || ip[0] >> 4 != 6)
		return -EBADMSG;
	next = ip[6];
	for (int i = 0; next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS; i++) {
		uint32_t bytes;

		if (i == EXTENSIONS_MAX || length - at < 8)
			return -EBADMSG;
		bytes = (frame[at + 1] + 1u) * 8;
		if (bytes > length - at)
			return -EBADMSG;
		next = frame[at];
		at += bytes;
	}
	headers->version = 6;
	headers->protocol = next;
	headers->l4 = at;
	headers->end = headers->ip + (uint32_t)sizeof(struct rte_ipv6_hdr) + load_be16(ip + 4);
	return 0;
}

static int parse_l4(const uint8_t *frame, uint32_t end, struct frame_headers *headers)
{
	uint32_t have = end - headers->l4, header = 0;

	if (headers->protocol == IPPROTO_UDP) {
		header = sizeof(struct rte_udp_hdr);
	} else if (headers->protocol == IPPROTO_TCP) {
		if (have < sizeof(struct rte_tcp_hdr))
			return -EBADMSG;
		header = (frame[headers->l4 + 12] >> 4) * 4u;
		if (header < sizeof(struct rte_tcp_hdr))
			return -EBADMSG;
	}
	if (header > have)
		return -EBADMSG;
	headers->payload = headers->l4 + header;
	return 0;
}

int frame_parse(const uint8_t *frame, uint32_t length, bool super, struct frame_headers *headers)
{
	uint32_t at = ETHER_ADDRESSES;
	uint16_t type = 0;
	int err;

	for (; at + 2 <= length; at += 4) {
		type = load_be16(frame + at);
		if (type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ)
			break;
	}
	if (at + 2 > length)
		return -EBADMSG;
	headers->ip = at + 2;
	if (type == RTE_ETHER_TYPE_IPV4)
		err = parse_ipv4(frame, length, headers);
	else if (type == RTE_ETHER_TYPE_IPV6)
		err = parse_ipv6(frame, length, headers);
	else
		err = -EBADMSG;
	if (err)
		return err;
	if (super)
		headers->end = length;
	if (headers->end > length || headers->end < headers->l4)
		return -EBADMSG;
	return parse_l4(frame, headers->end, headers);
}

/* ---- checksums ------------------------------------------------------------------------------- */

/* Sum of the pseudo header, folded, not complemented: what a partial checksum's field holds. */
static uint16_t pseudo_sum(const uint8_t *frame, const struct frame_headers *headers)
{
	uint32_t addresses = headers->version == 4 ? 8 : 32;
	uint32_t at = headers->ip + (headers->version == 4 ? 12 : 8);
	uint32_t sum = rte_raw_cksum(frame + at, addresses);

	sum += rte_cpu_to_be_16((uint16_t)(headers->end - headers->l4));
	sum += rte_cpu_to_be_16(headers->protocol);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* 0 means "no checksum" in UDP, so its other form is sent; for the rest the two are equal. */
static void store_checksum(uint8_t *at, uint16_t sum)
{
	uint16_t checksum = (uint16_t)~sum;

	if (checksum == 0)
		checksum = 0xffff;
	memcpy(at, &checksum, sizeof(checksum));
}

static uint32_t crc32c(const uint8_t *data, uint32_t length)
{
	uint32_t crc = UINT32_MAX;
	uint64_t eight;

	for (; length >= sizeof(eight); data += sizeof(eight), length -= sizeof(eight)) {
		memcpy(&eight, data, sizeof(eight));
		crc = rte_hash_crc_8byte(eight, crc);
	}
	for (; length > 0; data++, length--)
		crc = rte_hash_crc_1byte(*data, crc);
	return ~crc;
}

static void store_crc32c(uint8_t *sctp, uint32_t length)
{
	uint32_t crc = 0;

	memcpy(sctp + SCTP_CHECKSUM_AT, &crc, sizeof(crc));
	crc = rte_cpu_to_le_32(crc32c(sctp, length));
	memcpy(sctp + SCTP_CHECKSUM_AT, &crc, sizeof(crc));
}

int frame_complete(uint8_t *frame, uint32_t length, uint32_t start, uint32_t offset)
{
	struct frame_headers headers;

	if (start > length || offset > length - start || length - start - offset < 2)
		return -EBADMSG;
	if (offset == SCTP_CHECKSUM_AT && frame_parse(frame, length, false, &headers) == 0 &&
		headers.protocol == IPPROTO_SCTP && headers.l4 == start &&
		headers.end - start >= SCTP_CHECKSUM_AT + 4) {
		store_crc32c(frame + start, headers.end - start);
		return 0;
	}
	store_checksum(frame + start + offset, rte_raw_cksum(frame + start, length - start));
	return 0;
}

static uint32_t checksum_at(const struct frame_headers *headers)
{
	if (headers->protocol == IPPROTO_TCP)
		return headers->l4 + (uint32_t)offsetof(struct rte_tcp_hdr, cksum);
	return headers->l4 + (uint32_t)offsetof(struct rte_udp_hdr, dgram_cksum);
}

void frame_repair(uint8_t *frame, uint32_t length)
{
	struct frame_headers headers;
	uint16_t sum;

	if (frame_parse(frame, length, false, &headers) != 0 ||
		(headers.protocol != IPPROTO_TCP && headers.protocol != IPPROTO_UDP))
		return;
	sum = pseudo_sum(frame, &headers);
	if (memcmp(frame + checksum_at(&headers), &sum, sizeof(sum)) == 0)
		store_checksum(frame + checksum_at(&headers),
			rte_raw_cksum(frame + headers.l4, headers.end - headers.l4));
}

uint8_t *frame_push_tag(uint8_t *frame, uint16_t tpid, uint16_t tci)
{
	uint8_t *front = frame - sizeof(struct rte_vlan_hdr);

	memmove(front, frame, ETHER_ADDRESSES);
	store_be16(front + ETHER_ADDRESSES, tpid);
	store_be16(front + ETHER_ADDRESSES + 2, tci);
	return front;
}

/* ---- cutting --------------------------------------------------------------------------------- */

static bool is_of_type(const struct frame_headers *headers, uint8_t gso_type)
{
	switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return headers->version == 4 && headers->protocol == IPPROTO_TCP;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return headers->version == 6 && headers->protocol == IPPROTO_TCP;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return headers->protocol == IPPROTO_UDP;
	default:
		return false;
	}
}

int frame_cut_start(struct frame_cutter *cutter, const uint8_t *frame, uint32_t length,
	uint8_t gso_type, uint16_t gso_size, uint32_t room)
{
	int err = frame_parse(frame, length, true, &cutter->headers);

	if (err)
		return err;
	if (!is_of_type(&cutter->headers, gso_type) || gso_size == 0 ||
		cutter->headers.payload == cutter->headers.end)
		return -EBADMSG;
	if (cutter->headers.payload + gso_size > room)
		return -EMSGSIZE;
	cutter->frame = frame;
	cutter->segment = gso_size;
	cutter->next = cutter->headers.payload;
	cutter->n_cut = 0;
	return 0;
}

/* Length, and for IPv4 the identification, which counts up as if sent one by one. */
static void fix_ip(const struct frame_cutter *cutter, uint8_t *out, uint32_t length)
{
	uint8_t *ip = out + cutter->headers.ip;
	struct rte_ipv4_hdr *v4 = (void *)ip;

	if (cutter->headers.version == 6) {
		store_be16(ip + 4,
			length - cutter->headers.ip - (uint32_t)sizeof(struct rte_ipv6_hdr));
		return;
	}
	store_be16(ip + 2, length - cutter->headers.ip);
	store_be16(ip + 4, load_be16(ip + 4) + cutter->n_cut);
	v4->hdr_checksum = 0;
	v4->hdr_checksum = (uint16_t)~rte_raw_cksum(v4, (ip[0] & 15u) * 4);
}

/* FIN and PSH belong to the last packet, CWR to the first. */
static void fix_tcp(const struct frame_cutter *cutter, uint8_t *out, uint32_t sent, bool last)
{
	struct rte_tcp_hdr *tcp = (void *)(out + cutter->headers.l4);

	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + sent);
	if (!last)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (cutter->n_cut > 0)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
}

static void fix_l4(const struct frame_cutter *cutter, uint8_t *out, uint32_t length)
{
	struct frame_headers headers = cutter->headers;
	uint16_t sum;

	headers.end = length;
	if (headers.protocol == IPPROTO_UDP)
		store_be16(out + headers.l4 + 4, length - headers.l4);
	sum = pseudo_sum(out, &headers);
	memcpy(out + checksum_at(&headers), &sum, sizeof(sum));
	store_checksum(
		out + checksum_at(&headers), rte_raw_cksum(out + headers.l4, length - headers.l4));
}

uint32_t frame_cut_next(struct frame_cutter *cutter, uint8_t *out)
{
	const struct frame_headers *headers = &cutter->headers;
	uint32_t left = headers->end - cutter->next;
	uint32_t some = left < cutter->segment ? left : cutter->segment;
	uint32_t length = headers->payload + some;

	if (left == 0)
		return 0;
	memcpy(out, cutter->frame, headers->payload);
	memcpy(out + headers->payload, cutter->frame + cutter->next, some);
	fix_ip(cutter, out, length);
	if (headers->protocol == IPPROTO_TCP)
		fix_tcp(cutter, out, cutter->next - headers->payload, some == left);
	fix_l4(cutter, out, length);
	cutter->next += some;
	cutter->n_cut++;
	return length;
}
