/* Connection tracking in fixed memory. See conntrack.h. */
#include "firewall/conntrack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKET_CONNECTIONS 8

const char *const conntrack_timeout_names[TIMEOUTS + 1] = {
	[TIMEOUT_TCP_OPENING] = "tcp-opening",
	[TIMEOUT_TCP_ESTABLISHED] = "tcp-established",
	[TIMEOUT_TCP_CLOSING] = "tcp-closing",
	[TIMEOUT_TCP_CLOSED] = "tcp-closed",
	[TIMEOUT_UDP_NEW] = "udp-new",
	[TIMEOUT_UDP] = "udp",
	[TIMEOUT_ICMP] = "icmp",
	[TIMEOUT_OTHER] = "other",
};

const struct conntrack_policy conntrack_policy_default = {
	.timeout_s =
		{
			[TIMEOUT_TCP_OPENING] = 60,
			[TIMEOUT_TCP_ESTABLISHED] = 7440, /* RFC 5382 REQ-5: 2 h 4 min */
			[TIMEOUT_TCP_CLOSING] = 240,      /* RFC 5382 REQ-5: 4 min */
			[TIMEOUT_TCP_CLOSED] = 10,
			[TIMEOUT_UDP_NEW] = 30,
			[TIMEOUT_UDP] = 300, /* RFC 4787 REQ-5 */
			[TIMEOUT_ICMP] = 60, /* RFC 5508 REQ-1 */
			[TIMEOUT_OTHER] = 300,
		},
};

enum progress {
	SYN_SENT,
	SYN_RECEIVED,
	ESTABLISHED,
	FIN_FORTH, /* the caller has sent FIN */
	FIN_BACK,
	FIN_BOTH,
	CLOSED,
	TCP_PROGRESS,
	/* of all protocols but TCP */
	UNANSWERED = TCP_PROGRESS,
	ANSWERED,
	/* not states: what the table says of a packet */
	INVALID,
	AGAIN, /* opens a new connection with the same ports */
};

enum tcp_event { SYN, SYN_ACK, ACK, FIN, RST, TCP_EVENTS, TCP_NONSENSE };

/* clang-format off */
static const uint8_t tcp_next[2][TCP_EVENTS][TCP_PROGRESS] = {
	{ /* forth: from the caller.  In SYN_SENT it has nothing to acknowledge yet. */
		/*           SYN_SENT  SYN_RECEIVED  ESTABLISHED  FIN_FORTH  FIN_BACK  FIN_BOTH  CLOSED */
		[SYN]     = {SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_FORTH, FIN_BACK, AGAIN,    AGAIN},
		[SYN_ACK] = {INVALID,  SYN_RECEIVED, ESTABLISHED, FIN_FORTH, FIN_BACK, FIN_BOTH, CLOSED},
		[ACK]     = {INVALID,  SYN_RECEIVED, ESTABLISHED, FIN_FORTH, FIN_BACK, FIN_BOTH, CLOSED},
		[FIN]     = {INVALID,  SYN_RECEIVED, FIN_FORTH,   FIN_FORTH, FIN_BOTH, FIN_BOTH, CLOSED},
		[RST]     = {CLOSED,   CLOSED,       CLOSED,      CLOSED,    CLOSED,   CLOSED,   CLOSED},
	},
	{ /* back.  SYN in SYN_SENT: both called each other.  ACK there: RFC 5961 4 challenge. */
		[SYN]     = {SYN_RECEIVED, SYN_RECEIVED, ESTABLISHED, FIN_FORTH, FIN_BACK, AGAIN,    AGAIN},
		[SYN_ACK] = {SYN_RECEIVED, SYN_RECEIVED, ESTABLISHED, FIN_FORTH, FIN_BACK, FIN_BOTH, CLOSED},
		[ACK]     = {SYN_SENT,     SYN_RECEIVED, ESTABLISHED, FIN_FORTH, FIN_BACK, FIN_BOTH, CLOSED},
		[FIN]     = {INVALID,      SYN_RECEIVED, FIN_BACK,    FIN_BOTH,  FIN_BACK, FIN_BOTH, CLOSED},
		[RST]     = {CLOSED,       CLOSED,       CLOSED,      CLOSED,    CLOSED,   CLOSED,   CLOSED},
	},
};
/* clang-format on */

struct connection {
	struct netvm_flow_key key; /* of the caller's packets */
	uint8_t progress;
	uint32_t back_isn; /* sequence number of the called side's SYN */
};

struct bucket {
	uint32_t tag[BUCKET_CONNECTIONS]; /* 0: unused */
	uint32_t expires_s[BUCKET_CONNECTIONS];
	struct connection connection[BUCKET_CONNECTIONS];
};

