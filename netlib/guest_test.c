/*
 * An NF in a guest, without the guest: devices made of plain files, the handshake through `state`,
 * which device is which, sleeping without a doorbell, errors when there is no daemon behind.
 * Real devices of a real QEMU are for tests/guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <netvm/abi/guest.h>

#include "test_host.h"

#define MS      UINT64_C(1000000)
#define FOREVER UINT64_MAX

static struct test_host *host_open(const struct test_host_options *given)
{
	struct test_host_options options = *given;
	struct test_host *host;

	options.guest = true;
	assert_int_equal(test_host_open(&host, &options), 0);
	assert_int_equal(test_host_sysfs(host), 0);
	return host;
}

static int attach(const struct test_host *host, struct netvm **nf)
{
	const struct netvm_options options = {.name = "vm", .socket = host->path};

	return netvm_attach(&options, nf);
}

static struct netvm *attached(struct test_host **host)
{
	struct netvm *nf;

	*host = host_open(&(struct test_host_options){.n_workers = 2});
	assert_int_equal(attach(*host, &nf), 0);
	assert_int_equal(test_host_ready(*host), 0);
	return nf;
}

static void device_path(const struct test_host *host, const char *name, char path[150])
{
	snprintf(path, 150, "%s/%s", host->path + 4, name);
}

static int memory(size_t size, uint64_t first_word)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_return_code(fd, errno);
	assert_return_code(ftruncate(fd, (off_t)size), errno);
	assert_int_equal(write(fd, &first_word, sizeof(first_word)), sizeof(first_word));
	return fd;
}

/* ---- working ------------------------------------------------------------------------------- */

static void packets_pass_and_workers_are_rung(void **state)
{
	static const char text[] = "seen through BAR 2";
	struct test_host *host;
	struct netvm *nf = attached(&host);
	struct netvm_packet pkts[4];
	uint64_t words[4];

	(void)state;
	assert_string_equal(host->hello.name, "vm");
	for (unsigned worker = 0; worker < 2; worker++) {
		host->channel->worker[worker].sleep_ticket = 7;
		assert_int_equal(test_host_give(host, worker, 0, text, sizeof(text)), 0);
		assert_int_equal(netvm_receive(nf, pkts, 4, FOREVER), 1);
		assert_memory_equal(netvm_data(nf, &pkts[0]), text, sizeof(text));
		netvm_data(nf, &pkts[0])[0] = 'S';
		netvm_send(nf, pkts, 1);
		netvm_flush(nf);
		assert_int_equal(*host->doorbell, NETVM_GUEST_RING(NETVM_GUEST_WORKER(worker)));
		assert_int_equal(test_host_collect(host, worker, 0, words, 4), 1);
		assert_int_equal(test_host_data(host, words[0])[0], 'S');
	}
	*host->doorbell = 0;
	netvm_detach(nf);
	assert_int_equal(host->channel->state, NETVM_STATE_GONE);
	assert_int_equal(*host->doorbell, NETVM_GUEST_RING(NETVM_GUEST_STATE));
	assert_int_equal(host->refused, 0);
	test_host_close(host);
}

/* No ticket, so the host never pays for a ring that nobody would hear. */
static void sleep_ends_without_a_doorbell(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached(&host);
	struct pollfd wanted = {.fd = netvm_fd(nf), .events = POLLIN};
	struct netvm_packet pkt;

	(void)state;
	assert_int_equal(netvm_receive(nf, &pkt, 1, 0), 0);
	assert_int_equal(netvm_sleep(nf), 0);
	assert_int_equal(host->channel->queue[0].sleep_ticket, 0);
	assert_int_equal(test_host_give(host, 0, 0, "x", 1), 0);
	assert_int_equal(poll(&wanted, 1, 100000), 1);
	netvm_wake(nf);
	assert_int_equal(netvm_receive(nf, &pkt, 1, 0), 1);
	assert_int_equal(netvm_sleep(nf), 0);
	assert_int_equal(test_host_give(host, 0, 0, "y", 1), 0);
	assert_int_equal(netvm_sleep(nf), 1); /* already there */
	assert_int_equal(host->wakeups, 0);
	test_host_finish(host, nf);
}

