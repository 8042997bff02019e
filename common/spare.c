/* The descriptor kept for when there are no more: see spare.h. */
#include "common/spare.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void spare_keep(int *spare_fd)
{
	if (*spare_fd < 0)
		*spare_fd = spare_open();
}

void spare_hang_up(int *spare_fd, int listener)
{
	int fd;

	if (*spare_fd >= 0)
		close(*spare_fd);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	*spare_fd = -1;
	spare_keep(spare_fd);
}
