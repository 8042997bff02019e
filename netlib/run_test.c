/*
 * netvm_run(): callbacks, holding, threads, stopping by every way there is, ticks, the host's end
 * and attaching again. The NF runs on a thread of the test, the test plays the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "absence.h"
#include "test_host.h"

#define MS UINT64_C(1000000)

/* An NF on a thread, and its host. */
struct runner {
	struct netvm_options options;
	struct test_host *host;
	char path[sizeof(((struct test_host *)NULL)->path)]; /* outlives the host */
	pthread_t thread;
	int result;
	char error[320];
};

static void *runner_thread(void *arg)
{
	struct runner *runner = arg;

	runner->result = netvm_run(&runner->options);
	snprintf(runner->error, sizeof(runner->error), "%s", netvm_error());
	return NULL;
}

static void runner_start(
	struct runner *runner, struct netvm_options options, struct test_host_options host_options)
{
	*runner = (struct runner){.options = options};
	assert_int_equal(test_host_open(&runner->host, &host_options), 0);
	runner->options.name = "nf";
	memcpy(runner->path, runner->host->path, sizeof(runner->path));
	runner->options.socket = runner->path;
	assert_int_equal(pthread_create(&runner->thread, NULL, runner_thread, runner), 0);
	assert_int_equal(test_host_ready(runner->host), 0);
}

static int runner_wait(struct runner *runner)
{
	pthread_join(runner->thread, NULL);
	return runner->result;
}

static int runner_stop(struct runner *runner)
{
	netvm_stop();
	return runner_wait(runner);
}

static void give(struct runner *runner, unsigned worker, unsigned queue, const char *text)
{
	assert_int_equal(
		test_host_give(runner->host, worker, queue, text, (uint32_t)strlen(text)), 0);
}

static void collect(
	struct runner *runner, unsigned worker, unsigned queue, uint64_t *words, unsigned n)
{
	assert_true(test_host_collect_all(runner->host, worker, queue, words, n));
}

/* ---- callbacks ------------------------------------------------------------------------------ */

static void pass(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)nf;
	(void)pkts;
	(void)n;
	(void)arg;
}

static void drop_b(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < n; i++)
		if (*netvm_data(nf, &pkts[i]) == 'b')
			netvm_drop(&pkts[i]);
}

static void untouched_packets_go_on(void **state)
{
	struct runner runner;
	uint64_t words[3];

	(void)state;
	runner_start(
		&runner, (struct netvm_options){.burst = drop_b}, (struct test_host_options){0});
	give(&runner, 0, 0, "a");
	give(&runner, 0, 0, "b");
	give(&runner, 0, 0, "c");
	collect(&runner, 0, 0, words, 3);
	assert_int_equal(netvm_desc_verdict(words[0]), TEST_HOST_NEXT);
	assert_int_equal(netvm_desc_verdict(words[1]), NETVM_VERDICT_DROP);
	assert_int_equal(netvm_desc_verdict(words[2]), TEST_HOST_NEXT);
	assert_int_equal(runner_stop(&runner), 0);
	assert_int_equal(runner.host->channel->queue[0].rx_pkts, 3);
	assert_int_equal(runner.host->channel->queue[0].tx_pkts, 3);
	assert_true(runner.host->channel->queue[0].heartbeat > 0);
	assert_int_equal(runner.host->channel->state, NETVM_STATE_GONE);
	test_host_close(runner.host);
}

/* Holds 'h', sends 's' itself, releases 'r', clones 'c', all from within the callback. */
struct keeper {
	struct netvm_packet held[64];
	unsigned n_held;
};

static void keep(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	struct keeper *keeper = arg;

	for (unsigned i = 0; i < n; i++) {
		struct netvm_packet clone;

		switch (*netvm_data(nf, &pkts[i])) {
		case 'h':
			netvm_hold(nf, &pkts[i]);
			keeper->held[keeper->n_held++] = pkts[i];
			break;
		case 's':
			netvm_to(&pkts[i], 50);
			netvm_send(nf, &pkts[i], 1);
			break;
		case 'r':
			netvm_release(nf, &pkts[i]);
			break;
		case 'c':
			assert_int_equal(netvm_clone(nf, &pkts[i], &clone), 0);
			netvm_to(&clone, 51);
			netvm_send(nf, &clone, 1);
			break;
		case 'f': /* lets go of what it held */
			netvm_send(nf, keeper->held, keeper->n_held);
			keeper->n_held = 0;
			break;
		}
	}
}

