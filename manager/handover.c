/* From one daemon to the next: see handover.h. */
#include "manager/handover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/events.h"
#include "manager/file.h"
#include "common/memory.h"
#include "manager/module.h"
#include "manager/notify.h"
#include "manager/state.h"

#define ANSWER_MS  30000 /* NFs that hold packets, and many ports, take their time */
#define RELOCK_MS  10000
#define LINE_BYTES 4096

static const char done[] = "done\n";
static const char gone_ahead[] = "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}\n";

static struct {
	const char *state_dir;
	int lock_fd;
	int predecessor_fd; /* the daemon that runs, until we take over */
	int successor_fd;   /* the daemon that is to run */
	void (*leave)(void);
} handover = {.lock_fd = -1, .predecessor_fd = -1, .successor_fd = -1};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* While we still may: the file may be root's. */
static int open_lock(const char *state_dir, struct error *error)
{
	handover.state_dir = state_dir;
	handover.lock_fd = file_open_lock(state_dir);
	if (handover.lock_fd >= 0)
		return 0;
	return error_set(error, -handover.lock_fd, state_dir, "", "cannot lock it: %s",
		strerror(-handover.lock_fd));
}

static int lock(struct error *error)
{
	if (flock(handover.lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(error, EBUSY, handover.state_dir,
			"stop it, take over from it with --replace, or give another --state-dir",
			"another daemon uses this state");
	return error_set(
		error, errno, handover.state_dir, "", "cannot lock it: %s", strerror(errno));
}

/* The other one may not be gone altogether: the end of its connection comes first. */
static int lock_again(struct error *error)
{
	int rc = lock(error);

	for (unsigned waited_ms = 0; rc == -EBUSY && waited_ms < RELOCK_MS; waited_ms++) {
		poll(NULL, 0, 1);
		*error = (struct error){0};
		rc = lock(error);
	}
	if (rc != -EBUSY)
		return rc;
	*error = (struct error){0};
	return error_set(error, EBUSY, handover.state_dir, "see what it logged, and try again",
		"the other daemon keeps this state");
}

void handover_init(void (*leave)(void))
{
	handover.leave = leave;
}

int handover_lock(const char *state_dir, struct error *error)
{
	int rc = open_lock(state_dir, error);

	return rc ? rc : lock(error);
}

/* ---- the one that comes ---------------------------------------------------------------------- */

int handover_call(const char *state_dir, const char *api_socket, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", api_socket);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		close_fd(&fd);
		return handover_lock(state_dir, error);
	}
	handover.predecessor_fd = fd;
	return open_lock(state_dir, error);
}

/* One line; its length, 0 at the end of the connection, or -errno. */
static ssize_t read_line(int fd, char line[LINE_BYTES], int timeout_ms)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	size_t n = 0;

	while (n < LINE_BYTES - 1 && !memchr(line, '\n', n)) {
		int rc = poll(&readable, 1, timeout_ms);
		ssize_t more = rc > 0 ? recv(fd, line + n, LINE_BYTES - 1 - n, 0) : -1;

		if (rc == 0)
			return -ETIMEDOUT;
		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -errno;
		if (more == 0)
			return 0;
		n += (size_t)more;
	}
	line[n] = '\0';
	return (ssize_t)n;
}

static int refused(const char *line, struct error *error)
{
	const char *message, *hint;
	json_t *answer, *data;

	memory_read_json(line, strlen(line), 0, &answer, NULL);
	data = json_object_get(json_object_get(answer, "error"), "data");
	message = json_string_value(json_object_get(data, "message"));
	hint = json_string_value(json_object_get(data, "hint"));
	error_set(error, EBUSY, "", hint ? hint : "", "the running daemon does not hand over: %s",
		message ? message : "it does not understand the question");
	json_decref(answer);
	return -EBUSY;
}

static int ask(int fd, struct error *error)
{
	char line[LINE_BYTES];
	ssize_t n;

	snprintf(line, sizeof(line),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.hand_over\","
		"\"params\":{%s%s%s}}\n",
		*state_sum() ? "\"state\":\"" : "", state_sum(), *state_sum() ? "\"" : "");
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
		n = 0;
	else
		n = read_line(fd, line, ANSWER_MS);
	if (n < 0)
		return error_set(error, (int)-n, "", "", "the running daemon does not answer: %s",
			strerror((int)-n));
	if (n > 0 && strcmp(line, gone_ahead) != 0)
		return refused(line, error);
	return 0; /* its end will do as well */
}

static int take_over(const struct change *change, struct error *error)
{
	int rc;

	if (change->phase != PHASE_START || handover.predecessor_fd < 0)
		return 0;
	rc = ask(handover.predecessor_fd, error);
	return rc ? rc : lock_again(error);
}

void handover_done(void)
{
	if (handover.predecessor_fd >= 0)
		(void)!send(handover.predecessor_fd, done, sizeof(done) - 1, MSG_NOSIGNAL);
	close_fd(&handover.predecessor_fd);
}

/* ---- the one that goes ----------------------------------------------------------------------- */

void handover_begin(int fd)
{
	handover.successor_fd = fd;
}

/* The connection is the API server's, too: without its end nobody would notice that we leave it. */
void handover_refuse(const struct error *error)
{
	json_t *answer = json_pack("{s:s, s:i, s:{s:i, s:s, s:{s:s, s:s}}}", "jsonrpc", "2.0", "id",
		1, "error", "code", -error->code, "message", error->message, "data", "message",
		error->message, "hint", error->hint);
	char line[LINE_BYTES];
	size_t n = json_dumpb(answer, line, sizeof(line) - 1, JSON_COMPACT);

	json_decref(answer);
	if (n > 0 && n < sizeof(line)) {
		line[n] = '\n';
		(void)!send(handover.successor_fd, line, n + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	shutdown(handover.successor_fd, SHUT_RDWR);
	close_fd(&handover.successor_fd);
	events_add("daemon", error->path, "cannot hand over and goes on: %s", error->message);
}

bool handover_begun(void)
{
	return handover.successor_fd >= 0;
}

/* The ports are closed, the memory is still there: giving it back can wait. */
static void let_go(const struct change *change)
{
	if (change->phase != PHASE_HAND_OVER)
		return;
	handover.leave();
	flock(handover.lock_fd, LOCK_UN);
	(void)!send(handover.successor_fd, gone_ahead, sizeof(gone_ahead) - 1, MSG_NOSIGNAL);
}

static int await_end(int fd)
{
	char line[LINE_BYTES];
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (read_line(fd, line, -1) <= 0 || strcmp(line, done) != 0)
		return -ECANCELED;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
		notify_successor(peer.pid);
	return 0;
}

int handover_await(struct error *error)
{
	int rc = await_end(handover.successor_fd);

	close_fd(&handover.successor_fd);
	if (rc == 0)
		return 0;
	events_add("daemon", "", "the daemon that was to take over failed: this one goes on");
	rc = lock_again(error);
	return rc ? rc : -ECANCELED;
}

void handover_end(void)
{
	close_fd(&handover.predecessor_fd);
	close_fd(&handover.lock_fd);
}

const struct module handover_module = {
	.name = "handover",
	.after = (const char *const[]){"group", NULL},
	.prepare = take_over,
	.finish = let_go,
};
