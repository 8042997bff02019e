/*
 * Attaching: the handshake in the channel header and the check of what the host said, for every
 * transport. Called by run.c, by replay.c, and as netvm_attach() by programs with their own loop.
 *
 * The host is the master of this NF's memory, but it may be another version or broken: every size
 * and offset is copied once, checked against the measured size of the memory, and used from the
 * copy only. The words on the rings are not checked: whoever writes those may write the packets
 * too.
 */
#include "attachment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failure.h"
#include "stop.h"

static const char *option_text(const char *given, const char *variable, const char *fallback)
{
	const char *text = given ? given : getenv(variable);

	return text && *text ? text : fallback;
}

/* Where nothing is said: the usual socket, except in a guest that has none. */
const char *attachment_address(const struct netvm_options *options)
{
	const char *address = option_text(options->socket, "NETVM_SOCKET", NULL);

	if (address)
		return address;
	return access(NETVM_SOCKET_DEFAULT, F_OK) < 0 && pci_present() ? "pci"
								       : NETVM_SOCKET_DEFAULT;
}

/* ---- hello --------------------------------------------------------------------------------- */

static int name_copy(const char *field, const char *text, char name[NETVM_NAME_BYTES])
{
	static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789_.-";
	size_t length = strlen(text);

	if (length == 0 || length >= NETVM_NAME_BYTES || strspn(text, alphanumeric) != length ||
		strchr("_.-", text[0]))
		return failure_set(EINVAL,
			"%s: '%s' must be 1..%u letters, digits, '_', '.' or '-', the first of "
			"them a "
			"letter or digit",
			field, text, NETVM_NAME_BYTES - 1);
	memcpy(name, text, length + 1);
	return 0;
}

static int hello_make(const struct transport_ops *ops, const struct netvm_options *options,
	struct netvm_hello *hello)
{
	bool state = ops->hear && (options->save || options->load);
	const char *service = option_text(options->service, "NETVM_SERVICE", "");
	int result;

	*hello = (struct netvm_hello){
		.abi_version = NETVM_ABI_VERSION,
		.features = (options->meta ? NETVM_FEATURE_META : 0u) |
			    (options->stock ? NETVM_FEATURE_STOCK : 0u) |
			    (state ? NETVM_FEATURE_STATE : 0u),
		.n_queues = options->n_queues ? options->n_queues : 1,
		.pid = (uint32_t)getpid(),
	};
	if (hello->n_queues > NETVM_QUEUES_MAX)
		return failure_set(
			EINVAL, "n_queues: %u is more than %u", hello->n_queues, NETVM_QUEUES_MAX);
	result = name_copy("name",
		option_text(options->name, "NETVM_NAME", program_invocation_short_name),
		hello->name);
	if (result == 0 && *service)
		result = name_copy("service", service, hello->service);
	return result;
}

static int hello_say(struct netvm_channel *channel, const struct netvm_hello *hello)
{
	uint32_t state = __atomic_load_n(&channel->state, __ATOMIC_ACQUIRE);

	if (channel->magic != NETVM_CHANNEL_MAGIC || state != NETVM_STATE_OFFERED)
		return failure_set(EPROTO, "the channel is not one that a NetVM daemon offers");
	if (NETVM_ABI_VERSION < channel->abi_min || NETVM_ABI_VERSION > channel->abi_max)
		return failure_set(EPROTONOSUPPORT,
			"the daemon speaks ABI versions %u to %u, this library version %u",
			channel->abi_min, channel->abi_max, NETVM_ABI_VERSION);
	memcpy(&channel->hello, hello, sizeof(*hello));
	__atomic_store_n(&channel->state, NETVM_STATE_HELLO, __ATOMIC_RELEASE);
	return 0;
}

/* ---- answer -------------------------------------------------------------------------------- */

static int refusal_errno(uint32_t refusal)
{
	switch (refusal) {
	case NETVM_REFUSED_VERSION:
		return EPROTONOSUPPORT;
	case NETVM_REFUSED_NAME:
	case NETVM_REFUSED_FEATURE:
		return EINVAL;
	case NETVM_REFUSED_CREDENTIAL:
		return EACCES;
	case NETVM_REFUSED_RESOURCE:
		return ENOSPC;
	default:
		return EPERM;
	}
}

static int answer_read(const struct netvm_channel *channel, const struct netvm_hello *hello,
	struct netvm_answer *answer)
{
	uint32_t state = __atomic_load_n(&channel->state, __ATOMIC_ACQUIRE);

	memcpy(answer, &channel->answer, sizeof(*answer));
	answer->name[NETVM_NAME_BYTES - 1] = '\0';
	answer->text[NETVM_TEXT_BYTES - 1] = '\0';
	if (state == NETVM_STATE_REFUSED)
		return failure_set(refusal_errno(answer->refusal), "the daemon refused '%s': %s",
			hello->name, answer->text);
	if (state != NETVM_STATE_READY)
		return failure_set(EPROTO, "the daemon answered with channel state %u", state);
	if (answer->abi_version != NETVM_ABI_VERSION)
		return failure_set(EPROTONOSUPPORT, "the daemon chose ABI version %u, not %u",
			answer->abi_version, NETVM_ABI_VERSION);
	if (hello->features & ~(answer->features | NETVM_FEATURE_STATE | NETVM_FEATURE_BELL))
		return failure_set(EPROTONOSUPPORT, "the daemon grants '%s' no %s", hello->name,
			hello->features & ~answer->features & NETVM_FEATURE_STOCK
				? "stock of empty buffers"
				: "metadata");
	return 0;
}

