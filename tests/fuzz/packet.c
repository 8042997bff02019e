/*
 * Packets as NFs and the engine parse them (netlib/packet.c, checksum.c, abi/flow.h).
 *
 * Properties: every header found lies within the packet; the flow key of a packet agrees with its
 * headers; both directions have one hash; repaired checksums verify, and repairing them again
 * changes nothing; growing a packet and shrinking it again gives the same bytes.
 */
#include <arpa/inet.h>

#include "netlib/test_packet.h"
#include "tests/fuzz/fuzz.h"

static void within(const struct test_packet *packet, const void *at, uint32_t n_bytes)
{
	const uint8_t *data = netvm_data(&packet->nf, &packet->pkt), *first = at;

	if (!first)
		return;
	require(first >= data);
	require((size_t)(first - data) + n_bytes <= netvm_length(&packet->pkt));
}

static void headers_lie_within(const struct test_packet *packet, const struct netvm_headers *h)
{
	within(packet, h->eth, sizeof(*h->eth));
	for (int i = 0; i < NETVM_VLANS_MAX; i++)
		within(packet, h->vlan[i], sizeof(*h->vlan[i]));
	within(packet, h->ipv4, sizeof(*h->ipv4));
	within(packet, h->ipv6, sizeof(*h->ipv6));
	within(packet, h->tcp, sizeof(*h->tcp));
	within(packet, h->udp, sizeof(*h->udp));
	within(packet, h->icmp, sizeof(*h->icmp));
	within(packet, h->payload, h->payload_length);
}

/* Two parsers of one packet: what the library found and what the host steers by. */
static void key_agrees(const struct netvm_headers *h, const struct netvm_flow_key *key)
{
	require(key->eth_type == h->eth_type);
	require(key->vlan_tci == (h->vlan[0] ? ntohs(h->vlan[0]->tci) : 0));
	require(key->family == (h->ipv4 ? 4 : h->ipv6 ? 6 : 0));
	if (!h->fragment) /* the key ends at a fragment header */
		require(key->protocol == h->protocol);
	if (h->ipv4)
		require(memcmp(key->src + 12, &h->ipv4->src, 4) == 0 &&
			memcmp(key->dst + 12, &h->ipv4->dst, 4) == 0);
	if (h->ipv6)
		require(memcmp(key->src, h->ipv6->src, 16) == 0 &&
			memcmp(key->dst, h->ipv6->dst, 16) == 0);
	if (h->fragment)
		require(key->src_port == 0 && key->dst_port == 0);
	else if (h->tcp || h->udp)
		require(key->src_port == h->src_port && key->dst_port == h->dst_port);
}

static void hash_is_symmetric(const struct netvm_flow_key *key)
{
	struct netvm_flow_key back = *key;

	memcpy(back.src, key->dst, sizeof(back.src));
	memcpy(back.dst, key->src, sizeof(back.dst));
	back.src_port = key->dst_port;
	back.dst_port = key->src_port;
	require(netvm_flow_hash(&back) == netvm_flow_hash(key));
}

/* RFC 1071 byte by byte, over what lies at even and odd places. */
static uint32_t sum(const void *data, uint32_t length)
{
	const uint8_t *at = data;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < length; i++)
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
	return sum;
}

/* What TCP and UDP cover must sum up to all ones, pseudo header included. */
static void layer4_verifies(const struct netvm_headers *h)
{
	const uint8_t *layer4 = h->tcp ? (uint8_t *)h->tcp : (uint8_t *)h->udp;
	uint32_t length = (uint32_t)(h->payload - layer4) + h->payload_length, total;

	if (h->udp && ntohs(h->udp->length) >= 8 && ntohs(h->udp->length) < length)
		length = ntohs(h->udp->length);
	total = sum(layer4, length) + h->protocol + length;
	total += h->ipv4 ? sum(&h->ipv4->src, 8) : sum(h->ipv6->src, 32);
	total = (total & 0xffff) + (total >> 16);
	require((total & 0xffff) + (total >> 16) == 0xffff);
}

static void checksums_are_repaired(const struct test_packet *packet, struct netvm_headers *h)
{
	uint32_t length = netvm_length(&packet->pkt);
	uint8_t *data = netvm_data(&packet->nf, &packet->pkt), *once = malloc(length);

	require(once);
	netvm_checksum_fix(h);
	if (h->ipv4)
		require(netvm_checksum(h->ipv4, (h->ipv4->version_ihl & 15u) * 4, 0) == 0);
	if (h->icmp && h->ipv4 && !h->fragment)
		require(netvm_checksum(h->icmp,
				(uint32_t)(h->payload - (uint8_t *)h->icmp) + h->payload_length,
				0) == 0);
	if ((h->tcp || h->udp) && !h->fragment)
		layer4_verifies(h);
	memcpy(once, data, length);
	netvm_checksum_fix(h);
	require(memcmp(once, data, length) == 0);
	free(once);
}

static void grows_and_shrinks(struct test_packet *packet, uint32_t n_bytes)
{
	uint64_t word = packet->pkt.word;

	if (netvm_prepend(&packet->nf, &packet->pkt, n_bytes))
		require(netvm_trim_front(&packet->nf, &packet->pkt, n_bytes));
	require(packet->pkt.word == word);
	if (n_bytes <= netvm_length(&packet->pkt)) {
		require(netvm_trim_back(&packet->nf, &packet->pkt, n_bytes));
		require(netvm_append(&packet->nf, &packet->pkt, n_bytes));
	}
	require(packet->pkt.word == word);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netvm_flow_key key;
	struct netvm_headers headers;
	struct test_packet packet;
	int malformed;

	if (size > NETVM_BUFFER_BYTES_MAX - TEST_PACKET_HEADROOM - 1)
		return -1;
	packet = test_packet_make(data, (uint32_t)size);
	malformed = netvm_parse(&packet.nf, &packet.pkt, &headers);
	headers_lie_within(&packet, &headers);
	netvm_flow(&packet.nf, &packet.pkt, &key);
	hash_is_symmetric(&key);
	if (!malformed) {
		key_agrees(&headers, &key);
		checksums_are_repaired(&packet, &headers);
	}
	grows_and_shrinks(&packet, size ? data[0] : 0);
	test_packet_free(&packet);
	return 0;
}
