/* QEMU's ivshmem-server protocol, the server's side. See ivshmem.h. */
#include "modules/guest/ivshmem.h"

#include <endian.h>
#include <errno.h>
#include <event2/event.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/passing.h"

#define PROTOCOL_VERSION 0
#define NO_VERSION       (-1)
#define SIZE_MIN         4096u

struct ivshmem {
	struct ivshmem_options options;
	struct listener listener;
	int fd; /* the QEMU that is connected; -1: none */
	struct event *event;
};

/* ---- the protocol ---------------------------------------------------------------------------- */

/* One message, with a descriptor or (-1) without. */
static int message_send(int socket, int64_t value, int fd)
{
	uint64_t word = htole64((uint64_t)value);

	return passing_send(socket, &word, sizeof(word), &fd, fd >= 0);
}

static int introduce(const struct ivshmem_options *options, int socket)
{
	int rc = message_send(socket, PROTOCOL_VERSION, -1);

	if (!rc)
		rc = message_send(socket, IVSHMEM_GUEST_ID, -1);
	if (!rc)
		rc = message_send(socket, -1, options->memory_fd);
	for (unsigned i = 0; i < options->n_vectors && !rc; i++)
		rc = message_send(socket, IVSHMEM_DAEMON_ID, options->vector_fd[i]);
	return rc;
}

/* ---- the connection -------------------------------------------------------------------------- */

static void disconnect(struct ivshmem *device)
{
	if (device->event)
		event_free(device->event);
	if (device->fd >= 0)
		close(device->fd);
	device->event = NULL;
	device->fd = -1;
}

/* Only its end may come; whoever says more is not QEMU. Descriptors are dropped by the kernel. */
static void connection_event(evutil_socket_t fd, short what, void *arg)
{
	struct ivshmem *device = arg;
	uint64_t word;
	ssize_t n = recv(fd, &word, sizeof(word), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	disconnect(device);
	device->options.gone(device->options.arg);
}

static void accepted(void *arg, int fd, const struct peer *peer)
{
	struct ivshmem *device = arg;
	const struct ivshmem_options *options = &device->options;

	if (device->fd >= 0 || !options->allowed(options->arg, peer)) {
		message_send(fd, NO_VERSION, -1);
		close(fd);
		return;
	}
	device->fd = fd;
	device->event =
		event_new(options->base, fd, EV_READ | EV_PERSIST, connection_event, device);
	if (!device->event || event_add(device->event, NULL) || introduce(options, fd)) {
		disconnect(device);
		return;
	}
	if (options->connected)
		options->connected(options->arg, peer);
}

/* ---- life ------------------------------------------------------------------------------------ */

size_t ivshmem_size(size_t bytes)
{
	size_t size = SIZE_MIN;

	while (size < bytes)
		size *= 2;
	return size;
}

/* QEMU would abort on an assertion. */
static int check_memory(int fd, struct error *error)
{
	struct stat st;

	if (fstat(fd, &st))
		return error_set(
			error, errno, "", "", "the memory of a device: %s", strerror(errno));
	if (st.st_size > 0 && ivshmem_size((size_t)st.st_size) == (size_t)st.st_size)
		return 0;
	return error_set(error, EINVAL, "", "",
		"a guest can see a memory of 4096, 8192, ... bytes only, a power of two, "
		"not of %lld",
		(long long)st.st_size);
}

int ivshmem_open(
	const struct ivshmem_options *options, struct ivshmem **device, struct error *error)
{
	struct ivshmem *made;
	int rc = check_memory(options->memory_fd, error);

	if (rc)
		return rc;
	made = calloc(1, sizeof(*made));
	if (!made)
		return error_set(error, ENOMEM, "", "", "no memory for a device");
	made->options = *options;
	made->fd = -1;
	rc = listener_open(&made->listener, options->base, options->path, accepted, made, error);
	if (rc) {
		free(made);
		return rc;
	}
	made->options.path = made->listener.path;
	*device = made;
	return 0;
}

void ivshmem_close(struct ivshmem *device)
{
	if (!device)
		return;
	disconnect(device);
	listener_close(&device->listener);
	free(device);
}