static bool ring_words_valid(uint32_t n_words)
{
	return n_words >= NETVM_RING_WORDS_MIN && n_words <= NETVM_RING_WORDS_MAX &&
	       (n_words & (n_words - 1)) == 0;
}

static size_t pair_bytes(const struct netvm_layout *layout)
{
	return netvm_ring_size_bytes(layout->rx_words) + netvm_ring_size_bytes(layout->tx_words) +
	       netvm_ring_size_bytes(layout->stock_words);
}

/* `space` bytes from `offset` on hold n things of `stride`; no term can overflow. */
static bool fits(uint64_t space, uint64_t offset, uint64_t n, uint64_t stride)
{
	return offset <= space && stride <= (space - offset) / n;
}

static const char *layout_fault(
	const struct netvm_layout *layout, const struct transport *transport, uint32_t n_queues)
{
	if (!ring_words_valid(layout->rx_words) || !ring_words_valid(layout->tx_words) ||
		!ring_words_valid(layout->stock_words))
		return "ring size";
	if (layout->n_queues != n_queues)
		return "n_queues";
	if (layout->n_workers < 1 || layout->n_workers > NETVM_WORKERS_MAX ||
		(transport->n_worker_fds && transport->n_worker_fds != layout->n_workers))
		return "n_workers";
	if (layout->queue_stride < pair_bytes(layout) || layout->queue_stride % NETVM_RING_ALIGN)
		return "queue_stride";
	if (layout->queue_offset < sizeof(struct netvm_channel) ||
		layout->queue_offset % NETVM_RING_ALIGN ||
		!fits(transport->channel_bytes, layout->queue_offset,
			layout->n_workers * layout->n_queues, layout->queue_stride))
		return "queue_offset";
	if (layout->buffer_stride % NETVM_META_BYTES || layout->buffer_stride < 512 ||
		layout->buffer_stride > NETVM_BUFFER_BYTES_MAX)
		return "buffer_stride";
	if (layout->headroom < NETVM_META_BYTES || layout->headroom >= layout->buffer_stride)
		return "headroom";
	if (layout->n_buffers < 1 || layout->n_buffers > NETVM_BUFFERS_MAX)
		return "n_buffers";
	if (layout->buffer_offset % NETVM_META_BYTES ||
		!fits(transport->group_bytes, layout->buffer_offset, layout->n_buffers,
			layout->buffer_stride))
		return "buffer_offset";
	return NULL;
}

static int layout_read(struct attachment *attachment, uint32_t n_queues)
{
	const char *fault;

	memcpy(&attachment->layout, &attachment->channel->layout, sizeof(attachment->layout));
	fault = layout_fault(&attachment->layout, &attachment->transport, n_queues);
	if (fault)
		return failure_set(EPROTO, "the daemon's channel layout is broken: %s", fault);
	return 0;
}

/* ---- queues -------------------------------------------------------------------------------- */

static void rings_open(struct worker_rings *rings, const struct netvm_layout *layout, uint8_t *pair)
{
	netvm_ring_end_init(&rings->rx, pair, layout->rx_words);
	pair += netvm_ring_size_bytes(layout->rx_words);
	netvm_ring_end_init(&rings->tx, pair, layout->tx_words);
	pair += netvm_ring_size_bytes(layout->tx_words);
	netvm_ring_end_init(&rings->stock, pair, layout->stock_words);
}

static void queue_close(struct netvm_private *queue)
{
	if (!queue)
		return;
	wait_close(queue);
	free(queue);
}

static int queue_open(struct attachment *attachment, unsigned number, bool busy)
{
	const struct netvm_layout *layout = &attachment->layout;
	size_t size =
		sizeof(struct netvm_private) + layout->n_workers * sizeof(struct worker_rings);
	struct netvm_private *queue;

	/* Whole lines of its own: queues are written by different threads. */
	size = (size + NETVM_RING_ALIGN - 1) & ~(size_t)(NETVM_RING_ALIGN - 1);
	queue = aligned_alloc(NETVM_RING_ALIGN, size);
	if (!queue)
		return failure_set(ENOMEM, "no memory for queue %u", number);
	memset(queue, 0, size);
	queue->attachment = attachment;
	queue->state = &attachment->channel->queue[number];
	queue->queue = number;
	queue->n_workers = layout->n_workers;
	queue->worker_of = attachment->worker_of;
	queue->busy = busy;
	queue->nf = (struct netvm){
		.buffers = attachment->transport.group + layout->buffer_offset,
		.buffer_stride = layout->buffer_stride,
		.n_buffers = layout->n_buffers,
		.headroom = layout->headroom,
		.features = attachment->features,
		.private_ = queue,
	};
	for (unsigned worker = 0; worker < layout->n_workers; worker++)
		rings_open(&queue->rings[worker], layout,
			(uint8_t *)attachment->channel + layout->queue_offset +
				(worker * layout->n_queues + number) * layout->queue_stride);
	attachment->queue[number] = queue;
	return wait_open(queue);
}

