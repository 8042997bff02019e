/* An NF made of steps. See client.h. */
#include "modules/nf/testing/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int client_open(struct client *client)
{
	*client = (struct client){.channel_fd = -1};
	client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return client->fd < 0 ? -errno : 0;
}

int client_dial(struct client *client, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(client->fd, (const struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return 0;
}

int client_connect(struct client *client, const char *path)
{
	int rc = client_open(client);

	return rc ? rc : client_dial(client, path);
}

static void drop_fds(struct client *client)
{
	while (client->n_fds)
		close(client->fds[--client->n_fds]);
}

int client_receive(struct client *client, bool wait)
{
	char control[CMSG_SPACE(sizeof(int) * CLIENT_FDS_MAX)];
	struct iovec part = {&client->message, sizeof(client->message)};
	struct msghdr header = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(client->fd, &header, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	struct cmsghdr *first;

	drop_fds(client);
	if (n <= 0)
		return n < 0 ? -errno : -ECONNRESET;
	first = CMSG_FIRSTHDR(&header);
	if (first) {
		client->n_fds = (unsigned)((first->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(client->fds, CMSG_DATA(first), client->n_fds * sizeof(int));
	}
	return 0;
}

int client_map(struct client *client)
{
	void *memory;

	if (client->message.type != NETVM_MESSAGE_CHANNEL || client->n_fds != 1)
		return -EPROTO;
	memory = mmap(
		NULL, client->message.value, PROT_READ | PROT_WRITE, MAP_SHARED, client->fds[0], 0);
	if (memory == MAP_FAILED)
		return -errno;
	client->channel = memory;
	client->channel_fd = dup(client->fds[0]);
	return 0;
}

void client_fill(struct client *client, const char *name, const char *service)
{
	struct netvm_hello hello = {.abi_version = NETVM_ABI_VERSION,
		.n_queues = 1,
		.features = NETVM_FEATURE_META | NETVM_FEATURE_STOCK};

	snprintf(hello.name, sizeof(hello.name), "%s", name);
	snprintf(hello.service, sizeof(hello.service), "%s", service);
	client->channel->hello = hello;
	__atomic_store_n(&client->channel->state, NETVM_STATE_HELLO, __ATOMIC_RELEASE);
}

int client_send(struct client *client, const struct netvm_message *message, size_t size, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {(void *)message, size};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&header) = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &fd, sizeof(fd));
	}
	return sendmsg(client->fd, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int client_hello(struct client *client)
{
	const struct netvm_message message = {
		.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO};

	return client_send(client, &message, sizeof(message), -1);
}

int client_attach(struct client *client, const char *path, const char *name)
{
	int rc = client_connect(client, path);

	if (!rc)
		rc = client_receive(client, true);
	if (!rc)
		rc = client_map(client);
	if (rc)
		return rc;
	client_fill(client, name, "");
	rc = client_hello(client);
	return rc ? rc : client_receive(client, true);
}

void client_close(struct client *client)
{
	drop_fds(client);
	if (client->channel)
		munmap(client->channel, sizeof(*client->channel));
	if (client->channel_fd >= 0)
		close(client->channel_fd);
	if (client->fd >= 0)
		close(client->fd);
	*client = (struct client){.fd = -1, .channel_fd = -1};
}
