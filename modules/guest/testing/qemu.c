/* A QEMU for tests. See qemu.h. */
#include "modules/guest/testing/qemu.h"

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

int fake_qemu_dial(struct event_base *base, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	assert_return_code(connect(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	event_base_loop(base, EVLOOP_NONBLOCK);
	return fd;
}

ssize_t fake_qemu_hear(int socket, void *bytes, size_t n_bytes, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec part = {bytes, n_bytes};
	struct msghdr header = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n > 0 && CMSG_FIRSTHDR(&header))
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(*fd));
	return n;
}
