/* See test_rig.h. */
#include "engine/test_rig.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <fcntl.h>
#include <unistd.h>

void rig_yield(void)
{
	sched_yield();
}

/* ---- port ---------------------------------------------------------------------------------- */

static unsigned port_rx(struct port_queue *queue, uint64_t *words, unsigned max)
{
	struct rig_port *rig = queue->driver;
	uint32_t waiting = __atomic_load_n(&rig->in_head, __ATOMIC_ACQUIRE) - rig->in_tail;
	uint64_t count;
	unsigned n;

	if (waiting == 0) {
		(void)!read(rig->event_fd, &count, sizeof(count));
		waiting = __atomic_load_n(&rig->in_head, __ATOMIC_ACQUIRE) - rig->in_tail;
	}
	n = buffer_alloc(queue->cache, words, waiting < max ? waiting : max);
	for (unsigned i = 0; i < n; i++) {
		const struct rig_frame *frame = &rig->in[rig->in_tail % RIG_QUEUE];

		memcpy(buffer_data(queue->cache->pool, words[i]), frame->data, frame->length);
		words[i] =
			netvm_desc_set_extent(words[i], netvm_desc_offset(words[i]), frame->length);
		__atomic_store_n(&rig->in_tail, rig->in_tail + 1, __ATOMIC_RELEASE);
	}
	return n;
}

static unsigned port_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	struct rig_port *rig = queue->driver;
	unsigned sent = 0;

	for (; sent < n && sent < rig->tx_limit; sent++) {
		struct rig_frame *frame = &rig->out[rig->out_head % RIG_QUEUE];

		if (rig->out_head - __atomic_load_n(&rig->out_tail, __ATOMIC_ACQUIRE) == RIG_QUEUE)
			break;
		frame->length = (uint16_t)netvm_desc_length(words[sent]);
		if (frame->length == rig->refused_length) {
			queue->refused = true;
			break;
		}
		memcpy(frame->data, buffer_data(queue->cache->pool, words[sent]), frame->length);
		__atomic_store_n(&rig->out_head, rig->out_head + 1, __ATOMIC_RELEASE);
	}
	buffer_free(queue->cache, words, sent);
	return sent;
}

static int port_wait_fd(struct port_queue *queue)
{
	return ((struct rig_port *)queue->driver)->event_fd;
}

static const struct port_driver rig_driver = {
	.kind = "rig", .rx = port_rx, .tx = port_tx, .wait_fd = port_wait_fd};

struct rig_port *rig_port_new(const char *name, struct buffer_pool *pool, unsigned n_tx_queues)
{
	struct rig_port *rig = calloc(1, sizeof(*rig));

	snprintf(rig->port.name, sizeof(rig->port.name), "%s", name);
	rig->port.ops = &rig_driver;
	rig->port.pool = pool;
	rig->port.n_rx_queues = 1;
	rig->port.n_tx_queues = n_tx_queues;
	rig->port.frame_bytes_max = sizeof(rig->in[0].data);
	rig->port.rx[0].driver = rig;
	for (unsigned i = 0; i < n_tx_queues; i++)
		rig->port.tx[i].driver = rig;
	rig->tx_limit = UINT32_MAX;
	rig->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return rig;
}

void rig_port_free(struct rig_port *rig)
{
	close(rig->event_fd);
	free(rig);
}

void rig_port_give(struct rig_port *rig, const void *data, unsigned length)
{
	struct rig_frame *frame = &rig->in[rig->in_head % RIG_QUEUE];
	uint64_t one = 1;

	while (rig->in_head - __atomic_load_n(&rig->in_tail, __ATOMIC_ACQUIRE) == RIG_QUEUE)
		rig_yield();
	frame->length = (uint16_t)length;
	memcpy(frame->data, data, length);
	__atomic_store_n(&rig->in_head, rig->in_head + 1, __ATOMIC_RELEASE);
	(void)!write(rig->event_fd, &one, sizeof(one));
}

uint32_t rig_port_n_out(const struct rig_port *rig)
{
	return __atomic_load_n(&rig->out_head, __ATOMIC_ACQUIRE) - rig->out_tail;
}

const struct rig_frame *rig_port_take(struct rig_port *rig)
{
	const struct rig_frame *frame = &rig->out[rig->out_tail % RIG_QUEUE];

	if (rig_port_n_out(rig) == 0)
		return NULL;
	__atomic_store_n(&rig->out_tail, rig->out_tail + 1, __ATOMIC_RELEASE);
	return frame;
}

unsigned rig_udp(uint8_t *frame, uint32_t src, uint32_t dst, uint16_t src_port, uint16_t dst_port)
{
	static const uint8_t start[] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0};
	uint16_t ports[2] = {htons(src_port), htons(dst_port)};
	uint32_t addresses[2] = {htonl(src), htonl(dst)};

	memset(frame, 0, 60);
	memcpy(frame, start, sizeof(start));
	memcpy(frame + 26, addresses, 8);
	memcpy(frame + 34, ports, 4);
	return 60;
}

