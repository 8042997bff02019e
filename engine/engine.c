/*
 * The engine's life, its pools and its ports: the control side of what workers run. Called by the
 * manager; see engine.h. Each change of a worker's tables is a function run by the worker itself
 * (workers_call).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <rte_cycles.h>

#include "common/clock.h"
#include "engine/control.h"
#include "engine/datapath.h"
#include "engine/eal.h"
#include "engine/guard.h"

#define FLOW_CACHE_DEFAULT 16384u
#define FLOW_CACHE_MIN     64u
#define FLOW_CACHE_MAX     (1u << 22)

/* ---- life ---------------------------------------------------------------------------------- */

static void start_clock(struct engine *engine)
{
	engine->ns_base = clock_ns(CLOCK_MONOTONIC);
	engine->tsc_base = rte_rdtsc();
	engine->ns_per_tsc = 1e9 / (double)rte_get_tsc_hz();
}

static void *zeroed(size_t align, size_t size)
{
	void *at;

	size = (size + align - 1) / align * align;
	at = aligned_alloc(align, size);
	if (at)
		memset(at, 0, size);
	return at;
}

static struct worker *worker_new(struct engine *engine, unsigned id)
{
	struct worker *worker = zeroed(128, sizeof(*worker));
	uint32_t entries = engine->options.flow_cache_entries;

	if (!worker)
		return NULL;
	worker->engine = engine;
	worker->id = id;
	worker->n_workers = engine->n_workers;
	worker->cpu = engine->options.cpu[id];
	worker->busy = engine->options.busy;
	worker->steering = engine->steering;
	worker->flow_cache = zeroed(128, entries * sizeof(struct flow_entry));
	worker->flow_cache_mask = entries - 1;
	worker->flow_version = 1;
	if (worker->flow_cache)
		return worker;
	free(worker);
	return NULL;
}

static void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	free(worker->flow_cache);
	free(worker);
}

/* A ring from each worker to each other one. */
static int connect_workers(struct engine *engine)
{
	size_t ring_bytes = netvm_ring_size_bytes(HANDOFF_WORDS);
	unsigned n = engine->n_workers;
	uint8_t *at;

	engine->handoff_memory = zeroed(NETVM_RING_ALIGN, ring_bytes * n * n);
	if (!engine->handoff_memory)
		return -ENOMEM;
	at = engine->handoff_memory;
	for (unsigned from = 0; from < n; from++) {
		for (unsigned to = 0; to < n; to++, at += ring_bytes) {
			netvm_ring_end_init(
				&engine->worker[from]->handoff_to[to], at, HANDOFF_WORDS);
			netvm_ring_end_init(
				&engine->worker[to]->handoff_from[from], at, HANDOFF_WORDS);
		}
	}
	return 0;
}

static int check_options(const struct engine_options *options, struct error *error)
{
	uint32_t entries = options->flow_cache_entries;

	if (options->n_workers < 1 || options->n_workers > NETVM_WORKERS_MAX)
		return error_set(error, EINVAL, "engine.workers", "1 to 16", "%u workers cannot be",
			options->n_workers);
	if (entries &&
		(entries < FLOW_CACHE_MIN || entries > FLOW_CACHE_MAX || (entries & (entries - 1))))
		return error_set(error, EINVAL, "engine.flow_cache",
			"a power of two from 64 to 4194304", "a flow cache of %u cannot be",
			entries);
	return 0;
}

static int make_workers(struct engine *engine)
{
	for (unsigned i = 0; i < engine->n_workers; i++) {
		engine->worker[i] = worker_new(engine, i);
		if (!engine->worker[i])
			return -ENOMEM;
	}
	return connect_workers(engine);
}

static void engine_free(struct engine *engine)
{
	for (unsigned i = 0; i < engine->n_workers; i++)
		worker_free(engine->worker[i]);
	free(engine->handoff_memory);
	steering_free_all(engine);
	suspects_destroy(engine);
	free(engine);
}

int engine_create(const struct engine_options *options, struct engine **out, struct error *error)
{
	struct engine *engine;
	unsigned started = 0;
	int err = check_options(options, error);

	if (!err)
		err = eal_start(error);
	if (err)
		return err;
	engine = zeroed(128, sizeof(*engine));
	if (!engine)
		return error_set(error, ENOMEM, "engine", "", "out of memory");
	engine->options = *options;
	engine->n_workers = options->n_workers;
	if (!engine->options.flow_cache_entries)
		engine->options.flow_cache_entries = FLOW_CACHE_DEFAULT;
	start_clock(engine);
	guard_install(options->notify_fd);
	engine->steering = steering_empty();
	if (!engine->steering || suspects_create(engine) || make_workers(engine)) {
		err = error_set(error, ENOMEM, "engine.workers", "fewer workers",
			"no memory for %u workers", engine->n_workers);
		goto fail;
	}
	for (; started < engine->n_workers; started++) {
		err = worker_start(engine->worker[started], error);
		if (err)
			goto fail;
	}
	*out = engine;
	return 0;
fail:
	while (started > 0)
		worker_stop(engine->worker[--started]);
	engine_free(engine);
	return err;
}