struct conntrack {
	struct bucket *buckets;
	uint32_t mask;
	uint64_t secret[2];
	struct conntrack_counters counters;
};

int conntrack_create(uint32_t n_connections, struct conntrack **conntrack)
{
	struct conntrack *made = calloc(1, sizeof(*made));
	uint32_t n_buckets = 1;
	int error = -ENOMEM;

	if (!made)
		return -ENOMEM;
	while (n_buckets * BUCKET_CONNECTIONS < n_connections)
		n_buckets *= 2;
	made->mask = n_buckets - 1;
	made->buckets = calloc(n_buckets, sizeof(*made->buckets));
	if (!made->buckets)
		goto fail;
	if (getrandom(made->secret, sizeof(made->secret), 0) != sizeof(made->secret)) {
		error = -errno;
		goto fail;
	}
	*conntrack = made;
	return 0;
fail:
	conntrack_destroy(made);
	return error;
}

void conntrack_destroy(struct conntrack *conntrack)
{
	if (!conntrack)
		return;
	free(conntrack->buckets);
	free(conntrack);
}

/* The same for both directions; not to be foretold without the secret. */
static uint64_t key_hash(const struct conntrack *conntrack, const struct netvm_flow_key *key)
{
	uint64_t src[2], dst[2], ends;

	memcpy(src, key->src, sizeof(src));
	memcpy(dst, key->dst, sizeof(dst));
	src[0] ^= conntrack->secret[0] ^ key->src_port;
	dst[0] ^= conntrack->secret[0] ^ key->dst_port;
	ends = netvm_flow_mix(src[0], src[1] ^ conntrack->secret[1]) +
	       netvm_flow_mix(dst[0], dst[1] ^ conntrack->secret[1]);
	return netvm_flow_mix(ends ^ conntrack->secret[1],
		((uint64_t)key->vlan_tci << 8 | key->protocol) ^ conntrack->secret[0]);
}

static struct bucket *hash_bucket(const struct conntrack *conntrack, uint64_t hash)
{
	return &conntrack->buckets[hash & conntrack->mask];
}

static uint32_t hash_tag(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1;
}

static bool key_reversed(const struct netvm_flow_key *a, const struct netvm_flow_key *b)
{
	return memcmp(a->src, b->dst, 16) == 0 && memcmp(a->dst, b->src, 16) == 0 &&
	       a->src_port == b->dst_port && a->dst_port == b->src_port &&
	       a->eth_type == b->eth_type && a->vlan_tci == b->vlan_tci &&
	       a->protocol == b->protocol && a->family == b->family;
}

static bool expired(uint32_t expires_s, uint32_t now_s)
{
	return (int32_t)(expires_s - now_s) <= 0;
}

/* Fills `hit`; its connection is NULL when there is none. */
static void hit_find(const struct conntrack *conntrack, const struct netvm_flow_key *key,
	uint32_t now_s, struct conntrack_hit *hit)
{
	uint64_t hash = key_hash(conntrack, key);
	struct bucket *bucket = hash_bucket(conntrack, hash);

	hit->connection = NULL;
	for (unsigned i = 0; i < BUCKET_CONNECTIONS; i++) {
		struct connection *connection = &bucket->connection[i];
		bool forth;

		if (bucket->tag[i] != hash_tag(hash) || expired(bucket->expires_s[i], now_s))
			continue;
		forth = memcmp(&connection->key, key, sizeof(*key)) == 0;
		if (!forth && !key_reversed(&connection->key, key))
			continue;
		*hit = (struct conntrack_hit){
			.connection = connection,
			.expires_s = &bucket->expires_s[i],
			.back = !forth,
		};
		return;
	}
}

static enum tcp_event tcp_event(uint8_t flags)
{
	bool syn = flags & NETVM_TCP_SYN, fin = flags & NETVM_TCP_FIN;
	bool rst = flags & NETVM_TCP_RST, ack = flags & NETVM_TCP_ACK;

	if (syn + fin + rst > 1 || !(syn || rst || ack))
		return TCP_NONSENSE; /* no stack sends these; scanners do */
	if (syn)
		return ack ? SYN_ACK : SYN;
	if (rst)
		return RST;
	return fin ? FIN : ACK;
}

static bool is_tcp(const struct conntrack_packet *packet)
{
	return packet->key.protocol == NETVM_PROTO_TCP;
}