static struct netvm *attached_with_bells(struct test_host **host, bool silent)
{
	struct netvm *nf;

	*host = host_open(&(struct test_host_options){.n_bells = 2, .silent = silent});
	assert_int_equal(attach(*host, &nf), 0);
	assert_int_equal(test_host_ready(*host), 0);
	assert_true((*host)->hello.features & NETVM_FEATURE_BELL);
	return nf;
}

static void a_port_is_a_doorbell(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached_with_bells(&host, false);
	struct pollfd wanted = {.fd = netvm_fd(nf), .events = POLLIN};
	struct netvm_packet pkt;

	(void)state;
	assert_int_equal(netvm_receive(nf, &pkt, 1, 0), 0);
	assert_int_equal(netvm_sleep(nf), 0);
	assert_int_not_equal(host->channel->queue[0].sleep_ticket, 0);
	assert_int_equal(poll(&wanted, 1, 20), 0); /* no timer wakes it */
	assert_int_equal(test_host_give(host, 0, 0, "x", 1), 0);
	assert_int_equal(poll(&wanted, 1, 100000), 1);
	netvm_wake(nf);
	assert_int_equal(poll(&wanted, 1, 0), 0); /* the ring is heard */
	assert_int_equal(netvm_receive(nf, &pkt, 1, 0), 1);
	assert_int_equal(host->wakeups, 1);
	test_host_finish(host, nf);
}

static void a_port_that_ends_is_the_end_of_the_host(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached_with_bells(&host, false);
	struct netvm_packet pkt;

	(void)state;
	close(host->bell_out[0]);
	host->bell_out[0] = -1;
	assert_int_equal(netvm_receive(nf, &pkt, 1, FOREVER), -ECONNRESET);
	test_host_finish(host, nf);
}

static void a_host_that_does_not_ring_is_looked_for(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached_with_bells(&host, true);
	struct pollfd wanted = {.fd = netvm_fd(nf), .events = POLLIN};

	(void)state;
	assert_int_equal(netvm_sleep(nf), 0);
	assert_int_equal(host->channel->queue[0].sleep_ticket, 0);
	assert_int_equal(poll(&wanted, 1, 100000), 1);
	test_host_finish(host, nf);
}

static int leave_at_once(struct netvm *nf, void *arg)
{
	(void)nf, (void)arg;
	return 1;
}

static void no_packets(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)nf, (void)pkts, (void)n, (void)arg;
}

static void each_queue_needs_a_port(void **state)
{
	struct test_host *host = host_open(&(struct test_host_options){.n_bells = 1});
	const struct netvm_options options = {.name = "vm",
		.socket = host->path,
		.n_queues = 2,
		.burst = no_packets,
		.start = leave_at_once};

	(void)state;
	assert_int_equal(netvm_run(&options), -ECANCELED);
	assert_int_equal(test_host_ready(host), 0);
	assert_int_equal(host->hello.n_queues, 2);
	assert_int_equal(host->hello.features, 0);
	test_host_close(host);
}

static void idleness_is_cheap_and_keeps_the_time_limit(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached(&host);
	uint64_t start_ns = test_host_now_ns(CLOCK_MONOTONIC),
		 start_cpu_ns = test_host_now_ns(CLOCK_THREAD_CPUTIME_ID);
	struct netvm_packet pkt;

	(void)state;
	assert_int_equal(netvm_receive(nf, &pkt, 1, 200 * MS), 0);
	assert_true(test_host_now_ns(CLOCK_MONOTONIC) - start_ns >= 200 * MS);
	assert_true(test_host_now_ns(CLOCK_THREAD_CPUTIME_ID) - start_cpu_ns < 40 * MS);
	test_host_finish(host, nf);
}

static void a_stop_asked_for_is_heard(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached(&host);
	struct netvm_packet pkt;

	(void)state;
	test_host_control(host, NETVM_CONTROL_STOP);
	assert_int_equal(netvm_receive(nf, &pkt, 1, FOREVER), -ECANCELED);
	test_host_finish(host, nf);
}