static int queues_open(struct attachment *attachment, bool busy)
{
	int result = 0;

	if (attachment->layout.n_workers > 1) {
		attachment->worker_of = calloc(attachment->layout.n_buffers, 1);
		if (!attachment->worker_of)
			return failure_set(ENOMEM, "no memory for the table of workers");
	}
	attachment->n_queues = attachment->layout.n_queues;
	for (unsigned i = 0; i < attachment->n_queues && result == 0; i++)
		result = queue_open(attachment, i, busy);
	return result;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void attachment_free(struct attachment *attachment)
{
	for (unsigned i = 0; i < attachment->n_queues; i++)
		queue_close(attachment->queue[i]);
	if (attachment->transport.channel)
		attachment->transport.ops->close(&attachment->transport);
	free(attachment->worker_of);
	free(attachment);
	stop_leave();
}

static int attachment_greet(struct attachment *attachment, struct netvm_hello *hello)
{
	struct transport *transport = &attachment->transport;
	struct netvm_answer answer;
	int result;

	if (transport->n_bells >= hello->n_queues)
		hello->features |= NETVM_FEATURE_BELL;
	result = hello_say(transport->channel, hello);
	if (result == 0)
		result = transport->ops->greet(transport, hello->n_queues);
	if (result == 0)
		result = answer_read(transport->channel, hello, &answer);
	if (result < 0)
		return result;
	attachment->channel = transport->channel; /* it may have moved */
	attachment->features = answer.features;
	memcpy(attachment->name, answer.name, sizeof(attachment->name));
	return layout_read(attachment, hello->n_queues);
}

int attachment_open(const struct transport_ops *ops, const char *address,
	const struct netvm_options *options, struct attachment **out)
{
	struct attachment *attachment;
	struct netvm_hello hello;
	int result = hello_make(ops, options, &hello);

	if (result < 0)
		return result;
	result = stop_enter();
	if (result < 0)
		return result;
	attachment = calloc(1, sizeof(*attachment));
	if (!attachment) {
		stop_leave();
		return failure_set(ENOMEM, "no memory to attach");
	}
	attachment->hooks.save = options->save;
	attachment->hooks.load = options->load;
	attachment->hooks.arg = options->arg;
	attachment->transport = (struct transport){.ops = ops, .channel_fd = -1, .host_fd = -1};
	result = ops->open(&attachment->transport, address);
	if (result == 0)
		result = attachment_greet(attachment, &hello);
	if (result == 0)
		result = queues_open(attachment, options->busy);
	if (result < 0)
		attachment_free(attachment);
	else
		*out = attachment;
	return result;
}

void attachment_close(struct attachment *attachment)
{
	if (!attachment)
		return;
	attachment->hooks = (struct netvm_options){0}; /* too late to be asked */
	for (unsigned i = 0; i < attachment->n_queues; i++) {
		netvm_flush(&attachment->queue[i]->nf);
		queue_settle(attachment->queue[i]);
		queue_report(attachment->queue[i]);
	}
	__atomic_store_n(&attachment->channel->state, NETVM_STATE_GONE, __ATOMIC_RELEASE);
	attachment_free(attachment);
}

void attachment_lose(struct attachment *attachment, const char *why)
{
	failure_set(ECONNRESET, "%s", why);
	__atomic_store_n(&attachment->lost, 1, __ATOMIC_RELAXED);
	/* The other queues' threads may sleep: the end of the connection wakes them. */
	if (attachment->transport.host_fd >= 0)
		(void)shutdown(attachment->transport.host_fd, SHUT_RDWR);
}

int attachment_attach(const struct netvm_options *options, struct attachment **attachment)
{
	const char *address = attachment_address(options);

	return attachment_open(pci_folder(address) ? &transport_pci : &transport_socket, address,
		options, attachment);
}

int netvm_attach(const struct netvm_options *options, struct netvm **nf)
{
	struct netvm_options own = *options;
	struct attachment *attachment;
	int result;

	own.save = NULL; /* nobody could call them */
	own.load = NULL;
	if (options->n_queues > 1)
		return failure_set(EINVAL, "n_queues: netvm_attach() gives one queue, not %u",
			options->n_queues);
	result = attachment_attach(&own, &attachment);
	if (result == 0)
		*nf = &attachment->queue[0]->nf;
	return result;
}

void netvm_detach(struct netvm *nf)
{
	if (nf)
		attachment_close(nf->private_->attachment);
}

const char *netvm_name(const struct netvm *nf)
{
	return nf->private_->attachment->name;
}

unsigned netvm_queue(const struct netvm *nf)
{
	return nf->private_->queue;
}
