/*
 * The fake host towards guests: the two objects as ivshmem devices, either a folder of plain files
 * that looks like sysfs, or for a real QEMU an ivshmem server (QEMU, docs/specs/ivshmem-spec.txt).
 * Called by test_host.c and by tests.
 */
#include "test_host_parts.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <netvm/abi/guest.h>

#define PAGE_BYTES   4096
#define SERVER_MS    100000
#define IVSHMEM_HOST 1 /* our peer number */

int test_host_guest_open(struct test_host *host)
{
	host->state_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return host->state_fd < 0 ? -errno : 0;
}

/* Plain files ring nobody: besides waiting for the doorbell, look now and then. */
int test_host_guest_handshake(struct test_host *host)
{
	struct pollfd bell = {.fd = host->state_fd, .events = POLLIN};
	const uint32_t *state = &host->channel->state;

	while (__atomic_load_n(state, __ATOMIC_ACQUIRE) != NETVM_STATE_HELLO) {
		if (__atomic_load_n(&host->closing, __ATOMIC_RELAXED))
			return -ECANCELED;
		(void)poll(&bell, 1, 1);
	}
	if (test_host_take_hello(host) < 0)
		return -EPROTO;
	if (host->options.refusal)
		test_host_refuse(host);
	return host->options.refusal ? 0 : test_host_accept(host);
}

/* ---- a folder that looks like sysfs -------------------------------------------------------- */

static int file_write(const char *device, const char *file, const char *text)
{
	char path[200];
	int fd, result = 0;

	snprintf(path, sizeof(path), "%s/%s", device, file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		result = -errno;
	if (fd >= 0)
		close(fd);
	return result;
}

static int bar_link(const char *device, const char *bar, int fd)
{
	char path[200], target[40];

	snprintf(path, sizeof(path), "%s/%s", device, bar);
	snprintf(target, sizeof(target), "/proc/%d/fd/%d", (int)getpid(), fd);
	return symlink(target, path) < 0 ? -errno : 0;
}

int test_host_device(const char *device, const char *id, int registers_fd, int memory_fd)
{
	int result = mkdir(device, 0700) < 0 ? -errno : 0;

	if (result == 0)
		result = file_write(device, "vendor", "0x1af4\n");
	if (result == 0)
		result = file_write(device, "device", id);
	if (result == 0)
		result = file_write(device, "enable", "0\n");
	/* The registers lie in the middle of a page, as they may when hot-plugged. */
	if (result == 0)
		result = file_write(device, "resource",
			"0x00000000febf1100 0x00000000febf11ff 0x0000000000040200\n");
	if (result == 0)
		result = bar_link(device, "resource0", registers_fd);
	return result < 0 ? result : bar_link(device, "resource2", memory_fd);
}

static int registers_create(struct test_host *host)
{
	void *page;

	host->registers_fd = memfd_create("registers", MFD_CLOEXEC);
	if (host->registers_fd < 0 || ftruncate(host->registers_fd, PAGE_BYTES) < 0)
		return -errno;
	page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, host->registers_fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	host->registers = page;
	host->doorbell = (uint32_t *)(void *)(host->registers + 0x100 + NETVM_GUEST_DOORBELL);
	return 0;
}

/* A port is a pipe. */
static int port_create(struct test_host *host, unsigned queue)
{
	char path[150], name[32];
	int ends[2];
	int result = pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;

	if (result < 0)
		return result;
	host->bell_in[queue] = ends[0];
	host->bell_out[queue] = ends[1];
	snprintf(path, sizeof(path), "%s/sys/class/virtio-ports/vport0p%u", host->path + 4,
		queue + 1);
	snprintf(name, sizeof(name), NETVM_GUEST_BELL "%u\n", queue);
	result = mkdir(path, 0700) < 0 ? -errno : file_write(path, "name", name);
	snprintf(path, sizeof(path), "%s/dev", host->path + 4);
	snprintf(name, sizeof(name), "vport0p%u", queue + 1);
	return result < 0 ? result : bar_link(path, name, ends[0]);
}

/* Among them one that is another program's. */
static int ports_create(struct test_host *host)
{
	static const char *const folders[] = {"dev", "sys", "sys/class", "sys/class/virtio-ports",
		"sys/class/virtio-ports/vport0p31"};
	char path[150];
	int result = 0;

	for (unsigned i = 0; i < sizeof(folders) / sizeof(*folders) && result == 0; i++) {
		snprintf(path, sizeof(path), "%s/%s", host->path + 4, folders[i]);
		result = mkdir(path, 0700) < 0 ? -errno : 0;
	}
	if (result == 0)
		result = file_write(path, "name", NETVM_GUEST_BELL "agent\n");
	for (unsigned q = 0; q < host->options.n_bells && result == 0; q++)
		result = port_create(host, q);
	return result;
}

int test_host_sysfs(struct test_host *host)
{
	char device[150];
	int result = registers_create(host);

	snprintf(host->path, sizeof(host->path), "pci:/tmp/netvm-sysfs-XXXXXX");
	if (result < 0 || !mkdtemp(host->path + 4))
		return result < 0 ? result : -errno;
	result = ports_create(host);
	if (result < 0)
		return result;
	/* The group memory first: the order says nothing. */
	snprintf(device, sizeof(device), "%s/0000:00:01.0", host->path + 4);
	result = test_host_device(device, "0x1110\n", host->registers_fd, host->group_fd);
	snprintf(device, sizeof(device), "%s/0000:00:02.0", host->path + 4);
	return result < 0
		       ? result
		       : test_host_device(device, "0x1110\n", host->registers_fd, host->channel_fd);
}

void test_host_guest_close(struct test_host *host)
{
	char command[200];

	if (host->registers) {
		munmap(host->registers, PAGE_BYTES);
		close(host->registers_fd);
	}
	if (!host->path[0])
		return;
	snprintf(command, sizeof(command), "rm -r '%s'", host->path + 4);
	if (system(command) != 0)
		fprintf(stderr, "%s: not removed\n", host->path + 4);
}

/* ---- ivshmem server ------------------------------------------------------------------------ */

/* One message: 8 bytes, little-endian, with a descriptor or without (-1). */
static int message_send(int connection, int64_t value, int fd)
{
	int64_t wire = (int64_t)htole64((uint64_t)value);
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&wire, sizeof(wire)};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *rights = (struct cmsghdr *)(void *)control;

		header.msg_control = control;
		header.msg_controllen = sizeof(control);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
	}
	return sendmsg(connection, &header, MSG_NOSIGNAL) == sizeof(wire) ? 0 : -EPIPE;
}

