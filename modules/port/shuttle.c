/*
 * A test program: opens two ports over one pool and carries packets between them, as the engine
 * would, without one. Run by netns_test.py, which talks to it on stdin and stdout:
 *
 *     shuttle [-f] [-m MTU] [-q QUEUES] [-b BUFFER_BYTES] SPEC_A SPEC_B
 *     -> ready
 *     info          -> one JSON object
 *     mtu 0 1400    -> ok, or the error          link 1 down | up     -> same
 *     reopen 0      -> close it and open it again
 *     (end of stdin: closes the ports, checks that every buffer is back, exits)
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ring.h>

#include "engine/eal.h"
#include "modules/port/driver.h"

#define BURST      64u
#define BUSY_TRIES 100 /* AF_XDP: the kernel gives a queue back when it has time for it */

static struct port ports[2];
static struct port_config configs[2];
static struct buffer_pool *pool;
static struct buffer_cache cache;
static uint64_t received[2], sent[2], dropped[2], turns;

static void print_error(const struct error *error)
{
	printf("error %s %s: %s (%s)\n", error_code_name(error->code), error->path, error->message,
		error->hint);
}

static const struct port_driver *find_driver(const char *spec)
{
	for (const struct port_driver *const *driver = port_drivers; *driver; driver++)
		if (strncmp(spec, (*driver)->kind, strcspn(spec, ":")) == 0)
			return *driver;
	return NULL;
}

static int open_port(unsigned i)
{
	struct error error = {0};
	int err = -EBUSY;

	for (int tries = 0; err == -EBUSY && tries < BUSY_TRIES; tries++)
		err = ports[i].ops->open(&ports[i], &configs[i], &error);
	if (err)
		print_error(&error);
	for (unsigned q = 0; !err && q < PORT_QUEUES_MAX; q++)
		ports[i].rx[q].cache = ports[i].tx[q].cache = &cache;
	return err;
}

/* Any number of queues to any number. */
static unsigned carry(unsigned from)
{
	struct port *in = &ports[from], *out = &ports[!from];
	unsigned moved = 0;

	for (unsigned q = 0; q < in->n_rx_queues; q++) {
		struct port_queue *tx = &out->tx[q % out->n_tx_queues];
		uint64_t words[BURST];
		unsigned n = in->ops->rx(&in->rx[q], words, BURST), done;

		done = n ? out->ops->tx(tx, words, n) : 0;
		tx->refused = false;
		buffer_free(&cache, words + done, n - done);
		received[from] += n;
		sent[!from] += done;
		dropped[!from] += n - done;
		moved += n;
	}
	for (unsigned q = 0; out->ops->complete && q < out->n_tx_queues; q++)
		out->ops->complete(&out->tx[q]);
	return moved;
}

static void print_info(void)
{
	printf("{\"turns\": %lu, \"ports\": [", turns);
	for (unsigned i = 0; i < 2; i++) {
		struct port_info info;

		ports[i].ops->info(&ports[i], &info);
		printf("%s{\"rx\": %lu, \"tx\": %lu, \"dropped\": %lu, \"mtu\": %u, \"link\": %s, "
		       "\"rx_missed\": %lu, \"rx_errors\": %lu, \"tx_errors\": %lu, "
		       "\"promiscuous\": %s, \"mac\": \"%02x:%02x:%02x:%02x:%02x:%02x\", "
		       "\"offloads\": %u, \"frame_bytes_max\": %u, \"queues\": %u, "
		       "\"detail\": \"%s\"}",
			i ? ", " : "", received[i], sent[i], dropped[i], info.mtu,
			info.link_up ? "true" : "false", info.rx_missed, info.rx_errors,
			info.tx_errors, info.promiscuous ? "true" : "false", info.mac[0],
			info.mac[1], info.mac[2], info.mac[3], info.mac[4], info.mac[5],
			info.offloads, ports[i].frame_bytes_max, ports[i].n_rx_queues, info.detail);
	}
	printf("]}\n");
}

static void answer(int err, const struct error *error)
{
	if (err)
		print_error(error);
	else
		printf("ok\n");
}

