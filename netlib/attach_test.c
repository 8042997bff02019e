/*
 * Attaching to the fake host: the handshake, refusals, broken hosts, the host's end.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <cmocka.h>

#include "test_host.h"

#define FOREVER UINT64_MAX

static int n_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Attach to a host made with these options; the NF's result. The host is left open. */
static int attach(const struct test_host_options *host_options, struct test_host **host,
	const struct netvm_options *nf_options, struct netvm **nf)
{
	struct netvm_options options = *nf_options;

	assert_int_equal(test_host_open(host, host_options), 0);
	options.socket = (*host)->path;
	return netvm_attach(&options, nf);
}

static void hello_says_what_the_options_say(void **state)
{
	const struct netvm_options options = {
		.name = "fw-1.a", .service = "firewall", .meta = true, .stock = true};
	struct test_host *host;
	struct netvm *nf;
	int fds = n_fds();

	(void)state;
	assert_int_equal(attach(&(struct test_host_options){0}, &host, &options, &nf), 0);
	assert_int_equal(test_host_ready(host), 0);
	assert_string_equal(host->hello.name, "fw-1.a");
	assert_string_equal(host->hello.service, "firewall");
	assert_int_equal(host->hello.features, NETVM_FEATURE_META | NETVM_FEATURE_STOCK);
	assert_int_equal(host->hello.n_queues, 1);
	assert_int_equal(host->hello.abi_version, NETVM_ABI_VERSION);
	assert_string_equal(netvm_name(nf), "fw-1.a");
	assert_int_equal(netvm_queue(nf), 0);
	netvm_detach(nf);
	assert_int_equal(host->channel->state, NETVM_STATE_GONE);
	test_host_close(host);
	assert_int_equal(n_fds(), fds);
}

/* Mappings of this process that core files leave out. */
static int n_undumped(void)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	char line[4096];
	int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd") != NULL;
	fclose(maps);
	return n;
}

static void shared_memory_is_in_no_core_file(void **state)
{
	const struct netvm_options options = {.name = "nf"};
	struct test_host *host;
	struct netvm *nf;
	int before = n_undumped();

	(void)state;
	assert_int_equal(attach(&(struct test_host_options){0}, &host, &options, &nf), 0);
	assert_int_equal(n_undumped(), before + 2);
	test_host_finish(host, nf);
}

static void names_come_from_the_environment(void **state)
{
	struct test_host *host;
	struct netvm *nf;

	(void)state;
	setenv("NETVM_NAME", "from-env", 1);
	setenv("NETVM_SERVICE", "role", 1);
	assert_int_equal(
		attach(&(struct test_host_options){0}, &host, &(struct netvm_options){0}, &nf), 0);
	unsetenv("NETVM_NAME");
	unsetenv("NETVM_SERVICE");
	assert_int_equal(test_host_ready(host), 0);
	assert_string_equal(host->hello.name, "from-env");
	assert_string_equal(host->hello.service, "role");
	test_host_finish(host, nf);
}

static void version_range_is_honoured(void **state)
{
	static const struct {
		uint32_t min, max;
		int result;
	} range[] = {
		{1, 1, 0},
		{1, 9, 0},
		{NETVM_ABI_VERSION + 1, NETVM_ABI_VERSION + 5, -EPROTONOSUPPORT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
		struct test_host_options host_options = {
			.abi_min = range[i].min, .abi_max = range[i].max};
		struct test_host *host;
		struct netvm *nf = NULL;

		assert_int_equal(attach(&host_options, &host, &(struct netvm_options){0}, &nf),
			range[i].result);
		if (range[i].result < 0)
			assert_non_null(strstr(netvm_error(), "versions 2 to 6"));
		test_host_finish(host, nf);
	}
}

static void refusals_become_errors_with_the_hosts_words(void **state)
{
	static const struct {
		uint32_t refusal;
		int result;
	} table[] = {
		{NETVM_REFUSED_VERSION, -EPROTONOSUPPORT},
		{NETVM_REFUSED_NAME, -EINVAL},
		{NETVM_REFUSED_UNKNOWN, -EPERM},
		{NETVM_REFUSED_BUSY, -EPERM},
		{NETVM_REFUSED_SERVICE, -EPERM},
		{NETVM_REFUSED_CREDENTIAL, -EACCES},
		{NETVM_REFUSED_FEATURE, -EINVAL},
		{NETVM_REFUSED_RESOURCE, -ENOSPC},
		{4711, -EPERM},
	};
	int fds = n_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct test_host_options host_options = {.refusal = table[i].refusal};
		struct test_host *host;
		struct netvm *nf;

		assert_int_equal(attach(&host_options, &host, &(struct netvm_options){0}, &nf),
			table[i].result);
		assert_non_null(strstr(netvm_error(), "the test says no"));
		test_host_close(host);
	}
	assert_int_equal(n_fds(), fds);
}