void engine_destroy(struct engine *engine)
{
	if (!engine)
		return;
	for (unsigned i = 0; i < engine->n_workers; i++)
		worker_stop(engine->worker[i]);
	engine_free(engine);
}

unsigned engine_n_workers(const struct engine *engine)
{
	return engine->n_workers;
}

struct counters *engine_counters_new(const struct engine *engine)
{
	return zeroed(64, engine->n_workers * sizeof(struct counters));
}

/* ---- pools --------------------------------------------------------------------------------- */

struct pool_change {
	struct buffer_pool *pool;
	struct buffer_cache *cache[NETVM_WORKERS_MAX];
};

static void set_cache(struct worker *worker, void *arg)
{
	struct pool_change *change = arg;

	worker->cache[change->pool->number] = change->cache[worker->id];
}

static void take_cache(struct worker *worker, void *arg)
{
	struct pool_change *change = arg;
	unsigned number = change->pool->number;

	hold_flush(worker, NULL, change->pool);
	change->cache[worker->id] = worker->cache[number];
	buffer_cache_flush(worker->cache[number]);
	worker->cache[number] = NULL;
}

int engine_pool_attach(struct engine *engine, struct buffer_pool *pool, struct error *error)
{
	struct pool_change change = {.pool = pool};
	unsigned number = 0;

	while (number < POOLS_MAX && engine->pool[number])
		number++;
	if (number == POOLS_MAX)
		return error_set(error, ENOSPC, "groups", "at most 255 groups",
			"no place for group %s", pool->name);
	for (unsigned i = 0; i < engine->n_workers; i++) {
		change.cache[i] = zeroed(64, sizeof(struct buffer_cache));
		if (!change.cache[i]) {
			while (i > 0)
				free(change.cache[--i]);
			return error_set(error, ENOMEM, "groups", "", "out of memory");
		}
		buffer_cache_init(change.cache[i], pool, engine->n_workers);
	}
	pool->number = (uint8_t)number;
	engine->pool[number] = pool;
	guard_add(pool);
	workers_call(engine, set_cache, &change);
	return 0;
}

void engine_pool_detach(struct engine *engine, struct buffer_pool *pool)
{
	struct pool_change change = {.pool = pool};

	workers_call(engine, take_cache, &change);
	for (unsigned i = 0; i < engine->n_workers; i++)
		free(change.cache[i]);
	guard_remove(pool);
	engine->pool[pool->number] = NULL;
}

/* ---- ports --------------------------------------------------------------------------------- */

struct port_change {
	struct port_slot *slot;
	struct port *port;
	struct tx_batch *batch[NETVM_WORKERS_MAX];
};

static void watch(struct worker *worker, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= 0)
		epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Receive queue q belongs to worker q % workers. */
static void start_receiving(struct worker *worker, struct port_slot *slot, struct port *port)
{
	for (unsigned q = worker->id; q < port->n_rx_queues; q += worker->n_workers) {
		struct rx_slot *rx = &worker->rx[worker->n_rx];

		port->rx[q].cache = worker->cache[port->pool->number];
		rx->slot = slot;
		rx->queue = &port->rx[q];
		rx->fd = port->ops->wait_fd ? port->ops->wait_fd(rx->queue) : -1;
		/* A source that waits looks at the room of this worker: its packets stay here. */
		rx->spread = port->n_rx_queues < worker->n_workers && !port->waits;
		watch(worker, rx->fd);
		worker->n_rx++;
	}
}

static void stop_receiving(struct worker *worker, struct port_slot *slot)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < worker->n_rx; i++) {
		if (worker->rx[i].slot != slot)
			worker->rx[kept++] = worker->rx[i];
		else if (worker->rx[i].fd >= 0)
			epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, worker->rx[i].fd, NULL);
	}
	worker->n_rx = kept;
}

static void add_port(struct worker *worker, void *arg)
{
	struct port_change *change = arg;
	struct port *port = change->port;

	worker->tx[change->slot->number] = change->batch[worker->id];
	if (worker->id < port->n_tx_queues) {
		port->tx[worker->id].cache = worker->cache[port->pool->number];
		if (port->ops->complete)
			worker->tx_complete[worker->n_tx_complete++] = change->slot;
	}
}