static void a_move_asked_for_is_no_stop(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached(&host);
	struct netvm_packet pkt;

	(void)state;
	test_host_control(host, NETVM_CONTROL_STOP | NETVM_CONTROL_MOVE);
	assert_int_equal(netvm_receive(nf, &pkt, 1, FOREVER), -ECONNRESET);
	assert_non_null(strstr(netvm_error(), "asked this NF to move"));
	netvm_detach(nf);
	assert_int_equal(host->channel->state, NETVM_STATE_GONE);
	test_host_close(host);
}

static void a_withdrawn_channel_ends_every_wait(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached(&host);
	struct netvm_packet pkt;

	(void)state;
	host->channel->state = NETVM_STATE_OFFERED;
	assert_int_equal(netvm_receive(nf, &pkt, 1, FOREVER), -ECONNRESET);
	assert_non_null(strstr(netvm_error(), "went away"));
	test_host_finish(host, nf);
}

/* ---- which is which ------------------------------------------------------------------------ */

/* Others' devices, a larger and a smaller memory than ours, and buffers that look like a channel.
 */
static void the_right_two_devices_are_found(void **state)
{
	struct test_host *host = host_open(&(struct test_host_options){0});
	int large = memory(64 << 20, 0), small = memory(64 << 10, 0), other = memory(8 << 20, 0);
	uint64_t *slot = (uint64_t *)(void *)host->group;
	struct netvm_packet pkt;
	struct netvm *nf;
	char path[150];

	(void)state;
	slot[0] = NETVM_CHANNEL_MAGIC;
	device_path(host, "0000:00:00.0", path);
	assert_int_equal(test_host_device(path, "0x1041\n", other, other), 0);
	device_path(host, "0000:00:03.0", path);
	assert_int_equal(test_host_device(path, "0x1110\n", large, large), 0);
	device_path(host, "0000:00:04.0", path);
	assert_int_equal(test_host_device(path, "0x1110\n", small, small), 0);
	assert_int_equal(attach(host, &nf), 0);
	assert_int_equal(test_host_ready(host), 0);
	assert_int_equal(test_host_give(host, 0, 0, "ours", 4), 0);
	assert_int_equal(netvm_receive(nf, &pkt, 1, FOREVER), 1);
	assert_memory_equal(netvm_data(nf, &pkt), "ours", 4);
	test_host_finish(host, nf);
	close(large);
	close(small);
	close(other);
}

static void two_channels_are_an_error(void **state)
{
	struct test_host *host = host_open(&(struct test_host_options){0});
	struct netvm *nf;
	char path[150];

	(void)state;
	device_path(host, "0000:00:03.0", path);
	assert_int_equal(
		test_host_device(path, "0x1110\n", host->registers_fd, host->channel_fd), 0);
	assert_int_equal(attach(host, &nf), -EPROTO);
	assert_non_null(strstr(netvm_error(), "2 ivshmem devices hold a channel"));
	test_host_close(host);
}

static void spoil_group_bytes(struct netvm_layout *layout)
{
	layout->group_bytes = UINT64_C(1) << 40;
}

static void a_group_that_no_device_holds_is_an_error(void **state)
{
	struct test_host *host = host_open(&(struct test_host_options){.spoil = spoil_group_bytes});
	struct netvm *nf;

	(void)state;
	assert_int_equal(attach(host, &nf), -EPROTO);
	assert_non_null(strstr(netvm_error(), "1099511627776 bytes of the group memory"));
	assert_int_equal(test_host_ready(host), 0);
	assert_int_equal(host->channel->state, NETVM_STATE_GONE);
	test_host_close(host);
}

/* ---- one NF after the other ---------------------------------------------------------------- */

/* The daemon's part when the state becomes GONE. */
static void *offer_again(void *arg)
{
	struct test_host *host = arg;
	uint32_t *state = &host->channel->state;

	while (__atomic_load_n(state, __ATOMIC_ACQUIRE) != NETVM_STATE_GONE)
		(void)poll(NULL, 0, 1);
	__atomic_store_n(state, NETVM_STATE_OFFERED, __ATOMIC_RELEASE);
	return NULL;
}

