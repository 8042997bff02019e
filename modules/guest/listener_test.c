/* The sockets at which a QEMU is awaited: who connects, and that many of them keep nobody waiting.
 */
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/guest/listener.h"

#define CALLERS 5 /* less than the kernel lets wait */

static struct event_base *base;
static struct listener listener;
static char path[64];
static unsigned n_accepted;

static void accepted(void *arg, int fd, const struct peer *peer)
{
	assert_int_equal(peer->pid, getpid());
	assert_int_equal(peer->uid, geteuid());
	close(fd);
	n_accepted++;
	if (arg)
		listener_close(arg);
}

static void open_listener(void *arg)
{
	struct error error = {0};

	snprintf(path, sizeof(path), "/tmp/netvm-listener-test.%d", getpid());
	base = event_base_new();
	assert_int_equal(listener_open(&listener, base, path, accepted, arg, &error), 0);
	n_accepted = 0;
}

static void call(int callers[CALLERS])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, path);
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_return_code(
			connect(callers[i], (struct sockaddr *)&address, sizeof(address)), errno);
	}
}

static void end(const int callers[CALLERS])
{
	for (unsigned i = 0; i < CALLERS; i++)
		close(callers[i]);
	listener_close(&listener);
	event_base_free(base);
	assert_int_equal(access(path, F_OK), -1);
}

static void one_in_a_turn(void **state)
{
	int callers[CALLERS];

	(void)state;
	open_listener(NULL);
	call(callers);
	for (unsigned i = 1; i <= CALLERS; i++) {
		event_base_loop(base, EVLOOP_ONCE);
		assert_int_equal(n_accepted, i);
	}
	end(callers);
}

static void may_be_closed_meanwhile(void **state)
{
	int callers[CALLERS];

	(void)state;
	open_listener(&listener);
	call(callers);
	event_base_loop(base, EVLOOP_ONCE);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(n_accepted, 1);
	end(callers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_in_a_turn),
		cmocka_unit_test(may_be_closed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
