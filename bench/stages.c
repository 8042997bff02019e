/*
 * What one packet costs in each stage of the engine: chain 1 between two null ports, worker on core
 * A, NF on core B, with a stopwatch on the calls between the engine's files.
 *
 *   driver rx | input_turn | program_admit | border_put | border_publish   towards the NF
 *   tx ring   | border_turn | program_run | output_send | output_flush | driver tx   back
 *
 * The engine is the one that netvmd runs, unmodified: the linker (--wrap) leads these calls through
 * the functions below. Time goes to the innermost stage; turns that moved nothing go to "waiting".
 * The reading itself costs about 20 cycles per call and burst, that is under one per packet.
 *
 * Called by stages.py. Usage: bench-stages [SECONDS] [CORE_A] [CORE_B]
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "engine/datapath.h"
#include "modules/port/driver.h"

#define RING_WORDS 2048u
#define WARM_UP_S  0.2

/* ---- the stopwatch ------------------------------------------------------------------------- */

enum stage {
	STAGE_OUTSIDE, /* the loop itself */
	STAGE_RECEIVE,
	STAGE_CLASSIFY,
	STAGE_ADMIT,
	STAGE_PUT,
	STAGE_GET,
	STAGE_VALIDATE,
	STAGE_RUN,
	STAGE_SEND,
	STAGE_TRANSMIT,
	STAGE_WAITING,
	N_STAGES
};

static const char *const stage_names[N_STAGES] = {
	[STAGE_OUTSIDE] = "loop",
	[STAGE_RECEIVE] = "receive (null driver: take buffers, make packets)",
	[STAGE_CLASSIFY] = "classify (account, parse, flow cache)",
	[STAGE_ADMIT] = "admit (reserve room in the chain)",
	[STAGE_PUT] = "ring put (owner, ring, publish)",
	[STAGE_GET] = "ring get (lines come from the NF's core)",
	[STAGE_VALIDATE] = "validate (owner, generation, extent, verdict)",
	[STAGE_RUN] = "next step of the program",
	[STAGE_SEND] = "send (account, batch)",
	[STAGE_TRANSMIT] = "transmit (null driver: give buffers back)",
	[STAGE_WAITING] = "waiting for the other core",
};

/* Written by the worker only. */
static struct {
	enum stage now;
	uint64_t since;
	uint64_t cycles[N_STAGES];
	uint64_t received; /* packets */
} watch;

/* Charge the time since the last change to the stage that was running, and go to another. */
static inline enum stage watch_enter(enum stage stage)
{
	uint64_t tsc = rte_rdtsc();
	enum stage before = watch.now;

	watch.cycles[before] += tsc - watch.since;
	watch.since = tsc;
	watch.now = stage;
	return before;
}

/* Charge what `stage` got since it had `cycles` to waiting instead: nothing was moved. */
static inline void watch_discard(enum stage stage, uint64_t cycles)
{
	watch.cycles[STAGE_WAITING] += watch.cycles[stage] - cycles;
	watch.cycles[stage] = cycles;
}

#define WRAP(stage_, function, parameters, arguments)                                              \
	void __real_##function parameters;                                                         \
	void __wrap_##function parameters;                                                         \
	void __wrap_##function parameters                                                          \
	{                                                                                          \
		enum stage before = watch_enter(stage_);                                           \
                                                                                                   \
		__real_##function arguments;                                                       \
		watch_enter(before);                                                               \
	}

WRAP(STAGE_ADMIT, program_admit,
	(struct worker * worker, const struct program *program, struct buffer_pool *pool,
		uint64_t *words, unsigned n),
	(worker, program, pool, words, n))
WRAP(STAGE_RUN, program_run,
	(struct worker * worker, const struct program *program, unsigned step,
		struct buffer_pool *pool, uint64_t *words, unsigned n),
	(worker, program, step, pool, words, n))
WRAP(STAGE_SEND, output_send,
	(struct worker * worker, struct port_slot *slot, struct counters *chain,
		struct buffer_pool *pool, uint64_t *words, unsigned n),
	(worker, slot, chain, pool, words, n))
WRAP(STAGE_SEND, output_flush, (struct worker * worker), (worker))
WRAP(STAGE_PUT, border_publish, (struct worker * worker), (worker))

unsigned __real_border_put(struct worker *worker, struct nf *nf, unsigned queue,
	const struct program *program, unsigned step, unsigned next, struct buffer_pool *pool,
	const uint64_t *words, unsigned n);
unsigned __wrap_border_put(struct worker *worker, struct nf *nf, unsigned queue,
	const struct program *program, unsigned step, unsigned next, struct buffer_pool *pool,
	const uint64_t *words, unsigned n);
unsigned __wrap_border_put(struct worker *worker, struct nf *nf, unsigned queue,
	const struct program *program, unsigned step, unsigned next, struct buffer_pool *pool,
	const uint64_t *words, unsigned n)
{
	enum stage before = watch_enter(STAGE_PUT);

	n = __real_border_put(worker, nf, queue, program, step, next, pool, words, n);
	watch_enter(before);
	return n;
}

