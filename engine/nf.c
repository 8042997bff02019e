/*
 * NFs on the control side: taking them in, taking them out, taking back what they owned.
 *
 * Out means, in this order: no new packets (the service's table is rebuilt without it), optionally
 * a time to hand back what it has, then no worker reads its rings (the link leaves the workers'
 * tables), then every buffer the table says it owns is freed. From the second step on nobody else
 * writes the state of those buffers, so the scan needs no lock.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"
#include "engine/control.h"

static uint32_t power_of_two(uint32_t value)
{
	uint32_t power = NETVM_RING_WORDS_MIN;

	while (power < value && power < NETVM_RING_WORDS_MAX)
		power *= 2;
	return power;
}

void nf_layout(const struct engine *engine, const struct buffer_pool *pool, uint32_t ring_words,
	uint32_t stock_words, uint32_t n_queues, struct netvm_layout *layout)
{
	uint64_t pair;

	memset(layout, 0, sizeof(*layout));
	layout->rx_words = power_of_two(ring_words);
	layout->stock_words = power_of_two(stock_words);
	layout->tx_words = power_of_two(layout->rx_words + layout->stock_words);
	layout->n_workers = engine->n_workers;
	layout->n_queues = n_queues;
	pair = netvm_ring_size_bytes(layout->rx_words) + netvm_ring_size_bytes(layout->tx_words) +
	       netvm_ring_size_bytes(layout->stock_words);
	layout->queue_stride = (pair + 4095) / 4096 * 4096;
	layout->queue_offset = (sizeof(struct netvm_channel) + 4095) / 4096 * 4096;
	layout->channel_bytes =
		layout->queue_offset + layout->queue_stride * layout->n_workers * n_queues;
	layout->group_bytes = pool->size_bytes;
	layout->buffer_offset = 0;
	layout->buffer_stride = pool->stride;
	layout->n_buffers = pool->n_buffers;
	layout->headroom = pool->headroom;
}

/* ---- in ------------------------------------------------------------------------------------ */

static void init_link(struct nf *nf, const struct nf_options *options, unsigned worker)
{
	const struct netvm_layout *layout = options->layout;
	struct nf_link *link = &nf->link[worker];

	link->nf = nf;
	link->parked = options->parked;
	link->owner = buffer_owner_nf(nf->number, worker);
	link->worker_state = &options->channel->worker[worker];
	for (unsigned q = 0; q < nf->n_queues; q++) {
		struct nf_queue *queue = &link->queue[q];
		uint8_t *at = (uint8_t *)options->channel + layout->queue_offset +
			      layout->queue_stride * (worker * nf->n_queues + q);

		netvm_ring_end_init(&queue->rx, at, layout->rx_words);
		at += netvm_ring_size_bytes(layout->rx_words);
		netvm_ring_end_init(&queue->tx, at, layout->tx_words);
		at += netvm_ring_size_bytes(layout->tx_words);
		netvm_ring_end_init(&queue->stock, at, layout->stock_words);
		queue->sleep_ticket = &options->channel->queue[q].sleep_ticket;
		queue->fd = options->queue_fd[q];
	}
}

static void add_link(struct worker *worker, void *arg)
{
	struct nf *nf = arg;
	/* Edge-triggered and never read: an NF that empties or fills it can do us no harm. */
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLET, .data.fd = nf->worker_fd[worker->id]};

	worker->link[worker->n_links++] = &nf->link[worker->id];
	epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event);
}

static struct nf *nf_new(struct engine *engine, const struct nf_options *options, unsigned number)
{
	struct nf *nf = calloc(1, sizeof(*nf));
	size_t bytes = (engine->n_workers * sizeof(struct nf_link) + 127) / 128 * 128;

	if (!nf)
		return NULL;
	nf->link = aligned_alloc(128, bytes);
	if (!nf->link) {
		free(nf);
		return NULL;
	}
	memset(nf->link, 0, bytes);
	snprintf(nf->name, sizeof(nf->name), "%s", options->name);
	nf->number = (uint16_t)number;
	nf->n_workers = engine->n_workers;
	nf->n_queues = options->layout->n_queues;
	nf->rx_words = options->layout->rx_words;
	nf->features = options->features;
	nf->stock_quota = options->stock_quota;
	nf->service = options->service;
	nf->pool = options->service->pool;
	nf->parked = options->parked;
	nf->channel = options->channel;
	nf->standby = options->standby;
	memcpy(nf->worker_fd, options->worker_fd, sizeof(nf->worker_fd));
	for (unsigned i = 0; i < engine->n_workers; i++)
		init_link(nf, options, i);
	return nf;
}

static unsigned n_instances(const struct service *service)
{
	unsigned n = 0;

	for (const struct nf *nf = service->nfs; nf; nf = nf->next)
		n += !nf->parked;
	return n;
}

