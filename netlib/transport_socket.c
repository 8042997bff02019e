/*
 * The transport of processes and containers: everything comes as file descriptors over the Unix
 * socket, see abi/socket.h. Called by attachment.c.
 */
#include "transport.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <netvm/abi/socket.h>

#include "failure.h"
#include "stop.h"

#define ANSWER_TIMEOUT_S 5
#define FDS_MAX          (1 + NETVM_QUEUES_MAX + NETVM_WORKERS_MAX)

struct received {
	struct netvm_message message;
	int fd[FDS_MAX];
	unsigned n_fds;
};

static void received_close(struct received *received)
{
	for (unsigned i = 0; i < received->n_fds; i++)
		close(received->fd[i]);
	received->n_fds = 0;
}

static void received_take_fds(struct received *received, struct msghdr *header)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);

	if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
		return;
	received->n_fds = (unsigned)((control->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(received->fd, CMSG_DATA(control), received->n_fds * sizeof(int));
}

static int socket_receive(int fd, struct received *received)
{
	char control[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	struct iovec part = {&received->message, sizeof(received->message)};
	struct msghdr header = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	received->n_fds = 0;
	do {
		n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR && !stop_requested());
	if (n < 0 && errno == EINTR)
		return failure_set(ECANCELED, "stopped while attaching");
	if (n < 0 && errno == EAGAIN)
		return failure_set(
			ETIMEDOUT, "the daemon did not answer within %d seconds", ANSWER_TIMEOUT_S);
	if (n < 0)
		return failure_set(errno, "receiving from the daemon: %m");
	if (n == 0)
		return failure_set(ECONNRESET, "the daemon closed the connection while attaching");
	received_take_fds(received, &header);
	if ((size_t)n == sizeof(received->message) && !(header.msg_flags & MSG_CTRUNC) &&
		received->message.magic == NETVM_SOCKET_MAGIC &&
		received->message.n_fds == received->n_fds)
		return 0;
	received_close(received);
	return failure_set(EPROTO, "what listens at the socket is not a NetVM daemon");
}

/* Map all of a memfd. The size is measured: a mapping past the end would be a SIGBUS later. */
static int memory_map(
	int fd, size_t least_bytes, const char *what, void **memory, size_t *size_bytes)
{
	struct stat status;
	void *mapped;

	if (fstat(fd, &status) < 0)
		return failure_set(errno, "%s: fstat: %m", what);
	if ((size_t)status.st_size < least_bytes)
		return failure_set(EPROTO, "%s from the daemon has only %lld bytes", what,
			(long long)status.st_size);
	mapped = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		return failure_set(
			errno, "%s: mmap of %lld bytes: %m", what, (long long)status.st_size);
	/* A core file would have everybody's packets, and its writing would hide the crash. */
	(void)madvise(mapped, (size_t)status.st_size, MADV_DONTDUMP);
	*memory = mapped;
	*size_bytes = (size_t)status.st_size;
	return 0;
}

static int channel_map(struct transport *transport, int fd)
{
	void *memory = NULL;
	size_t size = 0;
	int result = memory_map(fd, sizeof(struct netvm_channel), "the channel", &memory, &size);

	if (result < 0)
		return result;
	if (transport->channel)
		munmap(transport->channel, transport->channel_bytes);
	transport->channel = memory;
	transport->channel_bytes = size;
	return 0;
}

static int socket_connect(const char *path)
{
	const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return failure_set(EINVAL, "socket: '%s' is longer than %zu bytes", path,
			sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failure_set(errno, "socket: %m");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)); /* connect() */
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int result = failure_set(errno, "no connection to a daemon at %s: %m", path);

		close(fd);
		return result;
	}
	return fd;
}

static void socket_close(struct transport *transport)
{
	for (unsigned i = 0; i < transport->n_queue_fds; i++)
		close(transport->queue_fd[i]);
	for (unsigned i = 0; i < transport->n_worker_fds; i++)
		close(transport->worker_fd[i]);
	if (transport->group)
		munmap(transport->group, transport->group_bytes);
	if (transport->channel)
		munmap(transport->channel, transport->channel_bytes);
	if (transport->channel_fd >= 0)
		close(transport->channel_fd);
	/* Last: the host takes everything back when it sees the end of the connection. */
	if (transport->host_fd >= 0)
		close(transport->host_fd);
	*transport = (struct transport){
		.ops = transport->ops,
		.channel_fd = -1,
		.host_fd = -1,
	};
}

