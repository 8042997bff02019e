/* Who listens can have the kernel refuse descriptors, also for those he accepts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/passing.h"

static const struct sockaddr_un nameless = {.sun_family = AF_UNIX}; /* the kernel finds a name */

static int listen_somewhere(struct sockaddr_un *address, socklen_t *size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*size = sizeof(*address);
	assert_return_code(
		bind(fd, (const struct sockaddr *)&nameless, sizeof(nameless.sun_family)), errno);
	assert_return_code(getsockname(fd, (struct sockaddr *)address, size), errno);
	assert_return_code(listen(fd, 4), errno);
	return fd;
}

/* What sending a descriptor to whoever listens there returns. */
static int send_one(const struct sockaddr_un *address, socklen_t size)
{
	const int fd = STDERR_FILENO;
	int rc, socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(connect(socket_fd, (const struct sockaddr *)address, size), errno);
	rc = passing_send(socket_fd, "x", 1, &fd, 1);
	close(socket_fd);
	return rc;
}

static void test_refused(void **state)
{
	struct sockaddr_un address;
	struct utsname kernel;
	socklen_t size;
	int fd = listen_somewhere(&address, &size);

	(void)state;
	assert_int_equal(send_one(&address, size), 0);
	passing_refuse(fd);
	uname(&kernel);
	if (strverscmp(kernel.release, "6.16") < 0)
		assert_int_equal(send_one(&address, size), 0);
	else
		assert_int_equal(send_one(&address, size), -EPERM);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
