/* JSON-RPC client. See client.h. */
#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
	FILE *in;
	int fd;
	int next_id;
	char *line;
	size_t line_bytes;
};

static int fault_connect(struct fault *fault, const char *path, int error)
{
	const char *hint = "start the daemon: systemctl start netvm, or: netvmd --config FILE; "
			   "if it listens elsewhere, name its socket with -s";

	if (error == EACCES || error == EPERM)
		hint = "run this as root or as a member of the socket's group";
	return fault_other(fault, FAULT_UNREACHABLE, hint, "cannot reach netvmd at %s: %s", path,
		strerror(error));
}

struct client *client_open(const char *path, struct fault *fault)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct client *client = NULL;
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		fault_connect(fault, path, ENAMETOOLONG);
		return NULL;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		goto fail;
	client = calloc(1, sizeof(*client));
	if (!client)
		goto fail;
	client->fd = fd;
	client->in = fdopen(fd, "r");
	if (!client->in)
		goto fail;
	return client;
fail:
	fault_connect(fault, path, errno);
	free(client);
	if (fd >= 0)
		close(fd);
	return NULL;
}

pid_t client_pid(const struct client *client)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	return peer.pid;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	fclose(client->in);
	free(client->line);
	free(client);
}

static int send_line(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = send(fd, text, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		length -= (size_t)n;
	}
	return 0;
}

static int send_request(struct client *client, const char *method, json_t *params)
{
	json_t *request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id",
		++client->next_id, "method", method, "params", params ? params : json_object());
	char *text = json_dumps(request, JSON_COMPACT);
	int error = -ENOMEM;

	json_decref(request);
	if (text) {
		size_t length = strlen(text);

		text[length] = '\n'; /* in the place of the terminating NUL */
		error = send_line(client->fd, text, length + 1);
	}
	free(text);
	return error;
}

static void copy_text(char *to, size_t size, const json_t *data, const char *key)
{
	const char *text = json_string_value(json_object_get(data, key));

	snprintf(to, size, "%s", text ? text : "");
}

static void fault_answer(struct fault *fault, const json_t *error)
{
	const json_t *data = json_object_get(error, "data");
	const char *message = json_string_value(json_object_get(data, "message"));

	if (!message)
		message = json_string_value(json_object_get(error, "message"));
	fault_other(
		fault, FAULT_FAILED, NULL, "%s", message ? message : "the daemon reports an error");
	copy_text(fault->path, sizeof(fault->path), data, "path");
	copy_text(fault->hint, sizeof(fault->hint), data, "hint");
	fault->answer = json_incref((json_t *)error);
}

/* The result within an answer, or NULL and a fault. */
static json_t *take_answer(json_t *answer, int id, struct fault *fault)
{
	json_t *error = json_object_get(answer, "error");
	json_t *result = json_object_get(answer, "result");

	if (error)
		fault_answer(fault, error);
	else if (!result || json_integer_value(json_object_get(answer, "id")) != id)
		fault_other(fault, FAULT_FAILED, "is it netvmd that listens there?",
			"the answer is not JSON-RPC");
	else
		return json_incref(result);
	return NULL;
}

static void set_timeout(int fd, int timeout_ms)
{
	struct timeval time = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

static json_t *fault_silent(struct fault *fault, int error)
{
	if (error == EAGAIN || error == EWOULDBLOCK)
		fault_other(fault, FAULT_UNREACHABLE, "is it stopped or overloaded?",
			"netvmd accepted the connection but does not answer");
	else
		fault_other(fault, FAULT_UNREACHABLE, "see netvm doctor",
			"netvmd closed the connection%s%s", error ? ": " : "",
			error ? strerror(error) : "");
	return NULL;
}

json_t *client_ask(struct client *client, const char *method, json_t *params, int timeout_ms,
	struct fault *fault)
{
	json_t *answer, *result;
	ssize_t length;
	int error;

	set_timeout(client->fd, timeout_ms);
	error = send_request(client, method, params);
	if (error)
		return fault_silent(fault, -error);
	errno = 0;
	length = getline(&client->line, &client->line_bytes, client->in);
	if (length <= 0)
		return fault_silent(fault, errno);
	answer = json_loadb(client->line, (size_t)length, 0, NULL);
	result = take_answer(answer, client->next_id, fault);
	json_decref(answer);
	return result;
}