static int socket_open(struct transport *transport, const char *path)
{
	struct received received;
	int fd = socket_connect(path);
	int result;

	if (fd < 0)
		return fd;
	transport->host_fd = fd;
	result = socket_receive(fd, &received);
	if (result < 0)
		goto fail;
	if (received.message.type != NETVM_MESSAGE_CHANNEL || received.n_fds != 1)
		result = failure_set(EPROTO, "the daemon did not start with a channel");
	else
		result = channel_map(transport, received.fd[0]);
	if (result == 0) {
		transport->channel_fd = received.fd[0]; /* to be mapped again at its full size */
		return 0;
	}
	received_close(&received);
fail:
	socket_close(transport);
	return result;
}

static int socket_say(struct transport *transport, uint32_t type, uint64_t value)
{
	const struct netvm_message message = {
		.magic = NETVM_SOCKET_MAGIC,
		.type = (uint16_t)type,
		.value = value,
	};

	if (send(transport->host_fd, &message, sizeof(message), MSG_NOSIGNAL) == sizeof(message))
		return 0;
	return failure_set(ECONNRESET, "the daemon closed the connection");
}

/* The descriptors of READY, in the order of abi/socket.h, become the transport's. */
static int ready_take(struct transport *transport, struct received *received, unsigned n_queues)
{
	void *group = NULL;
	int result;

	if (received->n_fds < 1 + n_queues + 1)
		return failure_set(EPROTO, "the daemon sent %u descriptors", received->n_fds);
	result = memory_map(received->fd[0], NETVM_META_BYTES, "the group memory", &group,
		&transport->group_bytes);
	transport->group = group;
	if (result == 0)
		result = channel_map(transport, transport->channel_fd);
	if (result < 0)
		return result;
	close(received->fd[0]);
	transport->n_queue_fds = n_queues;
	transport->n_worker_fds = received->n_fds - 1 - n_queues;
	memcpy(transport->queue_fd, received->fd + 1, n_queues * sizeof(int));
	memcpy(transport->worker_fd, received->fd + 1 + n_queues,
		transport->n_worker_fds * sizeof(int));
	received->n_fds = 0;
	return 0;
}

static int socket_greet(struct transport *transport, unsigned n_queues)
{
	struct received received;
	int result = socket_say(transport, NETVM_MESSAGE_HELLO, 0);

	if (result == 0)
		result = socket_receive(transport->host_fd, &received);
	if (result < 0)
		return result;
	if (received.message.type == NETVM_MESSAGE_READY)
		result = ready_take(transport, &received, n_queues);
	else if (received.message.type != NETVM_MESSAGE_REFUSED)
		result = failure_set(
			EPROTO, "the daemon answered with message type %u", received.message.type);
	received_close(&received);
	return result;
}

static int socket_waits(struct transport *transport)
{
	uint8_t byte;
	ssize_t n = recv(transport->host_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n > 0)
		return 1;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static int socket_hear(struct transport *transport, uint32_t *type, uint64_t *value, int *fd)
{
	struct received received;
	int result = socket_receive(transport->host_fd, &received);

	if (result < 0)
		return result;
	*type = received.message.type;
	*value = received.message.value;
	if (received.n_fds != 1 || (*type != NETVM_MESSAGE_SAVE && *type != NETVM_MESSAGE_LOAD)) {
		received_close(&received);
		return failure_set(EPROTO, "the daemon sent message type %u", *type);
	}
	*fd = received.fd[0];
	return 0;
}

static void socket_ring(struct transport *transport, unsigned worker)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full: then the bell rings already. */
	(void)!write(transport->worker_fd[worker], &one, sizeof(one));
}

const struct transport_ops transport_socket = {
	.open = socket_open,
	.greet = socket_greet,
	.ring = socket_ring,
	.waits = socket_waits,
	.hear = socket_hear,
	.say = socket_say,
	.close = socket_close,
};
