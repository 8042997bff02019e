/*
 * netvm_replay(): an NF over a pcap file without a daemon. This file is the host: a transport whose
 * memory is plain memory, and the host's ends of the rings, on the NF's own thread. The NF's side
 * is the same code as with a daemon, handshake included.
 *
 *   pcap in --> rx ring --> queue_take, callback --> tx ring --> checked against `owner` --> pcap
 * out stock ring <------ free buffers <--------------------'
 *
 * Time is the file's: metadata and ticks follow the time stamps, so that a run can be repeated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "attachment.h"
#include "failure.h"
#include "pcapfile.h"

#define BURST        32u
#define BUFFERS      4096u
#define BUFFER_BYTES NETVM_BUFFER_BYTES_MAX
#define HEADROOM     192u
#define STOCK        512u
#define RX_WORDS     1024u
#define TX_WORDS     BUFFERS /* never fills */

/* Numbers and verdicts of the little world around the NF. */
#define PORT_IN      1u
#define CHAIN        1u
#define VERDICT_NEXT NETVM_VERDICT_FIRST_DESTINATION

enum owner {
	OWNER_HOST,
	OWNER_NF_STOCK,  /* empty, or a packet the NF is making */
	OWNER_NF_PACKET, /* received by the NF */
};

struct buffer {
	enum owner owner;
	uint8_t generation;
};

struct replay {
	struct attachment *attachment;
	const struct netvm_options *options;
	struct netvm_replay_result *result;
	struct netvm_ring_end rx;
	struct netvm_ring_end tx;
	struct netvm_ring_end stock;
	struct pcapfile in;
	struct pcapfile out;
	uint64_t now_ns;      /* the file's clock */
	uint64_t tick_due_ns; /* 0: not set yet */
	uint32_t n_stock;     /* buffers of OWNER_NF_STOCK */
	uint32_t n_free;
	uint32_t free[BUFFERS];
	struct buffer buffer[BUFFERS];
};

/* ---- the transport ------------------------------------------------------------------------- */

static struct netvm_layout memory_layout(void)
{
	struct netvm_layout layout = {
		.queue_offset = sizeof(struct netvm_channel),
		.queue_stride = netvm_ring_size_bytes(RX_WORDS) + netvm_ring_size_bytes(TX_WORDS) +
				netvm_ring_size_bytes(STOCK),
		.rx_words = RX_WORDS,
		.tx_words = TX_WORDS,
		.stock_words = STOCK,
		.n_workers = 1,
		.n_queues = 1,
		.group_bytes = (uint64_t)BUFFERS * BUFFER_BYTES,
		.buffer_stride = BUFFER_BYTES,
		.n_buffers = BUFFERS,
		.headroom = HEADROOM,
	};

	layout.channel_bytes = layout.queue_offset + layout.queue_stride;
	return layout;
}

static void destination_add(
	struct netvm_channel *channel, enum netvm_destination_kind kind, const char *name)
{
	for (uint32_t i = NETVM_VERDICT_FIRST_DESTINATION; i < NETVM_DESTINATIONS_MAX; i++) {
		struct netvm_destination *entry = &channel->destination[i];

		if (entry->kind != NETVM_DESTINATION_NONE)
			continue;
		entry->kind = (uint16_t)kind;
		entry->id = i - VERDICT_NEXT; /* gives the numbers above to the first three */
		strncpy(entry->name, name, NETVM_NAME_BYTES - 1);
		return;
	}
}

/* Every port and service an NF asks for exists here. */
static void memory_grant(
	struct transport *transport, enum netvm_destination_kind kind, const char *name)
{
	destination_add(transport->channel, kind, name);
	__atomic_fetch_add(&transport->channel->destination_version, 2, __ATOMIC_RELEASE);
}

static void memory_close(struct transport *transport)
{
	if (transport->channel)
		munmap(transport->channel, transport->channel_bytes);
	if (transport->group)
		munmap(transport->group, transport->group_bytes);
}

