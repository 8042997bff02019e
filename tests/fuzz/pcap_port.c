/*
 * A capture file as the port "pcap" replays it (modules/port/pcap.c, over libpcap).
 *
 * Properties: every packet fits its buffer and holds bytes of the file; the file of what was sent
 * replays to the same packets; when the port is closed all buffers are back.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "engine/eal.h"
#include "engine/port.h"
#include "modules/port/driver.h"
#include "tests/fuzz/fuzz.h"

#define PACKETS_MAX 256u
#define BURST       32u

struct capture {
	unsigned n;
	uint32_t length[PACKETS_MAX];
	uint8_t *data[PACKETS_MAX];
};

static struct buffer_pool *pool;

static void start(void)
{
	const struct buffer_pool_options options = {
		.name = "fuzz", .n_buffers = 512, .buffer_bytes = 512};

	if (pool)
		return;
	require(eal_start(NULL) == 0);
	require(buffer_pool_create(&options, &pool, NULL) == 0);
}

static void keep(struct capture *capture, uint64_t word)
{
	uint32_t length = netvm_desc_length(word);

	require(length > 0);
	require(netvm_desc_offset(word) + length <= pool->stride);
	if (capture->n == PACKETS_MAX)
		return;
	capture->length[capture->n] = length;
	capture->data[capture->n] = malloc(length);
	memcpy(capture->data[capture->n++], buffer_data(pool, word), length);
}

/* All packets of `args`, sent back to the port's own OUT when it has one. */
static void replay(const char *args, struct capture *capture)
{
	const struct port_config config = {
		.name = "fuzz", .args = args, .pool = pool, .n_rx_queues = 1, .n_tx_queues = 1};
	struct buffer_cache cache;
	struct port port = {.ops = &pcap_driver};
	struct error error = {0};
	uint64_t words[BURST];
	unsigned n;

	if (pcap_driver.open(&port, &config, &error)) {
		require(error.message[0]);
		return;
	}
	buffer_cache_init(&cache, pool, 1);
	port.rx[0].cache = port.tx[0].cache = &cache;
	while ((n = pcap_driver.rx(&port.rx[0], words, BURST)) > 0) {
		for (unsigned i = 0; i < n; i++)
			keep(capture, words[i]);
		require(pcap_driver.tx(&port.tx[0], words, n) == n);
		pcap_driver.complete(&port.tx[0]);
	}
	pcap_driver.close(&port);
	buffer_cache_flush(&cache);
	for (uint32_t i = 0; i < pool->n_buffers; i++)
		require(pool->state[i].owner == OWNER_FREE);
}

static void compare(const struct capture *first, const struct capture *second)
{
	require(first->n == second->n);
	for (unsigned i = 0; i < first->n; i++) {
		require(first->length[i] == second->length[i]);
		require(memcmp(first->data[i], second->data[i], first->length[i]) == 0);
	}
}

static void forget(struct capture *capture)
{
	while (capture->n > 0)
		free(capture->data[--capture->n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	struct capture first = {0}, second = {0};
	char args[80];

	start();
	require(in >= 0 && out >= 0 && write(in, data, size) == (ssize_t)size);
	snprintf(args, sizeof(args), "/proc/self/fd/%d,/proc/self/fd/%d", in, out);
	replay(args, &first);
	if (first.n > 0) {
		snprintf(args, sizeof(args), "/proc/self/fd/%d", out);
		replay(args, &second);
		compare(&first, &second);
	}
	forget(&first);
	forget(&second);
	close(in);
	close(out);
	return 0;
}
