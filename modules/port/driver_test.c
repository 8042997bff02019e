/*
 * Tests of the drivers that need neither root nor the network: null, pcap, and dpdk with virtual
 * devices. Each ends with every buffer back in the pool.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_ipv4_udptcp_cksum_verify() */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <pcap/pcap.h>
#include <rte_ip.h>
#include <rte_ring.h>

#include "common/clock.h"
#include "engine/eal.h"
#include "modules/port/driver.h"

#define BURST 32u

static struct buffer_pool *pool;
static struct buffer_cache cache;
static char folder[] = "/tmp/netvm-port-XXXXXX";

static int open_port(
	struct port *port, const struct port_driver *driver, const char *args, struct error *error)
{
	struct port_config config = {
		.name = "t", .args = args, .pool = pool, .n_rx_queues = 1, .n_tx_queues = 1};
	int err;

	*port = (struct port){.ops = driver};
	*error = (struct error){0};
	err = driver->open(port, &config, error);
	if (err) {
		assert_int_equal(err, -error->code);
		assert_null(port->driver);
	}
	for (unsigned i = 0; i < PORT_QUEUES_MAX; i++)
		port->rx[i].cache = port->tx[i].cache = &cache;
	return err;
}

static void open_good(struct port *port, const struct port_driver *driver, const char *args)
{
	struct error error;

	if (open_port(port, driver, args, &error) != 0)
		fail_msg("%s", error.message);
}

static void assert_refused(const struct port_driver *driver, const char *args, const char *what)
{
	struct error error;
	struct port port;

	assert_int_not_equal(open_port(&port, driver, args, &error), 0);
	if (!strstr(error.message, what))
		fail_msg("'%s' lacks '%s'", error.message, what);
}

static unsigned receive(struct port *port, uint64_t *words)
{
	unsigned n = port->ops->rx(&port->rx[0], words, BURST);

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(buffer_state(pool, words[i])->owner, OWNER_ENGINE);
	return n;
}