static unsigned tcp_progress(const struct conntrack_packet *packet, enum tcp_event event,
	const struct conntrack_hit *hit)
{
	const struct connection *connection = hit->connection;
	unsigned progress = connection->progress;

	/* The caller acknowledges the SYN it was answered with: the handshake is complete. */
	if (progress == SYN_RECEIVED && !hit->back && (packet->tcp_flags & NETVM_TCP_ACK) &&
		packet->tcp_ack == connection->back_isn + 1)
		progress = ESTABLISHED;
	return tcp_next[hit->back][event][progress];
}

static enum state tcp_find(const struct conntrack_policy *policy,
	const struct conntrack_packet *packet, struct conntrack_hit *hit)
{
	enum tcp_event event = tcp_event(packet->tcp_flags);
	unsigned progress;

	if (event == TCP_NONSENSE)
		return STATE_INVALID;
	if (!hit->connection) {
		if (event == SYN || (policy->midstream && event == ACK))
			return STATE_NEW;
		return STATE_INVALID;
	}
	progress = tcp_progress(packet, event, hit);
	if (progress == AGAIN) {
		hit->connection = NULL;
		return STATE_NEW;
	}
	if (progress == INVALID)
		return STATE_INVALID;
	return progress == SYN_SENT && !hit->back ? STATE_NEW : STATE_ESTABLISHED;
}

enum state conntrack_find(struct conntrack *conntrack, const struct conntrack_policy *policy,
	const struct conntrack_packet *packet, struct conntrack_hit *hit)
{
	hit_find(conntrack, &packet->key, packet->now_s, hit);
	if (is_tcp(packet))
		return tcp_find(policy, packet, hit);
	if (!hit->connection)
		return STATE_NEW;
	return hit->back || hit->connection->progress == ANSWERED ? STATE_ESTABLISHED : STATE_NEW;
}

static enum conntrack_timeout tcp_timeout(unsigned progress)
{
	switch (progress) {
	case SYN_SENT:
	case SYN_RECEIVED:
		return TIMEOUT_TCP_OPENING;
	case ESTABLISHED:
		return TIMEOUT_TCP_ESTABLISHED;
	case CLOSED:
		return TIMEOUT_TCP_CLOSED;
	default:
		return TIMEOUT_TCP_CLOSING;
	}
}

static enum conntrack_timeout timeout_of(uint8_t protocol, unsigned progress)
{
	switch (protocol) {
	case NETVM_PROTO_TCP:
		return tcp_timeout(progress);
	case NETVM_PROTO_UDP:
		return progress == ANSWERED ? TIMEOUT_UDP : TIMEOUT_UDP_NEW;
	case NETVM_PROTO_ICMP:
	case NETVM_PROTO_ICMPV6:
		return TIMEOUT_ICMP;
	default:
		return TIMEOUT_OTHER;
	}
}

static uint32_t expiry(const struct conntrack_policy *policy, const struct conntrack_packet *packet,
	unsigned progress)
{
	return packet->now_s + policy->timeout_s[timeout_of(packet->key.protocol, progress)];
}

void conntrack_advance(const struct conntrack_policy *policy, const struct conntrack_packet *packet,
	const struct conntrack_hit *hit)
{
	struct connection *connection = hit->connection;

	if (is_tcp(packet)) {
		unsigned progress = tcp_progress(packet, tcp_event(packet->tcp_flags), hit);

		if (hit->back && progress == SYN_RECEIVED && (packet->tcp_flags & NETVM_TCP_SYN))
			connection->back_isn = packet->tcp_seq;
		connection->progress = (uint8_t)progress;
	} else if (hit->back) {
		connection->progress = ANSWERED;
	}
	*hit->expires_s = expiry(policy, packet, connection->progress);
}

/* How readily an entry gives way; 3: never. See "BOUNDED" in the header. */
static unsigned rank(const struct connection *connection)
{
	switch (connection->progress) {
	case SYN_SENT:
	case SYN_RECEIVED:
	case UNANSWERED:
	case FIN_BOTH:
	case CLOSED:
		return 1;
	case ESTABLISHED:
		return 3;
	default:
		return 2;
	}
}

/* The place for a new connection, BUCKET_CONNECTIONS when there is none. */
static unsigned bucket_room(const struct bucket *bucket, uint32_t now_s)
{
	unsigned best = BUCKET_CONNECTIONS, best_rank = 3;
	uint32_t best_left_s = 0;

	for (unsigned i = 0; i < BUCKET_CONNECTIONS; i++) {
		unsigned rank_i = rank(&bucket->connection[i]);
		uint32_t left_s = bucket->expires_s[i] - now_s;

		if (!bucket->tag[i] || expired(bucket->expires_s[i], now_s))
			return i;
		if (rank_i < best_rank || (rank_i == best_rank && left_s < best_left_s)) {
			best = i;
			best_rank = rank_i;
			best_left_s = left_s;
		}
	}
	return best;
}

