/*
 * What an NF believes of its host (netlib/attachment.c, queue.c, destination.c): a host that says
 * and writes anything, over memory of exactly the size it has.
 *
 * Properties: an NF that attaches has all its rings inside the channel and all buffers inside the
 * group memory; a ring index outside its window ends the attachment, it never makes the NF read
 * past a ring; a destination found has a kind and a name that ends.
 * Input: sizes, changes to a good answer, then steps of a running host.
 */
#include <errno.h>

#include "netlib/attachment.h"
#include "tests/fuzz/fuzz.h"

#define STEPS_MAX 200
#define RX_WORDS  64u

/* The pointer of a word leads anywhere: such words are the host's right, see attachment.c. */
#define GOOD_WORD netvm_desc(0, 0, 128, 60, NETVM_VERDICT_FIRST_DESTINATION)

static struct feed feed;
static void *channel_memory, *group_memory;

static struct netvm_layout good_layout(void)
{
	struct netvm_layout layout = {
		.queue_offset = sizeof(struct netvm_channel),
		.queue_stride = 3 * netvm_ring_size_bytes(RX_WORDS),
		.rx_words = RX_WORDS,
		.tx_words = RX_WORDS,
		.stock_words = RX_WORDS,
		.n_workers = 2,
		.n_queues = 1,
		.buffer_stride = 2048,
		.n_buffers = 4,
		.headroom = 192,
	};

	layout.channel_bytes = layout.queue_offset + 2 * layout.queue_stride;
	layout.group_bytes = layout.n_buffers * layout.buffer_stride;
	return layout;
}

/* Some 1..8 bytes of the object become what the input says. */
static void change(void *object, size_t size)
{
	unsigned n = feed_number(&feed, 1) % 4;

	while (n-- > 0) {
		size_t at = feed_number(&feed, 2) % size;
		unsigned n_bytes = 1 + feed_number(&feed, 1) % 8;
		uint64_t value = feed_number(&feed, n_bytes);

		if (n_bytes > size - at)
			n_bytes = (unsigned)(size - at);
		memcpy((uint8_t *)object + at, &value, n_bytes);
	}
}

/* ---- the transport --------------------------------------------------------------------------- */

static void *make_memory(size_t size)
{
	void *memory = aligned_alloc(NETVM_RING_ALIGN, (size + 127) / 128 * 128);

	require(memory);
	memset(memory, 0, size);
	return memory;
}

static int memory_open(struct transport *transport, const char *address)
{
	const struct netvm_layout layout = good_layout();
	struct netvm_channel *channel;

	(void)address;
	transport->channel_bytes = layout.channel_bytes - feed_number(&feed, 1) * 128 % 8192;
	transport->group_bytes = layout.group_bytes - feed_number(&feed, 1) * 128 % 8192;
	if (transport->channel_bytes < sizeof(struct netvm_channel))
		transport->channel_bytes = sizeof(struct netvm_channel);
	channel_memory = make_memory(transport->channel_bytes);
	group_memory = make_memory(transport->group_bytes);
	transport->channel = channel_memory;
	transport->group = group_memory;
	channel = transport->channel;
	channel->magic = NETVM_CHANNEL_MAGIC;
	channel->abi_min = channel->abi_max = NETVM_ABI_VERSION;
	channel->header_bytes = sizeof(*channel);
	channel->state = NETVM_STATE_OFFERED;
	change(channel, offsetof(struct netvm_channel, hello));
	return 0;
}

static int memory_greet(struct transport *transport, unsigned n_queues)
{
	struct netvm_channel *channel = transport->channel;

	require(n_queues == 1 && channel->state == NETVM_STATE_HELLO);
	channel->answer.abi_version = NETVM_ABI_VERSION;
	channel->answer.features = channel->hello.features;
	memcpy(channel->answer.name, channel->hello.name, NETVM_NAME_BYTES);
	channel->layout = good_layout();
	channel->state = NETVM_STATE_READY;
	change(&channel->layout, sizeof(channel->layout));
	change(&channel->layout, sizeof(channel->layout));
	change(&channel->answer, sizeof(channel->answer));
	change(&channel->state, sizeof(channel->state));
	return 0;
}

static void memory_ring(struct transport *transport, unsigned worker)
{
	require(worker < NETVM_WORKERS_MAX && transport->channel == channel_memory);
}

static void memory_close(struct transport *transport)
{
	(void)transport;
	free(channel_memory);
	free(group_memory);
}

static const struct transport_ops memory = {
	.open = memory_open, .greet = memory_greet, .ring = memory_ring, .close = memory_close};

/* ---- what must hold -------------------------------------------------------------------------- */

