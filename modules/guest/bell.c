/* The host's end of a port. See bell.h. */
#include "modules/guest/bell.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_over(int fd)
{
	struct pollfd wanted = {.fd = fd, .events = POLLRDHUP};

	return poll(&wanted, 1, 0) == 1;
}

/* One at a time; the next one when the last has hung up, as after an unplugging. */
static void accepted(void *arg, int fd, const struct peer *peer)
{
	struct bell *bell = arg;

	if (!bell->allowed(bell->arg, peer) || (bell->fd >= 0 && !is_over(bell->fd))) {
		close(fd);
		return;
	}
	if (bell->fd >= 0)
		close(bell->fd);
	bell->fd = fd;
}

int bell_open(struct bell *bell, struct event_base *base, const char *path,
	bool (*allowed)(void *arg, const struct peer *peer), void *arg, struct error *error)
{
	bell->fd = -1;
	bell->allowed = allowed;
	bell->arg = arg;
	return listener_open(&bell->listener, base, path, accepted, bell, error);
}

void bell_close(struct bell *bell)
{
	listener_close(&bell->listener);
	if (bell->fd >= 0)
		close(bell->fd);
	bell->fd = -1;
}

void bell_words(struct bell *bell, char *text, size_t size)
{
	ssize_t n = bell->fd < 0 ? -1 : recv(bell->fd, text, size - 1, MSG_DONTWAIT);

	text[n < 0 ? 0 : n] = '\0';
}
