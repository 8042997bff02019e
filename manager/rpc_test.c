/* The API's protocol over a real connection: JSON-RPC 2.0, lines, limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "manager/events.h"
#include "manager/rpc.h"
#include "manager/server.h"
#include "manager/testing/daemon.h"

static int start_impatient(void **state)
{
	(void)state;
	daemon_start(20);
	return 0;
}

static json_int_t error_code(const json_t *answer)
{
	return json_integer_value(json_object_get(json_object_get(answer, "error"), "code"));
}

static void ids_are_echoed(void **state)
{
	static const char *const ids[] = {"7", "\"x\"", "null", "1.5"};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		json_t *want = json_loads(ids[i], JSON_DECODE_ANY, NULL), *answer;
		char text[128];

		snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"daemon.info\"}", ids[i]);
		answer = call_text(text);
		assert_true(json_equal(json_object_get(answer, "id"), want));
		assert_string_equal(json_string_value(json_object_get(answer, "jsonrpc")), "2.0");
		assert_non_null(json_object_get(answer, "result"));
		json_decref(answer);
		json_decref(want);
	}
}

static const struct {
	const char *text;
	json_int_t code;
	const char *message;
} wrong[] = {
	{"{", -32700, "not JSON"},
	{"\xff\xfe", -32700, "not JSON"},
	{"{\"a\":1,\"a\":2}", -32700, "duplicate"},
	{"3", -32600, "must be an object"},
	{"[]", -32600, "empty batch"},
	{"{}", -32600, "version"},
	{"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"x\"}", -32600, "version"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1}", -32600, "method is missing"},
	{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"x\"}", -32600, "id is not valid"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"stats.gte\"}", -32601, "stats.gte"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"config.get\",\"params\":{\"x\":1}}", -32602,
		"unknown field"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"config.get\",\"params\":[1]}", -32602,
		"a list"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"config.diff\"}", -32602, "must be given"},
};

static void wrong_calls_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *answer = call_text(wrong[i].text);
		const char *message = NULL;

		assert_int_equal(error_code(answer), wrong[i].code);
		assert_int_equal(json_unpack(answer, "{s{ss}}", "error", "message", &message), 0);
		assert_non_null(strstr(message, wrong[i].message));
		json_decref(answer);
	}
}

static void unknown_methods_get_a_hint(void **state)
{
	json_t *error = call_error("stats.gte", NULL);
	const char *hint;

	(void)state;
	assert_int_equal(json_unpack(error, "{s{ss}}", "data", "hint", &hint), 0);
	assert_non_null(strstr(hint, "did you mean stats.get?"));
	json_decref(error);
}

static void answer_is_too_big(const json_t *answer)
{
	const char *code = NULL;

	assert_int_equal(
		json_unpack((json_t *)answer, "{s{s{ss}}}", "error", "data", "code", &code), 0);
	assert_string_equal(code, "E2BIG");
}

static void batches_are_answered_together(void **state)
{
	json_t *answer =
		call_text("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.info\"},"
			  "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.info\"}," /* a notification */
			  "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"none\"},4]");

	(void)state;
	assert_int_equal(json_array_size(answer), 3);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(answer, 0), "id")), 1);
	assert_int_equal(error_code(json_array_get(answer, 1)), -32601);
	assert_int_equal(error_code(json_array_get(answer, 2)), -32600);
	json_decref(answer);
}

/* Whether they are wanted or not: making them takes its time, too. */
static void batches_have_bounded_results(void **state)
{
	static const char *const calls[] = {
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"schema.get\"}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"schema.get\"}",
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		char text[RPC_BATCH_MAX * 64] = "[", *end = text + 1;
		json_t *answer;

		for (int n = 1; n < RPC_BATCH_MAX; n++)
			end += sprintf(end, "%s,", calls[i]);
		sprintf(end, "%s]", calls[0]);
		answer = call_text(text);
		assert_int_equal(json_array_size(answer), i == 0 ? RPC_BATCH_MAX : 1);
		assert_null(
			json_object_get(json_array_get(answer, 0), i == 0 ? "error" : "result"));
		answer_is_too_big(json_array_get(answer, json_array_size(answer) - 1));
		json_decref(answer);
	}
}

/* The next line is the answer of the call behind them. */
static void notifications_are_not_answered(void **state)
{
	json_t *answer = call_text("{\"jsonrpc\":\"2.0\",\"method\":\"none\"}\n"
				   "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.info\"}\n"
				   "\n"
				   "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"daemon.info\"}");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(answer, "id")), 9);
	json_decref(answer);
}

/* Reads an error that belongs to no call, then the end of the connection. */
static void assert_refused(int fd, const char *message)
{
	char *line = daemon_read_line(fd);

	assert_non_null(line);
	assert_non_null(strstr(line, message));
	free(line);
	assert_null(daemon_read_line(fd));
	close(fd);
}

static void long_lines_are_refused(void **state)
{
	size_t length = SERVER_LINE_MAX + 1000;
	char *text = malloc(length);
	int fd = daemon_connect();

	(void)state;
	memset(text, ' ', length);
	daemon_write(fd, text, length);
	free(text);
	assert_refused(fd, "too long");
}