static void obey(const char *line)
{
	struct error error = {0};
	char word[32] = "";
	unsigned i = 0, mtu;

	if (strcmp(line, "info\n") == 0) {
		print_info();
	} else if (sscanf(line, "mtu %u %u", &i, &mtu) == 2 && i < 2) {
		answer(ports[i].ops->set_mtu(&ports[i], mtu, &error), &error);
	} else if (sscanf(line, "link %u %31s", &i, word) == 2 && i < 2) {
		answer(ports[i].ops->set_link(&ports[i], strcmp(word, "up") == 0, &error), &error);
	} else if (sscanf(line, "reopen %u", &i) == 1 && i < 2) {
		ports[i].ops->close(&ports[i]);
		if (open_port(i) != 0)
			exit(1);
		answer(0, NULL);
	} else {
		printf("error: what is that?\n");
	}
}

/* Sleep until a port or the test wants something. false at the end of stdin. */
static bool wait_and_obey(bool idle)
{
	struct pollfd fds[2 * PORT_QUEUES_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
	nfds_t n = 1;
	int timeout = idle ? -1 : 0;
	char line[128];

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned q = 0; q < ports[i].n_rx_queues; q++) {
			int fd = ports[i].ops->wait_fd(&ports[i].rx[q]);

			if (fd < 0 && idle)
				timeout = 1;
			fds[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
		}
	}
	if (poll(fds, n, timeout) < 0 || fds[0].revents == 0)
		return true;
	if (!fgets(line, sizeof(line), stdin))
		return false;
	obey(line);
	fflush(stdout);
	return true;
}

static int parse_arguments(int argc, char **argv, struct buffer_pool_options *options)
{
	struct port_config config = {.n_rx_queues = 1, .n_tx_queues = 1};
	int c;

	while ((c = getopt(argc, argv, "fm:q:b:")) != -1) {
		if (c == 'f')
			config.force = true;
		else if (c == 'm')
			config.mtu = (uint32_t)atoi(optarg);
		else if (c == 'q')
			config.n_rx_queues = config.n_tx_queues = (unsigned)atoi(optarg);
		else if (c == 'b')
			options->buffer_bytes = (uint32_t)atoi(optarg);
		else
			return -EINVAL;
	}
	if (argc - optind != 2)
		return -EINVAL;
	for (unsigned i = 0; i < 2; i++) {
		const char *spec = argv[optind + (int)i];

		ports[i].ops = find_driver(spec);
		if (!ports[i].ops || !strchr(spec, ':'))
			return -EINVAL;
		config.name = i ? "b" : "a";
		config.args = strchr(spec, ':') + 1;
		configs[i] = config;
	}
	return 0;
}

static int check_buffers(void)
{
	unsigned n = rte_ring_count(pool->free);

	if (n == pool->n_buffers)
		return 0;
	fprintf(stderr, "shuttle: %u of %u buffers did not come back\n", pool->n_buffers - n,
		pool->n_buffers);
	return 1;
}

int main(int argc, char **argv)
{
	struct buffer_pool_options options = {
		.name = "test", .n_buffers = 16384, .buffer_bytes = 2048, .huge_pages = 0};
	struct error error = {0};
	bool idle = false;

	if (parse_arguments(argc, argv, &options) != 0) {
		fprintf(stderr, "usage: shuttle [-f] [-m MTU] [-q QUEUES] [-b BYTES] SPEC SPEC\n");
		return 2;
	}
	if (eal_start(&error) || buffer_pool_create(&options, &pool, &error)) {
		print_error(&error);
		return 1;
	}
	buffer_cache_init(&cache, pool, 1);
	configs[0].pool = configs[1].pool = pool;
	if (open_port(0) != 0 || open_port(1) != 0)
		return 1;
	printf("ready\n");
	fflush(stdout);
	setvbuf(stdin, NULL, _IONBF, 0); /* poll() must see what is not read yet */
	while (wait_and_obey(idle)) {
		idle = carry(0) + carry(1) == 0;
		turns++;
	}
	ports[0].ops->close(&ports[0]);
	ports[1].ops->close(&ports[1]);
	buffer_cache_flush(&cache);
	return check_buffers();
}
