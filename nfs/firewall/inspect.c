/* What the firewall sees in a packet. See inspect.h. */
#include "firewall/inspect.h"

#include <string.h>

#define FLAGS_OFFSET_MASK 0x1fff

enum icmp_role {
	ICMP_NOT_TRACKED, /* router discovery, multicast listeners, timestamps ... */
	ICMP_REQUEST,
	ICMP_REPLY,
	ICMP_ERROR,
};

static enum icmp_role icmp_role(uint8_t type)
{
	switch (type) {
	case 8:
		return ICMP_REQUEST;
	case 0:
		return ICMP_REPLY;
	case 3:  /* unreachable, also "fragmentation needed" */
	case 11: /* time exceeded */
	case 12: /* parameter problem */
		return ICMP_ERROR;
	default:
		return ICMP_NOT_TRACKED;
	}
}

static enum icmp_role icmpv6_role(uint8_t type)
{
	switch (type) {
	case 128:
		return ICMP_REQUEST;
	case 129:
		return ICMP_REPLY;
	case 1: /* unreachable */
	case 2: /* too big */
	case 3: /* time exceeded */
	case 4: /* parameter problem */
		return ICMP_ERROR;
	default:
		return ICMP_NOT_TRACKED;
	}
}

static enum icmp_role role_of(uint8_t protocol, uint8_t type)
{
	return protocol == NETVM_PROTO_ICMP ? icmp_role(type) : icmpv6_role(type);
}

/*
 * The identifier stands as the port of the side that asked. So the reply has the request's key
 * reversed, and a request by the other side with the same identifier is another connection.
 */
static bool echo_key(struct netvm_flow_key *key, enum icmp_role role, const uint8_t *icmp)
{
	uint16_t identifier = netvm_flow_be16(icmp + 4);

	if (role == ICMP_REQUEST)
		key->src_port = identifier;
	else if (role == ICMP_REPLY)
		key->dst_port = identifier;
	else
		return false;
	return true;
}

/*
 * The key of the packet that an ICMP error quotes (RFC 792, RFC 4443 3; at least its IP header and
 * eight bytes more). Extension headers and fragments have no ports here, so nothing is found.
 */
static bool cause_key(const struct netvm_flow_key *error, const uint8_t *quote, uint32_t length,
	struct netvm_flow_key *cause)
{
	uint32_t header = error->family == 4 ? 20 : 40;

	*cause = (struct netvm_flow_key){.eth_type = error->eth_type, .vlan_tci = error->vlan_tci};
	if (length < header + 8)
		return false;
	if (error->family == 4) {
		netvm_flow_ipv4(quote, length, 0, cause);
		header = (quote[0] & 15u) * 4;
	} else {
		netvm_flow_ipv6(quote, length, 0, cause);
	}
	if (cause->family != error->family || length < header + 8)
		return false;
	if (cause->protocol == NETVM_PROTO_ICMP || cause->protocol == NETVM_PROTO_ICMPV6)
		echo_key(cause, role_of(cause->protocol, quote[header]), quote + header);
	/* An error goes to whoever sent the packet. */
	return memcmp(cause->src, error->dst, sizeof(cause->src)) == 0;
}

static void inspect_icmp(const struct netvm_headers *headers, struct inspection *out)
{
	const uint8_t *icmp = (const uint8_t *)headers->icmp;
	enum icmp_role role = role_of(out->packet.key.protocol, headers->icmp->type);

	/* The header that was parsed has four bytes; identifier or unused follow. */
	if (headers->payload_length < 4)
		return;
	if (role == ICMP_ERROR)
		out->has_cause = cause_key(&out->packet.key, headers->payload + 4,
			headers->payload_length - 4, &out->cause);
	else
		out->trackable = echo_key(&out->packet.key, role, icmp);
}

/* RFC 4861 7.1: hop limit 255 shows that no router has passed it on; RFC 6980: no fragments. */
static bool is_ndp(const struct netvm_headers *headers)
{
	return headers->ipv6 && headers->icmp && !headers->fragment &&
	       headers->ipv6->hop_limit == 255 && headers->icmp->type >= 133 &&
	       headers->icmp->type <= 137;
}

/*
 * RFC 3128: a fragment at offset 8 would rewrite the flags of a TCP header that has passed. No
 * path has an MTU that makes an honest one.
 */
static bool rewrites_header(const struct netvm_headers *headers)
{
	return headers->ipv4 && headers->protocol == NETVM_PROTO_TCP &&
	       (netvm_flow_be16((const uint8_t *)&headers->ipv4->fragment) & FLAGS_OFFSET_MASK) ==
		       1;
}

static void inspect_ip(const struct netvm_headers *headers, struct inspection *out)
{
	out->kind = KIND_IP;
	out->packet.key.vlan_tci &= 0xfff;
	out->packet.key.protocol = headers->protocol; /* the key stops at a fragment header */
	out->fragment = headers->fragment;
	if (headers->fragment)
		return;
	if (headers->icmp) {
		inspect_icmp(headers, out);
		return;
	}
	out->trackable = true;
	if (!headers->tcp)
		return;
	out->packet.tcp_flags = headers->tcp->flags;
	out->packet.tcp_seq = __builtin_bswap32(headers->tcp->seq);
	out->packet.tcp_ack = __builtin_bswap32(headers->tcp->ack);
}

void inspect(const struct netvm *nf, const struct netvm_packet *pkt, struct inspection *out)
{
	struct netvm_headers headers;

	*out = (struct inspection){.kind = KIND_MALFORMED};
	if (netvm_parse(nf, pkt, &headers) || rewrites_header(&headers))
		return;
	if (is_ndp(&headers)) {
		out->kind = KIND_NDP;
	} else if (headers.ipv4 || headers.ipv6) {
		netvm_flow(nf, pkt, &out->packet.key);
		inspect_ip(&headers, out);
	} else {
		out->kind = headers.eth_type == NETVM_ETH_ARP ? KIND_ARP : KIND_OTHER;
	}
}