static void one_that_was_killed_has_a_successor(void **state)
{
	struct test_host *host = host_open(&(struct test_host_options){0});
	struct netvm_packet pkt;
	struct netvm *nf;
	pthread_t thread;

	(void)state;
	__atomic_store_n(&host->channel->state, NETVM_STATE_READY, __ATOMIC_RELEASE);
	assert_int_equal(pthread_create(&thread, NULL, offer_again, host), 0);
	assert_int_equal(attach(host, &nf), 0);
	pthread_join(thread, NULL);
	assert_int_equal(test_host_ready(host), 0);
	assert_int_equal(test_host_give(host, 0, 0, "x", 1), 0);
	assert_int_equal(netvm_receive(nf, &pkt, 1, FOREVER), 1);
	test_host_finish(host, nf);
}

static void one_that_lives_is_left_alone(void **state)
{
	struct test_host *host;
	struct netvm *nf = attached(&host), *second;

	(void)state;
	assert_int_equal(attach(host, &second), -EBUSY);
	assert_non_null(strstr(netvm_error(), "another NF of this guest has the channel"));
	assert_int_equal(host->channel->state, NETVM_STATE_READY);
	test_host_finish(host, nf);
}

static void refusals_come_through_the_channel(void **state)
{
	struct test_host *host =
		host_open(&(struct test_host_options){.refusal = NETVM_REFUSED_SERVICE});
	struct netvm *nf;

	(void)state;
	assert_int_equal(attach(host, &nf), -EPERM);
	assert_non_null(strstr(netvm_error(), "the test says no"));
	assert_int_equal(test_host_ready(host), 0);
	assert_int_equal(host->channel->state, NETVM_STATE_REFUSED);
	test_host_close(host);
}

/* ---- plugging, nobody there ---------------------------------------------------------------- */

/* As a device being plugged looks: its folder is there, its BAR comes when the NF has enabled it.
 */
static void *plug(void *arg)
{
	const struct test_host *host = arg;
	char from[150], to[150], enable[150];
	struct stat status;

	device_path(host, "0000:00:01.0/enable", enable);
	device_path(host, "later", from);
	device_path(host, "0000:00:02.0/resource2", to);
	do { /* until the NF has enabled the other device: it has looked once */
		if (stat(enable, &status) < 0)
			return arg;
	} while (status.st_mtim.tv_sec == 0);
	return rename(from, to) < 0 ? arg : NULL;
}

static void devices_plugged_late_are_found(void **state)
{
	const struct timespec long_ago[2] = {{0}, {0}};
	struct test_host *host = host_open(&(struct test_host_options){0});
	char bar[150], later[150], enable[150];
	struct netvm *nf;
	pthread_t thread;
	void *failed;

	(void)state;
	device_path(host, "0000:00:02.0/resource2", bar);
	device_path(host, "later", later);
	device_path(host, "0000:00:01.0/enable", enable);
	assert_return_code(rename(bar, later), errno);
	assert_return_code(utimensat(AT_FDCWD, enable, long_ago, 0), errno);
	assert_int_equal(pthread_create(&thread, NULL, plug, host), 0);
	assert_int_equal(attach(host, &nf), 0);
	pthread_join(thread, &failed);
	assert_null(failed);
	test_host_finish(host, nf);
}

struct exchange {
	const struct test_host *host;
	struct netvm_channel *old;
};

/* The next daemon's part, when the NF has given up what it had of the last one's. */
static void *exchange(void *arg)
{
	const struct exchange *exchange = arg;
	char bar[150], later[150];

	while (__atomic_load_n(&exchange->old->state, __ATOMIC_ACQUIRE) != NETVM_STATE_GONE)
		(void)poll(NULL, 0, 1);
	device_path(exchange->host, "0000:00:02.0/resource2", bar);
	device_path(exchange->host, "later", later);
	return rename(later, bar) < 0 ? arg : NULL;
}

