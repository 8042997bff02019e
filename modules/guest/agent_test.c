/* The agent's port: the one word it may say, in pieces, and everything else. */
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/guest/agent.h"
#include "modules/guest/testing/qemu.h"

static char path[64];
static struct event_base *base;
static struct agent *agent;
static int guest; /* its end */
static unsigned n_ready, n_broken;
static bool is_allowed;

static bool allowed(void *arg, const struct peer *peer)
{
	(void)arg;
	return is_allowed && peer->pid == getpid();
}

static void ready(void *arg)
{
	(void)arg;
	n_ready++;
}

static void broken(void *arg)
{
	(void)arg;
	n_broken++;
}

static int setup(void **state)
{
	const struct agent_options options = {
		.path = path, .allowed = allowed, .ready = ready, .broken = broken};
	struct agent_options made = options;
	struct error error = {0};

	(void)state;
	snprintf(path, sizeof(path), "/tmp/netvm-agent-test-%d", getpid());
	n_ready = n_broken = 0;
	is_allowed = true;
	made.base = base = event_base_new();
	assert_int_equal(agent_open(&made, &agent, &error), 0);
	assert_int_equal(agent_run(agent, "fw", "fw", NULL), -ENOTCONN);
	guest = fake_qemu_dial(base, path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	agent_close(agent);
	close(guest);
	event_base_free(base);
	return access(path, F_OK) == 0;
}

static void say(const char *text)
{
	assert_int_equal(send(guest, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void expect_told(const char *wanted)
{
	char text[128] = "";

	assert_true(recv(guest, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(text, wanted);
}

static void test_ready_and_run(void **state)
{
	char *const argv[] = {"netvm-firewall", "--rules", "a b", NULL};

	(void)state;
	for (const char *at = "READY\n"; *at; at++) {
		assert_int_equal(n_ready, 0);
		say((char[]){*at, '\0'});
	}
	assert_int_equal(n_ready, 1);
	assert_int_equal(agent_run(agent, "fw", "edge", argv), 0);
	expect_told("fw\nedge\nnetvm-firewall\n--rules\na b\n\n");
}

static void test_rehearsal(void **state)
{
	(void)state;
	say("READY\n");
	assert_int_equal(agent_rehearse(agent), 0);
	expect_told("rehearsal\n\n\n");
	assert_int_equal(n_ready, 1);
	say("READY\n");
	assert_int_equal(n_ready, 2);
	assert_int_equal(agent_run(agent, "fw", "fw", NULL), 0);
	expect_told("fw\nfw\n\n");
}

static void test_default_command(void **state)
{
	(void)state;
	assert_int_equal(agent_run(agent, "fw", "fw", NULL), 0);
	expect_told("fw\nfw\n\n");
}

static void test_nonsense(void **state)
{
	(void)state;
	say("REA");
	say("dy\n");
	assert_int_equal(n_ready, 0);
	assert_int_equal(n_broken, 1);
	assert_int_equal(agent_run(agent, "fw", "fw", NULL), -ENOTCONN);
}

/* It is not listened to: it fills its socket and then waits. */
static void test_talking_on(void **state)
{
	char text[4096];

	(void)state;
	say("READY\nREADY\n");
	assert_int_equal(n_ready, 1);
	memset(text, 'x', sizeof(text));
	while (send(guest, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(n_ready, 1);
	assert_int_equal(n_broken, 0);
}

static void test_the_end(void **state)
{
	(void)state;
	shutdown(guest, SHUT_RDWR);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(n_broken, 1);
}

static void test_only_one_and_only_its_qemu(void **state)
{
	char byte;
	int other = fake_qemu_dial(base, path);

	(void)state;
	assert_int_equal(recv(other, &byte, 1, MSG_DONTWAIT), 0);
	close(other);
	teardown(state);
	setup(state);
	close(guest);
	event_base_loop(base, EVLOOP_NONBLOCK);
	is_allowed = false;
	guest = fake_qemu_dial(base, path);
	assert_int_equal(recv(guest, &byte, 1, MSG_DONTWAIT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ready_and_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rehearsal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_default_command, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_talking_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_one_and_only_its_qemu, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