static void remove_port(struct worker *worker, void *arg)
{
	struct port_change *change = arg;
	uint32_t kept = 0;

	stop_receiving(worker, change->slot);
	for (uint32_t i = 0; i < worker->n_tx_complete; i++)
		if (worker->tx_complete[i] != change->slot)
			worker->tx_complete[kept++] = worker->tx_complete[i];
	worker->n_tx_complete = kept;
}

static void set_port_up(struct worker *worker, void *arg)
{
	struct port_change *change = arg;

	stop_receiving(worker, change->slot);
	if (change->slot->up)
		start_receiving(worker, change->slot, change->port);
}

static void quiet_port(struct worker *worker, void *arg)
{
	struct port_change *change = arg;

	stop_receiving(worker, change->slot);
}

static void no_op(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
}

void engine_grace(struct engine *engine)
{
	workers_call(engine, no_op, NULL);
}

/* Returns when the words that were between workers at the call have been taken over. */
static void handoffs_pass(struct engine *engine)
{
	engine_grace(engine);
	for (unsigned from = 0; from < engine->n_workers; from++) {
		for (unsigned to = 0; to < engine->n_workers; to++) {
			const struct netvm_ring *ring = engine->worker[from]->handoff_to[to].ring;
			uint32_t end = __atomic_load_n(&ring->producer, __ATOMIC_ACQUIRE);

			while ((int32_t)(end - __atomic_load_n(&ring->consumer, __ATOMIC_ACQUIRE)) >
				0)
				engine_grace(engine);
		}
	}
	engine_grace(engine);
}

/*
 * A slot keeps its counters, batches and one-step program when its port goes, since packets under
 * way may still name it; the next port of that number uses them again.
 */
static int prepare_slot(struct engine *engine, struct port_slot *slot, unsigned number)
{
	slot->number = (uint16_t)number;
	if (!slot->counters)
		slot->counters = engine_counters_new(engine);
	if (!slot->out)
		slot->out = program_to_port(engine, slot);
	for (unsigned i = 0; i < engine->n_workers; i++)
		if (!slot->batch[i])
			slot->batch[i] = zeroed(64, sizeof(struct tx_batch));
	for (unsigned i = 0; i < engine->n_workers; i++)
		if (!slot->batch[i])
			return -ENOMEM;
	if (!slot->counters || !slot->out)
		return -ENOMEM;
	return 0;
}

int engine_port_attach(struct engine *engine, struct port *port, struct error *error)
{
	struct port_change change = {.port = port};
	unsigned number = 1; /* 0 means "no port" to NFs */

	steer_reap(engine);

	while (number < ENGINE_PORTS_MAX &&
		(engine->port[number].port || steer_is_named(engine, &engine->port[number])))
		number++;
	if (number == ENGINE_PORTS_MAX)
		return error_set(error, ENOSPC, "ports", "at most 255 ports",
			"no place for port %s", port->name);
	change.slot = &engine->port[number];
	if (prepare_slot(engine, change.slot, number))
		return error_set(error, ENOMEM, "ports", "", "out of memory");
	memset(change.slot->counters, 0, engine->n_workers * sizeof(struct counters));
	memcpy(change.batch, change.slot->batch, sizeof(change.batch));
	port->number = (uint16_t)number;
	change.slot->pool = port->pool;
	change.slot->up = true;
	change.slot->waits = port->waits;
	__atomic_store_n(&change.slot->port, port, __ATOMIC_RELEASE);
	workers_call(engine, add_port, &change);
	return 0;
}

void engine_port_detach(struct engine *engine, struct port *port)
{
	struct port_change change = {.slot = &engine->port[port->number], .port = port};

	services_forget(engine, port, NULL);
	suspects_forget(engine, NULL, port->number);
	workers_call(engine, remove_port, &change);
	__atomic_store_n(&change.slot->port, NULL, __ATOMIC_RELEASE);
	handoffs_pass(engine);
}

void engine_port_set_up(struct engine *engine, struct port *port, bool up)
{
	struct port_change change = {.slot = &engine->port[port->number], .port = port};

	__atomic_store_n(&change.slot->up, up, __ATOMIC_RELEASE);
	workers_call(engine, set_port_up, &change);
}

void engine_port_quiet(struct engine *engine, struct port *port)
{
	struct port_change change = {.slot = &engine->port[port->number], .port = port};

	workers_call(engine, quiet_port, &change);
}
