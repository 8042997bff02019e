/*
 * The fake host towards processes: the socket protocol of abi/socket.h, and its faults. Called by
 * test_host.c.
 */
#include "test_host_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int test_host_socket_open(struct test_host *host)
{
	static unsigned n_hosts;
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (host->options.path)
		snprintf(host->path, sizeof(host->path), "%s", host->options.path);
	else
		snprintf(host->path, sizeof(host->path), "/tmp/netvm-test-%d-%u.sock",
			(int)getpid(), n_hosts++);
	strcpy(address.sun_path, host->path);
	host->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	unlink(host->path);
	if (host->listen_fd < 0 ||
		bind(host->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(host->listen_fd, 1) < 0)
		return -errno;
	return 0;
}

static int message_send(
	int connection, uint16_t type, uint64_t value, const int *fds, unsigned n_fds)
{
	struct netvm_message message = {
		.magic = NETVM_SOCKET_MAGIC,
		.type = type,
		.n_fds = (uint16_t)n_fds,
		.value = value,
	};
	char control[CMSG_SPACE(sizeof(int) * 32)] = {0};
	struct iovec part = {&message, sizeof(message)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (n_fds) {
		struct cmsghdr *rights = (struct cmsghdr *)(void *)control;

		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(rights), fds, sizeof(int) * n_fds);
	}
	return sendmsg(connection, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int offer(struct test_host *host)
{
	if (host->options.fault == TEST_HOST_SENDS_GARBAGE)
		return send(host->connection, "garbage", 7, MSG_NOSIGNAL) < 0 ? -errno : 0;
	if (host->options.fault == TEST_HOST_SHORT_CHANNEL && ftruncate(host->channel_fd, 4096) < 0)
		return -errno;
	return message_send(host->connection, NETVM_MESSAGE_CHANNEL, sizeof(*host->channel),
		&host->channel_fd, 1);
}

static int hello_wait(struct test_host *host)
{
	struct netvm_message message;
	ssize_t n = recv(host->connection, &message, sizeof(message), 0);

	if (n != sizeof(message))
		return n < 0 ? -errno : -ECONNRESET;
	return message.type == NETVM_MESSAGE_HELLO ? test_host_take_hello(host) : -EPROTO;
}

static int refuse(struct test_host *host)
{
	test_host_refuse(host);
	return message_send(
		host->connection, NETVM_MESSAGE_REFUSED, host->options.refusal, NULL, 0);
}

static int doorbells_create(struct test_host *host)
{
	for (unsigned q = 0; q < host->hello.n_queues; q++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
		host->bell_in[q] = ends[0];
		host->bell_out[q] = ends[1];
	}
	return 0;
}

static int ready_send(struct test_host *host)
{
	int fds[1 + NETVM_QUEUES_MAX + NETVM_WORKERS_MAX];
	unsigned n = 0;
	int result;

	fds[n++] = host->group_fd;
	for (unsigned q = 0; q < host->layout.n_queues; q++)
		fds[n++] = host->bell_in[q];
	for (unsigned w = 0; w < host->layout.n_workers; w++)
		fds[n++] = host->worker_fd[w];
	if (host->options.fault == TEST_HOST_FEW_FDS)
		n = 2;
	result = message_send(
		host->connection, NETVM_MESSAGE_READY, host->layout.group_bytes, fds, n);
	for (unsigned q = 0; q < host->layout.n_queues; q++) {
		close(host->bell_in[q]); /* the NF's only */
		host->bell_in[q] = -1;
	}
	return result;
}

static int answer(struct test_host *host)
{
	int result = doorbells_create(host);

	if (result == 0)
		result = test_host_accept(host);
	return result < 0 ? result : ready_send(host);
}

int test_host_socket_handshake(struct test_host *host)
{
	const struct timeval patience = {.tv_sec = 10};
	int result;

	host->connection = accept4(host->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (host->connection < 0)
		return -errno;
	(void)setsockopt(host->connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (host->options.fault == TEST_HOST_CLOSES_AT_ONCE)
		return shutdown(host->connection, SHUT_RDWR);
	result = offer(host);
	if (result == 0)
		result = hello_wait(host);
	if (result < 0)
		return result;
	if (host->options.fault == TEST_HOST_CLOSES_AFTER_HELLO)
		return shutdown(host->connection, SHUT_RDWR);
	return host->options.refusal ? refuse(host) : answer(host);
}

int test_host_say(struct test_host *host, enum netvm_message_type type, uint64_t value, int fd)
{
	return message_send(host->connection, (uint16_t)type, value, &fd, 1);
}

int test_host_hear(struct test_host *host, struct netvm_message *message)
{
	ssize_t n = recv(host->connection, message, sizeof(*message), 0);

	if (n != sizeof(*message))
		return n < 0 ? -errno : -ECONNRESET;
	return 0;
}
