/* Waiting for a QEMU. See listener.h. */
#include "modules/guest/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/passing.h"

#define BACKLOG 8

static void connection(struct listener *listener, int fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	struct peer peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size)) {
		close(fd);
		return;
	}
	peer = (struct peer){who.pid, who.uid};
	listener->accepted(listener->arg, fd, &peer);
}

/*
 * One in each turn of the loop: who connects without an end keeps nobody waiting. Edge-triggered:
 * out of descriptors, what cannot be accepted waits for the next connection and the loop does not
 * spin.
 */
static void listener_event(evutil_socket_t socket, short what, void *arg)
{
	const struct timeval next_turn = {0};
	struct listener *listener = arg;
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)socket;
	(void)what;
	if (fd < 0)
		return;
	evtimer_add(listener->turn, &next_turn);
	connection(listener, fd);
}

static int bind_file(struct listener *listener, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;

	strcpy(address.sun_path, listener->path);
	unlink(listener->path);
	if (bind(listener->fd, (const struct sockaddr *)&address, sizeof(address)) ||
		stat(listener->path, &st))
		return -errno;
	listener->inode = st.st_ino;
	return chmod(listener->path, mode) || listen(listener->fd, BACKLOG) ? -errno : 0;
}

static int fail(struct listener *listener, int rc, struct error *error)
{
	error_set(error, -rc, "", "", "%s: %s", listener->path, strerror(-rc));
	listener_close(listener);
	return rc;
}

static int set_path(struct listener *listener, const char *path, struct error *error)
{
	*listener = (struct listener){.fd = -1};
	if (strlen(path) >= sizeof(listener->path))
		return error_set(error, ENAMETOOLONG, "", "use a shorter --run-dir or name",
			"%s is longer than %zu bytes", path, sizeof(listener->path) - 1);
	strcpy(listener->path, path);
	return 0;
}

int listener_find(struct listener *listener, const char *path, struct error *error)
{
	int rc = set_path(listener, path, error);
	struct stat st;

	if (rc)
		return rc;
	if (stat(path, &st))
		return fail(listener, -errno, error);
	listener->inode = st.st_ino;
	return 0;
}

int listener_bind(struct listener *listener, const char *path, mode_t mode, struct error *error)
{
	int rc = set_path(listener, path, error);

	if (rc)
		return rc;
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = listener->fd < 0 ? -errno : bind_file(listener, mode);
	return rc ? fail(listener, rc, error) : 0;
}

int listener_open(struct listener *listener, struct event_base *base, const char *path,
	void (*accepted)(void *, int, const struct peer *), void *arg, struct error *error)
{
	int rc = listener_bind(listener, path, 0666, error);

	if (rc)
		return rc;
	passing_refuse(listener->fd); /* not where it is QEMU that accepts: it gets some */
	listener->accepted = accepted;
	listener->arg = arg;
	listener->event = event_new(
		base, listener->fd, EV_READ | EV_PERSIST | EV_ET, listener_event, listener);
	listener->turn = evtimer_new(base, listener_event, listener);
	if (!listener->event || !listener->turn || event_add(listener->event, NULL))
		return fail(listener, -ENOMEM, error);
	return 0;
}

void listener_close(struct listener *listener)
{
	struct stat st;

	if (listener->event)
		event_free(listener->event);
	if (listener->turn)
		event_free(listener->turn);
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->inode && stat(listener->path, &st) == 0 && st.st_ino == listener->inode)
		unlink(listener->path);
	*listener = (struct listener){.fd = -1};
}
