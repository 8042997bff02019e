/*
 * A small host for tests, see test_host.h.
 */
#include "test_host_parts.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS      2048u
#define BUFFER_BYTES 2112u /* an odd number of lines, as the engine does */
#define HEADROOM     192u
#define RX_WORDS     256u
#define TX_WORDS     1024u
#define STOCK_WORDS  256u
#define PATIENCE_NS  UINT64_C(100000000000)

enum owner {
	OWNER_HOST,
	OWNER_NF_STOCK,
	OWNER_NF_PACKET,
};

uint64_t test_host_now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- memory -------------------------------------------------------------------------------- */

static int memory_create(const char *name, size_t size, void **memory)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	*memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return *memory == MAP_FAILED ? -errno : fd;
}

static size_t pair_bytes(void)
{
	return netvm_ring_size_bytes(RX_WORDS) + netvm_ring_size_bytes(TX_WORDS) +
	       netvm_ring_size_bytes(STOCK_WORDS);
}

static void layout_fill(struct netvm_layout *layout, unsigned n_workers, unsigned n_queues)
{
	*layout = (struct netvm_layout){
		.queue_offset = sizeof(struct netvm_channel),
		.queue_stride = pair_bytes(),
		.rx_words = RX_WORDS,
		.tx_words = TX_WORDS,
		.stock_words = STOCK_WORDS,
		.n_workers = n_workers,
		.n_queues = n_queues,
		.group_bytes = (uint64_t)BUFFERS * BUFFER_BYTES,
		.buffer_stride = BUFFER_BYTES,
		.n_buffers = BUFFERS,
		.headroom = HEADROOM,
	};
	layout->channel_bytes = layout->queue_offset + layout->queue_stride * n_workers * n_queues;
}

static size_t power_of_two(size_t n)
{
	size_t power = 4096;

	while (power < n)
		power *= 2;
	return power;
}

static void rings_open(struct test_host *host)
{
	for (unsigned w = 0; w < host->layout.n_workers; w++) {
		for (unsigned q = 0; q < host->layout.n_queues; q++) {
			struct test_host_pair *pair = &host->pair[w][q];
			uint8_t *at = (uint8_t *)host->channel + host->layout.queue_offset +
				      (w * host->layout.n_queues + q) * pair_bytes();

			netvm_ring_end_init(&pair->rx, at, RX_WORDS);
			at += netvm_ring_size_bytes(RX_WORDS);
			netvm_ring_end_init(&pair->tx, at, TX_WORDS);
			at += netvm_ring_size_bytes(TX_WORDS);
			netvm_ring_end_init(&pair->stock, at, STOCK_WORDS);
		}
	}
}

/* ---- life ---------------------------------------------------------------------------------- */

/* What stands in the channel before the NF sees it. */
static void offer(struct test_host *host)
{
	struct netvm_channel *channel = host->channel;

	channel->magic = NETVM_CHANNEL_MAGIC;
	channel->abi_min = host->options.abi_min ? host->options.abi_min : NETVM_ABI_VERSION;
	channel->abi_max = host->options.abi_max ? host->options.abi_max : NETVM_ABI_VERSION;
	channel->header_bytes = sizeof(*channel);
	channel->state = NETVM_STATE_OFFERED;
	test_host_grant(host, NETVM_DESTINATION_CHAIN, 1, "chain");
}

int test_host_take_hello(struct test_host *host)
{
	if (__atomic_load_n(&host->channel->state, __ATOMIC_ACQUIRE) != NETVM_STATE_HELLO)
		return -EPROTO;
	host->hello = host->channel->hello;
	return host->hello.n_queues >= 1 && host->hello.n_queues <= NETVM_QUEUES_MAX ? 0 : -EPROTO;
}

void test_host_refuse(struct test_host *host)
{
	host->channel->answer.refusal = host->options.refusal;
	strcpy(host->channel->answer.text, "the test says no");
	__atomic_store_n(&host->channel->state, NETVM_STATE_REFUSED, __ATOMIC_RELEASE);
}

