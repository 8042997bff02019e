/*
 * Sleeping and waking: the time limit, the doorbell, and no wake-up lost, with the NF in a process
 * of its own and both sides falling asleep all the time.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "test_host.h"

#define MS      UINT64_C(1000000)
#define FOREVER UINT64_MAX

static struct netvm *attach(struct test_host **host, bool busy)
{
	struct test_host_options host_options = {0};
	struct netvm_options options = {.name = "nf", .busy = busy};
	struct netvm *nf;

	assert_int_equal(test_host_open(host, &host_options), 0);
	options.socket = (*host)->path;
	assert_int_equal(netvm_attach(&options, &nf), 0);
	assert_int_equal(test_host_ready(*host), 0);
	return nf;
}

static void receive_keeps_its_time_limit(void **state)
{
	struct test_host *host;
	struct netvm *nf = attach(&host, false);
	struct netvm_packet pkt;
	uint64_t start_ns = test_host_now_ns(CLOCK_MONOTONIC);

	(void)state;
	assert_int_equal(netvm_receive(nf, &pkt, 1, 5 * MS), 0);
	assert_true(test_host_now_ns(CLOCK_MONOTONIC) - start_ns >= 5 * MS);
	test_host_finish(host, nf);
}

/* Asleep for a time costs next to nothing; polling costs all of it. */
static void an_idle_nf_costs_no_cpu(void **state)
{
	struct test_host *host;
	struct netvm *nf = attach(&host, false);
	struct netvm_packet pkt;
	uint64_t start_ns = test_host_now_ns(CLOCK_THREAD_CPUTIME_ID);

	(void)state;
	assert_int_equal(netvm_receive(nf, &pkt, 1, 500 * MS), 0);
	assert_true(test_host_now_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns < 100 * MS);
	test_host_finish(host, nf);
}

/* Sleeps are numbered: the first ticket ever shows whether there was a sleep before. */
static uint32_t next_ticket(struct test_host *host, struct netvm *nf)
{
	uint32_t ticket;

	assert_int_equal(netvm_sleep(nf), 0);
	ticket = host->channel->queue[0].sleep_ticket;
	netvm_wake(nf);
	return ticket;
}

static void who_polls_does_not_sleep(void **state)
{
	(void)state;
	for (int by_host = 0; by_host < 2; by_host++) {
		struct test_host *host;
		struct netvm *nf = attach(&host, !by_host);
		struct netvm_packet pkt;

		if (by_host)
			test_host_control(host, NETVM_CONTROL_BUSY);
		assert_int_equal(netvm_receive(nf, &pkt, 1, 50 * MS), 0);
		assert_int_equal(next_ticket(host, nf), 1);
		if (by_host) {
			test_host_control(host, 0);
			assert_int_equal(netvm_receive(nf, &pkt, 1, 50 * MS), 0);
			assert_true(next_ticket(host, nf) > 2);
		}
		test_host_finish(host, nf);
	}
}

static void sleep_refuses_when_packets_wait(void **state)
{
	struct test_host *host;
	struct netvm *nf = attach(&host, false);
	struct netvm_packet pkt;

	(void)state;
	assert_int_equal(test_host_give(host, 0, 0, "x", 1), 0);
	assert_int_equal(netvm_sleep(nf), 1);
	assert_int_equal(host->channel->queue[0].sleep_ticket, 0);
	assert_int_equal(netvm_receive(nf, &pkt, 1, 0), 1);
	assert_int_equal(netvm_sleep(nf), 0);
	assert_int_not_equal(host->channel->queue[0].sleep_ticket, 0);
	netvm_wake(nf);
	assert_int_equal(host->channel->queue[0].sleep_ticket, 0);
	test_host_finish(host, nf);
}

static void one_sleep_is_rung_for_once(void **state)
{
	struct test_host *host;
	struct netvm *nf = attach(&host, false);
	struct pollfd wanted = {.fd = netvm_fd(nf), .events = POLLIN};
	struct netvm_packet pkts[8];

	(void)state;
	for (uint64_t round = 1; round <= 3; round++) {
		assert_int_equal(netvm_sleep(nf), 0);
		for (int i = 0; i < 5; i++)
			assert_int_equal(test_host_give(host, 0, 0, "x", 1), 0);
		assert_int_equal(host->wakeups, round);
		assert_int_equal(poll(&wanted, 1, 100000), 1);
		netvm_wake(nf);
		assert_int_equal(poll(&wanted, 1, 0), 0); /* the doorbell is silent again */
		assert_int_equal(netvm_receive(nf, pkts, 8, 0), 5);
	}
	test_host_finish(host, nf);
}

