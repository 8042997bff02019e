/* Telling whoever started the daemon how far it is. The protocol of sd_notify(3) is one datagram.
 */
#include "manager/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/log.h"

static void tell_systemd(const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (length == 0 || length >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@') /* the abstract namespace */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	length += offsetof(struct sockaddr_un, sun_path);
	if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, (socklen_t)length) < 0)
		log_line("systemd is not told: %s", text);
	close(fd);
}

void notify_ready(int fd)
{
	static const char text[] = "READY\n";

	tell_systemd("READY=1");
	if (fd < 0)
		return;
	if (write(fd, text, sizeof(text) - 1) < 0)
		log_line("nobody reads --ready-fd %d", fd);
	close(fd);
}

void notify_failed(int fd, const char *why)
{
	if (fd >= 0)
		dprintf(fd, "FAILED %s\n", why);
}

void notify_successor(pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "MAINPID=%d", pid);
	tell_systemd(text);
}

void notify_stopping(void)
{
	tell_systemd("STOPPING=1");
}
