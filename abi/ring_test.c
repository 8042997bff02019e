/*
 * The ring: full and empty, batches, wrap-around of the indices, a hostile peer, and two threads.
 * Built twice: as it is, and with the thread sanitizer.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ring.h"

#define WORDS 64u

struct pair {
	struct netvm_ring *ring;
	struct netvm_ring_end producer;
	struct netvm_ring_end consumer;
};

/* Both ends and the shared indices start at `index`. */
static void pair_reset(struct pair *pair, uint32_t index)
{
	memset(pair->ring, 0, netvm_ring_size_bytes(WORDS));
	netvm_ring_end_init(&pair->producer, pair->ring, WORDS);
	netvm_ring_end_init(&pair->consumer, pair->ring, WORDS);
	pair->ring->producer = pair->ring->consumer = index;
	pair->producer.own = pair->producer.peer = index;
	pair->consumer.own = pair->consumer.peer = index;
}

static int setup(void **state)
{
	struct pair *pair = malloc(sizeof(*pair));

	if (!pair)
		return -1;
	pair->ring = aligned_alloc(NETVM_RING_ALIGN, netvm_ring_size_bytes(WORDS));
	if (!pair->ring)
		return -1;
	pair_reset(pair, 0);
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;

	free(pair->ring);
	free(pair);
	return 0;
}

static void put(struct pair *pair, uint64_t first, uint32_t n)
{
	assert_true(netvm_ring_room(&pair->producer, n) >= n);
	for (uint32_t i = 0; i < n; i++)
		netvm_ring_stage(&pair->producer, first + i);
	netvm_ring_publish(&pair->producer);
}

static void take(struct pair *pair, uint64_t first, uint32_t n)
{
	uint64_t words[WORDS];

	/* One call takes what it knows of; the next looks for more. */
	for (uint32_t got = 0; got < n;) {
		uint32_t more = netvm_ring_take(&pair->consumer, words + got, n - got);

		assert_in_range(more, 1, n - got);
		got += more;
	}
	for (uint32_t i = 0; i < n; i++)
		assert_true(words[i] == first + i);
}

static void new_ring_is_empty(void **state)
{
	struct pair *pair = *state;
	uint64_t word;

	assert_int_equal(netvm_ring_take(&pair->consumer, &word, 1), 0);
	assert_int_equal(netvm_ring_room(&pair->producer, WORDS), WORDS);
}

static void staged_words_are_unseen_until_published(void **state)
{
	struct pair *pair = *state;
	uint64_t word;

	netvm_ring_stage(&pair->producer, 7);
	assert_int_equal(netvm_ring_take(&pair->consumer, &word, 1), 0);
	netvm_ring_publish(&pair->producer);
	assert_int_equal(netvm_ring_take(&pair->consumer, &word, 1), 1);
	assert_true(word == 7);
}

static void full_ring_has_no_room_until_taken(void **state)
{
	struct pair *pair = *state;

	put(pair, 0, WORDS);
	assert_int_equal(netvm_ring_room(&pair->producer, 1), 0);
	take(pair, 0, 10);
	assert_int_equal(netvm_ring_room(&pair->producer, 1), 10);
	put(pair, WORDS, 10);
	assert_int_equal(netvm_ring_room(&pair->producer, 1), 0);
	take(pair, 10, WORDS);
}

static void room_looks_at_the_peer_only_when_it_must(void **state)
{
	struct pair *pair = *state;

	put(pair, 0, 32);
	take(pair, 0, 32);
	assert_int_equal(netvm_ring_room(&pair->producer, 32), 32);
	assert_int_equal(netvm_ring_room(&pair->producer, 33), WORDS);
}

static void indices_wrap_around(void **state)
{
	struct pair *pair = *state;
	uint64_t next = 0;

	pair_reset(pair, UINT32_MAX - 100);
	for (unsigned i = 0; i < 20; i++, next += 37) {
		put(pair, next, 37);
		take(pair, next, 37);
	}
	put(pair, next, WORDS);
	assert_int_equal(netvm_ring_room(&pair->producer, 1), 0);
	take(pair, next, WORDS);
}

