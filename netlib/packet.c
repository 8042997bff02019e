/*
 * Finding the headers of a packet, and growing and shrinking it. Called by NFs.
 *
 * Another NF of the group may write the packet meanwhile, so each length field is loaded once and
 * the loaded value is both checked and used. `left` never counts past the end of the packet.
 *
 * Sources: see netvm/packet.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <netvm.h>

#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_OFFSET_MASK    0x1fff
#define IPV6_OFFSET_MASK    0xfff8
#define IPV6_MORE_FRAGMENTS 0x0001

enum ipv6_extension {
	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_AUTHENTICATION = 51,
	IPV6_DESTINATION = 60,
	IPV6_MOBILITY = 135,
};

static const struct netvm_headers nothing;

/* What is still to be parsed. */
struct rest {
	uint8_t *at;
	uint32_t left;
};

/* The next `n_bytes`, or NULL when there are not so many. */
static void *rest_take(struct rest *rest, uint32_t n_bytes)
{
	uint8_t *at = rest->at;

	if (n_bytes > rest->left)
		return NULL;
	rest->at += n_bytes;
	rest->left -= n_bytes;
	return at;
}

struct unaligned16 {
	uint16_t value;
} __attribute__((packed));

/* volatile: one load, so that what is checked is what is used */
static uint16_t load16(const void *field)
{
	return ntohs(((const volatile struct unaligned16 *)field)->value);
}

static uint8_t load8(const void *field)
{
	return *(const volatile uint8_t *)field;
}

/* ---- layer 4 ------------------------------------------------------------------------------- */

static int parse_tcp(struct rest *rest, struct netvm_headers *headers)
{
	struct netvm_tcp *tcp = rest_take(rest, sizeof(*tcp));
	uint32_t header_bytes;

	if (!tcp)
		return -EBADMSG;
	header_bytes = (load8(&tcp->data_offset) >> 4) * 4u;
	if (header_bytes < sizeof(*tcp) || !rest_take(rest, header_bytes - (uint32_t)sizeof(*tcp)))
		return -EBADMSG;
	headers->tcp = tcp;
	headers->src_port = load16(&tcp->src);
	headers->dst_port = load16(&tcp->dst);
	return 0;
}

static int parse_udp(struct rest *rest, struct netvm_headers *headers)
{
	struct netvm_udp *udp = rest_take(rest, sizeof(*udp));

	if (!udp)
		return -EBADMSG;
	headers->udp = udp;
	headers->src_port = load16(&udp->src);
	headers->dst_port = load16(&udp->dst);
	return 0;
}

static int parse_layer4(struct rest *rest, struct netvm_headers *headers)
{
	uint8_t icmp = headers->ipv4 ? NETVM_PROTO_ICMP : NETVM_PROTO_ICMPV6;

	if (headers->later_fragment)
		return 0;
	if (headers->protocol == NETVM_PROTO_TCP)
		return parse_tcp(rest, headers);
	if (headers->protocol == NETVM_PROTO_UDP)
		return parse_udp(rest, headers);
	if (headers->protocol != icmp)
		return 0;
	headers->icmp = rest_take(rest, sizeof(*headers->icmp));
	return headers->icmp ? 0 : -EBADMSG;
}

/* ---- layer 3 ------------------------------------------------------------------------------- */

static int parse_ipv4(struct rest *rest, struct netvm_headers *headers)
{
	uint32_t available = rest->left;
	struct netvm_ipv4 *ip = rest_take(rest, sizeof(*ip));
	uint32_t header_bytes, total;
	uint8_t version_ihl;
	uint16_t fragment;

	if (!ip)
		return -EBADMSG;
	version_ihl = load8(&ip->version_ihl);
	header_bytes = (version_ihl & 15u) * 4;
	total = load16(&ip->total_length);
	if (version_ihl >> 4 != 4 || header_bytes < sizeof(*ip) || total < header_bytes ||
		total > available)
		return -EBADMSG;
	rest->at = (uint8_t *)ip + header_bytes;
	rest->left = total - header_bytes; /* Ethernet padding is not payload */
	fragment = load16(&ip->fragment);
	headers->ipv4 = ip;
	headers->protocol = load8(&ip->protocol);
	headers->fragment = fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK);
	headers->later_fragment = fragment & IPV4_OFFSET_MASK;
	return 0;
}

/* One extension header; `next` becomes the type behind it. */
static int parse_extension(struct rest *rest, struct netvm_headers *headers, uint8_t *next)
{
	uint8_t type = *next;
	const uint8_t *extension = rest_take(rest, 8);
	uint32_t more = 0; /* bytes beyond the first eight */

	if (!extension)
		return -EBADMSG;
	*next = load8(&extension[0]);
	if (type == IPV6_FRAGMENT) {
		uint16_t fragment = load16(&extension[2]);

		/* Neither offset nor "more": an atomic fragment is a whole packet, RFC 6946. */
		headers->fragment |= fragment & (IPV6_OFFSET_MASK | IPV6_MORE_FRAGMENTS);
		headers->later_fragment |= fragment & IPV6_OFFSET_MASK;
	} else if (type == IPV6_AUTHENTICATION) {
		more = load8(&extension[1]) * 4u; /* in 32-bit words minus 2, RFC 4302 2.2 */
	} else {
		more = load8(&extension[1]) * 8u;
	}
	return rest_take(rest, more) ? 0 : -EBADMSG;
}

