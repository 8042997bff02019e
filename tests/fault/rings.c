/* Attacks on the rings: indices, words and header fields that are not what they should be. */
#include "evil.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define STOCK_MAX   1024
#define WINDOW_STEP 3

/* Attached, and in the middle of things: no index is at 0 any more. */
static void attach_and_work(struct client *client, const char *name)
{
	uint64_t words[STOCK_MAX];

	client_attach(client, name);
	client_give(client, words, client_take_stock(client, words, STOCK_MAX));
	client_await_judged(client);
}

/* ---- indices outside of the window ----------------------------------------------------------- */

/* The argument is added to the index; 0 stands for one more than the ring holds. */
static void producer_jumps(const struct evil_case *self)
{
	struct client client;
	uint32_t jump = (uint32_t)self->argument;

	attach_and_work(&client, self->name);
	client.tx.own += jump ? jump : client.tx.mask + 2;
	netvm_ring_publish(&client.tx);
	client_ring(&client);
	client_await_end(&client);
}

/*
 * The host looks at a consumer index only when it lacks room. For rx that takes traffic: words are
 * read and given back, but the index never says so.
 */
static void rx_consumer_lies(const struct evil_case *self)
{
	struct patience wait = patience("the daemon to end it");
	struct client client;

	client_attach(&client, self->name);
	__atomic_store_n(&client.rx.ring->consumer, 0x80000000u, __ATOMIC_RELEASE);
	while (!client_has_ended(&client)) {
		uint32_t n = netvm_ring_filled(&client.rx);

		must(n != NETVM_RING_CORRUPT, "rx is corrupt");
		for (; n > 0; n--)
			client_give(&client,
				&client.rx.ring->word[client.rx.own++ & client.rx.mask], 1);
		patience_wait(&wait);
	}
}

/* For stock it takes that all of it is given back. */
static void stock_consumer_lies(const struct evil_case *self)
{
	uint64_t words[STOCK_MAX];
	struct client client;
	uint32_t n;

	client_attach(&client, self->name);
	n = client_take_stock(&client, words, STOCK_MAX);
	__atomic_store_n(&client.stock.ring->consumer, 0x7fffffffu, __ATOMIC_RELEASE);
	client_give(&client, words, n);
	client_await_end(&client);
}