int test_host_accept(struct test_host *host)
{
	struct netvm_channel *channel = host->channel;

	layout_fill(&host->layout, host->options.n_workers, host->hello.n_queues);
	if (!host->options.guest &&
		ftruncate(host->channel_fd, (off_t)host->layout.channel_bytes) < 0)
		return -errno;
	rings_open(host);
	channel->layout = host->layout;
	if (host->options.spoil)
		host->options.spoil(&channel->layout);
	channel->answer.abi_version = NETVM_ABI_VERSION;
	channel->answer.features = host->options.silent ? 0 : host->hello.features;
	memcpy(channel->answer.name, host->hello.name, NETVM_NAME_BYTES);
	memcpy(channel->answer.service, host->hello.service, NETVM_NAME_BYTES);
	__atomic_store_n(&channel->state, NETVM_STATE_READY, __ATOMIC_RELEASE);
	return 0;
}

static void *handshake_thread(void *arg)
{
	struct test_host *host = arg;

	host->result = host->options.guest ? test_host_guest_handshake(host)
					   : test_host_socket_handshake(host);
	return NULL;
}

static int worker_fds_create(struct test_host *host)
{
	for (unsigned w = 0; w < host->options.n_workers; w++) {
		host->worker_fd[w] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (host->worker_fd[w] < 0)
			return -errno;
	}
	return 0;
}

static int memories_create(struct test_host *host)
{
	void *memory;

	host->channel_bytes =
		power_of_two(sizeof(struct netvm_channel) +
			     pair_bytes() * host->options.n_workers * NETVM_QUEUES_MAX);
	host->group_bytes = (size_t)BUFFERS * BUFFER_BYTES;
	if (host->options.guest)
		host->group_bytes = power_of_two(host->group_bytes);
	host->channel_fd = memory_create("channel", host->channel_bytes, &memory);
	if (host->channel_fd < 0)
		return host->channel_fd;
	host->channel = memory;
	host->group_fd = memory_create("group", host->group_bytes, &memory);
	if (host->group_fd < 0)
		return host->group_fd;
	host->group = memory;
	host->buffer = calloc(BUFFERS, sizeof(*host->buffer));
	host->free = calloc(BUFFERS, sizeof(*host->free));
	if (!host->buffer || !host->free)
		return -ENOMEM;
	for (uint32_t i = 0; i < BUFFERS; i++)
		host->free[host->n_free++] = BUFFERS - 1 - i;
	if (host->options.guest)
		return 0;
	/* The NF first sees the header only; the mapping stays valid for what comes back later. */
	return ftruncate(host->channel_fd, sizeof(struct netvm_channel)) < 0 ? -errno : 0;
}

int test_host_open(struct test_host **out, const struct test_host_options *options)
{
	struct test_host *host = calloc(1, sizeof(*host));
	int result;

	if (!host)
		return -ENOMEM;
	host->options = *options;
	if (host->options.n_workers == 0)
		host->options.n_workers = 1;
	host->listen_fd = host->connection = host->channel_fd = host->group_fd = -1;
	host->state_fd = -1;
	for (unsigned q = 0; q < NETVM_QUEUES_MAX; q++)
		host->bell_in[q] = host->bell_out[q] = -1;
	for (unsigned w = 0; w < NETVM_WORKERS_MAX; w++)
		host->worker_fd[w] = -1;
	signal(SIGPIPE, SIG_IGN); /* a doorbell of an NF that is gone */
	pthread_mutex_init(&host->lock, NULL);
	host->n_destinations = NETVM_VERDICT_FIRST_DESTINATION;
	host->joined = true;
	result = memories_create(host);
	if (result == 0) {
		offer(host);
		result = worker_fds_create(host);
	}
	if (result == 0)
		result = host->options.guest ? test_host_guest_open(host)
					     : test_host_socket_open(host);
	if (result == 0)
		result = -pthread_create(&host->thread, NULL, handshake_thread, host);
	if (result < 0) {
		test_host_close(host);
		return result;
	}
	host->joined = false;
	*out = host;
	return 0;
}

