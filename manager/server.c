/* The API socket: see server.h. Lines come in, rpc.c answers. */
#include "manager/server.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "common/passing.h"
#include "common/spare.h"
#include "manager/events.h"
#include "manager/rpc.h"

#define OUTPUT_MAX (4u * 1024 * 1024) /* no further calls are taken while so much is unread */

struct server {
	struct event_base *base;
	struct event *listener;
	int listen_fd; /* -1: none, see server_adopt() */
	int spare_fd;
	struct server_options options;
	unsigned n_connections;
	LIST_HEAD(, connection) connections;
};

struct connection {
	LIST_ENTRY(connection) next;
	struct server *server;
	struct bufferevent *stream;
	struct event *timer; /* runs while a line is begun and not finished */
	struct event *turn;  /* for the next line, when the others have had theirs */
	struct rpc_peer peer;
	struct caller caller;
	bool admitted; /* counts among those who are served */
	bool ended;    /* the caller will say no more */
	bool closing;  /* as soon as the output is written */
};

static struct timeval timeout_of(const struct server *server)
{
	unsigned ms = server->options.timeout_ms;

	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* ---- connections ----------------------------------------------------------------------------- */

static void connection_destroy(struct connection *connection)
{
	rpc_hangup(&connection->peer);
	LIST_REMOVE(connection, next);
	connection->server->n_connections -= connection->admitted;
	event_free(connection->timer);
	event_free(connection->turn);
	bufferevent_free(connection->stream);
	free(connection);
}

static size_t unsent(const struct connection *connection)
{
	return evbuffer_get_length(bufferevent_get_output(connection->stream));
}

/* By on_sent(), also when there is nothing to send: whoever calls may go on with the connection. */
static void close_when_sent(struct connection *connection)
{
	connection->closing = true;
	bufferevent_disable(connection->stream, EV_READ);
	evtimer_del(connection->timer);
	evtimer_del(connection->turn);
	if (unsent(connection) == 0)
		bufferevent_trigger(connection->stream, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
}

static void send_line(struct rpc_peer *peer, const char *text, size_t length)
{
	struct connection *connection =
		(struct connection *)((char *)peer - offsetof(struct connection, peer));

	bufferevent_write(connection->stream, text, length);
	bufferevent_write(connection->stream, "\n", 1);
}

/* Says what was wrong and hangs up. */
static void refuse(struct connection *connection, int code, enum rpc_code rpc_code,
	const char *hint, const char *message)
{
	struct error error = {0};

	error_set(&error, code, "", hint, "%s", message);
	rpc_send_error(&connection->peer, rpc_code, &error);
	close_when_sent(connection);
}

/* Handle the next whole line. False: there is none, or the connection is closing. */
static bool handle_line(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->stream);
	struct evbuffer_ptr end = evbuffer_search_eol(input, NULL, NULL, EVBUFFER_EOL_LF);
	size_t length = end.pos < 0 ? evbuffer_get_length(input) : (size_t)end.pos;

	if (length > SERVER_LINE_MAX) {
		refuse(connection, E2BIG, RPC_INVALID_REQUEST, "at most 1 MiB",
			"the request is too long");
		return false;
	}
	if (end.pos < 0)
		return false;
	connection->peer.grant = role_of(&connection->caller);
	if (length > 0)
		rpc_input(&connection->peer, (const char *)evbuffer_pullup(input, end.pos), length);
	evbuffer_drain(input, length + 1);
	evtimer_del(connection->timer);
	return true;
}

/* A line that is begun must be finished in time, however its bytes trickle in. */
static void watch_line(struct connection *connection)
{
	struct timeval timeout = timeout_of(connection->server);

	if (evbuffer_get_length(bufferevent_get_input(connection->stream)) == 0)
		evtimer_del(connection->timer);
	else if (!evtimer_pending(connection->timer, NULL))
		evtimer_add(connection->timer, &timeout);
}

static void refuse_half(struct connection *connection, int code, const char *message)
{
	refuse(connection, code, RPC_PARSE_ERROR, "end each call with a newline", message);
}

/* No whole line is left. The caller may still read, as in `printf ... | socat - UNIX:...`. */
static void rest(struct connection *connection)
{
	if (!connection->ended)
		watch_line(connection);
	else if (evbuffer_get_length(bufferevent_get_input(connection->stream)) > 0)
		refuse_half(connection, EINVAL, "half a request: the line was not finished");
	else
		close_when_sent(connection);
}

/* One line in each turn of the loop: who sends many at once keeps nobody waiting. */
static void go_on(struct connection *connection)
{
	const struct timeval next_turn = {0};

	if (connection->closing || evtimer_pending(connection->turn, NULL) ||
		unsent(connection) >= OUTPUT_MAX)
		return;
	if (handle_line(connection))
		evtimer_add(connection->turn, &next_turn);
	else if (!connection->closing)
		rest(connection);
}

static void on_input(struct bufferevent *stream, void *arg)
{
	(void)stream;
	go_on(arg);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	go_on(arg);
}

/* All output is written: end, or take up the lines that had to wait for it. */
static void on_sent(struct bufferevent *stream, void *arg)
{
	struct connection *connection = arg;

	(void)stream;
	if (connection->closing)
		connection_destroy(connection);
	else
		go_on(connection);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	refuse_half(arg, ETIMEDOUT, "half a request: the line was not finished in time");
}

/* The time was up, yet the caller takes more: not he was slow, but this loop. */
static bool was_slow_ourselves(const struct connection *connection, short what)
{
	struct pollfd end = {.fd = bufferevent_getfd(connection->stream), .events = POLLOUT};

	return what == (BEV_EVENT_TIMEOUT | BEV_EVENT_WRITING) && poll(&end, 1, 0) == 1 &&
	       end.revents == POLLOUT;
}

static void on_event(struct bufferevent *stream, short what, void *arg)
{
	struct connection *connection = arg;

	if (was_slow_ourselves(connection, what) && bufferevent_enable(stream, EV_WRITE) == 0)
		return;
	if (what & BEV_EVENT_EOF && !(what & BEV_EVENT_WRITING) && !connection->closing) {
		connection->ended = true;
		go_on(connection);
	} else {
		connection_destroy(connection);
	}
}

/* ---- accepting ------------------------------------------------------------------------------- */

static struct connection *connection_create(struct server *server, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	struct timeval timeout = timeout_of(server);

	if (!connection)
		return NULL;
	connection->server = server;
	connection->timer = evtimer_new(server->base, on_late, connection);
	connection->turn = evtimer_new(server->base, on_turn, connection);
	/* The descriptor is the caller's until nothing can fail any more. */
	if (connection->timer && connection->turn)
		connection->stream =
			bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!connection->stream) {
		if (connection->timer)
			event_free(connection->timer);
		if (connection->turn)
			event_free(connection->turn);
		free(connection);
		return NULL;
	}
	rpc_peer_init(&connection->peer, send_line);
	connection->peer.fd = fd;
	bufferevent_setcb(connection->stream, on_input, on_sent, on_event, connection);
	bufferevent_setwatermark(connection->stream, EV_READ, 0, SERVER_LINE_MAX + 2);
	bufferevent_set_timeouts(connection->stream, NULL, &timeout);
	LIST_INSERT_HEAD(&server->connections, connection, next);
	return connection;
}

