/* Descriptors over a Unix socket. See passing.h. */
#include "common/passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_PASSRIGHTS /* Linux 6.16 */
#define SO_PASSRIGHTS 83
#endif

int passing_send(int socket, const void *bytes, size_t n_bytes, const int *fds, unsigned n_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * PASSING_FDS_MAX)];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {(void *)bytes, n_bytes};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	if (n_fds > PASSING_FDS_MAX)
		return -E2BIG;
	if (n_fds > 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		*CMSG_FIRSTHDR(&header) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int) * n_fds),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), fds, sizeof(int) * n_fds);
	}
	n = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return n == (ssize_t)n_bytes ? 0 : -EAGAIN;
}

void passing_refuse(int socket)
{
	const int no = 0;

	(void)setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
}
