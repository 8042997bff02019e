/* The ivshmem server against a fake QEMU that says and asks what QEMU does, and what it does not.
 */
#include <endian.h>
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/guest/ivshmem.h"
#include "modules/guest/testing/qemu.h"

#define MEMORY_BYTES 65536
#define VECTORS      3

static struct event_base *base;
static struct ivshmem_options options;
static struct ivshmem *device;
static char path[64];
static bool allow;
static unsigned n_connected, n_gone;
static struct peer who;

/* ---- hooks ----------------------------------------------------------------------------------- */

static bool allowed(void *arg, const struct peer *peer)
{
	(void)arg;
	who = *peer;
	return allow;
}

static void connected(void *arg, const struct peer *peer)
{
	(void)arg;
	(void)peer;
	n_connected++;
}

static void gone(void *arg)
{
	(void)arg;
	n_gone++;
}

static int setup(void **state)
{
	struct error error = {0};

	(void)state;
	snprintf(path, sizeof(path), "/tmp/netvm-ivshmem-test.%d", getpid());
	base = event_base_new();
	options = (struct ivshmem_options){.base = base,
		.path = path,
		.memory_fd = memfd_create("test", MFD_CLOEXEC),
		.n_vectors = VECTORS,
		.allowed = allowed,
		.connected = connected,
		.gone = gone};
	for (unsigned i = 0; i < VECTORS; i++)
		options.vector_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_return_code(ftruncate(options.memory_fd, MEMORY_BYTES), 0);
	allow = true;
	n_connected = n_gone = 0;
	return ivshmem_open(&options, &device, &error);
}

static int teardown(void **state)
{
	(void)state;
	ivshmem_close(device);
	close(options.memory_fd);
	for (unsigned i = 0; i < VECTORS; i++)
		close(options.vector_fd[i]);
	event_base_free(base);
	assert_int_equal(access(path, F_OK), -1);
	return 0;
}

/* ---- a fake QEMU ----------------------------------------------------------------------------- */

/* One message as QEMU reads it; -1 without a descriptor. 0 at the end of the connection. */
static ssize_t hear(int socket, int64_t *value, int *fd)
{
	uint64_t word = 0;
	ssize_t n = fake_qemu_hear(socket, &word, sizeof(word), fd);

	*value = (int64_t)le64toh(word);
	return n;
}

static void expect(int socket, int64_t wanted, bool with_fd, int *fd)
{
	int64_t value;

	assert_int_equal(hear(socket, &value, fd), sizeof(value));
	assert_int_equal(value, wanted);
	assert_int_equal(*fd >= 0, with_fd);
}

/* Told a version no QEMU knows, and no more. */
static bool is_turned_away(int socket)
{
	int64_t value;
	int fd;

	return hear(socket, &value, &fd) > 0 && value == -1 && fd < 0 &&
	       hear(socket, &value, &fd) == 0;
}

/* Everything up to the doorbells, whose descriptors go to `bells`. */
static void expect_all(int socket, int *memory, int bells[VECTORS])
{
	int fd;

	expect(socket, 0, false, &fd);
	expect(socket, 0, false, &fd);
	expect(socket, -1, true, memory);
	for (unsigned i = 0; i < VECTORS; i++)
		expect(socket, IVSHMEM_DAEMON_ID, true, &bells[i]);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_messages(void **state)
{
	int qemu = fake_qemu_dial(base, path), memory, bells[VECTORS];
	struct stat st;
	uint64_t count;

	(void)state;
	expect_all(qemu, &memory, bells);
	assert_int_equal(who.pid, getpid());
	assert_int_equal(n_connected, 1);
	assert_return_code(fstat(memory, &st), errno);
	assert_int_equal(st.st_size, MEMORY_BYTES);
	/* The n-th doorbell is the n-th vector. */
	for (unsigned i = 0; i < VECTORS; i++) {
		count = 1 + i;
		assert_int_equal(write(bells[i], &count, sizeof(count)), sizeof(count));
		assert_int_equal(read(options.vector_fd[i], &count, sizeof(count)), sizeof(count));
		assert_int_equal(count, 1 + i);
		close(bells[i]);
	}
	close(memory);
	close(qemu);
}

static void test_end_and_next(void **state)
{
	int memory, bells[VECTORS], qemu = fake_qemu_dial(base, path);

	(void)state;
	close(qemu);
	event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(n_gone, 1);
	qemu = fake_qemu_dial(base, path);
	expect_all(qemu, &memory, bells);
	assert_int_equal(n_connected, 2);
	close(memory);
	for (unsigned i = 0; i < VECTORS; i++)
		close(bells[i]);
	close(qemu);
}

static void test_one_at_a_time(void **state)
{
	int first = fake_qemu_dial(base, path), second = fake_qemu_dial(base, path);

	(void)state;
	assert_true(is_turned_away(second));
	assert_int_equal(n_connected, 1);
	assert_int_equal(n_gone, 0);
	close(second);
	close(first);
}

static void test_strangers_get_nothing(void **state)
{
	int qemu;

	(void)state;
	allow = false;
	qemu = fake_qemu_dial(base, path);
	assert_true(is_turned_away(qemu));
	assert_int_equal(n_connected, 0);
	close(qemu);
}

/* It has nothing to say: words, and descriptors that would stay in the daemon, end it. */
static void test_talkers_are_hung_up_on(void **state)
{
	int qemu = fake_qemu_dial(base, path);
	uint64_t word = 1;

	(void)state;
	assert_int_equal(send(qemu, &word, sizeof(word), 0), sizeof(word));
	event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(n_gone, 1);
	close(qemu);
}

/* Another listener took the path over: the file is its. */
static void test_path_taken_over(void **state)
{
	struct ivshmem *old = device;
	struct error error = {0};
	int qemu;

	(void)state;
	assert_int_equal(ivshmem_open(&options, &device, &error), 0);
	ivshmem_close(old);
	qemu = fake_qemu_dial(base, path);
	assert_int_equal(n_connected, 1);
	close(qemu);
}

static void test_sizes(void **state)
{
	struct ivshmem_options odd_options = options;
	struct ivshmem *other = NULL;
	struct error error = {0};
	int memory = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	odd_options.memory_fd = memory;
	for (unsigned i = 0; i < 3; i++) {
		const off_t odd[] = {0, 2048, 3 * 4096};

		assert_return_code(ftruncate(memory, odd[i]), errno);
		assert_int_equal(ivshmem_open(&odd_options, &other, &error), -EINVAL);
		assert_non_null(strstr(error.message, "power of two"));
	}
	close(memory);
	assert_int_equal(ivshmem_size(1), 4096);
	assert_int_equal(ivshmem_size(4097), 8192);
	assert_int_equal(ivshmem_size(1 << 20), 1 << 20);
}

static void test_long_path(void **state)
{
	struct ivshmem_options long_options = options;
	char longest[200];
	struct ivshmem *other;
	struct error error = {0};

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	long_options.path = longest;
	assert_int_equal(ivshmem_open(&long_options, &other, &error), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_and_next, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_strangers_get_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_talkers_are_hung_up_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_taken_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_path, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
