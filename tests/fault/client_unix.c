/* The way of processes: file descriptors over the NF socket. See evil.h. */
#include "evil.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX (1 + NETVM_QUEUES_MAX + NETVM_WORKERS_MAX)

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

static bool unix_connect(struct client *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct netvm_message message;
	unsigned n_fds;
	int fds[FDS_MAX];

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", getenv("NETVM_SOCKET"));
	client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	must(client->fd >= 0, "socket");
	if (connect(client->fd, (const struct sockaddr *)&address, sizeof(address)))
		return false;
	if (receive(client, &message, fds, &n_fds) != NETVM_MESSAGE_CHANNEL || n_fds != 1)
		return false;
	client->channel_fd = fds[0];
	client->channel_bytes = sizeof(struct netvm_channel);
	client->channel = map(client->channel_fd, client->channel_bytes);
	return true;
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
	if (sendmsg(client->fd, &header, MSG_NOSIGNAL) >= 0)
		return 0;
	return n && errno == EPERM ? client_send(client, bytes, size, NULL, 0) : errno;
}

static void unix_say_hello(struct client *client)
{
	const struct netvm_message hello = {
		.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO};

	must(client_send(client, &hello, sizeof(hello), NULL, 0) == 0, "sending HELLO");
}

static bool unix_is_answered(struct client *client)
{
	struct pollfd answer = {.fd = client->fd, .events = POLLIN};

	return poll(&answer, 1, 0) != 0;
}

static void take_ready(struct client *client, const int *fds, unsigned n_fds)
{
	unsigned n = 1;

	client->layout = client->channel->layout;
	must(n_fds == 1 + client->layout.n_queues + client->layout.n_workers,
		"READY came with %u descriptors", n_fds);
	client->group_fd = fds[0];
	for (unsigned i = 0; i < client->layout.n_queues; i++)
		client->bell[i] = fds[n++];
	for (unsigned i = 0; i < client->layout.n_workers; i++)
		client->worker_fd[i] = fds[n++];
	munmap(client->channel, client->channel_bytes);
	client->channel_bytes = client->layout.channel_bytes;
	client->channel = map(client->channel_fd, client->channel_bytes);
	client->group_bytes = client->layout.group_bytes;
	client->group = map(client->group_fd, client->group_bytes);
	client_use_worker(client, 0);
}

static enum netvm_state unix_answer(struct client *client)
{
	struct netvm_message message;
	enum netvm_message_type type;
	unsigned n_fds;
	int fds[FDS_MAX];

	type = receive(client, &message, fds, &n_fds);
	if (type == NETVM_MESSAGE_READY)
		take_ready(client, fds, n_fds);
	return type == NETVM_MESSAGE_READY     ? NETVM_STATE_READY
	       : type == NETVM_MESSAGE_REFUSED ? NETVM_STATE_REFUSED
					       : 0;
}

static void unix_ring(const struct client *client, unsigned worker)
{
	(void)!write(client->worker_fd[worker], &(uint64_t){1}, sizeof(uint64_t));
}

static bool unix_has_ended(struct client *client)
{
	char byte;
	ssize_t n = recv(client->fd, &byte, 1, MSG_DONTWAIT);

	must(n <= 0, "the daemon said something");
	return n == 0 || errno != EAGAIN;
}

static void unix_hang_up(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

const struct way way_unix = {
	.connect = unix_connect,
	.say_hello = unix_say_hello,
	.is_answered = unix_is_answered,
	.answer = unix_answer,
	.ring = unix_ring,
	.has_ended = unix_has_ended,
	.hang_up = unix_hang_up,
};