static unsigned count_verdict(const uint64_t *words, unsigned n, unsigned verdict)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		count += netvm_desc_verdict(words[i]) == verdict;
	return count;
}

static void keeping_in_a_callback_balances(void **state)
{
	static const char *const text[] = {"h", "plain", "s", "r", "c", "h", "h", "plain"};
	struct keeper keeper = {.n_held = 0};
	struct runner runner;
	uint64_t words[16];

	(void)state;
	for (unsigned n_workers = 1; n_workers <= 2; n_workers++) {
		runner_start(&runner,
			(struct netvm_options){.burst = keep, .arg = &keeper, .stock = true},
			(struct test_host_options){.n_workers = n_workers});
		/* The last worker does it all, so that "worker 0" by mistake is seen. */
		assert_int_equal(test_host_stock(runner.host, n_workers - 1, 0, 4), 4);
		for (size_t i = 0; i < 8; i++)
			give(&runner, n_workers - 1, 0, text[i]);
		collect(&runner, n_workers - 1, 0, words, 6); /* 5 not held and the clone */
		assert_int_equal(count_verdict(words, 6, 50), 1);
		assert_int_equal(count_verdict(words, 6, 51), 1);
		assert_int_equal(count_verdict(words, 6, NETVM_VERDICT_CONSUME), 1);
		assert_int_equal(count_verdict(words, 6, TEST_HOST_NEXT), 3);
		assert_int_equal(runner.host->returned, 5);
		give(&runner, n_workers - 1, 0, "f");
		collect(&runner, n_workers - 1, 0, words, 4);
		assert_int_equal(count_verdict(words, 4, TEST_HOST_NEXT), 4);
		assert_int_equal(runner_stop(&runner), 0);
		assert_int_equal(runner.host->refused, 0);
		assert_int_equal(runner.host->misrouted, 0);
		assert_int_equal(runner.host->returned, runner.host->given);
		assert_int_equal(test_host_in_flight(runner.host), 3); /* unused stock */
		test_host_close(runner.host);
	}
}

/* ---- threads --------------------------------------------------------------------------------- */

struct crew {
	pthread_mutex_t lock;
	unsigned started;
	unsigned queues;    /* bit per queue whose callback ran */
	unsigned strangers; /* callbacks on another thread than start */
	pthread_t thread[NETVM_QUEUES_MAX];
	int start_result;
	unsigned failing_queue;
};

static int crew_start(struct netvm *nf, void *arg)
{
	struct crew *crew = arg;

	pthread_mutex_lock(&crew->lock);
	crew->started++;
	crew->thread[netvm_queue(nf)] = pthread_self();
	pthread_mutex_unlock(&crew->lock);
	return netvm_queue(nf) == crew->failing_queue ? crew->start_result : 0;
}

static void crew_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	struct crew *crew = arg;

	(void)pkts;
	(void)n;
	pthread_mutex_lock(&crew->lock);
	crew->queues |= 1u << netvm_queue(nf);
	crew->strangers += !pthread_equal(crew->thread[netvm_queue(nf)], pthread_self());
	pthread_mutex_unlock(&crew->lock);
}

static void each_queue_has_its_thread(void **state)
{
	enum { QUEUES = 3, WORKERS = 2 };
	struct crew crew = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct runner runner;
	uint64_t word;

	(void)state;
	runner_start(&runner,
		(struct netvm_options){
			.burst = crew_burst, .start = crew_start, .arg = &crew, .n_queues = QUEUES},
		(struct test_host_options){.n_workers = WORKERS});
	for (unsigned q = 0; q < QUEUES; q++)
		for (unsigned w = 0; w < WORKERS; w++)
			give(&runner, w, q, "packet");
	for (unsigned q = 0; q < QUEUES; q++)
		for (unsigned w = 0; w < WORKERS; w++)
			collect(&runner, w, q, &word, 1);
	assert_int_equal(runner_stop(&runner), 0);
	assert_int_equal(crew.started, QUEUES);
	assert_int_equal(crew.queues, (1u << QUEUES) - 1);
	assert_int_equal(crew.strangers, 0);
	assert_false(pthread_equal(crew.thread[0], crew.thread[1]));
	assert_int_equal(runner.host->misrouted, 0);
	test_host_close(runner.host);
}

