/*
 * The judge of what an NF writes (engine/border.c, abi/ring.h) and the table of owners, in the
 * real engine with one worker that the target turns by hand.
 *
 *   group one:  in ──► evil ──► good ──► out        evil: does what the input says
 *   group two:  in2 ──► calm ──► out2               must lose nothing meanwhile
 *
 * Input: a list of steps, each a byte and its arguments. Properties, after each turn: an index
 * outside its window makes the NF faulty; exactly the words that are not the NF's own, as they
 * were given and once, are refused and counted. At the end, when it is taken out: books balanced,
 * nothing in flight or reserved, every buffer free, the other group without loss; in a trace, if
 * there was one, an end for each packet.
 */
#include <sys/eventfd.h>

#include "engine/datapath.h"
#include "engine/test_rig.h"
#include "tests/fuzz/common/still_worker.h"
#include "tests/fuzz/fuzz.h"

#define N_BUFFERS 512u
#define HELD_MAX  512u
#define STEPS_MAX 250 /* of at most 16 frames each: fits a port's queue */

static struct engine *engine;
static struct buffer_pool *one, *two;
static struct rig_port *in, *out, *in2, *out2;
static struct service *evil_service, *good_service, *calm_service;
static struct rig_nf *evil, *good, *calm;

/* What the evil NF knows. */
static uint64_t held[HELD_MAX];
static unsigned n_held;
static int owned[N_BUFFERS]; /* generation + 1 of what it was given and has not given back */
static uint32_t n_calm_in, n_calm_out; /* packets of the other group */

/* ---- the world ------------------------------------------------------------------------------- */

static struct buffer_pool *make_pool(const char *name)
{
	const struct buffer_pool_options options = {
		.name = name, .n_buffers = N_BUFFERS, .buffer_bytes = 2048};
	struct buffer_pool *pool;

	require(buffer_pool_create(&options, &pool, NULL) == 0);
	require(engine_pool_attach(engine, pool, NULL) == 0);
	return pool;
}

static struct rig_port *make_port(const char *name, struct buffer_pool *pool)
{
	struct rig_port *rig = rig_port_new(name, pool, 1);

	require(engine_port_attach(engine, &rig->port, NULL) == 0);
	engine_port_set_up(engine, &rig->port, true);
	return rig;
}

static struct service *make_service(const char *name, struct buffer_pool *pool)
{
	struct service *service;

	require(engine_service_create(engine, name, pool, &service, NULL) == 0);
	return service;
}

static struct program_step call(struct service *service)
{
	return (struct program_step){.op = PROGRAM_CALL, .service = service};
}

static struct program_step output(struct rig_port *rig)
{
	return (struct program_step){.op = PROGRAM_OUTPUT, .port = &rig->port};
}

static void steer(void)
{
	const struct program_options programs[] = {
		{.name = "one",
			.chain = 1,
			.n_steps = 3,
			.guard_crashes = UINT32_MAX, /* its last burst is looked at, no more */
			.guard_ms = UINT32_MAX,
			.step = {call(evil_service), call(good_service), output(out)}},
		{.name = "two",
			.chain = 2,
			.n_steps = 2,
			.step = {call(calm_service), output(out2)}},
	};
	const struct match all = {.src_port_max = 65535, .dst_port_max = 65535};
	struct rule rules[] = {{.match = all, .program = 0}, {.match = all, .program = 1}};
	const struct grant grants[] = {{NETVM_DESTINATION_PORT, .port = &out->port},
		{NETVM_DESTINATION_SERVICE, .service = good_service}};

	rules[0].match.in_port = &in->port;
	rules[1].match.in_port = &in2->port;
	require(engine_service_grant(engine, evil_service, grants, 2, NULL) == 0);
	require(engine_steer(engine, programs, 2, rules, 2, NULL) == 0);
}

static void start(void)
{
	struct engine_options options = {.n_workers = 1, .cpu = {-1}, .flow_cache_entries = 64};

	if (engine)
		return;
	options.notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	require(engine_create(&options, &engine, NULL) == 0);
	one = make_pool("one");
	two = make_pool("two");
	in = make_port("in", one);
	out = make_port("out", one);
	in2 = make_port("in2", two);
	out2 = make_port("out2", two);
	evil_service = make_service("evil", one);
	good_service = make_service("good", one);
	calm_service = make_service("calm", two);
	steer();
	good = rig_nf_new(engine, good_service, one, "good", 0);
	calm = rig_nf_new(engine, calm_service, two, "calm", NETVM_FEATURE_META);
}