static unsigned progress_first(const struct conntrack_packet *packet)
{
	if (!is_tcp(packet))
		return UNANSWERED;
	return tcp_event(packet->tcp_flags) == SYN ? SYN_SENT : ESTABLISHED;
}

/* The entry to fill for this key: the one it has, or one that gives way; NULL: no room. */
static struct connection *claim(struct conntrack *conntrack, const struct netvm_flow_key *key,
	uint32_t now_s, uint32_t **expires_s)
{
	uint64_t hash = key_hash(conntrack, key);
	struct bucket *bucket = hash_bucket(conntrack, hash);
	struct conntrack_hit old;
	unsigned at;

	hit_find(conntrack, key, now_s, &old);
	if (old.connection) {
		at = (unsigned)(old.connection - bucket->connection);
	} else {
		at = bucket_room(bucket, now_s);
		if (at == BUCKET_CONNECTIONS) {
			conntrack->counters.refused++;
			return NULL;
		}
		if (bucket->tag[at] && !expired(bucket->expires_s[at], now_s))
			conntrack->counters.evicted++;
	}
	bucket->tag[at] = hash_tag(hash);
	*expires_s = &bucket->expires_s[at];
	return &bucket->connection[at];
}

int conntrack_open(struct conntrack *conntrack, const struct conntrack_policy *policy,
	const struct conntrack_packet *packet)
{
	struct connection *connection;
	uint32_t *expires_s;

	connection = claim(conntrack, &packet->key, packet->now_s, &expires_s);
	if (!connection)
		return -ENOSPC;
	*connection = (struct connection){
		.key = packet->key,
		.progress = (uint8_t)progress_first(packet),
	};
	*expires_s = expiry(policy, packet, connection->progress);
	conntrack->counters.opened++;
	return 0;
}

/* ---- handing over -------------------------------------------------------------------------- */

bool conntrack_next(const struct conntrack *conntrack, uint32_t now_s, uint32_t *at,
	struct conntrack_record *record)
{
	for (; *at / BUCKET_CONNECTIONS <= conntrack->mask; (*at)++) {
		const struct bucket *bucket = &conntrack->buckets[*at / BUCKET_CONNECTIONS];
		unsigned i = *at % BUCKET_CONNECTIONS;

		if (!bucket->tag[i] || expired(bucket->expires_s[i], now_s))
			continue;
		*record = (struct conntrack_record){
			.key = bucket->connection[i].key,
			.back_isn = bucket->connection[i].back_isn,
			.left_s = bucket->expires_s[i] - now_s,
			.progress = bucket->connection[i].progress,
		};
		(*at)++;
		return true;
	}
	return false;
}

bool conntrack_is_record(const struct conntrack_record *record)
{
	const struct netvm_flow_key *key = &record->key;
	bool tcp = key->protocol == NETVM_PROTO_TCP;

	return (key->family == 4 || key->family == 6) && key->vlan_tci <= 0xfff && key->pad == 0 &&
	       (tcp ? record->progress < TCP_PROGRESS
		    : record->progress == UNANSWERED || record->progress == ANSWERED) &&
	       record->left_s > 0;
}

int conntrack_restore(struct conntrack *conntrack, const struct conntrack_policy *policy,
	const struct conntrack_record *record, uint32_t now_s)
{
	uint32_t left_s = policy->timeout_s[timeout_of(record->key.protocol, record->progress)];
	struct connection *connection;
	uint32_t *expires_s;

	connection = claim(conntrack, &record->key, now_s, &expires_s);
	if (!connection)
		return -ENOSPC;
	*connection = (struct connection){
		.key = record->key,
		.progress = record->progress,
		.back_isn = record->back_isn,
	};
	*expires_s = now_s + (record->left_s < left_s ? record->left_s : left_s);
	return 0;
}

bool conntrack_knows(
	const struct conntrack *conntrack, const struct netvm_flow_key *key, uint32_t now_s)
{
	struct conntrack_hit hit;

	hit_find(conntrack, key, now_s, &hit);
	return hit.connection;
}

void conntrack_counters(const struct conntrack *conntrack, struct conntrack_counters *counters)
{
	*counters = conntrack->counters;
}

uint32_t conntrack_count(const struct conntrack *conntrack, uint32_t now_s)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i <= conntrack->mask; i++) {
		const struct bucket *bucket = &conntrack->buckets[i];

		for (unsigned j = 0; j < BUCKET_CONNECTIONS; j++)
			count += bucket->tag[j] && !expired(bucket->expires_s[j], now_s);
	}
	return count;
}