/* Some places are the admins' only: a crowd of others does not keep them out. */
static bool admit(struct connection *connection)
{
	struct server *server = connection->server;
	unsigned max = server->options.connections_max;

	if (role_of(&connection->caller).role == ROLE_ADMIN)
		max += SERVER_CONNECTIONS_ADMIN;
	connection->admitted = server->n_connections < max;
	server->n_connections += connection->admitted;
	return connection->admitted;
}

static void turned_away(const char *why)
{
	events_add("api", "", "a caller was turned away: %s", why);
}

void server_adopt(struct server *server, int fd)
{
	struct connection *connection;

	evutil_make_socket_nonblocking(fd);
	connection = connection_create(server, fd);
	if (!connection) {
		close(fd);
		turned_away("no memory");
	} else if (caller_read(fd, &connection->caller) ||
		   role_of(&connection->caller).role == ROLE_NONE)
		refuse(connection, EACCES, RPC_REFUSED,
			"root, members of the group " ROLE_GROUP
			" and those named in the section api",
			"this user may not call the daemon");
	else if (!admit(connection))
		refuse(connection, EBUSY, RPC_REFUSED, "close some, or try again later",
			"too many connections");
	else if (bufferevent_enable(connection->stream, EV_READ)) {
		connection_destroy(connection);
		turned_away("the kernel has no room to watch it");
	}
}