int engine_nf_attach(struct engine *engine, const struct nf_options *options, struct nf **out,
	struct error *error)
{
	struct service *service = options->service;
	unsigned number = 0;
	struct nf *nf;

	while (number < ENGINE_NFS_MAX && engine->nf[number])
		number++;
	if (number == ENGINE_NFS_MAX ||
		(!options->parked && n_instances(service) == SERVICE_INSTANCES_MAX))
		return error_set(error, ENOSPC, "nfs", "at most 1024 NFs, 64 of one service",
			"no place for NF %s", options->name);
	nf = nf_new(engine, options, number);
	if (!nf)
		return error_set(error, ENOMEM, "nfs", "", "out of memory");
	service_show_destinations(service, nf);
	engine->nf[number] = nf;
	workers_call(engine, add_link, nf);
	nf->next = service->nfs;
	service->nfs = nf;
	if (!nf->parked)
		seats_join(service, nf);
	service_rebuild(engine, service);
	*out = nf;
	return 0;
}

/* ---- out ----------------------------------------------------------------------------------- */

/* Nobody waits for its packets any more, and a gated one may still be on the list to publish. */
static void remove_link(struct worker *worker, void *arg)
{
	struct nf *nf = arg;
	struct nf_link *link = &nf->link[worker->id];
	uint32_t kept = 0, dirty = 0;

	for (uint32_t i = 0; i < worker->n_links; i++) {
		if (worker->link[i]->behind == link)
			worker->link[i]->behind = NULL;
		if (worker->link[i] != link)
			worker->link[kept++] = worker->link[i];
	}
	worker->n_links = kept;
	for (uint32_t i = 0; i < worker->n_dirty; i++)
		if (worker->dirty[i] != link)
			worker->dirty[dirty++] = worker->dirty[i];
	worker->n_dirty = dirty;
	epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, nf->worker_fd[worker->id], NULL);
}

/* What an NF took with it. */
struct loss {
	struct nf *nf;
	enum drop_reason reason;
	unsigned n_lost; /* packets */
	uint32_t n;      /* buffers, as owned() notes them in the pool's scratch */
};

/* Run by each worker for the buffers that went to the NF through it. */
static void write_off(struct worker *worker, void *arg)
{
	struct loss *loss = arg;
	struct nf *nf = loss->nf;
	struct buffer_pool *pool = nf->pool;

	for (uint32_t i = 0; i < loss->n; i++) {
		uint32_t index = pool->scratch[i] & (NETVM_BUFFERS_MAX - 1);
		struct buffer_state *state = &pool->state[index];
		uint64_t word;

		if (pool->scratch[i] >> NETVM_INDEX_BITS != worker->id)
			continue; /* another worker's, who may be at it */
		word = netvm_desc(index, state->generation, 0, 0, 0);
		state->owner = OWNER_ENGINE;
		if (!state->is_packet) {
			buffer_free(worker->cache[pool->number], &word, 1);
			continue;
		}
		worker->reserved[nf->service->number]--;
		if (state->program)
			program_leave(worker, state->program, state->step, 1);
		output_drop(worker, loss->reason, &nf->link[worker->id].counters, pool, &word, 1);
	}
}

static bool is_owned(const struct nf *nf, uint16_t owner)
{
	return owner >= nf->link[0].owner && owner <= nf->link[nf->n_workers - 1].owner;
}

/*
 * Buffers the table says the NF owns: to `notes` go their indices and, above, through whom. Its own
 * do not change any more; those of others may while they are looked at, to what is not its either.
 */
__attribute__((no_sanitize_thread)) static uint32_t owned(
	const struct nf *nf, uint32_t *notes, unsigned *n_packets)
{
	uint32_t n = 0;

	*n_packets = 0;
	for (uint32_t i = 0; i < nf->pool->n_buffers; i++) {
		const struct buffer_state *state = &nf->pool->state[i];
		uint16_t owner = __atomic_load_n(&state->owner, __ATOMIC_RELAXED);

		if (!is_owned(nf, owner))
			continue;
		*n_packets += state->is_packet;
		notes[n++] = i | (uint32_t)(owner - nf->link[0].owner) << NETVM_INDEX_BITS;
	}
	return n;
}

static void request_stop(const struct nf *nf)
{
	uint32_t control = __atomic_load_n(&nf->channel->control, __ATOMIC_RELAXED);
	char one = 1;

	__atomic_store_n(&nf->channel->control, control | NETVM_CONTROL_STOP, __ATOMIC_SEQ_CST);
	for (unsigned q = 0; q < nf->n_queues; q++)
		(void)!write(nf->link[0].queue[q].fd, &one, 1);
}

