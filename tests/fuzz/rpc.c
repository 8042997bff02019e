/*
 * The API's socket (manager/server.c, rpc.c, config_methods.c, schema.c), with a daemon of
 * cardboard behind it: bytes go in, lines come out.
 *
 * Properties: every line that comes out is a JSON-RPC 2.0 answer or a list of them; another caller
 * is answered as well; whatever was applied, the empty document can be applied behind it and
 * leaves nothing.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "manager/file.h"
#include "manager/handover.h"
#include "manager/store.h"
#include "manager/testing/daemon.h"
#include "manager/testing/fake.h"
#include "tests/fuzz/fuzz.h"

#define LINE_MAX_BYTES (8u << 20)

/* config.save may name any path: in place of manager/file.c, nothing is written. */
int file_replace(const char *path, const void *bytes, size_t n)
{
	require(path && bytes && n > 0);
	return 0;
}

int file_put(const char *path, const void *bytes, size_t n)
{
	return file_replace(path, bytes, n);
}

int file_make_dirs(const char *path, mode_t mode)
{
	(void)mode;
	require(path);
	return 0;
}

int file_open_lock(const char *dir)
{
	require(dir);
	return -EROFS;
}

/* In place of manager/handover.c: this daemon stays. */
void handover_begin(int fd)
{
	require(fd >= 0);
	close(fd);
}

static void is_answer(const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	const char *version = json_string_value(json_object_get(answer, "jsonrpc"));

	require(version && strcmp(version, "2.0") == 0);
	require(json_object_get(answer, "id"));
	require(!error != !json_object_get(answer, "result"));
	require(json_object_size(answer) == 3);
	if (!error)
		return;
	require(json_is_integer(json_object_get(error, "code")));
	require(json_string_length(json_object_get(error, "message")) > 0);
}

static void is_line(const char *text, size_t length)
{
	json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL), *one;
	size_t i;

	require(value);
	if (json_is_object(value))
		is_answer(value);
	else
		require(json_array_size(value) > 0);
	json_array_foreach (value, i, one)
		is_answer(one);
	json_decref(value);
}

/* All that comes until the server closes; 0 bytes when it says nothing. */
static size_t read_all(int fd, char *text)
{
	size_t used = 0;
	ssize_t n;

	do {
		event_base_loop(daemon_base(), EVLOOP_NONBLOCK);
		n = recv(fd, text + used, LINE_MAX_BYTES - used, 0);
		used += n > 0 ? (size_t)n : 0;
		require(used < LINE_MAX_BYTES);
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	return used;
}

static void check_lines(const char *text, size_t length)
{
	while (length > 0) {
		const char *end = memchr(text, '\n', length);

		require(end);
		is_line(text, (size_t)(end - text));
		length -= (size_t)(end + 1 - text);
		text = end + 1;
	}
}

/* Say it, say no more, hear all: the number of bytes that came. */
static size_t converse(int fd, const uint8_t *data, size_t size)
{
	static char *text;
	size_t length;

	if (!text)
		text = malloc(LINE_MAX_BYTES);
	daemon_write(fd, (const char *)data, size);
	shutdown(fd, SHUT_WR);
	length = read_all(fd, text);
	check_lines(text, length);
	close(fd);
	return length;
}

/* Back to the empty document, whatever was applied. */
static void forget_all(void)
{
	json_t *nothing = json_object(), *changes = NULL;
	struct error error = {0};

	store_confirm(&error);
	require(store_apply(nothing, 0, &changes, &error) == 0);
	store_forget_past();
	require(fake.n_ports == 0 && fake.n_services == 0 && fake.n_pools == 1);
	json_decref(nothing);
	json_decref(changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char info[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.info\"}\n";
	static bool started;
	int fd, other;

	if (!started) {
		daemon_start(0);
		atexit(daemon_stop);
		started = true;
	}
	fd = daemon_connect();
	other = daemon_connect();
	converse(fd, data, size);
	require(converse(other, (const uint8_t *)info, strlen(info)) > 0);
	forget_all();
	return 0;
}