/* One in each turn of the loop: who connects without an end keeps nobody waiting. */
static void on_caller(evutil_socket_t listener, short what, void *arg)
{
	struct server *server = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd >= 0) {
		spare_keep(&server->spare_fd);
		server_adopt(server, fd);
	} else if (errno == EMFILE || errno == ENFILE) {
		spare_hang_up(&server->spare_fd, listener);
		turned_away("the daemon has no descriptor left");
	}
}

/* ---- the socket ------------------------------------------------------------------------------ */

/* Does somebody answer there? A socket that a dead daemon left is removed. */
static bool is_answered(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answered =
		fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;

	if (fd >= 0)
		close(fd);
	if (!answered)
		unlink(address->sun_path);
	return answered;
}

/* Made without access for others, then opened to the group: at no moment to everybody. */
static int bind_socket(int fd, const struct sockaddr_un *address)
{
	struct group *group = getgrnam(ROLE_GROUP);
	mode_t mask = umask(0177);
	int rc = bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;

	umask(mask);
	passing_refuse(fd);
	if (rc == 0 && group && chown(address->sun_path, (uid_t)-1, group->gr_gid))
		rc = -errno;
	if (rc == 0 && chmod(address->sun_path, 0660))
		rc = -errno;
	if (rc == 0 && listen(fd, 64))
		rc = -errno;
	return rc;
}

static int listen_at(const char *path, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(error, ENAMETOOLONG, path, "at most 107 bytes",
			"the path of the API socket is too long");
	strcpy(address.sun_path, path);
	if (is_answered(&address))
		return error_set(error, EADDRINUSE, path, "stop it, or give another --api-socket",
			"another daemon answers there");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = fd < 0 ? -errno : bind_socket(fd, &address);
	if (rc == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return error_set(error, -rc, path, "", "cannot listen for callers: %s", strerror(-rc));
}

static int start_listening(struct server *server, struct error *error)
{
	server->listen_fd = listen_at(server->options.path, error);
	if (server->listen_fd < 0)
		return server->listen_fd;
	server->listener =
		event_new(server->base, server->listen_fd, EV_READ | EV_PERSIST, on_caller, server);
	if (server->listener && event_add(server->listener, NULL) == 0)
		return 0;
	return error_set(error, ENOMEM, server->options.path, "", "no memory");
}

int server_open(struct event_base *base, const struct server_options *options,
	struct server **result, struct error *error)
{
	struct server *server = calloc(1, sizeof(*server));
	int rc = 0;

	if (!server)
		return error_set(error, ENOMEM, "", "", "no memory");
	server->base = base;
	server->options = *options;
	LIST_INIT(&server->connections);
	if (!options->connections_max)
		server->options.connections_max = SERVER_CONNECTIONS_MAX;
	if (!options->timeout_ms)
		server->options.timeout_ms = SERVER_TIMEOUT_MS;
	server->listen_fd = -1;
	server->spare_fd = spare_open();
	if (options->path)
		rc = start_listening(server, error);
	if (rc)
		server_close(server);
	else
		*result = server;
	return rc;
}

void server_close(struct server *server)
{
	if (!server)
		return;
	while (!LIST_EMPTY(&server->connections))
		connection_destroy(LIST_FIRST(&server->connections));
	if (server->listener)
		event_free(server->listener);
	if (server->listen_fd >= 0) {
		close(server->listen_fd);
		unlink(server->options.path);
	}
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	free(server);
}