static void broken_handshakes_are_errors(void **state)
{
	static const struct {
		enum test_host_fault fault;
		int result;
	} table[] = {
		{TEST_HOST_CLOSES_AT_ONCE, -ECONNRESET},
		{TEST_HOST_CLOSES_AFTER_HELLO, -ECONNRESET},
		{TEST_HOST_SENDS_GARBAGE, -EPROTO},
		{TEST_HOST_SHORT_CHANNEL, -EPROTO},
		{TEST_HOST_FEW_FDS, -EPROTO},
	};
	int fds = n_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct test_host_options host_options = {.fault = table[i].fault};
		struct test_host *host;
		struct netvm *nf;
		int result = attach(&host_options, &host, &(struct netvm_options){0}, &nf);

		if (result != table[i].result)
			fail_msg("fault %d: %d %s", table[i].fault, result, netvm_error());
		test_host_close(host);
	}
	assert_int_equal(n_fds(), fds);
}

static void no_daemon_is_an_error_that_names_the_socket(void **state)
{
	struct netvm_options options = {.socket = "/tmp/netvm-test-nobody.sock"};
	char longer[200];
	struct netvm *nf;

	(void)state;
	assert_int_equal(netvm_attach(&options, &nf), -ENOENT);
	assert_non_null(strstr(netvm_error(), "/tmp/netvm-test-nobody.sock"));
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	options.socket = longer;
	assert_int_equal(netvm_attach(&options, &nf), -EINVAL);
}

static void bad_options_name_the_field(void **state)
{
	static const struct {
		struct netvm_options options;
		const char *field;
	} table[] = {
		{{.name = "-x"}, "name: '-x'"},
		{{.name = "a b"}, "name: 'a b'"},
		{{.name = "a23456789012345678901234567890123"}, "name:"},
		{{.name = "ok", .service = "sl/ash"}, "service: 'sl/ash'"},
		{{.name = "ok", .n_queues = 2}, "n_queues:"},
	};
	struct netvm *nf;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(netvm_attach(&table[i].options, &nf), -EINVAL);
		assert_non_null(strstr(netvm_error(), table[i].field));
	}
	assert_int_equal(netvm_run(&(struct netvm_options){.name = "ok"}), -EINVAL);
	assert_non_null(strstr(netvm_error(), "burst"));
}

/* ---- a host that lies about its layout ------------------------------------------------------ */

#define SPOIL(name, statement)                                                                     \
	static void spoil_##name(struct netvm_layout *layout)                                      \
	{                                                                                          \
		layout->statement;                                                                 \
	}

SPOIL(rx_zero, rx_words = 0)
SPOIL(rx_odd, rx_words = 100)
SPOIL(rx_huge, rx_words = 1u << 31)
SPOIL(tx_small, tx_words = 32)
SPOIL(stock, stock_words = 3)
SPOIL(no_workers, n_workers = 0)
SPOIL(workers, n_workers = 2)
SPOIL(many_workers, n_workers = UINT32_MAX)
SPOIL(queues, n_queues = 2)
SPOIL(queue_offset_low, queue_offset = 0)
SPOIL(queue_offset_odd, queue_offset += 8)
SPOIL(queue_offset_high, queue_offset = UINT64_MAX - 127)
SPOIL(queue_offset_past, queue_offset += 128)
SPOIL(queue_stride_small, queue_stride = 128)
SPOIL(queue_stride_odd, queue_stride += 64)
SPOIL(queue_stride_large, queue_stride = UINT64_MAX & ~UINT64_C(127))
SPOIL(stride_zero, buffer_stride = 0)
SPOIL(stride_odd, buffer_stride += 1)
SPOIL(stride_large, buffer_stride = NETVM_BUFFER_BYTES_MAX + 64)
SPOIL(no_buffers, n_buffers = 0)
SPOIL(one_buffer_more, n_buffers += 1)
SPOIL(many_buffers, n_buffers = UINT32_MAX)
SPOIL(buffer_offset, buffer_offset = 64)
SPOIL(buffer_offset_odd, buffer_offset = 1)
SPOIL(buffer_offset_high, buffer_offset = UINT64_MAX - 63)
SPOIL(no_headroom, headroom = 0)
SPOIL(headroom, headroom = 4096)