static void half_requests_time_out(void **state)
{
	int fd = daemon_connect();

	(void)state;
	daemon_write(fd, "{\"jsonrpc\"", 10);
	assert_refused(fd, "not finished in time");
}

static void half_requests_end_with_the_caller(void **state)
{
	int fd = daemon_connect();

	(void)state;
	daemon_write(fd, "{\"jsonrpc\"", 10);
	shutdown(fd, SHUT_WR);
	assert_refused(fd, "half a request");
}

static void callers_may_close_their_side_first(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.info\"}\n";
	int fd = daemon_connect();
	char *line;

	(void)state;
	assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	shutdown(fd, SHUT_WR);
	line = daemon_read_line(fd);
	assert_non_null(line);
	free(line);
	assert_null(daemon_read_line(fd));
	close(fd);
}

static void too_many_connections_are_refused(void **state)
{
	int more[2 + SERVER_CONNECTIONS_ADMIN - 1]; /* and the test's own: 3 */
	int first = daemon_connect();

	(void)state;
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		more[i] = daemon_connect();
	assert_refused(daemon_connect(), "too many connections");
	close(first);
	event_base_loop(daemon_base(), EVLOOP_ONCE);
	first = daemon_connect(); /* there is room again */
	daemon_write(first, "{}\n", 3);
	free(daemon_read_line(first));
	close(first);
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		close(more[i]);
}