/* ---- NF ------------------------------------------------------------------------------------ */

static void map_rings(struct rig_nf *rig, unsigned worker)
{
	const struct netvm_layout *layout = &rig->layout;
	uint8_t *at =
		(uint8_t *)rig->channel + layout->queue_offset + layout->queue_stride * worker;

	netvm_ring_end_init(&rig->rx[worker], at, layout->rx_words);
	at += netvm_ring_size_bytes(layout->rx_words);
	netvm_ring_end_init(&rig->tx[worker], at, layout->tx_words);
	at += netvm_ring_size_bytes(layout->tx_words);
	netvm_ring_end_init(&rig->stock[worker], at, layout->stock_words);
}

static struct rig_nf *attach(
	struct engine *engine, struct buffer_pool *pool, struct nf_options options)
{
	struct rig_nf *rig = calloc(1, sizeof(*rig));

	options.layout = &rig->layout;
	options.stock_quota = 200; /* less than the ring holds */
	nf_layout(engine, pool, 256, 256, 1, &rig->layout);
	rig->channel = aligned_alloc(4096, rig->layout.channel_bytes);
	memset(rig->channel, 0, rig->layout.channel_bytes);
	options.channel = rig->channel;
	if (pipe2(rig->pipe, O_NONBLOCK | O_CLOEXEC) < 0)
		abort();
	options.queue_fd[0] = rig->pipe[1];
	for (unsigned w = 0; w < engine_n_workers(engine); w++) {
		rig->worker_fd[w] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		options.worker_fd[w] = rig->worker_fd[w];
		map_rings(rig, w);
	}
	if (engine_nf_attach(engine, &options, &rig->nf, NULL))
		abort();
	return rig;
}

struct rig_nf *rig_nf_new(struct engine *engine, struct service *service, struct buffer_pool *pool,
	const char *name, uint32_t features)
{
	return attach(engine, pool,
		(struct nf_options){.name = name, .service = service, .features = features});
}

struct rig_nf *rig_nf_standby(
	struct engine *engine, struct service *service, struct buffer_pool *pool, const char *name)
{
	return attach(engine, pool,
		(struct nf_options){.name = name, .service = service, .standby = true});
}

struct rig_nf *rig_nf_parked(
	struct engine *engine, struct service *service, struct buffer_pool *pool, const char *name)
{
	return attach(engine, pool,
		(struct nf_options){.name = name, .service = service, .parked = true});
}

unsigned rig_nf_free(struct engine *engine, struct rig_nf *rig)
{
	unsigned lost = engine_nf_detach(engine, rig->nf, DROP_NF_DIED, 0, NULL);

	rig_nf_discard(rig);
	return lost;
}

void rig_nf_discard(struct rig_nf *rig)
{
	for (unsigned w = 0; w < rig->layout.n_workers; w++)
		close(rig->worker_fd[w]);
	close(rig->pipe[0]);
	close(rig->pipe[1]);
	free(rig->channel);
	free(rig);
}

unsigned rig_nf_take(struct rig_nf *rig, unsigned worker, uint64_t *words, unsigned max)
{
	return netvm_ring_take(&rig->rx[worker], words, max);
}

void rig_nf_send(struct rig_nf *rig, unsigned worker, const uint64_t *words, unsigned n)
{
	uint64_t one = 1;

	while (netvm_ring_room(&rig->tx[worker], n) < n)
		rig_yield();
	for (unsigned i = 0; i < n; i++)
		netvm_ring_stage(&rig->tx[worker], words[i]);
	netvm_ring_publish(&rig->tx[worker]);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&rig->channel->worker[worker].sleep_ticket, __ATOMIC_RELAXED))
		(void)!write(rig->worker_fd[worker], &one, sizeof(one));
}

unsigned rig_nf_turn(struct rig_nf *rig, unsigned verdict)
{
	unsigned total = 0;

	for (unsigned w = 0; w < rig->layout.n_workers; w++) {
		uint64_t words[64];
		unsigned n = rig_nf_take(rig, w, words, 64);

		for (unsigned i = 0; i < n; i++)
			words[i] = netvm_desc_set_verdict(words[i], verdict);
		if (n > 0)
			rig_nf_send(rig, w, words, n);
		total += n;
	}
	return total;
}

unsigned rig_nf_destination(
	const struct rig_nf *rig, enum netvm_destination_kind kind, const char *name)
{
	for (unsigned i = NETVM_VERDICT_FIRST_DESTINATION; i < NETVM_DESTINATIONS_MAX; i++)
		if (rig->channel->destination[i].kind == kind &&
			strcmp(rig->channel->destination[i].name, name) == 0)
			return i;
	return 0;
}
