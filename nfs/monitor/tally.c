/* Counting packets per protocol and per flow in fixed memory. See tally.h. */
#include "monitor/tally.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *const tally_protocol_names[TALLY_PROTOCOLS] = {
	[TALLY_TCP] = "tcp",
	[TALLY_UDP] = "udp",
	[TALLY_ICMP] = "icmp",
	[TALLY_ICMPV6] = "icmpv6",
	[TALLY_OTHER_IP] = "other-ip",
	[TALLY_ARP] = "arp",
	[TALLY_OTHER] = "other",
	[TALLY_MALFORMED] = "malformed",
};

int tally_create(uint32_t n_flows, struct tally **tally)
{
	uint32_t n_buckets = 1;

	while (n_buckets * TALLY_BUCKET_FLOWS < n_flows)
		n_buckets *= 2;
	*tally = calloc(1, sizeof(**tally));
	if (!*tally)
		return -ENOMEM;
	(*tally)->n_buckets = n_buckets;
	(*tally)->buckets = calloc(n_buckets, sizeof(struct tally_bucket));
	if (!(*tally)->buckets) {
		free(*tally);
		return -ENOMEM;
	}
	pthread_mutex_init(&(*tally)->lock, NULL);
	return 0;
}

void tally_destroy(struct tally *tally)
{
	if (!tally)
		return;
	pthread_mutex_destroy(&tally->lock);
	free(tally->buckets);
	free(tally);
}

static enum tally_protocol protocol_of(const struct netvm_flow_key *key)
{
	if (key->eth_type == NETVM_ETH_ARP)
		return TALLY_ARP;
	if (key->family == 0)
		return key->eth_type == 0 || key->eth_type == NETVM_ETH_IPV4 ||
				       key->eth_type == NETVM_ETH_IPV6
			       ? TALLY_MALFORMED
			       : TALLY_OTHER;
	switch (key->protocol) {
	case NETVM_PROTO_TCP:
		return TALLY_TCP;
	case NETVM_PROTO_UDP:
		return TALLY_UDP;
	case NETVM_PROTO_ICMP:
		return TALLY_ICMP;
	case NETVM_PROTO_ICMPV6:
		return TALLY_ICMPV6;
	default:
		return TALLY_OTHER_IP;
	}
}

/* The key of the packets that come back. */
static struct netvm_flow_key key_reverse(const struct netvm_flow_key *key)
{
	struct netvm_flow_key reverse = *key;

	memcpy(reverse.src, key->dst, sizeof(reverse.src));
	memcpy(reverse.dst, key->src, sizeof(reverse.dst));
	reverse.src_port = key->dst_port;
	reverse.dst_port = key->src_port;
	return reverse;
}

static bool key_equal(const struct netvm_flow_key *a, const struct netvm_flow_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void count_add(struct tally_count *count, uint32_t length)
{
	count->pkts++;
	count->bytes += length;
}

/* The entry to use for a new flow: a free one, else the one silent the longest. */
static struct tally_flow *bucket_room(struct tally_bucket *bucket)
{
	struct tally_flow *oldest = &bucket->flow[0];

	for (unsigned i = 0; i < TALLY_BUCKET_FLOWS; i++) {
		struct tally_flow *flow = &bucket->flow[i];

		if (!flow->forth.pkts)
			return flow;
		if (flow->last_ns < oldest->last_ns)
			oldest = flow;
	}
	return oldest;
}

/* Counts the packet if its flow is in the bucket. */
static bool bucket_count(struct tally_bucket *bucket, const struct netvm_flow_key *key,
	uint32_t hash, uint32_t length, uint64_t now_ns)
{
	for (unsigned i = 0; i < TALLY_BUCKET_FLOWS; i++) {
		struct tally_flow *flow = &bucket->flow[i];
		struct netvm_flow_key reverse;

		if (flow->hash != hash || !flow->forth.pkts)
			continue;
		if (key_equal(&flow->key, key)) {
			count_add(&flow->forth, length);
		} else {
			reverse = key_reverse(key);
			if (!key_equal(&flow->key, &reverse))
				continue;
			count_add(&flow->back, length);
		}
		flow->last_ns = now_ns;
		return true;
	}
	return false;
}

/* A place for a flow that has none yet. */
static struct tally_flow *claim(struct tally *tally, struct tally_bucket *bucket)
{
	struct tally_flow *flow = bucket_room(bucket);

	if (flow->forth.pkts)
		tally->n_evicted++;
	else
		tally->n_flows++;
	return flow;
}

bool tally_is_flow(const struct tally_flow *flow, uint64_t now_ns)
{
	return flow->forth.pkts > 0 && flow->first_ns <= flow->last_ns && flow->last_ns <= now_ns &&
	       flow->key.vlan_tci <= 0xfff && flow->key.pad == 0;
}

void tally_restore(struct tally *tally, const struct tally_flow *flow)
{
	uint32_t hash = netvm_flow_hash(&flow->key);
	struct tally_flow *place = claim(tally, &tally->buckets[hash & (tally->n_buckets - 1)]);

	*place = *flow;
	place->hash = hash;
}

void tally_packet(struct tally *tally, const struct netvm_flow_key *packet_key, uint32_t length,
	uint64_t now_ns)
{
	struct netvm_flow_key key = *packet_key;
	uint32_t hash = netvm_flow_hash(&key);
	struct tally_bucket *bucket = &tally->buckets[hash & (tally->n_buckets - 1)];
	struct tally_flow *flow;

	key.vlan_tci &= 0xfff;
	count_add(&tally->protocol[protocol_of(&key)], length);
	if (bucket_count(bucket, &key, hash, length, now_ns))
		return;
	flow = claim(tally, bucket);
	*flow = (struct tally_flow){
		.key = key,
		.hash = hash,
		.first_ns = now_ns,
		.last_ns = now_ns,
		.forth = {.pkts = 1, .bytes = length},
	};
}
