/* A daemon for tests: see daemon.h. */
#include "manager/testing/daemon.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "manager/daemon_methods.h"
#include "manager/engine_section.h"
#include "manager/modules.h"
#include "manager/role.h"
#include "manager/server.h"
#include "manager/store.h"
#include "manager/testing/fake.h"
#include "modules/chain/chain.h"
#include "modules/group/group.h"
#include "modules/port/control.h"
#include "modules/stats/stats.h"
#include "modules/trace/trace.h"

const struct module *const modules[] = {&engine_module, &role_module, &group_module, &port_module,
	&fake_nf_module, &chain_module, &stats_module, &trace_module, NULL};

static struct manager manager = {.api_socket = "api.sock", .nf_socket = "nf.sock"};
static struct server *server;
static char dir[64], save_path[96];
static int client;

void daemon_start(unsigned timeout_ms)
{
	const struct server_options options = {.timeout_ms = timeout_ms, .connections_max = 3};
	struct error error = {0};

	strcpy(dir, "/tmp/netvm-test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(save_path, sizeof(save_path), "%s/netvm.yaml", dir);
	manager.base = event_base_new();
	store_init(manager.base, save_path);
	daemon_methods_init(&manager, "fake");
	assert_int_equal(modules_init(&manager, &error), 0);
	assert_int_equal(server_open(manager.base, &options, &server, &error), 0);
	client = daemon_connect();
	apply("{}\n");
	store_forget_past();
}

void daemon_stop(void)
{
	fake_obey();
	close(client);
	server_close(server);
	store_fini(PHASE_STOP, NULL);
	modules_fini();
	store_free();
	event_base_free(manager.base);
	fake_reset();
	unlink(save_path);
	rmdir(dir);
	assert_int_equal(fake.n_ports, 0);
	assert_int_equal(fake.n_pools, 0);
	assert_int_equal(fake.n_attached, 0);
	assert_int_equal(fake.n_services, 0);
}

int daemon_setup(void **state)
{
	(void)state;
	daemon_start(0);
	return 0;
}

int daemon_teardown(void **state)
{
	(void)state;
	daemon_stop();
	return 0;
}

struct event_base *daemon_base(void)
{
	return manager.base;
}

const char *daemon_dir(void)
{
	return dir;
}

int daemon_connect(void)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	server_adopt(server, pair[0]);
	return pair[1];
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void turn_loop(void)
{
	event_base_loop(manager.base, EVLOOP_NONBLOCK);
}

void daemon_write(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = send(fd, text, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EPIPE)
			return; /* the server had enough; its answer is to be read */
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			n = 0;
		}
		text += n;
		length -= (size_t)n;
		turn_loop();
	}
}

char *daemon_read_line(int fd)
{
	size_t size = 4u * 1024 * 1024, at = 0;
	char *line = malloc(size);

	while (at < size) {
		ssize_t n = recv(fd, line + at, 1, 0);

		if (n == 1 && line[at] == '\n') {
			line[at] = '\0';
			return line;
		}
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n < 0)
			event_base_loop(manager.base, EVLOOP_ONCE);
		else
			at++;
	}
	free(line);
	return NULL;
}

json_t *call_text(const char *text)
{
	char *line;
	json_t *answer;

	daemon_write(client, text, strlen(text));
	daemon_write(client, "\n", 1);
	line = daemon_read_line(client);
	assert_non_null(line);
	answer = json_loads(line, 0, NULL);
	assert_non_null(answer);
	free(line);
	return answer;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static json_t *call_method(const char *method, json_t *params)
{
	json_t *request = json_pack(
		"{ss si ss so}", "jsonrpc", "2.0", "id", 1, "method", method, "params", params);
	char *text = json_dumps(request, JSON_COMPACT);
	json_t *answer = call_text(text);

	free(text);
	json_decref(request);
	return answer;
}

static json_t *parse_params(const char *params)
{
	char *text = strdup(params ? params : "{}");
	json_t *value;

	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	value = json_loads(text, 0, NULL);
	assert_non_null(value);
	free(text);
	return value;
}

static json_t *member(json_t *answer, const char *wanted)
{
	json_t *value = json_object_get(answer, wanted);

	if (!value) {
		char *text = json_dumps(answer, 0);

		print_error("%s\n", text);
		free(text);
	}
	assert_non_null(value);
	json_incref(value);
	json_decref(answer);
	return value;
}

json_t *call(const char *method, const char *params)
{
	return member(call_method(method, parse_params(params)), "result");
}

json_t *call_error(const char *method, const char *params)
{
	return member(call_method(method, parse_params(params)), "error");
}

void apply(const char *yaml)
{
	json_t *params = json_pack("{ss}", "document", yaml);

	json_decref(member(call_method("config.apply", params), "result"));
}

json_t *apply_error(const char *yaml)
{
	json_t *params = json_pack("{ss}", "document", yaml);

	return member(call_method("config.apply", params), "error");
}

char *running_document(void)
{
	json_t *document = call("config.get", "{'defaults': true}");
	char *text = json_dumps(document, JSON_SORT_KEYS | JSON_INDENT(1));

	json_decref(document);
	return text;
}