static int memory_open(struct transport *transport, const char *address)
{
	const struct netvm_layout layout = memory_layout();
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *channel = mmap(NULL, layout.channel_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	void *group = mmap(NULL, layout.group_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);

	(void)address;
	transport->channel = channel == MAP_FAILED ? NULL : channel;
	transport->channel_bytes = layout.channel_bytes;
	transport->group = group == MAP_FAILED ? NULL : group;
	transport->group_bytes = layout.group_bytes;
	if (!transport->channel || !transport->group) {
		memory_close(transport);
		transport->channel = NULL;
		return failure_set(ENOMEM, "no memory to replay in");
	}
	transport->channel->magic = NETVM_CHANNEL_MAGIC;
	transport->channel->abi_min = NETVM_ABI_VERSION;
	transport->channel->abi_max = NETVM_ABI_VERSION;
	transport->channel->header_bytes = sizeof(struct netvm_channel);
	transport->channel->state = NETVM_STATE_OFFERED;
	return 0;
}

static int memory_greet(struct transport *transport, unsigned n_queues)
{
	struct netvm_channel *channel = transport->channel;

	(void)n_queues;
	channel->answer.abi_version = NETVM_ABI_VERSION;
	channel->answer.features = channel->hello.features;
	memcpy(channel->answer.name, channel->hello.name, NETVM_NAME_BYTES);
	memcpy(channel->answer.service, channel->hello.service, NETVM_NAME_BYTES);
	memcpy(channel->answer.group, "replay", sizeof("replay"));
	channel->layout = memory_layout();
	destination_add(channel, NETVM_DESTINATION_CHAIN, "replay");
	destination_add(channel, NETVM_DESTINATION_PORT, "in");
	destination_add(channel, NETVM_DESTINATION_PORT, "out");
	channel->state = NETVM_STATE_READY;
	return 0;
}

static void memory_ring(struct transport *transport, unsigned worker)
{
	(void)transport;
	(void)worker; /* the host runs on this very thread and looks when it is its turn */
}

static const struct transport_ops transport_memory = {
	.open = memory_open,
	.greet = memory_greet,
	.ring = memory_ring,
	.grant = memory_grant,
	.close = memory_close,
};

/* ---- host to NF ---------------------------------------------------------------------------- */

static struct netvm *replay_nf(struct replay *replay)
{
	return &replay->attachment->queue[0]->nf;
}

static uint8_t *slot(struct replay *replay, uint32_t index)
{
	return replay->attachment->transport.group + (size_t)index * BUFFER_BYTES;
}

/* The top free buffer goes to the NF. */
static void buffer_give(struct replay *replay, struct netvm_ring_end *ring, enum owner owner,
	uint32_t length, uint32_t verdict)
{
	uint32_t index = replay->free[--replay->n_free];
	struct buffer *buffer = &replay->buffer[index];

	buffer->owner = owner;
	netvm_ring_stage(ring, netvm_desc(index, buffer->generation, HEADROOM, length, verdict));
}

static void stock_fill(struct replay *replay)
{
	if (!(replay_nf(replay)->features & NETVM_FEATURE_STOCK))
		return;
	for (; replay->n_stock < STOCK && replay->n_free > BURST; replay->n_stock++)
		buffer_give(replay, &replay->stock, OWNER_NF_STOCK, 0, NETVM_VERDICT_DROP);
	netvm_ring_publish(&replay->stock);
}

static void meta_fill(struct replay *replay, uint32_t index, uint32_t length)
{
	struct netvm_meta *meta = (struct netvm_meta *)(void *)slot(replay, index);
	struct netvm_flow_key key;

	netvm_flow_extract(slot(replay, index) + HEADROOM, length, &key);
	*meta = (struct netvm_meta){
		.arrival_ns = replay->now_ns,
		.flow_hash = netvm_flow_hash(&key),
		.in_port = PORT_IN,
		.chain = CHAIN,
		.vlan_tci = key.vlan_tci,
	};
}

/* Up to a burst from the file to the rx ring. Returns 1, 0 at the end of the file, -errno. */
static int burst_feed(struct replay *replay)
{
	int more = 1;

	for (unsigned n = 0; n < BURST && more == 1;) {
		const uint32_t room = BUFFER_BYTES - HEADROOM;
		uint32_t index, length;

		if (replay->n_free == 0)
			return failure_set(ENOBUFS, "the NF holds all %u buffers", BUFFERS);
		index = replay->free[replay->n_free - 1];
		more = pcapfile_read(&replay->in, slot(replay, index) + HEADROOM, room, &length,
			&replay->now_ns);
		if (more != 1)
			break;
		if (length > room) {
			replay->result->malformed++;
			continue;
		}
		meta_fill(replay, index, length);
		buffer_give(replay, &replay->rx, OWNER_NF_PACKET, length, VERDICT_NEXT);
		replay->result->received++;
		n++;
	}
	netvm_ring_publish(&replay->rx);
	return more;
}

/* ---- NF to host ---------------------------------------------------------------------------- */

static bool extent_valid(uint64_t word)
{
	uint32_t offset = netvm_desc_offset(word);

	return offset >= NETVM_META_BYTES && offset + netvm_desc_length(word) <= BUFFER_BYTES;
}

static bool verdict_valid(struct replay *replay, uint32_t verdict, enum owner owner)
{
	struct netvm_destination entry;

	if (verdict == NETVM_VERDICT_NEXT)
		return owner == OWNER_NF_PACKET; /* of a chain; what the NF made is in none */
	return netvm_destination_get(replay_nf(replay), verdict, &entry) == 0;
}

/* The packet of an owned word ends here. Returns 0, -errno of writing it. */
static int packet_end(struct replay *replay, uint64_t word, enum owner owner)
{
	struct netvm_replay_result *result = replay->result;
	const uint8_t *data = slot(replay, netvm_desc_index(word)) + netvm_desc_offset(word);
	uint32_t verdict = netvm_desc_verdict(word);

	if (verdict == NETVM_VERDICT_DROP || verdict == NETVM_VERDICT_CONSUME) {
		if (owner == OWNER_NF_PACKET)
			*(verdict == NETVM_VERDICT_DROP ? &result->dropped : &result->consumed) +=
				1;
		return 0;
	}
	if (owner == OWNER_NF_STOCK)
		result->injected++;
	if (!extent_valid(word) || !verdict_valid(replay, verdict, owner)) {
		result->refused++;
		result->dropped++;
		return 0;
	}
	result->sent++;
	if (!replay->out.file)
		return 0;
	return pcapfile_write(&replay->out, data, netvm_desc_length(word), replay->now_ns);
}

static int word_accept(struct replay *replay, uint64_t word)
{
	uint32_t index = netvm_desc_index(word);
	struct buffer *buffer = index < BUFFERS ? &replay->buffer[index] : NULL;
	enum owner owner = buffer ? buffer->owner : OWNER_HOST;

	if (owner == OWNER_HOST || buffer->generation != netvm_desc_generation(word)) {
		replay->result->refused++;
		return 0;
	}
	if (owner == OWNER_NF_STOCK)
		replay->n_stock--;
	buffer->owner = OWNER_HOST;
	buffer->generation++;
	replay->free[replay->n_free++] = index;
	return packet_end(replay, word, owner);
}

static int words_collect(struct replay *replay)
{
	uint64_t words[BURST];
	uint32_t n;
	int result = 0;

	while (result == 0 && (n = netvm_ring_take(&replay->tx, words, BURST)) != 0)
		for (uint32_t i = 0; i < n && result == 0; i++)
			result = word_accept(replay, words[i]);
	stock_fill(replay);
	return result;
}

/* ---- the run ------------------------------------------------------------------------------- */

static void tick(struct replay *replay)
{
	replay->options->tick(replay_nf(replay), replay->options->arg);
	netvm_flush(replay_nf(replay));
}

static void tick_when_due(struct replay *replay)
{
	const struct netvm_options *options = replay->options;

	if (!options->tick || !options->tick_ns)
		return;
	if (replay->tick_due_ns != 0 && replay->now_ns < replay->tick_due_ns)
		return;
	if (replay->tick_due_ns != 0)
		tick(replay);
	replay->tick_due_ns = replay->now_ns + options->tick_ns;
}

static int bursts_run(struct replay *replay)
{
	struct netvm_private *queue = replay->attachment->queue[0];
	struct netvm_packet pkts[NETVM_BURST_MAX];
	int more = 1;

	while (more == 1) {
		int n, result;

		more = burst_feed(replay);
		while ((n = queue_take(queue, pkts, NETVM_BURST_MAX)) > 0)
			queue_work(queue, replay->options, pkts, (unsigned)n);
		tick_when_due(replay);
		result = words_collect(replay);
		if (result < 0)
			return result;
	}
	return more;
}

static int replay_run(struct replay *replay)
{
	const struct netvm_options *options = replay->options;
	int result;

	stock_fill(replay);
	result = options->start ? options->start(replay_nf(replay), options->arg) : 0;
	if (result != 0)
		return result < 0 ? result : failure_set(ECANCELED, "start said %d", result);
	result = bursts_run(replay);
	if (options->tick && options->tick_ns)
		tick(replay);
	netvm_flush(replay_nf(replay));
	if (result == 0)
		result = words_collect(replay);
	for (uint32_t i = 0; i < BUFFERS; i++)
		replay->result->in_flight += replay->buffer[i].owner == OWNER_NF_PACKET;
	return result;
}

static void rings_open(struct replay *replay)
{
	const struct worker_rings *nf = &replay->attachment->queue[0]->rings[0];

	netvm_ring_end_init(&replay->rx, nf->rx.ring, RX_WORDS);
	netvm_ring_end_init(&replay->tx, nf->tx.ring, TX_WORDS);
	netvm_ring_end_init(&replay->stock, nf->stock.ring, STOCK);
	for (uint32_t i = 0; i < BUFFERS; i++)
		replay->free[replay->n_free++] = BUFFERS - 1 - i;
}

static int replay_open(struct replay *replay, const char *in, const char *out)
{
	struct netvm_options single = *replay->options;
	int result;

	single.n_queues = 1;
	result = pcapfile_open(&replay->in, in);
	if (result == 0 && out)
		result = pcapfile_create(&replay->out, out);
	if (result == 0)
		result = attachment_open(&transport_memory, NULL, &single, &replay->attachment);
	if (result == 0)
		rings_open(replay);
	return result;
}

int netvm_replay(const struct netvm_options *options, const char *in, const char *out,
	struct netvm_replay_result *result)
{
	struct replay *replay;
	int code, closed;

	*result = (struct netvm_replay_result){0};
	if (!options->burst)
		return failure_set(EINVAL, "burst: a callback is needed");
	replay = calloc(1, sizeof(*replay));
	if (!replay)
		return failure_set(ENOMEM, "no memory to replay in");
	replay->options = options;
	replay->result = result;
	code = replay_open(replay, in, out);
	if (code == 0)
		code = replay_run(replay);
	if (replay->attachment)
		attachment_close(replay->attachment);
	(void)pcapfile_close(&replay->in);
	closed = pcapfile_close(&replay->out);
	free(replay);
	return code < 0 ? code : closed;
}
