/* Attacks by descriptors: handles, extents, verdicts, and a thread that rewrites them. */
#include "evil.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STOCK_MAX 1024
#define BATCH     256

/* An NF is taken out for 65536 violations; the cases that count stay below. */
#define VIOLATIONS_MAX 65536u
#define FORGED_MAX     50000u

/* ---- handles --------------------------------------------------------------------------------- */

/* Which buffers the NF owns, and in which generation. */
struct held {
	uint64_t word[STOCK_MAX];
	uint32_t n;
	int16_t generation[NETVM_BUFFERS_MAX]; /* -1: not mine */
};

static struct held held;

static void attach_and_hold(struct client *client, const char *name)
{
	client_attach(client, name);
	memset(held.generation, -1, sizeof(held.generation));
	held.n = client_take_stock(client, held.word, STOCK_MAX);
	for (uint32_t i = 0; i < held.n; i++)
		held.generation[netvm_desc_index(held.word[i])] =
			(int16_t)netvm_desc_generation(held.word[i]);
}

static bool is_mine(uint64_t word)
{
	return held.generation[netvm_desc_index(word)] == (int16_t)netvm_desc_generation(word);
}

static uint64_t batch[BATCH];
static uint32_t n_batch;

static void forge_flush(struct client *client)
{
	client_give(client, batch, n_batch);
	n_batch = 0;
}

/* Each word that is not mine is a violation; before there are too many, another NF goes on. */
static void forge(struct client *client, const char *name, uint64_t word)
{
	if (is_mine(word))
		return;
	batch[n_batch++] = word;
	report.violations++;
	if (n_batch == BATCH)
		forge_flush(client);
	if (report.violations % FORGED_MAX == 0) {
		forge_flush(client);
		client_await_judged(client);
		client_hang_up(client);
		attach_and_hold(client, name);
	}
}

/* What was forged has not taken away what is mine. */
static void forge_end(struct client *client)
{
	forge_flush(client);
	client_give(client, held.word, held.n);
	client_await_judged(client);
}

static void random_words(const struct evil_case *self)
{
	uint64_t seed = 42;
	struct client client;

	attach_and_hold(&client, self->name);
	for (uint64_t i = 0; i < rounds(150000, 10000000); i++)
		forge(&client, self->name, random_word(&seed));
	forge_end(&client);
}

static void out_of_range(const struct evil_case *self)
{
	struct client client;

	attach_and_hold(&client, self->name);
	for (uint32_t i = client.layout.n_buffers; i < NETVM_BUFFERS_MAX;
		i += (uint32_t)rounds(23, 1))
		forge(&client, self->name,
			netvm_desc(i, 0, NETVM_META_BYTES, 60, NETVM_VERDICT_DROP));
	forge_end(&client);
}

/* Free ones, those of ports, of other NFs, on their way: all of the group's but mine. */
static void all_foreign(const struct evil_case *self)
{
	struct client client;

	attach_and_hold(&client, self->name);
	for (uint32_t i = 0; i < client.layout.n_buffers; i++)
		for (uint32_t g = 0; g < 256; g += (uint32_t)rounds(23, 1))
			forge(&client, self->name,
				netvm_desc(i, g, NETVM_META_BYTES, 60, NETVM_VERDICT_NEXT));
	forge_end(&client);
}

/* Those of another NF of the group, while it lives. It gets them judged as its own afterwards. */
static void other_nf(const struct evil_case *self)
{
	uint64_t words[STOCK_MAX];
	struct client client, other;
	uint32_t n;

	attach_and_hold(&client, self->name);
	client_attach(&other, "accomplice");
	n = client_take_stock(&other, words, STOCK_MAX);
	client_give(&client, words, n);
	client_await_judged(&client);
	client_give(&other, words, n);
	client_await_judged(&other);
	report.violations = n;
}

/* A buffer goes back on the ring of the worker it came from; the other one must not touch it. */
static void other_worker(const struct evil_case *self)
{
	struct client client;

	attach_and_hold(&client, self->name);
	client_use_worker(&client, 1);
	client_give(&client, held.word, held.n);
	client_await_judged(&client);
	report.violations = held.n;
}