static int memory_send(int connection, int memory_fd)
{
	int result = message_send(connection, 0, -1); /* protocol version */

	if (result == 0)
		result = message_send(connection, 0, -1); /* the guest is peer 0 */
	return result < 0 ? result : message_send(connection, -1, memory_fd);
}

static int channel_send(const struct test_host *host, int connection)
{
	int result = memory_send(connection, host->channel_fd);

	if (result == 0)
		result = message_send(connection, IVSHMEM_HOST, host->state_fd);
	for (unsigned w = 0; w < host->options.n_workers && result == 0; w++)
		result = message_send(connection, IVSHMEM_HOST, host->worker_fd[w]);
	return result;
}

int test_host_ivshmem_listen(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 1) < 0)
		return -errno;
	return fd;
}

static int guest_accept(int listen_fd)
{
	struct pollfd wanted = {.fd = listen_fd, .events = POLLIN};

	if (poll(&wanted, 1, SERVER_MS) != 1)
		return -ETIMEDOUT;
	return accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
}

/* One after the other: plugged into a running QEMU, the second comes after the first is served. */
int test_host_ivshmem_serve(
	const struct test_host *host, int channel_listen_fd, int group_listen_fd, int connection[2])
{
	int result;

	connection[0] = guest_accept(channel_listen_fd);
	if (connection[0] < 0)
		return connection[0];
	result = channel_send(host, connection[0]);
	if (result < 0)
		return result;
	connection[1] = guest_accept(group_listen_fd);
	return connection[1] < 0 ? connection[1] : memory_send(connection[1], host->group_fd);
}
