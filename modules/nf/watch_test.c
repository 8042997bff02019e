/* When an NF counts as hung: watch.c over an engine and processes that the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "engine/engine.h"
#include "manager/module.h"
#include "modules/nf/attach.h"
#include "modules/nf/cpu_share.h"
#include "modules/nf/watch.h"

#define HANG_MS 8
#define MANY    64 /* looks: eight times what a hang takes */

/* What is seen of it. */
static struct {
	unsigned n_looks;
	unsigned moves_after; /* looks, again and again; 0: it does not move */
	unsigned still_queue; /* the others move with each look */
	bool idles;
	bool wants_cpu;
	uint64_t cpu_ns, cpu_per_look_ns;
} seen;
static int hung_queue;

void engine_nf_pulse(
	struct engine *engine, const struct nf *nf, unsigned queue, struct nf_pulse *pulse)
{
	(void)engine;
	(void)nf;
	pulse->has_work = !seen.idles;
	pulse->mark = seen.moves_after ? seen.n_looks / seen.moves_after : 0;
	if (queue != seen.still_queue) {
		pulse->mark = ++seen.n_looks;
		seen.cpu_ns += seen.cpu_per_look_ns;
	}
}

uint64_t cpu_share_ns(pid_t pid)
{
	(void)pid;
	return seen.cpu_ns;
}

bool cpu_share_is_wanted(pid_t pid)
{
	(void)pid;
	return seen.wants_cpu;
}

struct nf *session_nf(const struct session *session)
{
	(void)session;
	return NULL;
}

pid_t session_pid(const struct session *session)
{
	(void)session;
	return 1;
}

/* The first one moves all the time, the second one does what the test says. */
uint32_t session_n_queues(const struct session *session)
{
	(void)session;
	return 2;
}

static void hung(void *arg, unsigned queue)
{
	(void)arg;
	hung_queue = (int)queue;
}

/* The queue that hung within so many looks, or -1. */
static int watched(struct watch *watch, struct manager *manager, unsigned looks)
{
	unsigned until = seen.n_looks + looks;

	hung_queue = -1;
	watch_start(watch, manager, NULL, HANG_MS, hung, NULL);
	while (hung_queue < 0 && seen.n_looks < until)
		event_base_loop(manager->base, EVLOOP_ONCE);
	watch_stop(watch);
	return hung_queue;
}

static int verdict(void)
{
	struct manager manager = {.base = event_base_new()};
	struct watch watch = {0};
	int queue;

	seen.n_looks = 0;
	seen.still_queue = 1;
	queue = watched(&watch, &manager, MANY);
	event_base_free(manager.base);
	return queue;
}

/* Asleep with packets waiting, as by SIGSTOP: it gets no CPU and wants none. */
static void stopped_is_hung(void **state)
{
	(void)state;
	seen = (typeof(seen)){0};
	assert_int_equal(verdict(), 1);
	assert_in_range(seen.n_looks, 8, 10);
}

/* It has all the CPU it wants. */
static void spinning_is_hung(void **state)
{
	(void)state;
	seen = (typeof(seen)){.wants_cpu = true, .cpu_per_look_ns = 1000000};
	assert_int_equal(verdict(), 1);
}

static void starving_is_not(void **state)
{
	(void)state;
	seen = (typeof(seen)){.wants_cpu = true, .cpu_per_look_ns = 1000};
	assert_int_equal(verdict(), -1);
}

static void slow_is_not(void **state)
{
	(void)state;
	seen = (typeof(seen)){.moves_after = 7};
	assert_int_equal(verdict(), -1);
}

static void idle_is_not(void **state)
{
	(void)state;
	seen = (typeof(seen)){.idles = true};
	assert_int_equal(verdict(), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stopped_is_hung),
		cmocka_unit_test(spinning_is_hung),
		cmocka_unit_test(starving_is_not),
		cmocka_unit_test(slow_is_not),
		cmocka_unit_test(idle_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