unsigned __real_input_turn(struct worker *worker);
unsigned __wrap_input_turn(struct worker *worker);
unsigned __wrap_input_turn(struct worker *worker)
{
	uint64_t cycles = watch.cycles[STAGE_CLASSIFY];
	enum stage before = watch_enter(STAGE_CLASSIFY);
	unsigned moved = __real_input_turn(worker);

	watch_enter(before);
	if (moved == 0)
		watch_discard(STAGE_CLASSIFY, cycles);
	return moved;
}

/*
 * Bring the words that border_turn is about to take into this core's cache, so that what is left
 * of border_turn is the judging. Changes nothing.
 */
static void look_into_ring(const struct netvm_ring_end *end)
{
	uint32_t filled = __atomic_load_n(&end->ring->producer, __ATOMIC_ACQUIRE) - end->own;

	for (uint32_t i = 0; i < filled && i <= end->mask; i++)
		(void)__atomic_load_n(
			&end->ring->word[(end->own + i) & end->mask], __ATOMIC_RELAXED);
}

unsigned __real_border_turn(struct worker *worker);
unsigned __wrap_border_turn(struct worker *worker);
unsigned __wrap_border_turn(struct worker *worker)
{
	uint64_t get = watch.cycles[STAGE_GET], validate = watch.cycles[STAGE_VALIDATE];
	enum stage before = watch_enter(STAGE_GET);
	unsigned moved;

	if (worker->n_links > 0)
		look_into_ring(&worker->link[0]->queue[0].tx);
	watch_enter(STAGE_VALIDATE);
	moved = __real_border_turn(worker);
	watch_enter(before);
	if (moved == 0) {
		watch_discard(STAGE_GET, get);
		watch_discard(STAGE_VALIDATE, validate);
	}
	return moved;
}

/* The driver's calls go through a table: timed by a driver around the null driver. */
static unsigned timed_rx(struct port_queue *queue, uint64_t *words, unsigned max)
{
	enum stage before = watch_enter(STAGE_RECEIVE);
	unsigned n = null_driver.rx(queue, words, max);

	watch_enter(before);
	counter_add(&watch.received, n);
	return n;
}

static unsigned timed_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	enum stage before = watch_enter(STAGE_TRANSMIT);

	n = null_driver.tx(queue, words, n);
	watch_enter(before);
	return n;
}

/* ---- the NF -------------------------------------------------------------------------------- */

struct bench_nf {
	struct nf *nf;
	struct netvm_layout layout;
	struct netvm_channel *channel;
	struct netvm_ring_end rx, tx;
	int worker_fd, pipe[2], core;
	pthread_t thread;
	bool stop;       /* atomic */
	uint64_t cycles; /* of turns that moved packets */
	uint64_t pkts;
};