/* Told to stop, it also hands back what it would keep longer. */
static void drain(struct engine *engine, struct nf *nf, uint64_t drain_ns)
{
	uint64_t until = clock_ns(CLOCK_MONOTONIC) + drain_ns;
	struct nf_load load;

	request_stop(nf);
	do {
		engine_nf_load(engine, nf, &load);
		if (load.owned_pkts == 0)
			return;
		sched_yield();
	} while (clock_ns(CLOCK_MONOTONIC) < until);
}

unsigned engine_nf_detach(struct engine *engine, struct nf *nf, enum drop_reason reason,
	uint64_t drain_ns, struct counters *counters)
{
	struct service *service = nf->service;
	struct loss loss = {.nf = nf, .reason = reason};
	struct nf **at = &service->nfs;

	nf->parked = true;
	seats_leave(service, nf);
	service_rebuild(engine, service);
	if (drain_ns > 0)
		drain(engine, nf, drain_ns);
	workers_call(engine, remove_link, nf);
	if (reason == DROP_NF_DIED)
		suspects_note(engine, nf);
	loss.n = owned(nf, nf->pool->scratch, &loss.n_lost);
	workers_call(engine, write_off, &loss);
	if (counters)
		engine_nf_counters(engine, nf, counters);
	while (*at != nf)
		at = &(*at)->next;
	*at = nf->next;
	engine->nf[nf->number] = NULL;
	free(nf->link);
	free(nf);
	if (reason == DROP_NF_DIED)
		engine_suspects_refresh(engine);
	steer_reap(engine);
	return loss.n_lost;
}

unsigned engine_faults(struct engine *engine, struct nf **nfs, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ENGINE_NFS_MAX && n < max; i++) {
		struct nf *nf = engine->nf[i];

		if (!nf || nf->fault_told)
			continue;
		nf->fault_told = __atomic_load_n(&nf->pool->torn, __ATOMIC_ACQUIRE);
		for (unsigned w = 0; w < engine->n_workers && !nf->fault_told; w++)
			nf->fault_told = __atomic_load_n(&nf->link[w].faulty, __ATOMIC_ACQUIRE);
		if (nf->fault_told)
			nfs[n++] = nf;
	}
	return n;
}

static uint64_t join(uint64_t mark, uint64_t value)
{
	return (mark ^ value) * UINT64_C(0x100000001b3); /* FNV-1a */
}

/* It is shown nothing yet by some of the workers: others are waited for, not it. */
static bool is_gated(const struct nf *nf)
{
	for (unsigned w = 0; w < nf->n_workers; w++)
		if (__atomic_load_n(&nf->link[w].gated, __ATOMIC_RELAXED))
			return true;
	return false;
}

void engine_nf_pulse(
	struct engine *engine, const struct nf *nf, unsigned queue, struct nf_pulse *pulse)
{
	const struct netvm_nf_queue_state *state = &nf->channel->queue[queue];
	uint32_t ticket = __atomic_load_n(&state->sleep_ticket, __ATOMIC_RELAXED);
	struct nf_load load;
	bool waits = false;

	engine_nf_load(engine, nf, &load);
	pulse->mark = join(ticket, __atomic_load_n(&state->heartbeat, __ATOMIC_RELAXED));
	for (unsigned w = 0; w < nf->n_workers; w++) {
		const struct nf_queue *q = &nf->link[w].queue[queue];
		uint32_t taken = __atomic_load_n(&q->rx.ring->consumer, __ATOMIC_RELAXED);

		waits |= __atomic_load_n(&q->rx.own, __ATOMIC_RELAXED) != taken;
		pulse->mark = join(pulse->mark, taken);
		pulse->mark =
			join(pulse->mark, __atomic_load_n(&q->tx.ring->producer, __ATOMIC_RELAXED));
	}
	pulse->has_work = !is_gated(nf) && (waits || (ticket == 0 && load.owned_pkts > 0));
}

void engine_nf_load(struct engine *engine, const struct nf *nf, struct nf_load *load)
{
	(void)engine;
	memset(load, 0, sizeof(*load));
	for (unsigned w = 0; w < nf->n_workers; w++) {
		const struct nf_link *link = &nf->link[w];
		/* What came back first, so that what went out since cannot make it negative. */
		uint64_t back = counter_get(&link->counters.rx_pkts);

		load->owned_pkts += (unsigned)(counter_get(&link->counters.tx_pkts) - back);
		load->stock += __atomic_load_n(&link->n_stock, __ATOMIC_RELAXED);
		for (unsigned q = 0; q < nf->n_queues; q++) {
			const struct netvm_ring_end *rx = &link->queue[q].rx;
			uint32_t filled = __atomic_load_n(&rx->own, __ATOMIC_RELAXED) -
					  __atomic_load_n(&rx->ring->consumer, __ATOMIC_RELAXED);

			load->rx_ring_words += rx->mask + 1;
			/* The NF may lie about its index; a depth cannot be more than the ring. */
			load->rx_ring_depth += filled <= rx->mask + 1 ? filled : rx->mask + 1;
		}
	}
}
