/* The monitor's client against a QEMU that talks sense, in pieces, and nonsense. */
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/guest/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": []}}\r\n"

static struct event_base *base;
static struct qmp *qmp;
static int qemu; /* its end */
static char heard[256];
static unsigned n_more; /* events that are answered with another one */

static void event(void *arg, const char *name, const json_t *data)
{
	static const char next[] = "{\"event\": \"STOP\"}\n";
	const char *reason = json_string_value(json_object_get(data, "reason"));

	assert_ptr_equal(arg, heard);
	if (n_more > 0) {
		n_more--;
		assert_int_equal(send(qemu, next, strlen(next), 0), strlen(next));
		return;
	}
	strcat(strcat(strcat(heard, name), ":"), reason ? reason : "");
}

static void refused(void *arg, const char *text)
{
	(void)arg;
	strcat(strcat(heard, "refused:"), text);
}

static const struct qmp_hooks hooks = {event, refused};

static int setup(void **state)
{
	int ends[2];

	(void)state;
	base = event_base_new();
	heard[0] = '\0';
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), errno);
	qemu = ends[1];
	return qmp_open(base, ends[0], &hooks, heard, &qmp);
}

static int teardown(void **state)
{
	(void)state;
	qmp_close(qmp);
	close(qemu);
	event_base_free(base);
	return 0;
}

static void say(const char *text)
{
	assert_int_equal(send(qemu, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void expect_heard(const char *wanted)
{
	assert_string_equal(heard, wanted);
	heard[0] = '\0';
}

static void expect_said(const char *wanted)
{
	char text[256] = "";

	assert_true(recv(qemu, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(text, wanted);
}

static bool is_hung_up(void)
{
	char byte;

	return recv(qemu, &byte, 1, MSG_DONTWAIT) == 0 && qmp_execute(qmp, "quit") == -ENOTCONN;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_greeting_and_commands(void **state)
{
	(void)state;
	assert_int_equal(qmp_execute(qmp, "system_powerdown"), -ENOTCONN);
	say(GREETING);
	expect_said("{\"execute\": \"qmp_capabilities\"}\n");
	say("{\"return\": {}}\r\n");
	assert_int_equal(qmp_execute(qmp, "system_powerdown"), 0);
	expect_said("{\"execute\": \"system_powerdown\"}\n");
	say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\r\n");
	expect_heard("refused:no");
}

static void test_events(void **state)
{
	(void)state;
	say(GREETING "{\"return\": {}}\r\n{\"event\": \"STOP\", \"timestamp\": {}}\r\n\r\n"
		     "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-reset\"}}\r\n");
	expect_heard("STOP:SHUTDOWN:guest-reset");
}

static void test_pieces(void **state)
{
	const char *text = "{\"event\": \"RESUME\"}\n";

	(void)state;
	say(GREETING);
	for (const char *at = text; *at; at++)
		say((char[]){*at, '\0'});
	expect_heard("RESUME:");
}

static void test_nonsense(void **state)
{
	static const char *const lines[] = {"hello\n", "[]\n", "{\n", "{\"event\": 1}\n", "1\n"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		char drained[64];

		say(GREETING);
		assert_true(recv(qemu, drained, sizeof(drained), MSG_DONTWAIT) > 0);
		say(lines[i]);
		expect_heard("");
		assert_true(is_hung_up());
		teardown(state);
		setup(state);
	}
}

static void test_no_greeting(void **state)
{
	(void)state;
	say("{\"event\": \"STOP\"}\n");
	expect_heard("");
	assert_true(is_hung_up());
}

static void test_endless_line(void **state)
{
	char part[QMP_LINE_MAX / 4 + 1];

	(void)state;
	memset(part, ' ', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	for (unsigned i = 0; i < 4; i++) {
		assert_false(is_hung_up());
		say(part);
	}
	assert_true(is_hung_up());
}

static void test_nul_bytes(void **state)
{
	(void)state;
	assert_int_equal(send(qemu, "\0\n", 2, 0), 2);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(is_hung_up());
}

static void test_hang_up(void **state)
{
	(void)state;
	say(GREETING);
	shutdown(qemu, SHUT_RDWR);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(qmp_execute(qmp, "quit"), -ENOTCONN);
}

/* What it said before its end, though the loop has not come to it. */
static void test_heard_out(void **state)
{
	static const char text[] =
		"{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-panic\"}}\n";

	(void)state;
	say(GREETING);
	assert_int_equal(send(qemu, text, sizeof(text) - 1, 0), sizeof(text) - 1);
	shutdown(qemu, SHUT_RDWR);
	qmp_hear_out(qmp);
	expect_heard("SHUTDOWN:guest-panic");
	qmp_hear_out(qmp);
	qmp_hear_out(NULL);
}

/* What it goes on to say while it is heard out, nobody waits for the end of. */
static void test_goes_on_for_ever(void **state)
{
	const unsigned many = 100000;

	(void)state;
	say(GREETING);
	n_more = many;
	assert_int_equal(send(qemu, "{\"event\": \"STOP\"}\n", 18, 0), 18);
	qmp_hear_out(qmp);
	assert_in_range(n_more, many / 2, many);
	n_more = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_greeting_and_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_greeting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nul_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_heard_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_for_ever, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