static void a_failing_start_stops_all_threads(void **state)
{
	(void)state;
	for (unsigned q = 0; q < 2; q++) {
		struct crew crew = {.lock = PTHREAD_MUTEX_INITIALIZER,
			.failing_queue = q,
			.start_result = -EXDEV};
		struct runner runner;

		runner_start(&runner,
			(struct netvm_options){.burst = crew_burst,
				.start = crew_start,
				.arg = &crew,
				.n_queues = 2},
			(struct test_host_options){0});
		assert_int_equal(runner_wait(&runner), -EXDEV);
		test_host_close(runner.host);
	}
}

/* ---- stopping -------------------------------------------------------------------------------- */

static void sleeping_and_busy_nfs_stop_at_once(void **state)
{
	(void)state;
	for (int busy = 0; busy < 2; busy++) {
		struct runner runner;

		runner_start(&runner,
			(struct netvm_options){.burst = pass, .busy = busy, .n_queues = 2},
			(struct test_host_options){0});
		if (!busy) {
			assert_true(test_host_sleeps(runner.host, 0));
			assert_true(test_host_sleeps(runner.host, 1));
		}
		assert_int_equal(runner_stop(&runner), 0);
		test_host_close(runner.host);
	}
}

static void the_host_can_ask_for_the_stop(void **state)
{
	struct runner runner;

	(void)state;
	runner_start(&runner, (struct netvm_options){.burst = pass, .n_queues = 2},
		(struct test_host_options){0});
	assert_true(test_host_sleeps(runner.host, 0));
	assert_true(test_host_sleeps(runner.host, 1));
	test_host_control(runner.host, NETVM_CONTROL_STOP);
	assert_int_equal(runner_wait(&runner), 0);
	test_host_close(runner.host);
}

/* "Finish what you hold": packets that wait when the stop comes still come back. */
static void a_stopping_nf_finishes_what_lies_in_its_rings(void **state)
{
	struct runner runner;
	uint64_t words[200];

	(void)state;
	runner_start(&runner, (struct netvm_options){.burst = pass}, (struct test_host_options){0});
	assert_true(test_host_sleeps(runner.host, 0));
	runner.host->pair[0][0].rung =
		runner.host->channel->queue[0].sleep_ticket; /* no doorbell */
	for (int i = 0; i < 200; i++)
		give(&runner, 0, 0, "packet");
	netvm_stop();
	collect(&runner, 0, 0, words, 200);
	assert_int_equal(runner_wait(&runner), 0);
	assert_int_equal(runner.host->returned, 200);
	test_host_close(runner.host);
}

static void signals_stop_and_handlers_are_restored(void **state)
{
	static const int number[] = {SIGTERM, SIGINT};
	struct sigaction now;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct runner runner;

		runner_start(&runner, (struct netvm_options){.burst = pass},
			(struct test_host_options){0});
		assert_true(test_host_sleeps(runner.host, 0));
		assert_int_equal(kill(getpid(), number[i]), 0);
		assert_int_equal(runner_wait(&runner), 0);
		sigaction(number[i], NULL, &now);
		assert_true(now.sa_handler == SIG_DFL);
		test_host_close(runner.host);
	}
}

/* ---- ticks ------------------------------------------------------------------------------------
 */

struct clockwork {
	unsigned ticks;
	unsigned limit;
};

static void count_tick(struct netvm *nf, void *arg)
{
	struct clockwork *clockwork = arg;

	(void)nf;
	if (++clockwork->ticks == clockwork->limit)
		netvm_stop();
}

static void ticks_come_without_packets_and_once_at_the_end(void **state)
{
	struct clockwork clockwork = {.limit = 5};
	struct runner runner;

	(void)state;
	runner_start(&runner,
		(struct netvm_options){
			.burst = pass, .tick = count_tick, .tick_ns = MS, .arg = &clockwork},
		(struct test_host_options){0});
	assert_int_equal(runner_wait(&runner), 0);
	assert_int_equal(clockwork.ticks, 6);
	test_host_close(runner.host);
}