static void give(struct rig_port *port, unsigned n)
{
	uint8_t frame[60];
	unsigned length = rig_udp(frame, 0x0a000001, 0x0a000002, 1, (uint16_t)n);

	require(port->in_head - port->in_tail + n <= RIG_QUEUE);
	while (n-- > 0)
		rig_port_give(port, frame, length);
}

/* No more at a time than half of its ring: of that nothing may be lost. */
static void give_calm(void)
{
	if (in2->in_head - in2->in_tail + 16 > 128)
		return;
	n_calm_in += 16;
	give(in2, 16);
}

/* ---- the judge, seen from outside ------------------------------------------------------------ */

/* Whether a correct host takes this word back: what the NF owns, as it was given, and once. */
static bool is_good(uint64_t word)
{
	uint32_t index = netvm_desc_index(word);

	if (index >= N_BUFFERS || owned[index] != (int)netvm_desc_generation(word) + 1)
		return false;
	owned[index] = 0;
	return true;
}

static uint64_t violations(void)
{
	struct counters counters;

	engine_nf_counters(engine, evil->nf, &counters);
	return counters.violations;
}

/* Words that the host publishes belong to the NF from then on, taken or not. */
static void note_given(const struct netvm_ring_end *host, uint32_t from)
{
	for (; from != host->own; from++) {
		uint64_t word = host->ring->word[from & host->mask];

		owned[netvm_desc_index(word)] = (int)netvm_desc_generation(word) + 1;
	}
}

/* The honest ones hand back all they have; somebody takes what comes out. */
static unsigned others_work(void)
{
	unsigned moved = 0, n;

	do {
		n = rig_nf_turn(good, NETVM_VERDICT_NEXT) + rig_nf_turn(calm, NETVM_VERDICT_NEXT);
		moved += n;
	} while (n > 0);
	while (rig_port_take(out))
		continue;
	while (rig_port_take(out2))
		n_calm_out++;
	return moved;
}

