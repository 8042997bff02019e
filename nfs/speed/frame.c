/* The packets that netvm-speed makes and turns around. See frame.h. */
#include "speed/frame.h"

#include <arpa/inet.h>
#include <string.h>

#define STAMP_MAGIC 0x4e564d53u /* "NVMS" */
#define IP_AT       14u
#define UDP_AT      34u

/* On the wire, in the byte order of the machine: both ends share its clock anyway. */
struct wire_stamp {
	uint32_t magic;
	uint32_t sequence;
	uint64_t sent_ns;
	uint16_t flow;
} __attribute__((packed));
_Static_assert(sizeof(struct wire_stamp) == FRAME_STAMP_BYTES, "a stamp fits a 60-byte frame");

static const struct netvm_eth eth_template = {
	.dst = {0x02, 0, 0, 0, 0, 0x02},
	.src = {0x02, 0, 0, 0, 0, 0x01},
};

void frame_init(struct frame *frame, uint32_t size_bytes)
{
	struct netvm_eth *eth = (struct netvm_eth *)frame->bytes;
	struct netvm_ipv4 *ip = (struct netvm_ipv4 *)(frame->bytes + IP_AT);
	struct netvm_udp *udp = (struct netvm_udp *)(frame->bytes + UDP_AT);

	*frame = (struct frame){.size_bytes = size_bytes};
	*eth = eth_template;
	eth->type = htons(NETVM_ETH_IPV4);
	*ip = (struct netvm_ipv4){
		.version_ihl = 0x45,
		.total_length = htons((uint16_t)(size_bytes - IP_AT)),
		.ttl = 64,
		.protocol = NETVM_PROTO_UDP,
		.src = htonl(0xc6120000), /* 198.18.0.0 */
		.dst = htonl(0xc6130001), /* 198.19.0.1 */
	};
	ip->checksum = netvm_checksum(ip, sizeof(*ip), 0);
	/* No UDP checksum: RFC 768 allows it over IPv4. */
	*udp = (struct netvm_udp){
		.src = htons(1024),
		.dst = htons(9),
		.length = htons((uint16_t)(size_bytes - UDP_AT)),
	};
}

void frame_write(
	const struct frame *frame, uint16_t flow, const struct frame_stamp *stamp, uint8_t *at)
{
	struct netvm_ipv4 *ip = (struct netvm_ipv4 *)(at + IP_AT);
	uint32_t src;

	memcpy(at, frame->bytes, frame->size_bytes);
	src = ip->src;
	ip->src = src + htonl(flow);
	ip->checksum = netvm_checksum_update32(ip->checksum, src, ip->src);
	if (stamp) {
		struct wire_stamp wire = {
			.magic = STAMP_MAGIC,
			.sequence = stamp->sequence,
			.sent_ns = stamp->sent_ns,
			.flow = stamp->flow,
		};

		memcpy(at + FRAME_HEADERS, &wire, sizeof(wire));
	}
}

bool frame_read_stamp(const uint8_t *payload, uint32_t length, struct frame_stamp *stamp)
{
	struct wire_stamp wire;

	if (length < sizeof(wire))
		return false;
	memcpy(&wire, payload, sizeof(wire));
	*stamp = (struct frame_stamp){
		.sequence = wire.sequence, .flow = wire.flow, .sent_ns = wire.sent_ns};
	return wire.magic == STAMP_MAGIC;
}

static void swap(void *a, void *b, size_t size)
{
	uint8_t keep[16];

	memcpy(keep, a, size);
	memcpy(a, b, size);
	memcpy(b, keep, size);
}

void frame_reflect(struct netvm_headers *headers)
{
	swap(headers->eth->dst, headers->eth->src, sizeof(headers->eth->dst));
	if (headers->ipv4)
		swap(&headers->ipv4->src, &headers->ipv4->dst, sizeof(headers->ipv4->src));
	if (headers->ipv6)
		swap(headers->ipv6->src, headers->ipv6->dst, sizeof(headers->ipv6->src));
	if (headers->tcp)
		swap(&headers->tcp->src, &headers->tcp->dst, sizeof(headers->tcp->src));
	if (headers->udp)
		swap(&headers->udp->src, &headers->udp->dst, sizeof(headers->udp->src));
}
