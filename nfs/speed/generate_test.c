/*
 * The generator against a host that is part of the test: what it sends, in which order, where to,
 * how fast at most, and each way it ends.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/background.h"
#include "speed/generate.h"
#include "test_host.h"

#define BURST 64u

static struct test_host *host;
static struct meter *meter;
static struct netvm_options netvm;
static struct generate_options options;
static pthread_t thread;
static int result;

static void *generate(void *arg)
{
	(void)arg;
	result = generate_run(&options, meter);
	return NULL;
}

static void generator_start(void)
{
	netvm = (struct netvm_options){.name = "speed", .socket = host->path, .stock = true};
	options.netvm = &netvm;
	assert_int_equal(pthread_create(&thread, NULL, generate, NULL), 0);
	assert_int_equal(test_host_ready(host), 0);
}

static int generator_end(void)
{
	pthread_join(thread, NULL);
	return result;
}

static int setup(void **state)
{
	(void)state;
	options = (struct generate_options){.to = "out", .size_bytes = 64, .n_flows = 1};
	assert_int_equal(meter_create(&meter), 0);
	return test_host_open(&host, &(struct test_host_options){0});
}

static int teardown(void **state)
{
	(void)state;
	test_host_close(host);
	meter_destroy(meter);
	return 0;
}

static struct frame_stamp stamp_of(uint64_t word)
{
	struct frame_stamp stamp;

	assert_int_equal(netvm_desc_length(word), 64);
	assert_true(frame_read_stamp(
		test_host_data(host, word) + FRAME_HEADERS, 64 - FRAME_HEADERS, &stamp));
	return stamp;
}

static void flows_take_turns_and_count_their_packets(void **state)
{
	unsigned port = test_host_grant(host, NETVM_DESTINATION_PORT, 1, "out");
	unsigned made = 0;

	(void)state;
	options.n_pkts = 1000;
	options.n_flows = 4;
	options.stamps = true;
	generator_start();
	while (made < 1000) {
		uint64_t words[BURST];
		unsigned n;

		test_host_stock(host, 0, 0, BURST);
		n = test_host_collect(host, 0, 0, words, BURST);
		for (unsigned i = 0; i < n; i++, made++) {
			struct frame_stamp stamp = stamp_of(words[i]);

			assert_int_equal(netvm_desc_verdict(words[i]), port);
			assert_int_equal(stamp.flow, made % 4);
			assert_int_equal(stamp.sequence, made / 4);
		}
	}
	assert_int_equal(generator_end(), 0);
	assert_int_equal(host->made, 1000);
	assert_int_equal(host->refused, 0);
	assert_int_equal(meter->counts.sent_pkts, 1000);
	assert_int_equal(meter->counts.sent_bytes, 64000);
}

static void a_destination_may_be_granted_later(void **state)
{
	uint64_t words[10];

	(void)state;
	options.to = NULL;
	options.through = "fw";
	options.n_pkts = 10;
	generator_start();
	assert_true(test_host_sleeps(host, 0));
	test_host_grant(host, NETVM_DESTINATION_SERVICE, 7, "fw");
	test_host_stock(host, 0, 0, 10);
	assert_true(test_host_collect_all(host, 0, 0, words, 10));
	assert_int_equal(generator_end(), 0);
}

static void a_rate_is_not_exceeded(void **state)
{
	uint64_t start_ns = monotonic_ns(), words[100];

	(void)state;
	test_host_grant(host, NETVM_DESTINATION_PORT, 1, "out");
	options.n_pkts = 100;
	options.rate_pps = 5000;
	generator_start();
	test_host_stock(host, 0, 0, 100);
	assert_true(test_host_collect_all(host, 0, 0, words, 100));
	assert_int_equal(generator_end(), 0);
	assert_true(monotonic_ns() - start_ns >= 100 * UINT64_C(1000000000) / 5000);
}

/* Packets are due, but there is nothing to make them of. */
static void what_cannot_be_sent_in_time_is_missed(void **state)
{
	(void)state;
	test_host_grant(host, NETVM_DESTINATION_PORT, 1, "out");
	options.rate_pps = 1000000;
	options.duration_ns = 20000000;
	generator_start();
	assert_int_equal(generator_end(), 0);
	assert_int_equal(meter->counts.sent_pkts, 0);
	assert_true(meter->counts.missed_pkts >= 10000);
}

static void what_comes_back_is_counted_and_consumed(void **state)
{
	uint64_t word;

	(void)state;
	test_host_grant(host, NETVM_DESTINATION_PORT, 1, "out");
	options.n_pkts = 1;
	options.stamps = true;
	generator_start();
	assert_int_equal(test_host_give(host, 0, 0, "not a frame", 11), 0);
	assert_true(test_host_collect_all(host, 0, 0, &word, 1));
	assert_int_equal(netvm_desc_verdict(word), NETVM_VERDICT_CONSUME);
	test_host_stock(host, 0, 0, 1);
	assert_true(test_host_collect_all(host, 0, 0, &word, 1));
	assert_int_equal(generator_end(), 0);
	assert_int_equal(meter->counts.received_pkts, 1);
	assert_int_equal(meter->counts.malformed_pkts, 1);
	assert_int_equal(test_host_in_flight(host), 0);
}

static void the_host_can_stop_it(void **state)
{
	(void)state;
	generator_start();
	assert_true(test_host_sleeps(host, 0));
	test_host_control(host, NETVM_CONTROL_STOP);
	assert_int_equal(generator_end(), 0);
}

static void a_frame_must_fit_a_buffer(void **state)
{
	(void)state;
	test_host_grant(host, NETVM_DESTINATION_PORT, 1, "out");
	options.size_bytes = 4000;
	generator_start();
	test_host_stock(host, 0, 0, 10);
	assert_int_equal(generator_end(), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			flows_take_turns_and_count_their_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_destination_may_be_granted_later, setup, teardown),
		cmocka_unit_test_setup_teardown(a_rate_is_not_exceeded, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_cannot_be_sent_in_time_is_missed, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_comes_back_is_counted_and_consumed, setup, teardown),
		cmocka_unit_test_setup_teardown(the_host_can_stop_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_frame_must_fit_a_buffer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
