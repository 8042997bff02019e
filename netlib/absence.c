/* Waiting for the daemon: see absence.h. */
#include "absence.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "stop.h"

#define PAUSE_FIRST_MS 50
#define PAUSE_LAST_MS  1000

/* Adding a watch that is there already changes nothing; one whose folder went is made again. */
void absence_watch(struct absence *absence, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX] = ".";

	if (slash)
		(void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path);
	if (absence->fd < 0)
		absence->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (absence->fd >= 0)
		(void)inotify_add_watch(absence->fd, folder, IN_MOVED_TO | IN_ONLYDIR);
}

bool absence_wait(struct absence *absence)
{
	struct pollfd wait[] = {
		{.fd = stop_fd(), .events = POLLIN},
		{.fd = absence->fd, .events = POLLIN},
	};
	char news[4096];

	if (absence->pause_ms == 0)
		absence->pause_ms = PAUSE_FIRST_MS;
	(void)poll(wait, 2, absence->pause_ms);
	absence->pause_ms =
		absence->pause_ms * 2 < PAUSE_LAST_MS ? absence->pause_ms * 2 : PAUSE_LAST_MS;
	if (absence->fd >= 0)
		(void)!read(absence->fd, news, sizeof(news));
	return !stop_requested();
}

void absence_end(struct absence *absence)
{
	if (absence->fd >= 0)
		close(absence->fd);
	*absence = ABSENCE_NONE;
}