static void send_from_tick(struct netvm *nf, void *arg)
{
	struct clockwork *clockwork = arg;
	struct netvm_packet pkt;

	if (netvm_alloc(nf, &pkt, 1) == 1) {
		netvm_to(&pkt, 60);
		netvm_send(nf, &pkt, 1);
		clockwork->ticks++;
	}
}

static void what_a_tick_sends_leaves_at_once(void **state)
{
	struct clockwork clockwork = {0};
	struct runner runner;
	uint64_t words[3];

	(void)state;
	runner_start(&runner,
		(struct netvm_options){.burst = pass,
			.tick = send_from_tick,
			.tick_ns = MS,
			.arg = &clockwork,
			.stock = true},
		(struct test_host_options){0});
	assert_int_equal(test_host_stock(runner.host, 0, 0, 3), 3);
	collect(&runner, 0, 0, words, 3);
	assert_int_equal(count_verdict(words, 3, 60), 3);
	assert_int_equal(runner_stop(&runner), 0);
	test_host_close(runner.host);
}

/* ---- the host's end ---------------------------------------------------------------------------
 */

static void a_vanished_host_ends_the_run(void **state)
{
	struct runner runner;

	(void)state;
	runner_start(&runner, (struct netvm_options){.burst = pass, .n_queues = 2},
		(struct test_host_options){0});
	assert_true(test_host_sleeps(runner.host, 0));
	test_host_close(runner.host);
	assert_int_equal(runner_wait(&runner), -ECONNRESET);
	assert_string_equal(runner.error, "the daemon went away");
}

/* One queue meets a corrupt ring; the other sleeps and must end, too. */
static void a_corrupt_ring_ends_all_queues(void **state)
{
	struct runner runner;

	(void)state;
	runner_start(&runner, (struct netvm_options){.burst = pass, .n_queues = 2},
		(struct test_host_options){0});
	assert_true(test_host_sleeps(runner.host, 0));
	assert_true(test_host_sleeps(runner.host, 1));
	runner.host->pair[0][1].rx.ring->producer = 100000;
	test_host_ring(runner.host, 0, 1);
	assert_int_equal(runner_wait(&runner), -ECONNRESET);
	test_host_close(runner.host);
}

static void a_new_host_is_attached_again(void **state)
{
	struct test_host_options again = {0};
	struct runner runner;
	uint64_t word;

	(void)state;
	runner_start(&runner, (struct netvm_options){.burst = pass, .reattach = true},
		(struct test_host_options){0});
	again.path = runner.path;
	for (int i = 0; i < 2; i++) {
		give(&runner, 0, 0, "packet");
		collect(&runner, 0, 0, &word, 1);
		test_host_close(runner.host);
		assert_int_equal(test_host_open(&runner.host, &again), 0);
		assert_int_equal(test_host_ready(runner.host), 0);
	}
	assert_int_equal(runner_stop(&runner), 0);
	test_host_close(runner.host);
}

/* It has work and state to lose, and may be served in a moment. */
static void a_new_host_without_room_is_asked_again(void **state)
{
	struct test_host_options full = {.refusal = NETVM_REFUSED_RESOURCE}, again = {0};
	struct runner runner;

	(void)state;
	runner_start(&runner, (struct netvm_options){.burst = pass, .reattach = true},
		(struct test_host_options){0});
	full.path = again.path = runner.path;
	test_host_close(runner.host);
	assert_int_equal(test_host_open(&runner.host, &full), 0);
	assert_int_equal(test_host_ready(runner.host), 0);
	test_host_close(runner.host);
	assert_int_equal(test_host_open(&runner.host, &again), 0);
	assert_int_equal(test_host_ready(runner.host), 0);
	assert_int_equal(runner_stop(&runner), 0);
	test_host_close(runner.host);
}