static bool is_extension(uint8_t type)
{
	return type == IPV6_HOP_BY_HOP || type == IPV6_ROUTING || type == IPV6_FRAGMENT ||
	       type == IPV6_AUTHENTICATION || type == IPV6_DESTINATION || type == IPV6_MOBILITY;
}

static int parse_ipv6(struct rest *rest, struct netvm_headers *headers)
{
	struct netvm_ipv6 *ip = rest_take(rest, sizeof(*ip));
	uint32_t payload;
	uint8_t next;

	if (!ip)
		return -EBADMSG;
	payload = load16(&ip->payload_length);
	if (load8(ip) >> 4 != 6 || payload > rest->left)
		return -EBADMSG;
	rest->left = payload;
	headers->ipv6 = ip;
	next = load8(&ip->next_header);
	for (int i = 0; is_extension(next) && !headers->later_fragment; i++) {
		if (i == NETVM_FLOW_EXTENSIONS_MAX)
			return -EBADMSG;
		if (parse_extension(rest, headers, &next) < 0)
			return -EBADMSG;
	}
	headers->protocol = next;
	return 0;
}

/* ---- layer 2 ------------------------------------------------------------------------------- */

static int parse_ethernet(struct rest *rest, struct netvm_headers *headers)
{
	headers->eth = rest_take(rest, sizeof(*headers->eth));
	if (!headers->eth)
		return -EBADMSG;
	headers->eth_type = load16(&headers->eth->type);
	for (int i = 0; i < NETVM_VLANS_MAX; i++) {
		if (headers->eth_type != NETVM_ETH_VLAN && headers->eth_type != NETVM_ETH_QINQ)
			break;
		headers->vlan[i] = rest_take(rest, sizeof(*headers->vlan[i]));
		if (!headers->vlan[i])
			return -EBADMSG;
		headers->eth_type = load16(&headers->vlan[i]->type);
	}
	return 0;
}

static int parse(struct rest *rest, struct netvm_headers *headers)
{
	int result = parse_ethernet(rest, headers);

	if (result == 0 && headers->eth_type == NETVM_ETH_IPV4)
		result = parse_ipv4(rest, headers);
	else if (result == 0 && headers->eth_type == NETVM_ETH_IPV6)
		result = parse_ipv6(rest, headers);
	if (result == 0 && (headers->ipv4 || headers->ipv6))
		result = parse_layer4(rest, headers);
	return result;
}

int netvm_parse(
	const struct netvm *nf, const struct netvm_packet *pkt, struct netvm_headers *headers)
{
	struct rest rest = {.at = netvm_data(nf, pkt), .left = netvm_length(pkt)};
	int result;

	*headers = nothing; /* from memory: gcc 12 makes a slow "rep stos" of a memset */
	result = parse(&rest, headers);
	headers->payload = rest.at;
	headers->payload_length = rest.left;
	return result;
}

/* ---- growing and shrinking ----------------------------------------------------------------- */

static void extent_set(struct netvm_packet *pkt, uint32_t offset, uint32_t length)
{
	pkt->word = netvm_desc_set_extent(pkt->word, offset, length);
}

uint8_t *netvm_prepend(struct netvm *nf, struct netvm_packet *pkt, uint32_t n_bytes)
{
	if (n_bytes > netvm_headroom(pkt))
		return NULL;
	extent_set(pkt, netvm_desc_offset(pkt->word) - n_bytes, netvm_length(pkt) + n_bytes);
	return netvm_data(nf, pkt);
}

uint8_t *netvm_append(struct netvm *nf, struct netvm_packet *pkt, uint32_t n_bytes)
{
	uint32_t length = netvm_length(pkt);

	if (n_bytes > netvm_tailroom(nf, pkt))
		return NULL;
	extent_set(pkt, netvm_desc_offset(pkt->word), length + n_bytes);
	return netvm_data(nf, pkt) + length;
}

uint8_t *netvm_trim_front(struct netvm *nf, struct netvm_packet *pkt, uint32_t n_bytes)
{
	uint32_t offset = netvm_desc_offset(pkt->word) + n_bytes;

	/* A packet trimmed to nothing at the end of the largest slot has no offset in 14 bits. */
	if (n_bytes > netvm_length(pkt) || offset >= NETVM_BUFFER_BYTES_MAX)
		return NULL;
	extent_set(pkt, offset, netvm_length(pkt) - n_bytes);
	return netvm_data(nf, pkt);
}

uint8_t *netvm_trim_back(struct netvm *nf, struct netvm_packet *pkt, uint32_t n_bytes)
{
	if (n_bytes > netvm_length(pkt))
		return NULL;
	extent_set(pkt, netvm_desc_offset(pkt->word), netvm_length(pkt) - n_bytes);
	return netvm_data(nf, pkt);
}