static void turn(void)
{
	struct nf_link *link = &evil->nf->link[0];
	struct nf_queue *queue = &link->queue[0];
	struct netvm_ring_end tx = queue->tx;
	uint32_t rx_from = queue->rx.own, stock_from = queue->stock.own;
	uint32_t shown = tx.ring->producer - tx.own;
	bool must_fail = tx.own == tx.peer && shown > tx.mask + 1, was_faulty = link->faulty;
	uint64_t before = violations(), words[NETVM_RING_WORDS_MIN * 16];
	uint32_t n = tx.mask + 1, n_bad = 0;

	require(n <= sizeof(words) / sizeof(words[0]));
	memcpy(words, tx.ring->word, n * sizeof(words[0])); /* the host writes none of them */
	still_worker_turn(engine->worker[0]);
	require(!must_fail || link->faulty);
	n = queue->tx.own - tx.own;
	require(n <= tx.mask + 1);
	for (uint32_t i = 0; i < n; i++)
		n_bad += !is_good(words[(tx.own + i) & tx.mask]);
	require(violations() - before == n_bad);
	require(!was_faulty || n == 0);
	note_given(&queue->rx, rx_from);
	note_given(&queue->stock, stock_from);
	others_work();
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void take(struct netvm_ring_end *ring)
{
	uint32_t n = netvm_ring_take(ring, held + n_held, HELD_MAX - n_held);

	if (n != NETVM_RING_CORRUPT)
		n_held += n;
}

static void put(uint64_t word)
{
	netvm_ring_stage(&evil->tx[0], word);
}

/* A word it was given, with another verdict, place, length or handle. */
static void put_held(struct feed *feed)
{
	uint32_t which = (uint32_t)feed_number(feed, 2), verdict = (uint32_t)feed_number(feed, 1);
	uint64_t flip = feed_number(feed, 1) << (feed_number(feed, 1) % 56);

	if (n_held > 0)
		put(netvm_desc_set_verdict(held[which % n_held] ^ flip, verdict));
}

/* A word it was given as a packet of its own making: place and length as the input says. */
static void put_made(struct feed *feed)
{
	uint32_t offset = (uint32_t)feed_number(feed, 2), length = (uint32_t)feed_number(feed, 2);
	uint32_t verdict = (uint32_t)feed_number(feed, 1);

	if (n_held == 0)
		return;
	put(netvm_desc_set_verdict(
		netvm_desc_set_extent(held[--n_held], offset % NETVM_BUFFER_BYTES_MAX,
			length % NETVM_BUFFER_BYTES_MAX),
		verdict));
}

static void put_all(uint32_t verdict)
{
	for (; n_held > 0; n_held--)
		put(netvm_desc_set_verdict(held[n_held - 1], verdict));
}

/* Anything, anywhere in its channel but the words of rx and stock, which are the host's to write
 * and are looked at by note_given(). */
static void scribble(struct feed *feed)
{
	uint32_t at = (uint32_t)feed_number(feed, 3);
	size_t ring = (size_t)((uint8_t *)evil->rx[0].ring - (uint8_t *)evil->channel);
	size_t limit = ring + sizeof(struct netvm_ring);

	at %= (uint32_t)limit;
	((uint8_t *)evil->channel)[at] = (uint8_t)feed_number(feed, 1);
}

static void set_index(uint32_t *index, struct feed *feed)
{
	uint32_t value = (uint32_t)feed_number(feed, 4);

	__atomic_store_n(index, value, __ATOMIC_RELEASE);
}

static bool step(struct feed *feed)
{
	switch (feed_number(feed, 1) % 16) {
	case 0:
		give(in, (unsigned)feed_number(feed, 1) % 17);
		break;
	case 1:
		take(&evil->rx[0]);
		break;
	case 2:
		take(&evil->stock[0]);
		break;
	case 3:
		put_held(feed);
		break;
	case 4:
		put_all((uint32_t)feed_number(feed, 1));
		break;
	case 5:
		put(feed_number(feed, 8));
		break;
	case 6:
	case 7:
		netvm_ring_publish(&evil->tx[0]);
		break;
	case 8:
		set_index(&evil->tx[0].ring->producer, feed);
		break;
	case 9:
		set_index(&evil->rx[0].ring->consumer, feed);
		break;
	case 10:
		set_index(&evil->stock[0].ring->consumer, feed);
		break;
	case 11:
		scribble(feed);
		break;
	case 12:
		steer();
		break;
	case 13:
		give_calm();
		break;
	case 15:
		put_made(feed);
		break;
	default:
		turn();
		break;
	}
	return feed->size > 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void settle(void)
{
	unsigned moved;

	do {
		moved = still_worker_turn(engine->worker[0]);
		moved += others_work();
	} while (moved > 0);
}

static void stock_is_counted(void)
{
	struct nf_load load;

	engine_nf_load(engine, evil->nf, &load);
	require(load.stock == evil->nf->link[0].n_stock);
	require(load.stock <= evil->nf->stock_quota);
}

static void is_clean(void)
{
	struct books books;

	engine_books(engine, &books);
	require(books.balanced);
	require(books.in_flight == 0);
	require(books.buffers_free == books.buffers_total);
	for (unsigned i = 0; i < ENGINE_SERVICES_MAX; i++)
		require(engine->worker[0]->reserved[i] == 0);
	require(n_calm_out == n_calm_in);
}

static void start_trace(void)
{
	const struct trace_options options = {
		.match = {.src_port_max = UINT16_MAX, .dst_port_max = UINT16_MAX},
		.n_pkts = TRACE_PKTS_MAX,
	};

	require(engine_trace_start(engine, &options, NULL) == 0);
}

/* Whatever happened to them, all packets that were followed have come to an end. */
static void trace_is_whole(void)
{
	struct trace *trace = engine_trace_stop(engine);

	require(trace->n_ended == trace->n_pkts);
	for (unsigned i = 0; i < trace->n_pkts; i++) {
		const struct trace_packet *packet = &trace->packet[i];

		require(packet->record[0].event == TRACE_RECEIVED);
		require(packet->record[packet->n_records - 1].event >= TRACE_SENT);
	}
	free(trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	uint32_t flags = (uint32_t)feed_number(&feed, 1);
	bool traced = flags & 4;
	struct nf *faulty;

	start();
	if (traced)
		start_trace();
	evil = rig_nf_new(engine, evil_service, one, "evil", flags & 3);
	n_held = n_calm_in = n_calm_out = 0;
	memset(owned, 0, sizeof(owned));
	for (int i = 0; i < STEPS_MAX && step(&feed); i++)
		continue;
	turn();
	if (evil->nf->link[0].faulty)
		require(engine_faults(engine, &faulty, 1) == 1 && faulty == evil->nf);
	stock_is_counted();
	rig_nf_free(engine, evil);
	settle();
	is_clean();
	if (traced)
		trace_is_whole();
	return 0;
}