/* Values that no honest peer can show, at places where the indices are about to wrap, too. */
static void hostile_producer_index_is_caught(void **state)
{
	static const uint32_t lie[] = {
		WORDS + 1, WORDS * 2, 0x80000000u, UINT32_MAX, UINT32_MAX - 5};
	static const uint32_t start[] = {0, 1000, UINT32_MAX - 3};
	struct pair *pair = *state;
	uint64_t word;

	for (size_t s = 0; s < sizeof(start) / sizeof(start[0]); s++) {
		for (size_t i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
			struct netvm_ring_end before;

			pair_reset(pair, start[s]);
			pair->ring->producer = start[s] + lie[i];
			before = pair->consumer;
			assert_int_equal(netvm_ring_filled(&pair->consumer), NETVM_RING_CORRUPT);
			assert_int_equal(
				netvm_ring_take(&pair->consumer, &word, 1), NETVM_RING_CORRUPT);
			assert_memory_equal(&before, &pair->consumer, sizeof(before));
		}
	}
}

static void hostile_consumer_index_is_caught(void **state)
{
	struct pair *pair = *state;
	struct netvm_ring_end before;

	put(pair, 0, WORDS);
	before = pair->producer;
	pair->ring->consumer = 1 + WORDS; /* took what was never there */
	assert_int_equal(netvm_ring_room(&pair->producer, 1), NETVM_RING_CORRUPT);
	pair->ring->consumer = UINT32_MAX; /* gave back more than there is */
	assert_int_equal(netvm_ring_room(&pair->producer, 1), NETVM_RING_CORRUPT);
	assert_memory_equal(&before, &pair->producer, sizeof(before));
}

/* Both ends, for every value of the lower half of the other's index: in the window, or corrupt. */
static void each_low_half_of_an_index_is_judged(void **state)
{
	static const uint32_t start[] = {0, 1000, 0xffd0, 0x10000, UINT32_MAX - 40};
	struct pair *pair = *state;

	for (size_t s = 0; s < sizeof(start) / sizeof(start[0]); s++) {
		for (uint32_t low = 0; low <= 0xffff; low++) {
			uint32_t lie = (start[s] & 0xffff0000) | low, ahead = lie - start[s];
			uint32_t expected = ahead <= WORDS ? ahead : NETVM_RING_CORRUPT;

			pair_reset(pair, start[s]);
			pair->ring->producer = lie;
			assert_int_equal(netvm_ring_filled(&pair->consumer), expected);
			pair->producer.own = start[s] + WORDS; /* full, as far as it knows */
			pair->ring->consumer = lie;
			assert_int_equal(netvm_ring_room(&pair->producer, 1), expected);
		}
	}
}

/* ---- two threads --------------------------------------------------------------------------- */

#ifdef __SANITIZE_THREAD__
#define TRANSFER 20000u
#else
#define TRANSFER 500000u
#endif

/* Plain memory beside each word: the ring must order it, too; the sanitizer watches. */
static uint32_t payload[WORDS];

static void *produce(void *arg)
{
	struct netvm_ring_end *end = arg;
	uint64_t next = 0;

	while (next < TRANSFER) {
		uint32_t room = netvm_ring_room(end, 1);

		if (room == 0)
			sched_yield();
		if (room > 1 + next % 13)
			room = 1 + (uint32_t)(next % 13); /* batches of all sizes */
		for (uint32_t i = 0; i < room && next < TRANSFER; i++, next++) {
			payload[next % WORDS] = (uint32_t)next;
			netvm_ring_stage(end, next);
		}
		netvm_ring_publish(end);
	}
	return NULL;
}

static void words_cross_threads_in_order(void **state)
{
	struct pair *pair = *state;
	uint64_t expected = 0, faults = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, produce, &pair->producer), 0);
	while (expected < TRANSFER) {
		uint32_t n = netvm_ring_filled(&pair->consumer);

		assert_int_not_equal(n, NETVM_RING_CORRUPT);
		if (n == 0)
			sched_yield();
		/* One at a time: a slot given back may be written again at once. */
		for (uint32_t i = 0; i < n; i++, expected++) {
			uint64_t word = 0;

			faults += payload[expected % WORDS] != (uint32_t)expected;
			faults += netvm_ring_take(&pair->consumer, &word, 1) != 1;
			faults += word != expected;
		}
	}
	pthread_join(thread, NULL);
	assert_int_equal(faults, 0);
	assert_int_equal(netvm_ring_filled(&pair->consumer), 0);
}

#define RING_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(new_ring_is_empty),
		RING_TEST(staged_words_are_unseen_until_published),
		RING_TEST(full_ring_has_no_room_until_taken),
		RING_TEST(room_looks_at_the_peer_only_when_it_must),
		RING_TEST(indices_wrap_around),
		RING_TEST(hostile_producer_index_is_caught),
		RING_TEST(hostile_consumer_index_is_caught),
		RING_TEST(each_low_half_of_an_index_is_judged),
		RING_TEST(words_cross_threads_in_order),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