/* ---- no wake-up is lost -----------------------------------------------------------------------
 */

enum manner {
	BY_RECEIVE,   /* adaptive waiting, as netvm_run() does */
	BY_OWN_SLEEP, /* to sleep at the first empty look */
};

/* The NF's process: everything comes back, until the host asks to stop. Exit status 0: well. */
static int echo(const char *socket, enum manner manner)
{
	const struct netvm_options options = {.name = "echo", .socket = socket};
	struct netvm_packet pkts[NETVM_BURST_MAX];
	struct pollfd wanted = {.events = POLLIN};
	struct netvm *nf;
	int n;

	if (netvm_attach(&options, &nf) < 0)
		return 1;
	wanted.fd = netvm_fd(nf);
	while ((n = netvm_receive(nf, pkts, NETVM_BURST_MAX, manner == BY_RECEIVE ? FOREVER : 0)) >=
		0) {
		netvm_send(nf, pkts, (unsigned)n);
		if (n == 0 && netvm_sleep(nf) == 0) {
			(void)poll(&wanted, 1, -1);
			netvm_wake(nf);
		}
	}
	netvm_detach(nf);
	return n == -ECANCELED ? 0 : 2;
}

static void spin(uint64_t ns)
{
	uint64_t until_ns = test_host_now_ns(CLOCK_MONOTONIC) + ns;

	while (test_host_now_ns(CLOCK_MONOTONIC) < until_ns)
		;
}

/* As test_host_collect_all(), without sleeping. */
static bool collect_polling(struct test_host *host, uint64_t *words, unsigned n)
{
	uint64_t until_ns = test_host_now_ns(CLOCK_MONOTONIC) + 10000 * MS;
	unsigned got = 0;

	while (got < n && test_host_now_ns(CLOCK_MONOTONIC) < until_ns)
		got += test_host_collect(host, 0, 0, words + got, n - got);
	return got == n;
}

/*
 * The host gives at all moments around the NF's falling asleep. Every other round it sleeps until
 * the packets are back, so that the NF's doorbells are tried, too.
 */
static void play(enum manner manner, unsigned rounds, uint64_t pause_step_ns)
{
	struct test_host_options host_options = {0};
	struct test_host *host;
	uint64_t words[8];
	pid_t child;
	int status;

	assert_int_equal(test_host_open(&host, &host_options), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(echo(host->path, manner));
	assert_int_equal(test_host_ready(host), 0);
	for (unsigned round = 0; round < rounds; round++) {
		unsigned n = 1 + round % 3;

		spin(round % 61 * pause_step_ns);
		if (round % 64 == 0 && !test_host_sleeps(host, 0))
			fail_msg("round %u: the NF does not fall asleep", round);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(test_host_give(host, 0, 0, "x", 1), 0);
		if (!(round % 2 ? test_host_collect_all(host, 0, 0, words, n)
				: collect_polling(host, words, n)))
			fail_msg("round %u: a wake-up was lost", round);
	}
	test_host_control(host, NETVM_CONTROL_STOP);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(host->returned, host->given);
	assert_int_equal(host->refused, 0);
	assert_true(host->wakeups > 0);
	test_host_close(host);
}

static void no_wake_up_is_lost_in_adaptive_waiting(void **state)
{
	(void)state;
	play(BY_RECEIVE, 1000, 2500); /* 0..150 us: around the moment of going to sleep */
}

static void no_wake_up_is_lost_in_immediate_sleeping(void **state)
{
	(void)state;
	play(BY_OWN_SLEEP, 4000, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(receive_keeps_its_time_limit),
		cmocka_unit_test(an_idle_nf_costs_no_cpu),
		cmocka_unit_test(who_polls_does_not_sleep),
		cmocka_unit_test(sleep_refuses_when_packets_wait),
		cmocka_unit_test(one_sleep_is_rung_for_once),
		cmocka_unit_test(no_wake_up_is_lost_in_adaptive_waiting),
		cmocka_unit_test(no_wake_up_is_lost_in_immediate_sleeping),
	};

	return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
