/* The contract's other side, step by step, so that each step can be done wrong. See evil.h. */
#include "evil.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FDS_MAX    (1 + NETVM_QUEUES_MAX + NETVM_WORKERS_MAX)
#define PATIENCE_S 20

/* ---- waiting and failing --------------------------------------------------------------------- */

void must(bool truth, const char *format, ...)
{
	va_list args;

	if (truth)
		return;
	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(" (errno: %s)\n", strerror(errno));
	fflush(stdout);
	_exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct patience patience(const char *what)
{
	return (struct patience){now_ns() + PATIENCE_S * UINT64_C(1000000000), what};
}

void patience_wait(struct patience *patience)
{
	const struct timespec moment = {0, 200000};

	must(now_ns() < patience->until_ns, "no end of waiting for %s", patience->what);
	nanosleep(&moment, NULL);
}

uint64_t random_word(uint64_t *seed)
{
	/* splitmix64, by S. Vigna: any seed will do, and a run can be repeated */
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int spawn(void (*body)(const struct evil_case *self), const struct evil_case *self)
{
	int pid = fork();

	must(pid >= 0, "fork");
	if (pid == 0) {
		body(self);
		_exit(0);
	}
	return pid;
}

void await_child(int pid)
{
	int status;

	must(waitpid(pid, &status, 0) == pid, "waitpid");
	must(!WIFEXITED(status) || WEXITSTATUS(status) == 0, "the child failed");
}

/* ---- the connection -------------------------------------------------------------------------- */

/* One message and its descriptors; 0 when the connection has ended. */
static enum netvm_message_type receive(
	struct client *client, struct netvm_message *message, int *fds, unsigned *n_fds)
{
	char control[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	struct iovec part = {message, sizeof(*message)};
	struct msghdr header = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *first;

	*n_fds = 0;
	if (recvmsg(client->fd, &header, 0) != sizeof(*message))
		return 0;
	first = CMSG_FIRSTHDR(&header);
	if (first) {
		*n_fds = (unsigned)((first->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(first), *n_fds * sizeof(int));
	}
	return message->type;
}

static void *map(int fd, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	must(memory != MAP_FAILED, "mapping %zu bytes", size);
	return memory;
}

bool client_connect(struct client *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct netvm_message message;
	unsigned n_fds;
	int fds[FDS_MAX];

	*client = (struct client){.channel_fd = -1, .group_fd = -1};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", getenv("NETVM_SOCKET"));
	client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	must(client->fd >= 0, "socket");
	if (connect(client->fd, (const struct sockaddr *)&address, sizeof(address)))
		return false;
	if (receive(client, &message, fds, &n_fds) != NETVM_MESSAGE_CHANNEL || n_fds != 1)
		return false;
	client->channel_fd = fds[0];
	client->channel = map(client->channel_fd, sizeof(struct netvm_channel));
	return true;
}

void client_fill_hello(struct client *client, const char *name)
{
	struct netvm_hello hello = {
		.abi_version = NETVM_ABI_VERSION, .n_queues = 1, .features = NETVM_FEATURE_STOCK};

	snprintf(hello.name, sizeof(hello.name), "%s", name);
	client->channel->hello = hello;
	__atomic_store_n(&client->channel->state, NETVM_STATE_HELLO, __ATOMIC_RELEASE);
}

int client_send(struct client *client, const void *bytes, size_t size, const int *fds, unsigned n)
{
	char control[CMSG_SPACE(sizeof(int) * 253)] = {0}; /* SCM_MAX_FD */
	struct iovec part = {(void *)(uintptr_t)bytes, size};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (n) {
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		*CMSG_FIRSTHDR(&header) = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int) * n),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), fds, sizeof(int) * n);
	}
	return sendmsg(client->fd, &header, MSG_NOSIGNAL) < 0 ? errno : 0;
}

void client_send_hello(struct client *client)
{
	const struct netvm_message hello = {
		.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO};

	must(client_send(client, &hello, sizeof(hello), NULL, 0) == 0, "sending HELLO");
}

void client_use_worker(struct client *client, unsigned worker)
{
	const struct netvm_layout *layout = &client->layout;
	uint8_t *at = (uint8_t *)client->channel + layout->queue_offset +
		      layout->queue_stride * worker * layout->n_queues;

	client->worker = worker;
	netvm_ring_end_init(&client->rx, at, layout->rx_words);
	at += netvm_ring_size_bytes(layout->rx_words);
	netvm_ring_end_init(&client->tx, at, layout->tx_words);
	at += netvm_ring_size_bytes(layout->tx_words);
	netvm_ring_end_init(&client->stock, at, layout->stock_words);
}

