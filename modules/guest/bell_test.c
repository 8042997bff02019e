/* A bell, with a fake QEMU: it never waits, whoever may not connect gets nothing, the next may. */
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/guest/bell.h"
#include "modules/guest/testing/qemu.h"

static char folder[] = "/tmp/netvm-bell-test.XXXXXX";
static char path[64];
static struct event_base *base;
static struct bell bell;
static bool welcome;

static bool allowed(void *arg, const struct peer *peer)
{
	assert_ptr_equal(arg, &welcome);
	assert_int_equal(peer->pid, getpid());
	return welcome;
}

static int bell_start(void **state)
{
	struct error error = {0};

	(void)state;
	welcome = true;
	return bell_open(&bell, base, path, allowed, &welcome, &error);
}

static int bell_stop(void **state)
{
	(void)state;
	bell_close(&bell);
	bell_close(&bell); /* once more is fine */
	return access(path, F_OK) == 0 ? -1 : 0;
}

static bool is_over(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_rings(void **state)
{
	int qemu = fake_qemu_dial(base, path);
	char byte = 0;

	(void)state;
	assert_int_equal(write(bell.fd, "x", 1), 1);
	assert_int_equal(recv(qemu, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(byte, 'x');
	close(qemu);
}

static void test_a_guest_that_never_reads_blocks_nobody(void **state)
{
	int qemu = fake_qemu_dial(base, path);
	unsigned n = 0;

	(void)state;
	while (write(bell.fd, "x", 1) == 1)
		n++;
	assert_int_equal(errno, EAGAIN);
	assert_true(n > 0);
	close(qemu);
}

static void test_strangers(void **state)
{
	int stranger;

	(void)state;
	welcome = false;
	stranger = fake_qemu_dial(base, path);
	assert_true(is_over(stranger));
	assert_int_equal(bell.fd, -1);
	close(stranger);
}

static void test_one_at_a_time(void **state)
{
	int first = fake_qemu_dial(base, path), second = fake_qemu_dial(base, path), third;

	(void)state;
	assert_true(is_over(second));
	assert_false(is_over(first));
	close(first);
	third = fake_qemu_dial(base, path);
	assert_false(is_over(third));
	assert_int_equal(write(bell.fd, "x", 1), 1);
	close(second);
	close(third);
}

static void test_last_words(void **state)
{
	char text[8] = "before";
	int qemu;

	(void)state;
	bell_words(&bell, text, sizeof(text));
	assert_string_equal(text, "");
	qemu = fake_qemu_dial(base, path);
	bell_words(&bell, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(write(qemu, "3\n", 2), 2);
	bell_words(&bell, text, sizeof(text));
	assert_string_equal(text, "3\n");
	/* More than there is room for; and it is heard when the guest is gone, too. */
	assert_int_equal(write(qemu, "0123456789", 10), 10);
	close(qemu);
	bell_words(&bell, text, sizeof(text));
	assert_string_equal(text, "0123456");
}

/* ---- setup ----------------------------------------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	if (!base || !mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/bell", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	event_base_free(base);
	return rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bell_start, bell_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rings),
		TEST(test_a_guest_that_never_reads_blocks_nobody),
		TEST(test_strangers),
		TEST(test_one_at_a_time),
		TEST(test_last_words),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
