/*
 * Packets against the firewall's connection table (nfs/firewall/inspect.c, conntrack.c).
 *
 * Properties: what is not IP, or cannot be, is never tracked; a packet is established only when
 * packets were allowed both ways; the table never holds more than was opened, and what was just
 * opened is known.
 * Input: packets, each with its length in front, and the seconds since the one before.
 */
#include <sys/random.h>

#include "firewall/conntrack.h"
#include "firewall/inspect.h"
#include "netlib/test_packet.h"
#include "tests/fuzz/fuzz.h"

#define CONNECTIONS 64u
#define PACKETS_MAX 256u

/* In place of libc's: the table's secret key is the same in every run. */
ssize_t getrandom(void *bytes, size_t n_bytes, unsigned flags)
{
	(void)flags;
	memset(bytes, 0x5a, n_bytes);
	return (ssize_t)n_bytes;
}

/* The keys of all packets that were allowed so far. */
struct past {
	unsigned n;
	struct netvm_flow_key key[PACKETS_MAX];
};

static bool has_seen(const struct past *past, const struct netvm_flow_key *key)
{
	for (unsigned i = 0; i < past->n; i++)
		if (memcmp(&past->key[i], key, sizeof(*key)) == 0)
			return true;
	return false;
}

static struct netvm_flow_key reverse(const struct netvm_flow_key *key)
{
	struct netvm_flow_key back = *key;

	memcpy(back.src, key->dst, sizeof(back.src));
	memcpy(back.dst, key->src, sizeof(back.dst));
	back.src_port = key->dst_port;
	back.dst_port = key->src_port;
	return back;
}

static void track(struct conntrack *conntrack, struct past *past, const struct inspection *seen)
{
	const struct conntrack_policy *policy = &conntrack_policy_default;
	const struct conntrack_packet *packet = &seen->packet;
	struct netvm_flow_key back = reverse(&packet->key);
	struct conntrack_hit hit;
	enum state state = conntrack_find(conntrack, policy, packet, &hit);

	require(state == STATE_NEW || state == STATE_ESTABLISHED || state == STATE_INVALID);
	if (state == STATE_ESTABLISHED)
		require(has_seen(past, &back) || (has_seen(past, &packet->key) && !hit.back));
	if (state == STATE_INVALID)
		return;
	if (hit.connection)
		conntrack_advance(policy, packet, &hit);
	else if (conntrack_open(conntrack, policy, packet) == 0)
		require(conntrack_knows(conntrack, &packet->key, packet->now_s) &&
			conntrack_knows(conntrack, &back, packet->now_s));
	past->key[past->n++] = packet->key;
}

static void is_sound(const struct inspection *seen)
{
	if (seen->kind != KIND_IP)
		require(!seen->trackable && !seen->has_cause);
	else
		require(seen->packet.key.family == 4 || seen->packet.key.family == 6);
	if (seen->has_cause)
		require(seen->cause.family == seen->packet.key.family);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	struct conntrack_counters counters;
	struct conntrack *conntrack;
	struct past past = {0};
	uint32_t now_s = 1000;

	require(conntrack_create(CONNECTIONS, &conntrack) == 0);
	while (feed.size > 0 && past.n < PACKETS_MAX) {
		size_t length = feed_number(&feed, 1);
		struct test_packet packet;
		struct inspection seen;
		uint8_t *bytes;

		now_s += (uint32_t)feed_number(&feed, 1);
		bytes = feed_block(&feed, &length);
		packet = test_packet_make(bytes, (uint32_t)length);
		inspect(&packet.nf, &packet.pkt, &seen);
		is_sound(&seen);
		seen.packet.now_s = now_s;
		if (seen.trackable)
			track(conntrack, &past, &seen);
		test_packet_free(&packet);
		free(bytes);
	}
	conntrack_counters(conntrack, &counters);
	require(conntrack_count(conntrack, now_s) <= counters.opened);
	conntrack_destroy(conntrack);
	return 0;
}