enum netvm_message_type client_answer(struct client *client)
{
	struct netvm_message message;
	enum netvm_message_type type;
	unsigned n_fds, n = 1;
	int fds[FDS_MAX];

	type = receive(client, &message, fds, &n_fds);
	if (type != NETVM_MESSAGE_READY)
		return type;
	client->layout = client->channel->layout;
	must(n_fds == 1 + client->layout.n_queues + client->layout.n_workers,
		"READY came with %u descriptors", n_fds);
	client->group_fd = fds[0];
	for (unsigned i = 0; i < client->layout.n_queues; i++)
		client->bell[i] = fds[n++];
	for (unsigned i = 0; i < client->layout.n_workers; i++)
		client->worker_fd[i] = fds[n++];
	munmap(client->channel, sizeof(struct netvm_channel));
	client->channel = map(client->channel_fd, client->layout.channel_bytes);
	client->group = map(client->group_fd, client->layout.group_bytes);
	client_use_worker(client, 0);
	return type;
}

void client_attach(struct client *client, const char *name)
{
	struct patience wait = patience("the predecessor to be gone");

	for (;;) {
		enum netvm_message_type type;

		must(client_connect(client), "connecting");
		client_fill_hello(client, name);
		client_send_hello(client);
		type = client_answer(client);
		if (type == NETVM_MESSAGE_READY)
			return;
		must(type == NETVM_MESSAGE_REFUSED &&
				client->channel->answer.refusal == NETVM_REFUSED_BUSY,
			"%s was not admitted: %.*s", name, (int)NETVM_TEXT_BYTES,
			client->channel->answer.text);
		client_hang_up(client);
		patience_wait(&wait);
	}
}

void client_hang_up(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

void client_await_end(struct client *client)
{
	struct pollfd end = {.fd = client->fd, .events = POLLIN};
	char byte;

	must(poll(&end, 1, PATIENCE_S * 1000) == 1, "the daemon did not end the connection");
	must(recv(client->fd, &byte, 1, MSG_DONTWAIT) <= 0, "the daemon said something");
}

/* ---- rings ----------------------------------------------------------------------------------- */

uint32_t client_take(struct netvm_ring_end *from, uint64_t *words, uint32_t max)
{
	struct patience wait = patience("words on a ring");
	uint32_t n;

	while ((n = netvm_ring_take(from, words, max)) == 0)
		patience_wait(&wait);
	must(n != NETVM_RING_CORRUPT, "the daemon's index is out of its window");
	return n;
}

/* The daemon tops up in bursts of 64, as long as a whole one fits into the quota. */
uint32_t client_take_stock(struct client *client, uint64_t *words, uint32_t max)
{
	uint32_t quota = client->layout.stock_words, n = 0;

	must(quota <= max, "room for the stock");
	while (n + 64 <= quota)
		n += client_take(&client->stock, words + n, max - n);
	return n;
}

void client_ring(const struct client *client)
{
	must(write(client->worker_fd[client->worker], &(uint64_t){1}, sizeof(uint64_t)) > 0,
		"ringing");
}

void client_give(struct client *client, const uint64_t *words, uint32_t n)
{
	struct patience wait = patience("room on the tx ring");

	while (n > 0) {
		uint32_t room = netvm_ring_room(&client->tx, n);

		must(room != NETVM_RING_CORRUPT, "the daemon's index is out of its window");
		if (room > n)
			room = n;
		for (uint32_t i = 0; i < room; i++)
			netvm_ring_stage(&client->tx, *words++);
		netvm_ring_publish(&client->tx);
		client_ring(client);
		n -= room;
		if (n > 0 && room == 0)
			patience_wait(&wait);
		else
			wait = patience("room on the tx ring");
	}
}

/* One that has taken words has judged them before its next turn, so the last ones count as well. */
void client_await_judged(struct client *client)
{
	struct patience wait = patience("the daemon to take what was given");

	client_ring(client);
	while (__atomic_load_n(&client->tx.ring->consumer, __ATOMIC_ACQUIRE) != client->tx.own)
		patience_wait(&wait);
}