static void events_are_waited_for(void **state)
{
	static const char format[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.get\","
				     "\"params\":{\"since\":%d,\"wait_ms\":60000}}\n";
	int fd = daemon_connect();
	char text[256], *line;

	(void)state;
	snprintf(text, sizeof(text), format, (int)events_next());
	daemon_write(fd, text, strlen(text));
	event_base_loop(daemon_base(), EVLOOP_NONBLOCK);
	assert_int_equal(recv(fd, text, 1, MSG_PEEK), -1);
	events_add("test", "ports.x", "it %s", "happened");
	line = daemon_read_line(fd);
	assert_non_null(line);
	assert_non_null(strstr(line, "it happened"));
	free(line);
	close(fd);
}

/* What strangers said stays in its line, and is told whatever it is. */
static void events_are_one_line(void **state)
{
	static const char *const cases[][2] = {
		{"two\nlines\x1b[1m, \xc3\xa9", "two?lines?[1m, \xc3\xa9"},
		{"\xc2\x9b"
		 "2J, \xc2\xa0",
			"??2J, \xc2\xa0"},
		{"cut \xc3\xa9\xc3", "cut ???"},
		{"\xc2", "?"},
		{"\xff\xed\xa0\x80", "????"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char params[64];
		json_t *result;

		snprintf(params, sizeof(params), "{'since': %d}", (int)events_next());
		events_add("test", "", "%s", cases[i][0]);
		result = call("events.get", params);
		assert_string_equal(
			json_string_value(json_object_get(
				json_array_get(json_object_get(result, "events"), 0), "message")),
			cases[i][1]);
		json_decref(result);
	}
}

static void waiting_ends_in_time(void **state)
{
	json_t *result;
	char params[64];

	(void)state;
	snprintf(params, sizeof(params), "{'since': %d, 'wait_ms': 5}", (int)events_next());
	result = call("events.get", params);
	assert_int_equal(json_array_size(json_object_get(result, "events")), 0);
	json_decref(result);
}

/* Nothing may be left that would be answered into a closed connection. */
static void callers_may_hang_up_while_waiting(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.get\","
				   "\"params\":{\"since\":1000000,\"wait_ms\":60000}}\n";
	int fd = daemon_connect();

	(void)state;
	daemon_write(fd, text, strlen(text));
	event_base_loop(daemon_base(), EVLOOP_NONBLOCK);
	close(fd);
	event_base_loop(daemon_base(), EVLOOP_ONCE);
	events_add("test", "", "nobody listens");
	event_base_loop(daemon_base(), EVLOOP_NONBLOCK);
}

static void many_calls_in_one_write(void **state)
{
	static const char one[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"schema.get\"}\n";
	int fd = daemon_connect();

	(void)state;
	for (int i = 0; i < 50; i++)
		daemon_write(fd, one, strlen(one));
	for (int i = 0; i < 50; i++) {
		char *line = daemon_read_line(fd);

		assert_non_null(line);
		free(line);
	}
	close(fd);
}

/* Answers that can be read now. */
static int n_answers(int fd)
{
	static char text[1 << 20];
	ssize_t size = recv(fd, text, sizeof(text), MSG_PEEK);
	int n = 0;

	for (ssize_t i = 0; i < size; i++)
		n += text[i] == '\n';
	return n;
}

/* Nor does he lose an answer who has nothing more to say. */
static void who_calls_much_keeps_nobody_waiting(void **state)
{
	static const char one[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.info\"}\n";
	enum { LINES = 200 };
	int much = daemon_connect(), little = daemon_connect();

	(void)state;
	for (int i = 0; i < LINES; i++)
		assert_int_equal(send(much, one, strlen(one), 0), strlen(one));
	shutdown(much, SHUT_WR);
	assert_int_equal(send(little, one, strlen(one), 0), strlen(one));
	while (n_answers(little) == 0)
		event_base_loop(daemon_base(), EVLOOP_ONCE);
	assert_in_range(n_answers(much), 0, LINES / 2);
	for (int i = 0; i < LINES; i++) {
		char *line = daemon_read_line(much);

		assert_non_null(line);
		assert_non_null(strstr(line, "result"));
		free(line);
	}
	assert_null(daemon_read_line(much));
	close(much);
	close(little);
}

/* ---- the socket ------------------------------------------------------------------------------ */

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

static struct server *open_server(char path[128])
{
	struct server_options options = {.path = path};
	struct error error = {0};
	struct server *server;

	snprintf(path, 128, "%s/api.sock", daemon_dir());
	assert_int_equal(server_open(daemon_base(), &options, &server, &error), 0);
	return server;
}

static unsigned n_turns;

static void have_turn(evutil_socket_t fd, short what, void *timer)
{
	const struct timeval next_turn = {0};

	(void)fd, (void)what;
	n_turns++;
	evtimer_add(*(struct event **)timer, &next_turn);
}

/* Between any two of them there is a turn for all others. */
static void who_connects_much_keeps_nobody_waiting(void **state)
{
	static const char one[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.info\"}\n";
	enum { CALLERS = 8 };
	struct event *other = evtimer_new(daemon_base(), have_turn, &other);
	struct server *server;
	int callers[CALLERS];
	char path[128];

	(void)state;
	server = open_server(path);
	for (int i = 0; i < CALLERS; i++) {
		callers[i] = connect_to(path);
		evutil_make_socket_nonblocking(callers[i]);
		assert_int_equal(send(callers[i], one, strlen(one), 0), strlen(one));
	}
	n_turns = 0;
	event_active(other, EV_TIMEOUT, 0);
	for (int i = 0; i < CALLERS; i++) {
		free(daemon_read_line(callers[i]));
		close(callers[i]);
	}
	assert_in_range(n_turns, CALLERS, 100 * CALLERS);
	event_free(other);
	server_close(server);
}

static void one_socket_has_one_daemon(void **state)
{
	struct server *server, *second;
	struct server_options options;
	struct error error = {0};
	struct stat status;
	char path[128];

	(void)state;
	server = open_server(path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0660);
	options = (struct server_options){.path = path};
	assert_int_equal(server_open(daemon_base(), &options, &second, &error), -EADDRINUSE);
	assert_non_null(strstr(error.message, "another daemon"));
	server_close(server);
	assert_int_equal(stat(path, &status), -1);
}

static void a_dead_daemons_socket_is_replaced(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char path[128];

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/api.sock", daemon_dir());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	server_close(open_server(path));
}

/* What a stranger gets to read; runs in a child of its own. */
static int call_as_stranger(const char *path)
{
	char line[1024] = "";
	int fd;

	if (setgid(65534) || setuid(65534))
		return 1;
	fd = connect_to(path);
	if (fd < 0 || recv(fd, line, sizeof(line) - 1, MSG_WAITALL) <= 0)
		return 2;
	return strstr(line, "may not call") ? 0 : 3;
}

/* The socket's mode keeps strangers out; should it be changed, the credentials do. */
static void strangers_are_refused(void **state)
{
	struct server *server;
	char path[128];
	int status;
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	server = open_server(path);
	chmod(daemon_dir(), 0755);
	chmod(path, 0666);
	child = fork();
	if (child == 0)
		_exit(call_as_stranger(path));
	while (waitpid(child, &status, WNOHANG) == 0)
		event_base_loop(daemon_base(), EVLOOP_NONBLOCK);
	assert_int_equal(status, 0);
	server_close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		daemon_test(ids_are_echoed),
		daemon_test(wrong_calls_are_refused),
		daemon_test(unknown_methods_get_a_hint),
		daemon_test(batches_are_answered_together),
		daemon_test(batches_have_bounded_results),
		daemon_test(notifications_are_not_answered),
		daemon_test(long_lines_are_refused),
		cmocka_unit_test_setup_teardown(
			half_requests_time_out, start_impatient, daemon_teardown),
		daemon_test(half_requests_end_with_the_caller),
		daemon_test(callers_may_close_their_side_first),
		daemon_test(too_many_connections_are_refused),
		daemon_test(events_are_waited_for),
		daemon_test(events_are_one_line),
		daemon_test(waiting_ends_in_time),
		daemon_test(callers_may_hang_up_while_waiting),
		daemon_test(many_calls_in_one_write),
		daemon_test(who_calls_much_keeps_nobody_waiting),
		daemon_test(who_connects_much_keeps_nobody_waiting),
		daemon_test(one_socket_has_one_daemon),
		daemon_test(a_dead_daemons_socket_is_replaced),
		daemon_test(strangers_are_refused),
	};

	return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