static void broken_layouts_are_refused(void **state)
{
	static const struct {
		void (*spoil)(struct netvm_layout *layout);
		const char *field;
	} table[] = {
		{spoil_rx_zero, "ring size"},
		{spoil_rx_odd, "ring size"},
		{spoil_rx_huge, "ring size"},
		{spoil_tx_small, "ring size"},
		{spoil_stock, "ring size"},
		{spoil_no_workers, "n_workers"},
		{spoil_workers, "n_workers"},
		{spoil_many_workers, "n_workers"},
		{spoil_queues, "n_queues"},
		{spoil_queue_offset_low, "queue_offset"},
		{spoil_queue_offset_odd, "queue_offset"},
		{spoil_queue_offset_high, "queue_offset"},
		{spoil_queue_offset_past, "queue_offset"},
		{spoil_queue_stride_small, "queue_stride"},
		{spoil_queue_stride_odd, "queue_stride"},
		{spoil_queue_stride_large, "queue_offset"},
		{spoil_stride_zero, "buffer_stride"},
		{spoil_stride_odd, "buffer_stride"},
		{spoil_stride_large, "buffer_stride"},
		{spoil_no_buffers, "n_buffers"},
		{spoil_one_buffer_more, "buffer_offset"},
		{spoil_many_buffers, "n_buffers"},
		{spoil_buffer_offset, "buffer_offset"},
		{spoil_buffer_offset_odd, "buffer_offset"},
		{spoil_buffer_offset_high, "buffer_offset"},
		{spoil_no_headroom, "headroom"},
		{spoil_headroom, "headroom"},
	};
	int fds = n_fds();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct test_host_options host_options = {.spoil = table[i].spoil};
		struct test_host *host;
		struct netvm *nf;
		int result = attach(&host_options, &host, &(struct netvm_options){0}, &nf);

		if (result != -EPROTO || !strstr(netvm_error(), table[i].field))
			fail_msg("layout %zu: %d %s", i, result, netvm_error());
		test_host_close(host);
	}
	assert_int_equal(n_fds(), fds);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void a_vanished_host_ends_every_wait(void **state)
{
	struct netvm_packet pkts[4];
	struct test_host *host;
	struct netvm *nf;

	(void)state;
	assert_int_equal(
		attach(&(struct test_host_options){0}, &host, &(struct netvm_options){0}, &nf), 0);
	assert_int_equal(test_host_ready(host), 0);
	assert_int_equal(netvm_receive(nf, pkts, 4, 0), 0);
	test_host_close(host);
	assert_int_equal(netvm_receive(nf, pkts, 4, FOREVER), -ECONNRESET);
	assert_int_equal(netvm_receive(nf, pkts, 4, 0), -ECONNRESET);
	assert_int_equal(netvm_sleep(nf), 1);
	netvm_detach(nf);
}

static void a_vanished_host_shows_on_the_nfs_fd(void **state)
{
	struct test_host *host;
	struct netvm *nf;
	struct netvm_packet pkt;
	struct pollfd wanted = {.events = POLLIN};

	(void)state;
	assert_int_equal(
		attach(&(struct test_host_options){0}, &host, &(struct netvm_options){0}, &nf), 0);
	assert_int_equal(test_host_ready(host), 0);
	wanted.fd = netvm_fd(nf);
	assert_int_equal(netvm_sleep(nf), 0);
	assert_int_equal(poll(&wanted, 1, 0), 0);
	test_host_close(host);
	assert_int_equal(poll(&wanted, 1, 100000), 1);
	netvm_wake(nf);
	assert_int_equal(netvm_receive(nf, &pkt, 1, 0), -ECONNRESET);
	netvm_detach(nf);
}

/* Polling with a time limit of 0 makes no system call, and must notice all the same. */
static void a_vanished_host_is_noticed_by_a_poller(void **state)
{
	struct test_host *host;
	struct netvm *nf;
	struct netvm_packet pkt;
	int result = 0;

	(void)state;
	assert_int_equal(
		attach(&(struct test_host_options){0}, &host, &(struct netvm_options){0}, &nf), 0);
	assert_int_equal(test_host_ready(host), 0);
	test_host_close(host);
	for (unsigned i = 0; i < 100000 && result == 0; i++)
		result = netvm_receive(nf, &pkt, 1, 0);
	assert_int_equal(result, -ECONNRESET);
	netvm_detach(nf);
}

static void detach_of_nothing_is_fine(void **state)
{
	(void)state;
	netvm_detach(NULL);
}

/* The descriptor behind netvm_stop() is made once and stays: it must not count as a leak. */
static int make_what_stays(void **state)
{
	struct netvm *nf;

	(void)state;
	return netvm_attach(&(struct netvm_options){.socket = "/nowhere"}, &nf) == -ENOENT ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_says_what_the_options_say),
		cmocka_unit_test(shared_memory_is_in_no_core_file),
		cmocka_unit_test(names_come_from_the_environment),
		cmocka_unit_test(version_range_is_honoured),
		cmocka_unit_test(refusals_become_errors_with_the_hosts_words),
		cmocka_unit_test(broken_handshakes_are_errors),
		cmocka_unit_test(no_daemon_is_an_error_that_names_the_socket),
		cmocka_unit_test(bad_options_name_the_field),
		cmocka_unit_test(broken_layouts_are_refused),
		cmocka_unit_test(a_vanished_host_ends_every_wait),
		cmocka_unit_test(a_vanished_host_shows_on_the_nfs_fd),
		cmocka_unit_test(a_vanished_host_is_noticed_by_a_poller),
		cmocka_unit_test(detach_of_nothing_is_fine),
	};

	return cmocka_run_group_tests_name("attach", tests, make_what_stays, NULL);
}
