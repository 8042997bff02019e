/* Who runs, who sleeps, who is stopped, and who wants to run and is not let. */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/nf/cpu_share.h"

/* A process that sleeps until it may, then spins; killed by end(). */
static pid_t spinner(int *go)
{
	int pipe_fd[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(pipe_fd), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (read(pipe_fd[0], &byte, 1) == 1)
			for (;;)
				__asm__ volatile("");
		_exit(1);
	}
	close(pipe_fd[0]);
	*go = pipe_fd[1];
	return pid;
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(cpu_share_ns(pid), 0);
	assert_false(cpu_share_is_wanted(pid));
}

static void test_states(void **state)
{
	uint64_t before_ns;
	int go, status;
	pid_t pid = spinner(&go);

	(void)state;
	while (cpu_share_is_wanted(pid))
		; /* it starts, then sleeps */
	before_ns = cpu_share_ns(pid);
	assert_int_equal(write(go, "g", 1), 1);
	while (!cpu_share_is_wanted(pid))
		;
	while (cpu_share_ns(pid) < before_ns + 1000000)
		;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_false(cpu_share_is_wanted(pid));
	close(go);
	end(pid);
}

/* On the only CPU of one that comes first; the kernel lets it run a little now and then. */
static void test_starving(void **state)
{
	const struct sched_param first = {.sched_priority = 1}, usual = {.sched_priority = 0};
	uint64_t before_ns;
	cpu_set_t all, one;
	int go;
	pid_t pid;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	pid = spinner(&go);
	while (cpu_share_is_wanted(pid))
		sched_yield();
	if (sched_setscheduler(0, SCHED_FIFO, &first)) {
		end(pid);
		skip();
	}
	assert_int_equal(write(go, "g", 1), 1);
	do {
		before_ns = cpu_share_ns(pid);
		assert_true(cpu_share_is_wanted(pid));
	} while (cpu_share_ns(pid) != before_ns);
	assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &usual), 0);
	while (cpu_share_ns(pid) == before_ns)
		sched_yield();
	end(pid);
	close(go);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

static void test_nobody(void **state)
{
	(void)state;
	assert_int_equal(cpu_share_ns(0), 0);
	assert_int_equal(cpu_share_ns(-1), 0);
	assert_false(cpu_share_is_wanted(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_starving),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests_name("what a process has of the CPUs", tests, NULL, NULL);
}