int test_host_ready(struct test_host *host)
{
	if (!host->joined)
		pthread_join(host->thread, NULL);
	host->joined = true;
	return host->result;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void test_host_close(struct test_host *host)
{
	if (!host)
		return;
	if (!host->joined) {
		if (host->listen_fd >= 0)
			shutdown(host->listen_fd, SHUT_RDWR); /* nobody came: accept returns */
		__atomic_store_n(&host->closing, true, __ATOMIC_RELAXED);
		test_host_ready(host);
	}
	close_fd(host->listen_fd);
	if (host->options.guest)
		test_host_guest_close(host);
	else
		unlink(host->path);
	close_fd(host->connection);
	for (unsigned q = 0; q < NETVM_QUEUES_MAX; q++) {
		close_fd(host->bell_in[q]);
		close_fd(host->bell_out[q]);
	}
	for (unsigned w = 0; w < NETVM_WORKERS_MAX; w++)
		close_fd(host->worker_fd[w]);
	if (host->channel)
		munmap(host->channel, host->channel_bytes);
	if (host->group)
		munmap(host->group, host->group_bytes);
	close_fd(host->state_fd);
	close_fd(host->channel_fd);
	close_fd(host->group_fd);
	pthread_mutex_destroy(&host->lock);
	free(host->buffer);
	free(host->free);
	free(host);
}

void test_host_finish(struct test_host *host, struct netvm *nf)
{
	netvm_detach(nf);
	test_host_close(host);
}

/* ---- the workers' part --------------------------------------------------------------------- */

uint8_t *test_host_data(const struct test_host *host, uint64_t word)
{
	return host->group + (size_t)netvm_desc_index(word) * BUFFER_BYTES +
	       netvm_desc_offset(word);
}

void test_host_ring(struct test_host *host, unsigned worker, unsigned queue)
{
	struct test_host_pair *pair = &host->pair[worker][queue];
	uint32_t ticket;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ticket = __atomic_load_n(&host->channel->queue[queue].sleep_ticket, __ATOMIC_RELAXED);
	if (ticket == 0 || ticket == pair->rung)
		return;
	pair->rung = ticket;
	(void)!write(host->bell_out[queue], "", 1);
	__atomic_fetch_add(&host->wakeups, 1, __ATOMIC_RELAXED);
}

/* A free buffer changes hands; false when there is none. */
static bool buffer_give(struct test_host *host, unsigned worker, enum owner owner, uint64_t *word)
{
	struct test_host_buffer *buffer;
	uint32_t index;

	pthread_mutex_lock(&host->lock);
	if (host->n_free == 0) {
		pthread_mutex_unlock(&host->lock);
		return false;
	}
	index = host->free[--host->n_free];
	buffer = &host->buffer[index];
	buffer->owner = (uint8_t)owner;
	buffer->worker = (uint8_t)worker;
	*(owner == OWNER_NF_PACKET ? &host->given : &host->stocked) += 1;
	*word = netvm_desc(index, buffer->generation, HEADROOM, 0, 0);
	pthread_mutex_unlock(&host->lock);
	return true;
}

int test_host_give(
	struct test_host *host, unsigned worker, unsigned queue, const void *data, uint32_t length)
{
	struct test_host_pair *pair = &host->pair[worker][queue];
	struct netvm_meta *meta;
	uint64_t word;

	if (length > BUFFER_BYTES - HEADROOM || netvm_ring_room(&pair->rx, 1) == 0 ||
		!buffer_give(host, worker, OWNER_NF_PACKET, &word))
		return -ENOBUFS;
	word = netvm_desc_set_extent(word, HEADROOM, length);
	word = netvm_desc_set_verdict(word, TEST_HOST_NEXT);
	meta = (struct netvm_meta *)(void *)(test_host_data(host, word) - HEADROOM);
	*meta = (struct netvm_meta){
		.arrival_ns = test_host_now_ns(CLOCK_MONOTONIC), .in_port = (uint16_t)worker};
	memcpy(test_host_data(host, word), data, length);
	netvm_ring_stage(&pair->rx, word);
	netvm_ring_publish(&pair->rx);
	test_host_ring(host, worker, queue);
	return 0;
}

unsigned test_host_stock(struct test_host *host, unsigned worker, unsigned queue, unsigned n)
{
	struct test_host_pair *pair = &host->pair[worker][queue];
	unsigned i;

	for (i = 0; i < n; i++) {
		uint64_t word;

		if (netvm_ring_room(&pair->stock, 1) == 0 ||
			!buffer_give(host, worker, OWNER_NF_STOCK, &word))
			break;
		netvm_ring_stage(&pair->stock, word);
	}
	netvm_ring_publish(&pair->stock);
	return i;
}

static bool word_accept(struct test_host *host, unsigned worker, uint64_t word)
{
	uint32_t index = netvm_desc_index(word);
	uint32_t verdict = netvm_desc_verdict(word);
	struct test_host_buffer *buffer = &host->buffer[index];

	if (index >= BUFFERS || buffer->owner == OWNER_HOST ||
		buffer->generation != netvm_desc_generation(word)) {
		host->refused++;
		return false;
	}
	host->misrouted += buffer->worker != worker;
	if (buffer->owner == OWNER_NF_PACKET)
		host->returned++;
	else if (verdict == NETVM_VERDICT_DROP || verdict == NETVM_VERDICT_CONSUME)
		host->unused++;
	else
		host->made++;
	buffer->owner = OWNER_HOST;
	buffer->generation++;
	/* At the far end of the stack, so that a test can still look at the data. */
	memmove(host->free + 1, host->free, host->n_free * sizeof(*host->free));
	host->free[0] = index;
	host->n_free++;
	return true;
}

unsigned test_host_collect(
	struct test_host *host, unsigned worker, unsigned queue, uint64_t *words, unsigned max)
{
	uint32_t n = netvm_ring_take(&host->pair[worker][queue].tx, words, max);
	unsigned kept = 0;

	if (n == NETVM_RING_CORRUPT)
		return 0;
	pthread_mutex_lock(&host->lock);
	for (uint32_t i = 0; i < n; i++)
		if (word_accept(host, worker, words[i]))
			words[kept++] = words[i];
	pthread_mutex_unlock(&host->lock);
	return kept;
}

/* Sleep as the contract says: ticket, fence, look again, block. */
static bool worker_sleep(struct test_host *host, unsigned worker, unsigned queue)
{
	struct pollfd bell = {.fd = host->worker_fd[worker], .events = POLLIN};
	uint32_t *ticket = &host->channel->worker[worker].sleep_ticket;
	uint64_t count;
	int rung = 1;

	if (++host->ticket[worker] == 0)
		host->ticket[worker] = 1;
	__atomic_store_n(ticket, host->ticket[worker], __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (netvm_ring_filled(&host->pair[worker][queue].tx) == 0)
		rung = poll(&bell, 1, (int)(PATIENCE_NS / 1000000));
	__atomic_store_n(ticket, 0, __ATOMIC_RELAXED);
	(void)!read(bell.fd, &count, sizeof(count));
	return rung == 1;
}

bool test_host_collect_all(
	struct test_host *host, unsigned worker, unsigned queue, uint64_t *words, unsigned n)
{
	uint64_t deadline_ns = test_host_now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	unsigned got = 0;

	while (got < n) {
		unsigned more = test_host_collect(host, worker, queue, words + got, n - got);

		got += more;
		if (got < n && test_host_now_ns(CLOCK_MONOTONIC) > deadline_ns)
			return false;
		if (more == 0 && !worker_sleep(host, worker, queue))
			return false;
	}
	return true;
}

/* ---- control ------------------------------------------------------------------------------- */

unsigned test_host_grant(
	struct test_host *host, enum netvm_destination_kind kind, uint32_t id, const char *name)
{
	struct netvm_channel *channel = host->channel;
	unsigned verdict = host->n_destinations++;
	struct netvm_destination *entry = &channel->destination[verdict];

	__atomic_fetch_add(&channel->destination_version, 1, __ATOMIC_SEQ_CST);
	entry->kind = (uint16_t)kind;
	entry->id = id;
	memset(entry->name, 0, sizeof(entry->name));
	memcpy(entry->name, name, strnlen(name, NETVM_NAME_BYTES - 1));
	__atomic_fetch_add(&channel->destination_version, 1, __ATOMIC_SEQ_CST);
	return verdict;
}

void test_host_control(struct test_host *host, uint32_t control)
{
	__atomic_store_n(&host->channel->control, control, __ATOMIC_SEQ_CST);
	for (unsigned q = 0; q < host->layout.n_queues; q++)
		test_host_ring(host, 0, q);
}

bool test_host_sleeps(const struct test_host *host, unsigned queue)
{
	const uint32_t *ticket = &host->channel->queue[queue].sleep_ticket;
	uint64_t deadline_ns = test_host_now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;

	while (__atomic_load_n(ticket, __ATOMIC_ACQUIRE) == 0) {
		if (test_host_now_ns(CLOCK_MONOTONIC) > deadline_ns)
			return false;
		sched_yield();
	}
	return true;
}

uint32_t test_host_in_flight(const struct test_host *host)
{
	return BUFFERS - host->n_free;
}