static void pin(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Takes and gives back: "next" is what each word says already (enum netvm_verdict). */
static void *nf_main(void *arg)
{
	struct bench_nf *nf = arg;
	uint64_t words[BURST];

	pin(nf->core);
	while (!__atomic_load_n(&nf->stop, __ATOMIC_RELAXED)) {
		uint64_t start = rte_rdtsc();
		uint32_t n = netvm_ring_take(&nf->rx, words, BURST);

		if (n == 0 || n == NETVM_RING_CORRUPT)
			continue;
		netvm_ring_room(&nf->tx, n);
		for (uint32_t i = 0; i < n; i++)
			netvm_ring_stage(&nf->tx, words[i]);
		netvm_ring_publish(&nf->tx);
		nf->cycles += rte_rdtsc() - start;
		nf->pkts += n;
	}
	return NULL;
}

static int nf_start(struct bench_nf *nf, struct engine *engine, struct service *service,
	struct buffer_pool *pool, struct error *error)
{
	struct nf_options options = {.name = "nf", .service = service, .layout = &nf->layout};
	uint8_t *at;

	nf_layout(engine, pool, RING_WORDS, NETVM_RING_WORDS_MIN, 1, &nf->layout);
	nf->channel = aligned_alloc(4096, nf->layout.channel_bytes);
	nf->worker_fd = eventfd(0, EFD_NONBLOCK);
	if (nf->channel == NULL || nf->worker_fd < 0 || pipe2(nf->pipe, O_NONBLOCK) < 0)
		return error_set(error, ENOMEM, "nf", "", "no memory for the channel");
	memset(nf->channel, 0, nf->layout.channel_bytes);
	at = (uint8_t *)nf->channel + nf->layout.queue_offset;
	netvm_ring_end_init(&nf->rx, at, nf->layout.rx_words);
	netvm_ring_end_init(
		&nf->tx, at + netvm_ring_size_bytes(nf->layout.rx_words), nf->layout.tx_words);
	options.channel = nf->channel;
	options.worker_fd[0] = nf->worker_fd;
	options.queue_fd[0] = nf->pipe[1];
	if (pthread_create(&nf->thread, NULL, nf_main, nf) != 0)
		return error_set(error, EAGAIN, "nf", "", "no thread");
	return engine_nf_attach(engine, &options, &nf->nf, error);
}

/* ---- the run ------------------------------------------------------------------------------- */

static struct port_driver timed_driver;

static int port_open(struct port *port, const char *name, const char *args, struct engine *engine,
	struct buffer_pool *pool, struct error *error)
{
	const struct port_config config = {
		.name = name, .args = args, .pool = pool, .n_rx_queues = 1, .n_tx_queues = 1};
	int result;

	snprintf(port->name, sizeof(port->name), "%s", name);
	port->ops = &timed_driver;
	port->pool = pool;
	result = null_driver.open(port, &config, error);
	if (result == 0)
		result = engine_port_attach(engine, port, error);
	if (result == 0)
		engine_port_set_up(engine, port, true);
	return result;
}

/* Two rules, so that the worker has to look into each packet: UDP to the chain, the rest dropped.
 */
static int steer(struct engine *engine, struct service *service, struct port *source,
	struct port *sink, struct error *error)
{
	static struct program_options programs[2];
	struct rule rules[2] = {{.priority = 1}, {.program = 1}};

	for (unsigned i = 0; i < 2; i++) {
		rules[i].match.in_port = source;
		rules[i].match.src_port_max = UINT16_MAX;
		rules[i].match.dst_port_max = UINT16_MAX;
	}
	rules[0].match.has_protocol = true;
	rules[0].match.protocol = 17;
	programs[0] = (struct program_options){.name = "chain", .n_steps = 2};
	programs[0].step[0] = (struct program_step){.op = PROGRAM_CALL, .service = service};
	programs[0].step[1] = (struct program_step){.op = PROGRAM_OUTPUT, .port = sink};
	programs[1] = (struct program_options){.name = "rest", .n_steps = 1};
	programs[1].step[0] = (struct program_step){.op = PROGRAM_DROP, .reason = DROP_POLICY};
	return engine_steer(engine, programs, 2, rules, 2, error);
}

static void print_stage(const char *name, double cycles)
{
	printf("{\"stage\": \"%s\", \"ns\": %.2f, \"cycles\": %.1f}\n", name,
		cycles * 1e9 / (double)rte_get_tsc_hz(), cycles);
}

static void reset(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
	memset(&watch, 0, sizeof(watch));
	watch.since = rte_rdtsc();
}

static void report(struct worker *worker, void *arg)
{
	const struct bench_nf *nf = arg;

	(void)worker;
	for (unsigned i = 0; i < N_STAGES; i++)
		print_stage(stage_names[i], (double)watch.cycles[i] / (double)watch.received);
	print_stage("NF (other core: ring get, verdict, ring put)",
		(double)nf->cycles / (double)nf->pkts);
}

static void sleep_for(double seconds)
{
	usleep((useconds_t)(seconds * 1e6));
}

static int run(double seconds, int core_a, int core_b, struct error *error)
{
	const struct engine_options options = {
		.n_workers = 1, .cpu = {core_a}, .busy = true, .notify_fd = eventfd(0, 0)};
	const struct buffer_pool_options buffers = {
		.name = "bench", .n_buffers = 16384, .buffer_bytes = 2048, .huge_pages = -1};
	static struct bench_nf nf;
	static struct port source, sink;
	struct engine *engine;
	struct buffer_pool *pool;
	struct service *service;
	int result;

	nf.core = core_b;
	timed_driver = null_driver;
	timed_driver.rx = timed_rx;
	timed_driver.tx = timed_tx;
	if ((result = engine_create(&options, &engine, error)) != 0 ||
		(result = buffer_pool_create(&buffers, &pool, error)) != 0 ||
		(result = engine_pool_attach(engine, pool, error)) != 0 ||
		(result = engine_service_create(engine, "nf", pool, &service, error)) != 0 ||
		(result = port_open(&sink, "sink", "source=off", engine, pool, error)) != 0 ||
		(result = port_open(&source, "source", "", engine, pool, error)) != 0 ||
		(result = nf_start(&nf, engine, service, pool, error)) != 0 ||
		(result = steer(engine, service, &source, &sink, error)) != 0)
		return result;
	sleep_for(WARM_UP_S);
	workers_call(engine, reset, NULL);
	sleep_for(seconds);
	workers_call(engine, report, &nf);
	return 0; /* the end of the process takes everything down */
}

int main(int argc, char **argv)
{
	struct error error = {0};
	int result = run(argc > 1 ? atof(argv[1]) : 1.0, argc > 2 ? atoi(argv[2]) : 0,
		argc > 3 ? atoi(argv[3]) : 1, &error);

	if (result != 0)
		fprintf(stderr, "bench-stages: %s: %s\n", error.path, error.message);
	fflush(stdout);
	_exit(result != 0);
}