static void a_device_in_the_place_of_the_last_one_is_found(void **state)
{
	struct test_host *host = host_open(&(struct test_host_options){0});
	int fd = memory(sizeof(struct netvm_channel), NETVM_CHANNEL_MAGIC);
	struct exchange given = {.host = host};
	char bar[150], later[150], old[40];
	struct netvm *nf;
	pthread_t thread;
	void *failed;

	(void)state;
	given.old = mmap(NULL, sizeof(*given.old), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(given.old, MAP_FAILED);
	given.old->header_bytes = sizeof(*given.old);
	given.old->state = NETVM_STATE_READY;
	device_path(host, "0000:00:02.0/resource2", bar);
	device_path(host, "later", later);
	snprintf(old, sizeof(old), "/proc/%d/fd/%d", (int)getpid(), fd);
	assert_return_code(rename(bar, later), errno);
	assert_return_code(symlink(old, bar), errno);
	assert_int_equal(pthread_create(&thread, NULL, exchange, &given), 0);
	assert_int_equal(attach(host, &nf), 0);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(test_host_ready(host), 0);
	test_host_finish(host, nf);
	munmap(given.old, sizeof(*given.old));
	close(fd);
}

static void nobody_behind_is_an_error_that_says_so(void **state)
{
	struct test_host *host = host_open(&(struct test_host_options){0});
	struct netvm *nf;

	(void)state;
	__atomic_store_n(&host->channel->state, NETVM_STATE_GONE, __ATOMIC_RELEASE);
	assert_int_equal(attach(host, &nf), -ECONNREFUSED);
	assert_non_null(strstr(netvm_error(), "none of 2 ivshmem devices offers a NetVM channel"));
	test_host_close(host);
}

static void a_bar_without_an_address_is_an_error_that_says_so(void **state)
{
	struct test_host *host = host_open(&(struct test_host_options){0});
	struct netvm *nf;
	char bar[150];

	(void)state;
	device_path(host, "0000:00:01.0/resource2", bar);
	assert_return_code(unlink(bar), errno);
	device_path(host, "0000:00:02.0/resource2", bar);
	assert_return_code(unlink(bar), errno);
	assert_int_equal(attach(host, &nf), -ENOENT);
	assert_non_null(strstr(netvm_error(), "/resource2: No such file"));
	test_host_close(host);
}

static void no_device_is_an_error_that_says_so(void **state)
{
	const struct netvm_options options = {.name = "vm", .socket = "pci:/tmp/netvm-no-such"};
	struct netvm *nf;

	(void)state;
	assert_int_equal(netvm_attach(&options, &nf), -ENOENT);
	assert_non_null(strstr(netvm_error(), "no ivshmem device (PCI id 1af4:1110)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_pass_and_workers_are_rung),
		cmocka_unit_test(sleep_ends_without_a_doorbell),
		cmocka_unit_test(a_port_is_a_doorbell),
		cmocka_unit_test(a_port_that_ends_is_the_end_of_the_host),
		cmocka_unit_test(a_host_that_does_not_ring_is_looked_for),
		cmocka_unit_test(each_queue_needs_a_port),
		cmocka_unit_test(one_that_was_killed_has_a_successor),
		cmocka_unit_test(one_that_lives_is_left_alone),
		cmocka_unit_test(idleness_is_cheap_and_keeps_the_time_limit),
		cmocka_unit_test(a_stop_asked_for_is_heard),
		cmocka_unit_test(a_move_asked_for_is_no_stop),
		cmocka_unit_test(a_withdrawn_channel_ends_every_wait),
		cmocka_unit_test(the_right_two_devices_are_found),
		cmocka_unit_test(two_channels_are_an_error),
		cmocka_unit_test(a_group_that_no_device_holds_is_an_error),
		cmocka_unit_test(refusals_come_through_the_channel),
		cmocka_unit_test(devices_plugged_late_are_found),
		cmocka_unit_test(a_device_in_the_place_of_the_last_one_is_found),
		cmocka_unit_test(nobody_behind_is_an_error_that_says_so),
		cmocka_unit_test(a_bar_without_an_address_is_an_error_that_says_so),
		cmocka_unit_test(no_device_is_an_error_that_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