/* Without options.reattach: the host's word counts. */
static void a_move_is_attached_to_the_next_offer(void **state)
{
	struct test_host_options next = {0};
	struct runner runner;
	uint64_t word;

	(void)state;
	runner_start(&runner, (struct netvm_options){.burst = pass}, (struct test_host_options){0});
	next.path = runner.path;
	test_host_control(runner.host, NETVM_CONTROL_MOVE | NETVM_CONTROL_STOP);
	assert_int_equal(recv(runner.host->connection, &(char){0}, 1, 0), 0); /* it has left */
	test_host_close(runner.host);
	assert_int_equal(test_host_open(&runner.host, &next), 0);
	assert_int_equal(test_host_ready(runner.host), 0);
	give(&runner, 0, 0, "packet");
	collect(&runner, 0, 0, &word, 1);
	test_host_control(runner.host, NETVM_CONTROL_STOP);
	assert_int_equal(runner_wait(&runner), 0);
	test_host_close(runner.host);
}

static void a_host_that_comes_later_is_waited_for(void **state)
{
	struct runner runner = {.options = {.name = "nf", .burst = pass, .wait = true}};
	struct test_host_options later = {0};

	(void)state;
	snprintf(runner.path, sizeof(runner.path), "/tmp/netvm-later-%d.sock", getpid());
	runner.options.socket = later.path = runner.path;
	assert_int_equal(pthread_create(&runner.thread, NULL, runner_thread, &runner), 0);
	assert_int_equal(usleep(1000), 0); /* most often it has looked in vain by then */
	assert_int_equal(test_host_open(&runner.host, &later), 0);
	assert_int_equal(test_host_ready(runner.host), 0);
	assert_int_equal(runner_stop(&runner), 0);
	test_host_close(runner.host);
}

static void waiting_for_a_new_host_can_be_stopped(void **state)
{
	struct runner runner;

	(void)state;
	runner_start(&runner, (struct netvm_options){.burst = pass, .reattach = true},
		(struct test_host_options){0});
	test_host_close(runner.host);
	assert_int_equal(runner_stop(&runner), 0);
}

static bool is_readable(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	return poll(&pollfd, 1, 0) == 1;
}

/* Not by trying again and again: a socket that is moved into place is news. */
static void a_socket_in_its_place_is_seen(void **state)
{
	char folder[] = "/tmp/netvm-run-test.XXXXXX", path[64], beside[64];
	struct absence absence = ABSENCE_NONE;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/nf.sock", folder);
	snprintf(beside, sizeof(beside), "%s/nf.sock.new", folder);
	absence_watch(&absence, path);
	assert_return_code(close(creat(beside, 0600)), errno);
	absence_watch(&absence, path);
	assert_false(is_readable(absence.fd));
	assert_return_code(rename(beside, path), errno);
	assert_true(is_readable(absence.fd));
	absence_end(&absence);
	assert_int_equal(absence.fd, -1);
	unlink(path);
	rmdir(folder);
}

static void a_stop_before_the_run_is_not_lost(void **state)
{
	struct test_host_options host_options = {0};
	struct netvm_options options = {.name = "nf", .burst = pass};
	struct test_host *host;

	(void)state;
	assert_int_equal(test_host_open(&host, &host_options), 0);
	options.socket = host->path;
	netvm_stop();
	assert_int_equal(netvm_run(&options), 0);
	test_host_close(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(untouched_packets_go_on),
		cmocka_unit_test(keeping_in_a_callback_balances),
		cmocka_unit_test(each_queue_has_its_thread),
		cmocka_unit_test(a_failing_start_stops_all_threads),
		cmocka_unit_test(sleeping_and_busy_nfs_stop_at_once),
		cmocka_unit_test(the_host_can_ask_for_the_stop),
		cmocka_unit_test(a_stopping_nf_finishes_what_lies_in_its_rings),
		cmocka_unit_test(signals_stop_and_handlers_are_restored),
		cmocka_unit_test(ticks_come_without_packets_and_once_at_the_end),
		cmocka_unit_test(what_a_tick_sends_leaves_at_once),
		cmocka_unit_test(a_vanished_host_ends_the_run),
		cmocka_unit_test(a_corrupt_ring_ends_all_queues),
		cmocka_unit_test(a_new_host_is_attached_again),
		cmocka_unit_test(a_new_host_without_room_is_asked_again),
		cmocka_unit_test(a_move_is_attached_to_the_next_offer),
		cmocka_unit_test(a_host_that_comes_later_is_waited_for),
		cmocka_unit_test(waiting_for_a_new_host_can_be_stopped),
		cmocka_unit_test(a_socket_in_its_place_is_seen),
		cmocka_unit_test(a_stop_before_the_run_is_not_lost),
	};

	return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
