/* Scripts against a QEMU that answers, refuses, is late, says nothing and ends; and plugging. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/guest/hotplug.h"
#include "modules/guest/listener.h"
#include "modules/guest/monitor.h"
#include "modules/guest/testing/qemu.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n{\"return\": {}}\n"
#define LONG_MS  30000

static char path[64];
static struct event_base *base;
static struct monitor *monitor;
static struct script *script;
static int qemu; /* its end */
static unsigned n_done, n_ready, n_events;
static char outcome[256], refusal[256];

static void event(void *arg, const char *name, const json_t *data)
{
	(void)arg;
	(void)name;
	(void)data;
	n_events++;
}

static void refused(void *arg, const char *text)
{
	(void)arg;
	snprintf(refusal, sizeof(refusal), "%s", text);
}

static void ready(void *arg)
{
	(void)arg;
	n_ready++;
}

static void done(void *arg, const char *failure)
{
	assert_ptr_equal(arg, outcome);
	n_done++;
	snprintf(outcome, sizeof(outcome), "%s", failure ? failure : "");
}

static void open_monitor(void)
{
	const struct monitor_options options = {
		.base = base, .path = path, .event = event, .refused = refused, .ready = ready};
	struct error error = {0};

	assert_int_equal(monitor_open(&options, &monitor, &error), 0);
}

static void turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void say(const char *text)
{
	assert_int_equal(send(qemu, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	turn();
}

static int setup(void **state)
{
	struct listener listener;
	struct error error = {0};

	(void)state;
	snprintf(path, sizeof(path), "/tmp/netvm-script-test-%d", getpid());
	n_done = n_ready = n_events = 0;
	outcome[0] = refusal[0] = '\0';
	base = event_base_new();
	assert_int_equal(listener_bind(&listener, path, 0600, &error), 0);
	open_monitor();
	turn();
	qemu = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
	assert_return_code(qemu, errno);
	listener_close(&listener);
	say(GREETING);
	assert_int_equal(n_ready, 1);
	assert_true(recv(qemu, outcome, sizeof(outcome), 0) > 0); /* qmp_capabilities */
	outcome[0] = '\0';
	script = monitor_script(monitor, done, outcome);
	assert_non_null(script);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	monitor_close(monitor);
	close(qemu);
	event_base_free(base);
	return 0;
}

/* The command that was sent last, its id and its descriptor, which the caller closes. */
static json_int_t heard(const char *command, const char *part, int *fd)
{
	char text[1024] = "";
	json_t *object;
	json_int_t id;
	int given;

	assert_true(fake_qemu_hear(qemu, text, sizeof(text) - 1, &given) > 0);
	object = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(object, "execute")), command);
	if (part && !strstr(text, part))
		fail_msg("%s", text);
	id = json_integer_value(json_object_get(object, "id"));
	json_decref(object);
	if (fd)
		*fd = given;
	return id;
}