static void ring_lies_within(const struct attachment *attachment, const struct netvm_ring_end *end)
{
	size_t bytes = netvm_ring_size_bytes(end->mask + 1);
	size_t at = (size_t)((uint8_t *)end->ring - (uint8_t *)channel_memory);

	require(at >= sizeof(struct netvm_channel) && at % NETVM_RING_ALIGN == 0);
	require(at + bytes <= attachment->transport.channel_bytes);
}

static void memory_is_inside(const struct attachment *attachment)
{
	const struct netvm_private *queue = attachment->queue[0];
	const struct netvm *nf = &queue->nf;
	size_t end = (size_t)(nf->buffers - (uint8_t *)group_memory) +
		     (size_t)nf->n_buffers * nf->buffer_stride;

	require(attachment->n_queues == 1);
	require(end <= attachment->transport.group_bytes);
	require(nf->headroom < nf->buffer_stride);
	for (unsigned i = 0; i < queue->n_workers; i++) {
		ring_lies_within(attachment, &queue->rings[i].rx);
		ring_lies_within(attachment, &queue->rings[i].tx);
		ring_lies_within(attachment, &queue->rings[i].stock);
	}
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void take_and_return(struct attachment *attachment)
{
	struct netvm_private *queue = attachment->queue[0];
	struct netvm_packet pkts[32];
	int n = netvm_receive(&queue->nf, pkts, 32, 0);

	require(n == -ECONNRESET || n == -ECANCELED || (n >= 0 && n <= 32));
	require(!attachment_lost(attachment) || n != 0); /* it may still empty its rings */
	for (int i = 0; i < n; i++)
		pkts[i].word = GOOD_WORD;
	if (n > 0)
		netvm_send(&queue->nf, pkts, (unsigned)n);
	netvm_flush(&queue->nf);
}

static void take_stock(struct attachment *attachment)
{
	struct netvm_packet pkt;

	if (netvm_alloc(&attachment->queue[0]->nf, &pkt, 1) == 0)
		return;
	pkt.word = GOOD_WORD;
	netvm_send(&attachment->queue[0]->nf, &pkt, 1);
}

static void look_up(struct attachment *attachment)
{
	struct netvm *nf = &attachment->queue[0]->nf;
	int verdict = netvm_destination(nf, NETVM_DESTINATION_PORT, "out");
	struct netvm_destination entry;

	require(verdict < (int)NETVM_DESTINATIONS_MAX);
	if (verdict < 0)
		return;
	require(netvm_destination_get(nf, (unsigned)verdict, &entry) == 0);
	require(entry.kind == NETVM_DESTINATION_PORT && strcmp(entry.name, "out") == 0);
	require(memchr(entry.name, '\0', sizeof(entry.name)));
}

static void set_index(struct attachment *attachment)
{
	const struct worker_rings *rings =
		&attachment->queue[0]
			 ->rings[feed_number(&feed, 1) % attachment->queue[0]->n_workers];
	struct netvm_ring *ring[] = {rings->rx.ring, rings->tx.ring, rings->stock.ring};
	uint32_t which = (uint32_t)feed_number(&feed, 1);
	uint32_t value = (uint32_t)feed_number(&feed, 1 + which / 8 % 4);

	if (which & 4)
		ring[which % 3]->consumer = value;
	else
		ring[which % 3]->producer = value;
}

static bool step(struct attachment *attachment)
{
	struct netvm_channel *channel = channel_memory;

	switch (feed_number(&feed, 1) % 6) {
	case 0:
		take_and_return(attachment);
		break;
	case 1:
		take_stock(attachment);
		break;
	case 2:
		look_up(attachment);
		break;
	case 3:
		change(&channel->control,
			sizeof(*channel) - offsetof(struct netvm_channel, control));
		/* Odd for ever, a host that died while it wrote: the NF would wait for its end. */
		channel->destination_version &= ~1u;
		break;
	default:
		set_index(attachment);
		break;
	}
	return feed.size > 0;
}

/* The host takes all that was sent: else the NF waits for it. */
static void take_all(struct attachment *attachment)
{
	struct netvm_private *queue = attachment->queue[0];

	netvm_flush(&queue->nf);
	for (unsigned i = 0; i < queue->n_workers; i++)
		queue->rings[i].tx.ring->consumer = queue->rings[i].tx.own;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netvm_options options = {.name = "nf", .meta = true, .stock = true};
	struct attachment *attachment = NULL;

	feed = (struct feed){data, size};
	if (attachment_open(&memory, "", &options, &attachment))
		return 0;
	memory_is_inside(attachment);
	for (int i = 0; i < STEPS_MAX && step(attachment); i++)
		continue;
	take_all(attachment);
	attachment_close(attachment);
	return 0;
}