static void *flip_forever(void *arg)
{
	struct client *client = arg;

	for (;;) {
		__atomic_store_n(
			&client->tx.ring->producer, client->tx.own ^ 0x80000000u, __ATOMIC_RELAXED);
		__atomic_store_n(&client->tx.ring->producer, client->tx.own, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void producer_flips(const struct evil_case *self)
{
	static struct client client; /* its thread goes on when this function has returned */
	pthread_t flipper;

	attach_and_work(&client, self->name);
	must(!pthread_create(&flipper, NULL, flip_forever, &client), "a thread");
	for (int i = 0; i < 1000; i++)
		client_ring(&client);
	client_await_end(&client);
}

/* ---- indices inside of the window, words that are nobody's ----------------------------------- */

/*
 * Each distance that the index may jump, up to all of the ring; the words it reaches were never
 * given. One in `WINDOW_STEP` at a time: an NF with too many violations is taken out. Which value
 * of an index is within the window, for all of them: abi/ring_test.c.
 */
static void producer_window(const struct evil_case *self)
{
	uint64_t nobody = NETVM_BUFFERS_MAX - 1;

	for (uint64_t round = 0; round < rounds(WINDOW_STEP, WINDOW_STEP); round++) {
		struct client client;
		uint32_t size;

		attach_and_work(&client, self->name);
		size = client.tx.mask + 1;
		for (uint32_t i = 0; i < size; i++)
			client.tx.ring->word[i] = nobody;
		for (uint32_t jump = size - (uint32_t)round; jump <= size; jump -= WINDOW_STEP) {
			client.tx.own += jump;
			netvm_ring_publish(&client.tx);
			client_await_judged(&client);
			report.violations += jump;
		}
		client_hang_up(&client);
	}
}

/* ---- what only the host may write ------------------------------------------------------------ */

static void fill_with_junk(void *at, size_t size, uint64_t *seed)
{
	uint64_t *word = at;

	for (size_t i = 0; i < size / sizeof(*word); i++)
		__atomic_store_n(&word[i], random_word(seed), __ATOMIC_RELAXED);
}

/* All that the daemon wrote, and all that is nobody's: it must not read any of it back. */
static void host_fields(const struct evil_case *self)
{
	uint64_t seed = self->argument, words[STOCK_MAX];
	struct client client;
	uint32_t n;

	client_attach(&client, self->name);
	n = client_take_stock(&client, words, STOCK_MAX);
	for (uint64_t round = 0; round < rounds(100, 10000); round++) {
		struct netvm_ring *host[] = {client.rx.ring, client.stock.ring};

		fill_with_junk(client.channel, sizeof(*client.channel), &seed);
		for (int i = 0; i < 2; i++) {
			fill_with_junk(host[i], sizeof(*host[i]) / 2, &seed);
			fill_with_junk(host[i]->pad1 + 4, sizeof(host[i]->pad1) - 4, &seed);
			fill_with_junk(host[i]->word, 64 * sizeof(uint64_t), &seed);
		}
		fill_with_junk(&client.tx.ring->consumer, NETVM_RING_ALIGN, &seed);
	}
	client.tx.peer = client.tx.own; /* what the ring says of it is junk now */
	client_give(&client, words, n);
	client_await_judged(&client);
}

/* ---- doorbells ------------------------------------------------------------------------------- */

static void *tickets_forever(void *arg)
{
	struct client *client = arg;
	uint64_t seed = 1;

	for (;;)
		for (unsigned q = 0; q < NETVM_QUEUES_MAX; q++)
			__atomic_store_n(&client->channel->queue[q].sleep_ticket,
				(uint32_t)random_word(&seed) | 1, __ATOMIC_RELAXED);
	return NULL;
}

/* Each packet finds another ticket and rings a pipe that nobody reads, until it is full. */
static void pipe_never_read(const struct evil_case *self)
{
	static struct client client; /* its thread goes on when this function has returned */
	struct patience wait = patience("a full pipe");
	pthread_t writer;
	int size, filled = 0;

	client_attach(&client, self->name);
	size = fcntl(client.bell[0], F_SETPIPE_SZ, 4096);
	must(size > 0, "a smaller pipe");
	must(!pthread_create(&writer, NULL, tickets_forever, &client), "a thread");
	while (filled < size) {
		uint64_t words[64];
		uint32_t n = client_take(&client.rx, words, 64);

		client_give(&client, words, n);
		must(!ioctl(client.bell[0], FIONREAD, &filled), "FIONREAD");
		patience_wait(&wait);
	}
	for (uint64_t passed = 0; passed < rounds(2000, 100000);) {
		uint64_t words[64];
		uint32_t n = client_take(&client.rx, words, 64);

		client_give(&client, words, n);
		passed += n;
	}
	client_await_judged(&client);
}

static void *ring_often(void *arg)
{
	for (uint64_t i = 0; i < rounds(50000, 5000000); i++)
		client_ring(arg);
	return NULL;
}

/* The argument is what the eventfd holds at first: near the end, the kernel refuses to add. */
static void doorbell_storm(const struct evil_case *self)
{
	pthread_t ringer[2];
	struct client client;

	client_attach(&client, self->name);
	if (self->argument)
		must(write(client.worker_fd[0], &self->argument, sizeof(uint64_t)) > 0, "filling");
	for (int i = 0; i < 2; i++)
		must(!pthread_create(&ringer[i], NULL, ring_often, &client), "a thread");
	for (int i = 0; i < 2; i++)
		pthread_join(ringer[i], NULL);
}

static void doorbell_emptied(const struct evil_case *self)
{
	pthread_t ringer;
	struct client client;
	uint64_t count;

	client_attach(&client, self->name);
	must(!pthread_create(&ringer, NULL, ring_often, &client), "a thread");
	while (pthread_tryjoin_np(ringer, NULL) == EBUSY)
		(void)!read(client.worker_fd[0], &count, sizeof(count));
}

const struct evil_case ring_cases[] = {
	{"tx-size-plus-1", "producer jumps by one more than the ring holds", FAULT, false,
		producer_jumps, 0},
	{"tx-low-16-bits", "producer jumps by 65535", FAULT, false, producer_jumps, 0xffff},
	{"tx-bit-16", "producer jumps by 65536", FAULT, false, producer_jumps, 0x10000},
	{"tx-half", "producer jumps by 2^31", FAULT, false, producer_jumps, 0x80000000},
	{"tx-back-1", "producer moves backwards by 1", FAULT, false, producer_jumps, 0xffffffff},
	{"tx-back-512", "producer moves backwards by 512", FAULT, false, producer_jumps,
		0xffffffff - 511},
	{"tx-flip", "a thread flips the producer's highest bit", FAULT, false, producer_flips},
	{"tx-window", "producer jumps by each distance allowed, over words never given", COUNTED,
		false, producer_window},
	{"rx-consumer", "consumer index of rx is junk", FAULT, true, rx_consumer_lies},
	{"stock-consumer", "consumer index of stock is junk", FAULT, false, stock_consumer_lies},
	{"host-fields", "writes over the header and all ring fields of the host", COUNTED, true,
		host_fields, 7},
	{"pipe-never-read", "a new sleep ticket per packet, a full pipe nobody reads", COUNTED,
		true, pipe_never_read, .where = PROCESS},
	{"doorbell-storm", "two threads ring the worker's doorbell", COUNTED, false,
		doorbell_storm},
	{"doorbell-full", "the same with the eventfd filled to its limit", COUNTED, false,
		doorbell_storm, UINT64_MAX - 1, PROCESS},
	{"doorbell-emptied", "reads the worker's eventfd empty all the time", COUNTED, false,
		doorbell_emptied, .where = PROCESS},
	{NULL},
};