static bool is_readable(struct port *port)
{
	struct pollfd fd = {.fd = port->ops->wait_fd(&port->rx[0]), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void wait_readable(struct port *port)
{
	struct pollfd fd = {.fd = port->ops->wait_fd(&port->rx[0]), .events = POLLIN};

	assert_int_equal(poll(&fd, 1, 100000), 1);
}

static void close_port(struct port *port)
{
	port->ops->close(port);
	buffer_cache_flush(&cache);
	assert_int_equal(rte_ring_count(pool->free), pool->n_buffers);
}

/* ---- null ------------------------------------------------------------------------------------ */

static void check_udp(uint64_t word, uint32_t size, uint32_t ip_at)
{
	uint8_t *data = buffer_data(pool, word);

	assert_int_equal(netvm_desc_length(word), size);
	assert_int_equal(netvm_desc_offset(word), pool->headroom);
	assert_int_equal(rte_raw_cksum(data + ip_at, 20), 0xffff);
	assert_int_equal(
		rte_ipv4_udptcp_cksum_verify((void *)(data + ip_at), data + ip_at + 20), 0);
	assert_int_equal(rte_be_to_cpu_16(*(uint16_t *)(void *)(data + ip_at + 2)), size - ip_at);
}

/* Right also in buffers that something else was written into, for any size. */
static void test_null_packets(void **state)
{
	static const unsigned sizes[] = {60, 64, 65, 127, 128, 129, 1500};
	uint64_t words[BURST];
	struct port port;
	char args[64];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(args, sizeof(args), "size=%u%s", sizes[i], i % 2 ? ",vlan=5" : "");
		open_good(&port, &null_driver, args);
		for (uint32_t damaged = 0; damaged < sizes[i]; damaged++) {
			assert_int_equal(receive(&port, words), BURST);
			for (unsigned k = 0; k < BURST; k++) {
				check_udp(words[k], sizes[i], i % 2 ? 18 : 14);
				buffer_data(pool, words[k])[damaged] ^= 0x11;
			}
			assert_int_equal(port.ops->tx(&port.tx[0], words, BURST), BURST);
		}
		close_port(&port);
	}
}

static void test_null_flows(void **state)
{
	uint64_t words[BURST];
	struct port port;
	uint16_t first;

	(void)state;
	open_good(&port, &null_driver, "flows=3,count=40");
	assert_int_equal(receive(&port, words), BURST);
	first = *(uint16_t *)(void *)(buffer_data(pool, words[0]) + 34);
	for (unsigned i = 0; i < BURST; i++) {
		check_udp(words[i], 64, 14);
		assert_int_equal(*(uint16_t *)(void *)(buffer_data(pool, words[i]) + 34) == first,
			i % 3 == 0);
	}
	port.ops->tx(&port.tx[0], words, BURST);
	assert_true(is_readable(&port));
	assert_int_equal(receive(&port, words), 8);
	port.ops->tx(&port.tx[0], words, 8);
	assert_int_equal(receive(&port, words), 0);
	assert_false(is_readable(&port));
	close_port(&port);
}

static void test_null_off(void **state)
{
	uint64_t words[BURST];
	struct port port;

	(void)state;
	open_good(&port, &null_driver, "source=off");
	assert_int_equal(receive(&port, words), 0);
	assert_false(is_readable(&port));
	close_port(&port);
}

/* Opens it and sends back what comes, n packets: not before at_least_ms. */
static void check_pace(
	const struct port_driver *driver, const char *args, unsigned n, unsigned at_least_ms)
{
	uint64_t words[BURST], start_ns = clock_ns(CLOCK_MONOTONIC);
	struct port port;
	unsigned got = 0;

	open_good(&port, driver, args);
	while (got < n) {
		unsigned came = receive(&port, words);

		if (came == 0)
			wait_readable(&port);
		port.ops->tx(&port.tx[0], words, came);
		got += came;
	}
	assert_true(clock_ns(CLOCK_MONOTONIC) - start_ns >= at_least_ms * UINT64_C(1000000));
	close_port(&port);
}

/* The timer says when the next packet is due; never earlier than the rate. */
static void test_null_rate(void **state)
{
	(void)state;
	check_pace(&null_driver, "rate=1000,count=20", 20, 20);
}

/* Not before its delay, and when it has sent all, nothing is missed. */
static void test_null_delay(void **state)
{
	uint64_t words[BURST];
	struct port_info info;
	struct port port;

	(void)state;
	open_good(&port, &null_driver, "rate=1000000,count=3,delay=20");
	assert_int_equal(receive(&port, words), 0);
	for (unsigned got = 0; got < 3;) {
		unsigned n;

		wait_readable(&port);
		n = receive(&port, words);
		port.ops->tx(&port.tx[0], words, n);
		got += n;
	}
	assert_int_equal(receive(&port, words), 0);
	port.ops->info(&port, &info);
	assert_int_equal(info.rx_missed, 0);
	close_port(&port);
}

static void test_null_refused(void **state)
{
	(void)state;
	assert_refused(&null_driver, "size=59", "size cannot be '59'");
	assert_refused(&null_driver, "size=3000", "room for");
	assert_refused(&null_driver, "flows=0", "flows cannot be '0': valid is 1 to 65536");
	assert_refused(&null_driver, "lan0", "'lan0' is not name=value");
}

static void test_mtu(void **state)
{
	uint32_t most = buffer_room(pool) - 22;
	struct error error = {0};
	struct port port;

	(void)state;
	open_good(&port, &null_driver, "");
	assert_int_equal(port.ops->set_mtu(&port, most, &error), 0);
	assert_int_equal(port.frame_bytes_max, buffer_room(pool));
	assert_int_equal(port.ops->set_mtu(&port, most + 1, &error), -EINVAL);
	assert_string_equal(error.path, "mtu");
	assert_non_null(strstr(error.hint, "buffer_bytes"));
	close_port(&port);
}

/* ---- pcap ------------------------------------------------------------------------------------ */

static const char *path_of(const char *name)
{
	static char path[2][128];
	static unsigned turn;

	snprintf(path[turn ^= 1], sizeof(path[0]), "%s/%s", folder, name);
	return path[turn];
}

/* n packets, 10 ms apart, of 60, 61, ... bytes, all of them i. */
static void write_capture(const char *name, int link, unsigned precision, unsigned n)
{
	pcap_t *dead = pcap_open_dead_with_tstamp_precision(link, 65535, precision);
	pcap_dumper_t *out = pcap_dump_open(dead, path_of(name));
	uint8_t data[5000];

	for (unsigned i = 0; i < n; i++) {
		struct pcap_pkthdr header = {.caplen = 60 + i, .len = 60 + i};

		header.ts.tv_usec =
			i * (precision == PCAP_TSTAMP_PRECISION_NANO ? 10000000 : 10000);
		memset(data, (int)i, sizeof(data));
		pcap_dump((u_char *)out, &header, data);
	}
	pcap_dump_close(out);
	pcap_close(dead);
}

static unsigned replay(struct port *port)
{
	uint64_t words[BURST];
	unsigned n, total = 0;

	while ((n = receive(port, words)) > 0) {
		for (unsigned i = 0; i < n; i++, total++) {
			assert_int_equal(netvm_desc_length(words[i]), 60 + total % 100);
			assert_int_equal(buffer_data(pool, words[i])[59], total % 100);
		}
		port->ops->tx(&port->tx[0], words, n);
		port->ops->complete(&port->tx[0]);
	}
	assert_false(is_readable(port));
	return total;
}

static unsigned count_capture(const char *name)
{
	char text[PCAP_ERRBUF_SIZE];
	pcap_t *file = pcap_open_offline(path_of(name), text);
	struct pcap_pkthdr *header;
	const u_char *data;
	unsigned n = 0;

	assert_non_null(file);
	while (pcap_next_ex(file, &header, &data) == 1)
		n++;
	pcap_close(file);
	return n;
}

static void test_pcap(void **state)
{
	struct port_info info;
	struct port port;
	char args[256];

	(void)state;
	for (unsigned precision = 0; precision < 2; precision++) {
		write_capture("in", DLT_EN10MB, precision, 100);
		snprintf(args, sizeof(args), "%s,%s,loop=3", path_of("in"), path_of("out"));
		open_good(&port, &pcap_driver, args);
		assert_int_equal(replay(&port), 300);
		port.ops->complete(&port.tx[0]);
		port.ops->complete(&port.tx[0]);
		assert_int_equal(count_capture("out"), 300); /* already, as the port is idle */
		port.ops->info(&port, &info);
		assert_int_equal(info.rx_errors, 0);
		close_port(&port);
	}
}

static void test_pcap_pace(void **state)
{
	char args[256];

	(void)state;
	write_capture("in", DLT_EN10MB, PCAP_TSTAMP_PRECISION_NANO, 5);
	snprintf(args, sizeof(args), "%s,pace=on", path_of("in"));
	check_pace(&pcap_driver, args, 5, 40);
}

/* Too long for a buffer, and cut in the middle of a record. */
static void test_pcap_errors(void **state)
{
	struct port_info info;
	struct port port;
	char args[256];

	(void)state;
	write_capture("in", DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, 100);
	assert_int_equal(truncate(path_of("in"), 24 + 10 * 16 + 645 + 16 + 5), 0);
	open_good(&port, &pcap_driver, path_of("in"));
	assert_int_equal(replay(&port), 10);
	port.ops->info(&port, &info);
	assert_int_equal(info.rx_errors, 1);
	close_port(&port);

	write_capture("in", DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, 3000);
	open_good(&port, &pcap_driver, path_of("in"));
	port.ops->info(&port, &info);
	assert_int_equal(info.rx_errors, 3000 - (buffer_room(pool) - 60 + 1));
	close_port(&port);

	write_capture("raw", DLT_RAW, PCAP_TSTAMP_PRECISION_MICRO, 1);
	assert_refused(&pcap_driver, path_of("raw"), "link type RAW");
	assert_refused(&pcap_driver, path_of("none"), "No such file");
	assert_refused(&pcap_driver, folder, "is not a file");
	snprintf(args, sizeof(args), "-,%s/no/out", folder);
	assert_refused(&pcap_driver, args, "cannot write");
	assert_refused(&pcap_driver, "", "IN or OUT is missing");
	snprintf(args, sizeof(args), "%s,pace=on,rate=5", path_of("in"));
	assert_refused(&pcap_driver, args, "exclude each other");
	assert_int_equal(truncate(path_of("in"), 3), 0);
	assert_refused(&pcap_driver, path_of("in"), "cannot read");
}

/* ---- dpdk ------------------------------------------------------------------------------------ */

static void test_dpdk_null(void **state)
{
	struct port first, second;
	uint64_t words[BURST];
	struct port_info info;

	(void)state;
	open_good(&first, &dpdk_driver, "net_null0,size=200");
	open_good(&second, &dpdk_driver, "net_null1");
	for (unsigned i = 0; i < 1000; i++) {
		unsigned n = receive(&first, words);

		assert_int_equal(n, BURST);
		for (unsigned k = 0; k < n; k++) {
			assert_int_equal(netvm_desc_length(words[k]), 200);
			assert_int_equal(netvm_desc_offset(words[k]), pool->headroom);
		}
		assert_int_equal(second.ops->tx(&second.tx[0], words, n), n);
	}
	first.ops->info(&first, &info);
	assert_non_null(strstr(info.detail, "driver net_null"));
	first.ops->close(&first);
	assert_non_null(pool->mempool);
	close_port(&second);
	assert_null(pool->mempool);
}

/* A ring holds on to what was sent: it comes back around, or with the end of the port. */
static void test_dpdk_ring(void **state)
{
	uint64_t words[BURST], again[BURST];
	struct port port;

	(void)state;
	open_good(&port, &dpdk_driver, "net_ring0");
	assert_int_equal(buffer_alloc(&cache, words, BURST), BURST);
	for (unsigned i = 0; i < BURST; i++) {
		words[i] = netvm_desc_set_extent(words[i], 100 + i, 60 + i);
		memset(buffer_data(pool, words[i]), (int)i, 60 + i);
	}
	assert_int_equal(port.ops->tx(&port.tx[0], words, BURST), BURST);
	assert_int_equal(buffer_state(pool, words[0])->owner, OWNER_PORT);
	assert_int_equal(receive(&port, again), BURST);
	assert_memory_equal(again, words, sizeof(words));
	assert_int_equal(port.ops->tx(&port.tx[0], words, BURST), BURST);
	close_port(&port);
}

static void test_dpdk_refused(void **state)
{
	(void)state;
	assert_refused(&dpdk_driver, "", "the device is missing");
	assert_refused(&dpdk_driver, "net_af_xdp0,iface=lo", "cannot use the memory");
	assert_refused(&dpdk_driver, "net_virtio_user0,path=/x", "cannot use the memory");
	assert_refused(&dpdk_driver, "net_memif0,zero-copy=yes", "cannot use the memory");
	assert_refused(&dpdk_driver, "net_nonsense0", "DPDK cannot open 'net_nonsense0'");
	assert_refused(&dpdk_driver, "net_af_packet0,iface=nosuch", "no interface 'nosuch'");
}

static int make_pool(void **state)
{
	struct buffer_pool_options options = {
		.name = "test", .n_buffers = 8192, .buffer_bytes = 2048, .huge_pages = 0};

	(void)state;
	if (!mkdtemp(folder) || eal_start(NULL) || buffer_pool_create(&options, &pool, NULL))
		return -1;
	buffer_cache_init(&cache, pool, 1);
	return 0;
}

static int free_pool(void **state)
{
	static const char *const names[] = {"in", "out", "raw"};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		unlink(path_of(names[i]));
	rmdir(folder);
	buffer_pool_destroy(pool);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_null_packets),
		cmocka_unit_test(test_null_flows),
		cmocka_unit_test(test_null_off),
		cmocka_unit_test(test_null_rate),
		cmocka_unit_test(test_null_delay),
		cmocka_unit_test(test_null_refused),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_pcap),
		cmocka_unit_test(test_pcap_pace),
		cmocka_unit_test(test_pcap_errors),
		cmocka_unit_test(test_dpdk_null),
		cmocka_unit_test(test_dpdk_ring),
		cmocka_unit_test(test_dpdk_refused),
	};

	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