static void repeated_in_burst(const struct evil_case *self)
{
	uint64_t words[64];
	struct client client;

	attach_and_hold(&client, self->name);
	for (int i = 0; i < 64; i++)
		words[i] = held.word[0];
	client_give(&client, words, 64);
	client_await_judged(&client);
	report.violations = 63;
}

static void repeated_in_next(const struct evil_case *self)
{
	struct client client;

	attach_and_hold(&client, self->name);
	for (int i = 0; i < 4; i++) {
		client_give(&client, held.word, held.n);
		client_await_judged(&client);
	}
	report.violations = 3 * held.n;
}

/* ---- extents and verdicts -------------------------------------------------------------------- */

/* One buffer of the stock as a packet of that extent and verdict. */
static void inject(struct client *client, uint32_t offset, uint32_t length, uint32_t verdict)
{
	static uint64_t stock[STOCK_MAX];
	static uint32_t n;
	uint64_t word;

	if (n == 0)
		n = client_take(&client->stock, stock, STOCK_MAX);
	word = netvm_desc_set_extent(stock[--n], offset, length);
	word = netvm_desc_set_verdict(word, verdict);
	client_give(client, &word, 1);
}

static void extents(const struct evil_case *self)
{
	const uint32_t lengths[] = {0, 1, 13, 14, 60, 1514, 2048, 16383};
	struct client client;

	client_attach(&client, self->name);
	for (uint32_t offset = 0; offset < NETVM_BUFFER_BYTES_MAX; offset += offset < 80 ? 1 : 97)
		for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			uint32_t length = lengths[i];

			inject(&client, offset, length, NETVM_VERDICT_NEXT);
			if (offset < NETVM_META_BYTES || length < 14 ||
				offset + length > client.layout.buffer_stride)
				report.bad_extent++;
			else
				report.no_next++;
		}
	client_await_judged(&client);
}

static void verdicts(const struct evil_case *self)
{
	struct client client;

	client_attach(&client, self->name);
	for (uint32_t v = NETVM_VERDICT_FIRST_DESTINATION; v < NETVM_DESTINATIONS_MAX; v++) {
		must(client.channel->destination[v].kind == NETVM_DESTINATION_NONE,
			"verdict %u is granted", v);
		inject(&client, client.layout.headroom, 60, v);
		report.bad_verdict++;
	}
	client_await_judged(&client);
}

/* What is done to a packet that came from the chain. */
static uint64_t long_packet(const struct client *client, uint64_t word)
{
	return netvm_desc_set_extent(word, client->layout.buffer_stride - 13, 14);
}

static uint64_t foreign_port(const struct client *client, uint64_t word)
{
	uint32_t v = NETVM_DESTINATIONS_MAX - 1;

	while (client->channel->destination[v].kind != NETVM_DESTINATION_NONE)
		v--;
	return netvm_desc_set_verdict(word, v);
}

static void spoil_packets(const struct evil_case *self)
{
	uint64_t *sum = self->argument ? &report.bad_verdict : &report.bad_extent;
	struct client client;

	client_attach(&client, self->name);
	while (*sum < rounds(5000, 200000)) {
		uint64_t words[64];
		uint32_t n = client_take(&client.rx, words, 64);

		for (uint32_t i = 0; i < n; i++)
			words[i] = self->argument ? foreign_port(&client, words[i])
						  : long_packet(&client, words[i]);
		client_give(&client, words, n);
		*sum += n;
	}
	client_await_judged(&client);
}

/* ---- races ----------------------------------------------------------------------------------- */

struct race {
	struct client *client;
	uint64_t n_rounds;
};

/* Every slot of tx in turn becomes another of the words, mine or not, between check and use. */
static void *rewrite(void *arg)
{
	const struct race *race = arg;
	struct netvm_ring_end *tx = &race->client->tx;
	uint64_t seed = 3;

	for (uint64_t i = 0; i < race->n_rounds; i++) {
		uint64_t word = random_word(&seed);

		if (i & 1)
			word = held.word[word % held.n] ^ (word & (UINT64_C(3) << 62));
		__atomic_store_n(&tx->ring->word[i & tx->mask], word, __ATOMIC_RELAXED);
	}
	return NULL;
}

