/* The NF socket's protocol. See attach.h. */
#include "modules/nf/attach.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/passing.h"
#include "common/spare.h"
#include "modules/nf/hello.h"
#include "modules/nf/session.h"
#include "modules/nf/tell.h"

#ifndef SO_PEERPIDFD /* Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

#define BESIDE ".new" /* behind the path of a socket that is not in place yet */

struct attach {
	struct event_base *base;
	struct engine *engine;
	const struct attach_hooks *hooks;
	struct timeval deadline;
	int fd;
	struct event *event;
	int spare_fd;
	TAILQ_HEAD(, session) pending; /* oldest first */
	unsigned n_pending;
	struct complaints complaints;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

/* ---- pending connections --------------------------------------------------------------------- */

static void pending_remove(struct session *session)
{
	TAILQ_REMOVE(&session->attach->pending, session, link);
	session->attach->n_pending--;
}

static void pending_drop(struct session *session, const char *why)
{
	if (why)
		complain(&session->attach->complaints, "",
			"connection of process %d (user %u) closed: %s", session->peer_pid,
			session->peer_uid, why);
	pending_remove(session);
	session_destroy(session);
}

/* The oldest one of the user who has the most: whoever floods, floods himself out. */
static void pending_drop_one(struct attach *attach)
{
	struct session *session, *other, *victim = NULL;
	unsigned most = 0;

	TAILQ_FOREACH (session, &attach->pending, link) {
		unsigned n = 0;

		TAILQ_FOREACH (other, &attach->pending, link)
			n += other->peer_uid == session->peer_uid;
		if (n > most) {
			most = n;
			victim = session;
		}
	}
	if (victim)
		pending_drop(victim, "too many connections wait without saying who they are");
}

/* ---- HELLO ----------------------------------------------------------------------------------- */

/*
 * The process that connected, if it still is that one: a pid says who connected, long ago maybe,
 * and may have been given to another process since.
 */
static pid_t peer_pid_now(const struct session *session)
{
	if (session->peer_pidfd < 0 ||
		syscall(SYS_pidfd_send_signal, session->peer_pidfd, 0, NULL, 0))
		return 0;
	return session->peer_pid;
}

static void session_answer_no(struct session *session, const struct netvm_hello *hello,
	uint32_t refusal, const char *text)
{
	bool is_known = refusal != NETVM_REFUSED_NAME && refusal != NETVM_REFUSED_VERSION;

	complain(&session->attach->complaints, is_known ? hello->name : "",
		"process %d (user %u) may not attach: %s", session->peer_pid, session->peer_uid,
		text);
	session_send(session, NETVM_MESSAGE_REFUSED, refusal, NULL, 0);
	pending_drop(session, NULL);
}

static void session_answer_yes(struct session *session, const struct attach_grant *grant)
{
	struct attach *attach = session->attach;

	if (session_send_ready(session, grant->pool)) {
		pending_remove(session);
		session_close(session, DROP_NF_DIED, 0, NULL);
		return;
	}
	pending_remove(session);
	session->owner = grant->owner;
	session->awaited = 0;
	event_remove_timer(session->event);
	attach->hooks->attached(grant->owner, session);
}

static void session_hello(struct session *session)
{
	struct attach *attach = session->attach;
	struct attach_request request = {
		.pid = peer_pid_now(session),
		.uid = session->peer_uid,
	};
	char text[NETVM_TEXT_BYTES] = "";
	struct attach_grant grant = {0};
	uint32_t refusal =
		hello_answer(session, attach->engine, attach->hooks->admit, &request, &grant, text);

	if (refusal)
		session_answer_no(session, &request.hello, refusal, text);
	else
		session_answer_yes(session, &grant);
}

/* ---- messages -------------------------------------------------------------------------------- */

/*
 * One message: 1 and its *value, 0 when there is none, or -1 with what is wrong. There is no room
 * for descriptors, so the kernel drops those that come along and says so.
 */
static int session_receive(struct session *session, uint64_t *value, const char **wrong)
{
	struct {
		struct netvm_message message;
		uint8_t surplus;
	} in;
	struct iovec part = {&in, sizeof(in)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n = recvmsg(session->fd, &header, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		*wrong = "";
	else if (header.msg_flags & MSG_CTRUNC)
		*wrong = "it sent descriptors";
	else if (n != sizeof(in.message) || in.message.magic != NETVM_SOCKET_MAGIC)
		*wrong = "it does not speak this protocol";
	else if (in.message.type != session->awaited || in.message.n_fds ||
		 (in.message.type == NETVM_MESSAGE_HELLO && in.message.value))
		*wrong = "it sent a message that was not asked for";
	else {
		*value = in.message.value;
		return 1;
	}
	return -1;
}

static void pending_readable(struct session *session)
{
	const char *wrong;
	uint64_t value;
	int rc = session_receive(session, &value, &wrong);

	if (rc < 0)
		pending_drop(session, *wrong ? wrong : NULL);
	else if (rc == 0)
		return;
	else if (__atomic_load_n(&session->channel->state, __ATOMIC_ACQUIRE) != NETVM_STATE_HELLO)
		pending_drop(session, "it sent HELLO without a hello in the channel");
	else
		session_hello(session);
}

/* Nothing may come any more but an answer, and the end. */
static void attached_readable(struct session *session)
{
	const struct attach_hooks *hooks = session->attach->hooks;
	uint32_t type = session->awaited;
	const char *wrong;
	uint64_t value;
	int rc = session_receive(session, &value, &wrong);

	if (rc < 0) {
		hooks->gone(session->owner, session, wrong);
	} else if (rc > 0) {
		session->awaited = 0;
		hooks->said(session->owner, type, value);
	}
}

static void session_event(evutil_socket_t fd, short what, void *arg)
{
	struct session *session = arg;

	(void)fd;
	if (session->owner)
		attached_readable(session);
	else if (what & EV_TIMEOUT)
		pending_drop(session, "it did not say HELLO in time");
	else
		pending_readable(session);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static int peer_read(struct session *session)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(session->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	session->peer_pid = peer.pid;
	session->peer_uid = peer.uid;
	size = sizeof(session->peer_pidfd);
	/* A kernel that knows SO_PEERPIDFD and has none to give: who connected has ended. */
	if (getsockopt(session->fd, SOL_SOCKET, SO_PEERPIDFD, &session->peer_pidfd, &size) &&
		errno == ENOPROTOOPT)
		session->peer_pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	return 0;
}

static int session_begin(struct session *session)
{
	struct attach *attach = session->attach;
	int rc = peer_read(session);

	if (rc)
		return rc;
	session->event =
		event_new(attach->base, session->fd, EV_READ | EV_PERSIST, session_event, session);
	if (!session->event || event_add(session->event, &attach->deadline))
		return -ENOMEM;
	return session_send(session, NETVM_MESSAGE_CHANNEL, sizeof(struct netvm_channel),
		&session->channel_fd, 1);
}

static void connection_begin(struct attach *attach, int fd)
{
	struct session *session;
	int rc;

	if (attach->n_pending == ATTACH_PENDING_MAX)
		pending_drop_one(attach);
	rc = session_create(fd, &session);
	if (!rc) {
		session->attach = attach;
		TAILQ_INSERT_TAIL(&attach->pending, session, link);
		attach->n_pending++;
		rc = session_begin(session);
		if (rc)
			pending_drop(session, NULL);
	}
	if (rc && rc != -EPIPE)
		complain(&attach->complaints, "", "no room for a connection: %s", strerror(-rc));
}

static void turn_away(struct attach *attach)
{
	spare_hang_up(&attach->spare_fd, attach->fd);
	complain(&attach->complaints, "",
		"a connection was turned away: the daemon has no descriptor left");
}

static void listener_event(evutil_socket_t listener, short what, void *arg)
{
	struct attach *attach = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd >= 0) {
		spare_keep(&attach->spare_fd);
		connection_begin(attach, fd);
	} else if (errno == EMFILE || errno == ENFILE) {
		turn_away(attach);
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

/* A socket file somebody listens at is another daemon's; any other one is left over. */
static int check_unused(const struct sockaddr_un *address, struct error *error)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)address, sizeof(*address));

	if (fd >= 0)
		close(fd);
	if (rc == 0)
		return error_set(error, EADDRINUSE, "nf_socket", "stop it, or give --nf-socket",
			"another daemon listens at %s", address->sun_path);
	return 0;
}

/* Made beside and moved into place: who finds it there finds it ready, see netlib/absence.h. */
static int listener_place(struct attach *attach, const char *path)
{
	struct sockaddr_un beside = {.sun_family = AF_UNIX};

	snprintf(beside.sun_path, sizeof(beside.sun_path), "%s" BESIDE, path);
	unlink(beside.sun_path);
	attach->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (attach->fd < 0 || bind(attach->fd, (const struct sockaddr *)&beside, sizeof(beside)))
		return -errno;
	passing_refuse(attach->fd);
	if (chmod(beside.sun_path, 0666) || listen(attach->fd, ATTACH_PENDING_MAX) ||
		rename(beside.sun_path, path)) {
		int rc = -errno;

		unlink(beside.sun_path);
		return rc;
	}
	strcpy(attach->path, path);
	return 0;
}

static int listener_bind(struct attach *attach, const char *path, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int rc;

	if (strlen(path) + strlen(BESIDE) >= sizeof(address.sun_path))
		return error_set(error, ENAMETOOLONG, "nf_socket", "",
			"%s is longer than %zu bytes", path,
			sizeof(address.sun_path) - sizeof(BESIDE));
	strcpy(address.sun_path, path);
	rc = check_unused(&address, error);
	if (rc)
		return rc;
	rc = listener_place(attach, path);
	return rc ? error_set(error, -rc, "nf_socket", "", "%s: %s", path, strerror(-rc)) : 0;
}

int attach_open(struct event_base *base, struct engine *engine, const char *path,
	unsigned deadline_ms, const struct attach_hooks *hooks, struct attach **attach,
	struct error *error)
{
	struct attach *made = calloc(1, sizeof(*made));
	int rc;

	if (!made)
		return error_set(error, ENOMEM, "nf_socket", "", "no memory for the NF socket");
	made->base = base;
	made->engine = engine;
	made->hooks = hooks;
	made->deadline = (struct timeval){deadline_ms / 1000, deadline_ms % 1000 * 1000};
	made->fd = -1;
	made->spare_fd = spare_open();
	TAILQ_INIT(&made->pending);
	rc = listener_bind(made, path, error);
	if (!rc) {
		made->event = event_new(base, made->fd, EV_READ | EV_PERSIST, listener_event, made);
		if (!made->event || event_add(made->event, NULL))
			rc = error_set(
				error, ENOMEM, "nf_socket", "", "no memory for the NF socket");
	}
	if (rc) {
		attach_close(made);
		return rc;
	}
	*attach = made;
	return 0;
}

void attach_close(struct attach *attach)
{
	if (!attach)
		return;
	while (!TAILQ_EMPTY(&attach->pending))
		pending_drop(TAILQ_FIRST(&attach->pending), NULL);
	if (attach->event)
		event_free(attach->event);
	if (attach->fd >= 0)
		close(attach->fd);
	if (attach->spare_fd >= 0)
		close(attach->spare_fd);
	if (attach->path[0])
		unlink(attach->path);
	free(attach);
}

unsigned attach_pending(const struct attach *attach)
{
	return attach->n_pending;
}