static bool silent(void)
{
	char byte;

	return recv(qemu, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static void answer(json_int_t id, const char *error)
{
	char text[256];

	if (error)
		snprintf(text, sizeof(text),
			"{\"id\": %lld, \"error\": {\"class\": \"x\", \"desc\": \"%s\"}}\n",
			(long long)id, error);
	else
		snprintf(text, sizeof(text), "{\"id\": %lld, \"return\": {}}\n", (long long)id);
	say(text);
}

static void deleted(const char *device)
{
	char text[128];

	snprintf(text, sizeof(text),
		"{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"%s\"}}\n", device);
	say(text);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_one_after_the_other(void **state)
{
	json_int_t id;

	(void)state;
	script_add(script, "stop", NULL);
	script_add(script, "device_del", json_pack("{s:s}", "id", "x"));
	monitor_run(monitor, LONG_MS);
	id = heard("stop", NULL, NULL);
	assert_true(silent());
	answer(id, NULL);
	answer(heard("device_del", "\"x\"", NULL), NULL);
	assert_int_equal(n_done, 1);
	assert_string_equal(outcome, "");
}

/* Whichever is first; those of others do not count. */
static void test_events(void **state)
{
	json_int_t id;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		script_add(script, "device_del", NULL);
		script_await(script, "DEVICE_DELETED", "device", "x");
	}
	monitor_run(monitor, LONG_MS);
	id = heard("device_del", NULL, NULL);
	deleted("x");
	assert_true(silent());
	answer(id, NULL);
	id = heard("device_del", NULL, NULL);
	answer(id, NULL);
	deleted("y");
	say("{\"event\": \"DEVICE_DELETED\"}\n{\"event\": \"RESUME\", \"data\": {\"device\": "
	    "\"x\"}}\n");
	assert_int_equal(n_done, 0);
	deleted("x");
	assert_int_equal(n_done, 1);
	assert_string_equal(outcome, "");
	assert_int_equal(n_events, 5);
}

static void test_refusals(void **state)
{
	(void)state;
	script_add(script, "device_del", NULL);
	script_await(script, "DEVICE_DELETED", "device", "x");
	script_optional(script);
	script_add(script, "cont", NULL);
	script_add(script, "stop", NULL);
	monitor_run(monitor, LONG_MS);
	answer(heard("device_del", NULL, NULL), "not found");
	answer(heard("cont", NULL, NULL), "no");
	assert_int_equal(n_done, 1);
	assert_string_equal(outcome, "cont: no");
	assert_true(silent());
	assert_string_equal(refusal, "");
}

static void test_failing_event(void **state)
{
	(void)state;
	hotplug_save(script, -1, true);
	monitor_run(monitor, LONG_MS);
	answer(heard("migrate-set-parameters", "max-bandwidth", NULL), NULL);
	answer(heard("migrate-set-capabilities", "events", NULL), NULL);
	answer(heard("getfd", NULL, NULL), NULL);
	answer(heard("migrate", "fd:netvm", NULL), NULL);
	say("{\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}}\n");
	assert_int_equal(n_done, 0);
	say("{\"event\": \"MIGRATION\", \"data\": {\"status\": \"failed\"}}\n");
	assert_string_equal(outcome, "migrate: failed");
}

static void test_late_answers_are_nobodys(void **state)
{
	json_int_t id;

	(void)state;
	script_add(script, "stop", NULL);
	monitor_run(monitor, LONG_MS);
	id = heard("stop", NULL, NULL);
	script = monitor_script(monitor, done, outcome);
	script_add(script, "cont", NULL);
	monitor_run(monitor, LONG_MS);
	answer(id, "too late");
	assert_int_equal(n_done, 0);
	answer(heard("cont", NULL, NULL), NULL);
	assert_int_equal(n_done, 1);
	answer(id, NULL);
	assert_int_equal(n_done, 1);
}

static void test_silence(void **state)
{
	(void)state;
	script_add(script, "stop", NULL);
	monitor_run(monitor, 1);
	event_base_loop(base, EVLOOP_ONCE);
	assert_string_equal(outcome, "stop: QEMU, or the guest, does not answer");
}

static void test_the_end_of_qemu(void **state)
{
	(void)state;
	script_add(script, "stop", NULL);
	monitor_run(monitor, LONG_MS);
	shutdown(qemu, SHUT_RDWR);
	turn();
	assert_string_equal(outcome, "stop: QEMU has ended");
	script = monitor_script(monitor, done, outcome);
	script_add(script, "stop", NULL);
	monitor_run(monitor, LONG_MS);
	assert_int_equal(n_done, 2);
	assert_string_equal(outcome, "stop: QEMU has not connected");
}

static void close_it(void *arg, const char *failure)
{
	(void)arg;
	(void)failure;
	n_done++;
	monitor_close(monitor);
	monitor = NULL;
}

/* What hears of the end may end it all. */
static void test_closing_from_within(void **state)
{
	(void)state;
	script = monitor_script(monitor, close_it, NULL);
	script_add(script, "stop", NULL);
	monitor_run(monitor, LONG_MS);
	answer(heard("stop", NULL, NULL), NULL);
	assert_int_equal(n_done, 1);
	assert_null(monitor);
}

static void test_plug_and_unplug(void **state)
{
	const struct hotplug devices = {"/run/c", "/run/g", 3};

	(void)state;
	hotplug_unplug(script);
	hotplug_port(script, 1, "/run/b");
	hotplug_plug(script, &devices);
	monitor_run(monitor, LONG_MS);
	answer(heard("device_del", "netvm-channel", NULL), NULL);
	deleted("netvm-channel");
	answer(heard("chardev-remove", "netvm-channel", NULL), NULL);
	answer(heard("device_del", "netvm-group", NULL), "not found");
	answer(heard("chardev-remove", "netvm-group", NULL), "not found");
	answer(heard("chardev-change", "/run/b", NULL), "there is no such port");
	answer(heard("chardev-add", "/run/g", NULL), NULL);
	answer(heard("device_add", "\"vectors\": 1, \"bus\": \"netvm-slot1\"", NULL), NULL);
	answer(heard("chardev-add", "/run/c", NULL), NULL);
	answer(heard("device_add", "\"vectors\": 3, \"bus\": \"netvm-slot0\"", NULL), NULL);
	assert_int_equal(n_done, 1);
	assert_string_equal(outcome, "");
}

static void test_load_passes_the_descriptor(void **state)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), got = -1;
	struct stat ours, theirs;

	(void)state;
	hotplug_load(script, dup(null));
	monitor_run(monitor, LONG_MS);
	answer(heard("migrate-set-capabilities", NULL, NULL), NULL);
	answer(heard("getfd", "netvm", &got), NULL);
	assert_return_code(fstat(null, &ours), errno);
	assert_return_code(fstat(got, &theirs), errno);
	assert_int_equal(ours.st_rdev, theirs.st_rdev);
	heard("migrate-incoming", "fd:netvm", NULL);
	close(null);
	close(got);
}

/* Somebody else's QEMU comes after us, goes, and comes again. */
static void test_dial(void **state)
{
	struct listener listener;
	struct error error = {0};

	(void)state;
	monitor_close(monitor);
	open_monitor();
	turn();
	assert_non_null(strstr(refusal, "No such file"));
	assert_false(monitor_is_ready(monitor));
	assert_int_equal(listener_bind(&listener, path, 0600, &error), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct pollfd call = {.fd = listener.fd, .events = POLLIN};

		close(qemu);
		while (poll(&call, 1, 0) == 0)
			event_base_loop(base, EVLOOP_ONCE);
		qemu = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
		assert_false(monitor_is_ready(monitor)); /* it has not said a word */
		say(GREETING);
		assert_true(monitor_is_ready(monitor));
		assert_int_equal(n_ready, 2 + i);
		shutdown(qemu, SHUT_RDWR);
		turn();
		assert_false(monitor_is_ready(monitor));
	}
	listener_close(&listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_after_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failing_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_answers_are_nobodys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_end_of_qemu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closing_from_within, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plug_and_unplug, setup, teardown),
		cmocka_unit_test_setup_teardown(test_load_passes_the_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dial, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