/*
 * Traffic goes on beside it. What is taken becomes what the rewriter draws from; when junk has
 * taken the place of too many words and nothing comes any more, old ones are given again. Each
 * burst may be 64 violations.
 */
static void race_once(const struct evil_case *self)
{
	struct client client;
	struct race race = {&client, 1000000};
	pthread_t rewriter;

	attach_and_hold(&client, self->name);
	must(!pthread_create(&rewriter, NULL, rewrite, &race), "a thread");
	for (uint32_t burst = 0; burst < FORGED_MAX / 64; burst++) {
		uint64_t *words = held.word + burst * 64 % held.n;
		uint32_t n = netvm_ring_take(&client.rx, words, 32);

		must(n != NETVM_RING_CORRUPT, "rx is corrupt");
		n += netvm_ring_take(&client.stock, words + n, 32);
		client_give(&client, words, n ? n : 64);
	}
	pthread_join(rewriter, NULL);
	client_await_judged(&client);
	client_hang_up(&client);
}

static void racing_rewrites(const struct evil_case *self)
{
	for (uint64_t i = 0; i < rounds(20, 200); i++)
		race_once(self);
	report.unknown = true;
}

/* Nobody errs that often. */
static void too_many(const struct evil_case *self)
{
	const uint64_t nobody = NETVM_BUFFERS_MAX - 1;
	struct client client;

	client_attach(&client, self->name);
	for (uint32_t i = 0; i < VIOLATIONS_MAX; i++)
		client_give(&client, &nobody, 1);
	client_await_end(&client);
}

/* The bytes of packets change all the time, and so do those of the metadata lines. */
static void *scribble(void *arg)
{
	const struct race *race = arg;
	const struct netvm_layout *layout = &race->client->layout;
	uint64_t *word = (uint64_t *)race->client->group, seed = 4;

	for (uint64_t i = 0; i < race->n_rounds; i++) {
		uint64_t random = random_word(&seed);
		/* of each buffer mostly the first lines, where headers are */
		uint64_t at =
			random % layout->n_buffers * layout->buffer_stride + (random >> 40) % 384;

		__atomic_store_n(&word[at / sizeof(*word)], random, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void racing_packets(const struct evil_case *self)
{
	struct client client;
	struct race race = {&client, rounds(5000000, 100000000)};
	pthread_t scribbler;

	client_attach(&client, self->name);
	must(!pthread_create(&scribbler, NULL, scribble, &race), "a thread");
	while (pthread_tryjoin_np(scribbler, NULL)) {
		uint64_t words[64];
		uint32_t n = netvm_ring_take(&client.rx, words, 64);

		must(n != NETVM_RING_CORRUPT, "rx is corrupt");
		client_give(&client, words, n);
	}
	client_await_judged(&client);
}

const struct evil_case word_cases[] = {
	{"handles-random", "random words", COUNTED, false, random_words},
	{"handles-out-of-range", "handles behind the last buffer", COUNTED, false, out_of_range},
	{"handles-foreign", "all handles of the group but its own: free, in transit, stale",
		COUNTED, false, all_foreign},
	{"handles-too-many", "65536 wrong handles", FAULT, false, too_many},
	{"handles-of-other-nf", "handles of another NF of its group", COUNTED, false, other_nf,
		.where = PROCESS},
	{"handles-other-worker", "handles given back to another worker", COUNTED, false,
		other_worker},
	{"handles-in-one-burst", "one handle 64 times in a burst", COUNTED, false,
		repeated_in_burst},
	{"handles-again", "handles given back once more, their generation is over", COUNTED, false,
		repeated_in_next},
	{"extents", "offsets and lengths of all kinds, for packets of its own", COUNTED, false,
		extents},
	{"extents-of-packets", "received packets that end behind their buffer", COUNTED, true,
		spoil_packets, 0},
	{"verdicts", "every verdict it was not granted", COUNTED, false, verdicts},
	{"verdicts-of-packets", "received packets to a destination not granted", COUNTED, true,
		spoil_packets, 1},
	{"racing-words", "a thread rewrites the tx words while they are judged", COUNTED, true,
		racing_rewrites},
	{"racing-packets", "a thread rewrites packets and metadata all over the group", COUNTED,
		true, racing_packets},
	{NULL},
};
