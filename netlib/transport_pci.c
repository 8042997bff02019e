/*
 * The transport of guests: the channel and the group memory are BAR 2 of two ivshmem devices, found
 * in sysfs and mapped through it, with no kernel module; see abi/guest.h. Called by attachment.c.
 *
 * The address is "pci", or "pci:FOLDER" for another folder of devices, such as tests give.
 *
 * The host rings at ports of a virtio-serial device (ports.c); without, a timer is the doorbell.
 */
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <netvm/abi/guest.h>

#include "devices.h"
#include "failure.h"
#include "ports.h"
#include "stop.h"

#define FOLDER_DEFAULT "/sys/bus/pci/devices"
#define PORTS_DEFAULT  "/sys/class/virtio-ports"
#define NODES_DEFAULT  "/dev"

/* A device that is being plugged shows its folder first and its BARs a little later. */
#define PLUG_TIMEOUT_S   1
#define ANSWER_TIMEOUT_S 5
#define PAUSE_FIRST_US   100u /* from one look at what the host does to the next; then doubled */
#define PAUSE_LAST_US    16000u

#define DOZE_LEAST_NS 50000u
#define DOZE_MOST_NS  2000000u

struct mapping {
	uint8_t *memory;
	size_t bytes;
};

struct pci {
	const char *folder;       /* only while attaching */
	char channel[NAME_BYTES]; /* the channel's device */
	int lock_fd;              /* its BAR 2, locked: nobody else of this guest has it */
	int bell[NETVM_QUEUES_MAX];
	struct mapping registers; /* BAR 0's page */
	volatile uint32_t *doorbell;
};

/* ---- mapping -------------------------------------------------------------------------------- */

/*
 * Map the first `bytes` of a BAR. Never resourceN_wc, though it can be faster: stores to
 * write-combining memory may overtake each other, and rings live from their order.
 */
static int bar_map(const char *folder, const char *device, const char *bar, size_t bytes,
	struct mapping *mapping)
{
	int fd = device_open(folder, device, bar, O_RDWR);
	void *memory;

	if (fd < 0)
		return fd;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (memory == MAP_FAILED)
		return failure_set(
			errno, "%s/%s/%s: mmap of %zu bytes: %m", folder, device, bar, bytes);
	*mapping = (struct mapping){memory, bytes};
	return 0;
}

static void mapping_close(struct mapping *mapping)
{
	if (mapping->memory)
		munmap(mapping->memory, mapping->bytes);
	*mapping = (struct mapping){0};
}

/* The registers fill less than a page and may start within one. */
static int registers_map(struct pci *pci)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t start = device_number(pci->folder, pci->channel, "resource") & (page - 1);
	int result = bar_map(pci->folder, pci->channel, "resource0", page, &pci->registers);

	if (result < 0)
		return result;
	pci->doorbell =
		(volatile uint32_t *)(void *)(pci->registers.memory + start + NETVM_GUEST_DOORBELL);
	return 0;
}

static void doorbell_ring(const struct pci *pci, uint32_t vector)
{
	__atomic_store_n(pci->doorbell, NETVM_GUEST_RING(vector), __ATOMIC_RELEASE);
}

/* ---- which is which ------------------------------------------------------------------------ */

static bool is_header(const struct netvm_channel *channel)
{
	uint32_t state;

	if (channel->magic != NETVM_CHANNEL_MAGIC || channel->header_bytes < sizeof(*channel))
		return false;
	state = __atomic_load_n(&channel->state, __ATOMIC_ACQUIRE);
	return state >= NETVM_STATE_OFFERED && state <= NETVM_STATE_GONE;
}

/*
 * Buffers may hold anything, also a forged channel. But only NFs of its group can put it there, and
 * all they gain is that their neighbour's attach fails: two channels are an error.
 */
static bool is_channel(const char *folder, const char *device)
{
	struct mapping header = {0};
	bool found;

	if (device_enable(folder, device) < 0 ||
		device_bar_bytes(folder, device, "resource2") < sizeof(struct netvm_channel) ||
		bar_map(folder, device, "resource2", sizeof(struct netvm_channel), &header) < 0)
		return false;
	found = is_header((const struct netvm_channel *)(void *)header.memory);
	mapping_close(&header);
	return found;
}

/* -EAGAIN: not there yet. */
static int channel_find(struct pci *pci)
{
	struct devices devices;
	unsigned n_found = 0;

	devices_list(pci->folder, &devices);
	for (unsigned i = 0; i < devices.n; i++) {
		if (!is_channel(pci->folder, devices.name[i]))
			continue;
		strcpy(pci->channel, devices.name[i]);
		n_found++;
	}
	if (n_found > 1)
		return failure_set(EPROTO, "%u ivshmem devices hold a channel, not one", n_found);
	return n_found == 1 && devices.n > 1 ? 0 : -EAGAIN;
}

static int nothing_found(const struct pci *pci)
{
	struct mapping probe = {0};
	struct devices devices;
	int result;

	devices_list(pci->folder, &devices);
	if (devices.n == 0)
		return failure_set(ENOENT, "no ivshmem device (PCI id %04x:%04x) in %s",
			NETVM_GUEST_PCI_VENDOR, NETVM_GUEST_PCI_DEVICE, pci->folder);
	/* What kept us from looking: a BAR without an address, no right, a locked-down kernel. */
	result = bar_map(pci->folder, devices.name[0], "resource2", 1, &probe);
	mapping_close(&probe);
	if (result < 0)
		return result;
	if (pci->lock_fd < 0 && pci->channel[0] && devices.n > 1)
		return failure_set(
			EBUSY, "another NF of this guest has the channel in %s", pci->channel);
	if (pci->channel[0] && devices.n == 1)
		return failure_set(ENOENT,
			"%s holds a channel, but no second ivshmem device the group memory",
			pci->channel);
	return failure_set(ECONNREFUSED,
		"none of %u ivshmem devices offers a NetVM channel: there is no daemon behind them",
		devices.n);
}

/* The smallest of the others that holds the group memory. -EAGAIN: not there yet. */
static int group_find(const struct pci *pci, uint64_t group_bytes, char name[NAME_BYTES])
{
	struct devices devices;
	size_t best = SIZE_MAX;

	devices_list(pci->folder, &devices);
	for (unsigned i = 0; i < devices.n; i++) {
		size_t size = device_bar_bytes(pci->folder, devices.name[i], "resource2");

		if (strcmp(devices.name[i], pci->channel) == 0 || size < group_bytes ||
			size >= best)
			continue;
		best = size;
		strcpy(name, devices.name[i]);
	}
	return best == SIZE_MAX ? -EAGAIN : 0;
}

/* ---- open ---------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/*
 * False when it is time to stop or too late. Nobody tells a guest; a pause as long as all before
 * makes it late by no more than it had to wait.
 */
static bool look_again(uint64_t deadline_ms, unsigned *pause_us)
{
	struct pollfd stop = {.fd = stop_fd(), .events = POLLIN};
	const struct timespec pause = {.tv_nsec = (long)*pause_us * 1000};

	(void)ppoll(&stop, 1, &pause, NULL);
	*pause_us = *pause_us * 2 < PAUSE_LAST_US ? *pause_us * 2 : PAUSE_LAST_US;
	return !stop_requested() && now_ms() < deadline_ms;
}

static int channel_map(struct transport *transport)
{
	const struct pci *pci = transport->pci;
	struct mapping channel = {0};
	int result = bar_map(pci->folder, pci->channel, "resource2",
		device_bar_bytes(pci->folder, pci->channel, "resource2"), &channel);

	transport->channel = (struct netvm_channel *)(void *)channel.memory;
	transport->channel_bytes = channel.bytes;
	return result;
}

/* -EAGAIN: another NF of this guest has the channel, perhaps not for long. */
static int channel_lock(struct pci *pci)
{
	int fd = device_open(pci->folder, pci->channel, "resource2", O_RDWR);

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return -EAGAIN;
	}
	pci->lock_fd = fd;
	return 0;
}

static void channel_release(struct transport *transport)
{
	struct pci *pci = transport->pci;

	if (transport->channel)
		munmap(transport->channel, transport->channel_bytes);
	transport->channel = NULL;
	mapping_close(&pci->registers);
	if (pci->lock_fd >= 0)
		close(pci->lock_fd);
	pci->lock_fd = -1;
	pci->channel[0] = '\0';
}

/* Its device has been unplugged, and perhaps another one plugged in at the same place. */
static bool channel_is_stale(const struct pci *pci)
{
	struct stat held, found;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s/resource2", pci->folder, pci->channel);
	return fstat(pci->lock_fd, &held) < 0 || stat(path, &found) < 0 ||
	       held.st_ino != found.st_ino;
}

static int channel_take(struct transport *transport)
{
	struct pci *pci = transport->pci;
	int result = channel_find(pci);

	if (result == 0)
		result = channel_lock(pci);
	if (result == 0)
		result = registers_map(pci);
	return result < 0 ? result : channel_map(transport);
}

/*
 * With the lock all that was before us is over, however it ended: say so for it. The host makes the
 * channel anew, so until then nothing in it holds. -EAGAIN: not offered yet.
 */
static int channel_ask(const struct transport *transport)
{
	uint32_t state = __atomic_load_n(&transport->channel->state, __ATOMIC_ACQUIRE);

	if (state == NETVM_STATE_OFFERED)
		return 0;
	if (state > NETVM_STATE_OFFERED && state != NETVM_STATE_GONE)
		__atomic_store_n(&transport->channel->state, NETVM_STATE_GONE, __ATOMIC_RELEASE);
	doorbell_ring(transport->pci, NETVM_GUEST_STATE);
	return -EAGAIN;
}

static int channel_try(struct transport *transport)
{
	int result;

	if (transport->channel && channel_is_stale(transport->pci))
		channel_release(transport);
	result = transport->channel ? 0 : channel_take(transport);
	return result == 0 ? channel_ask(transport) : result;
}

static int channel_wait(struct transport *transport)
{
	uint64_t plug_ms = now_ms() + PLUG_TIMEOUT_S * 1000u;
	uint64_t answer_ms = now_ms() + ANSWER_TIMEOUT_S * 1000u;
	unsigned pause_us = PAUSE_FIRST_US;
	int result;

	while ((result = channel_try(transport)) == -EAGAIN &&
		look_again(transport->channel ? answer_ms : plug_ms, &pause_us)) {
		if (transport->channel) /* when it goes, another one may come */
			plug_ms = now_ms() + PLUG_TIMEOUT_S * 1000u;
	}
	if (result != -EAGAIN)
		return result;
	return stop_requested() ? failure_set(ECANCELED, "stopped while attaching")
				: nothing_found(transport->pci);
}

/* No doorbell rings: `state` says that we leave, and the host is told to look. */
static void leave(struct transport *transport)
{
	uint32_t state = __atomic_load_n(&transport->channel->state, __ATOMIC_ACQUIRE);

	if (state == NETVM_STATE_HELLO || state == NETVM_STATE_READY)
		__atomic_store_n(&transport->channel->state, NETVM_STATE_GONE, __ATOMIC_RELEASE);
	doorbell_ring(transport->pci, NETVM_GUEST_STATE);
}

static void pci_close(struct transport *transport)
{
	struct pci *pci = transport->pci;

	for (unsigned i = 0; i < transport->n_queue_fds && transport->dozes; i++)
		close(transport->queue_fd[i]);
	if (transport->channel)
		leave(transport);
	channel_release(transport);
	if (transport->group)
		munmap(transport->group, transport->group_bytes);
	for (unsigned i = 0; i < transport->n_bells; i++)
		close(pci->bell[i]);
	free(pci);
	*transport = (struct transport){.ops = transport->ops, .channel_fd = -1, .host_fd = -1};
}

/* Another folder of devices has its ports in it. */
static void bells_open(struct transport *transport)
{
	struct pci *pci = transport->pci;
	bool standard = strcmp(pci->folder, FOLDER_DEFAULT) == 0;
	char ports[256], nodes[256];

	snprintf(ports, sizeof(ports), "%s%s", standard ? "" : pci->folder, PORTS_DEFAULT);
	snprintf(nodes, sizeof(nodes), "%s%s", standard ? "" : pci->folder, NODES_DEFAULT);
	transport->n_bells = ports_open(ports, nodes, pci->bell);
}

static int pci_open(struct transport *transport, const char *address)
{
	struct pci *pci = calloc(1, sizeof(*pci));
	int result;

	if (!pci)
		return failure_set(ENOMEM, "no memory to attach");
	transport->pci = pci;
	pci->folder = pci_folder(address);
	pci->lock_fd = -1;
	result = channel_wait(transport);
	if (result == 0)
		bells_open(transport);
	else
		pci_close(transport);
	return result;
}

/* ---- greet --------------------------------------------------------------------------------- */

static int answer_wait(const struct transport *transport)
{
	uint64_t deadline_ms = now_ms() + ANSWER_TIMEOUT_S * 1000u;
	unsigned pause_us = PAUSE_FIRST_US;

	doorbell_ring(transport->pci, NETVM_GUEST_STATE);
	while (__atomic_load_n(&transport->channel->state, __ATOMIC_ACQUIRE) == NETVM_STATE_HELLO) {
		if (look_again(deadline_ms, &pause_us))
			continue;
		return stop_requested() ? failure_set(ECANCELED, "stopped while attaching")
					: failure_set(ETIMEDOUT,
						  "the daemon did not answer within %d seconds",
						  ANSWER_TIMEOUT_S);
	}
	if (channel_is_stale(transport->pci))
		return failure_set(ECONNREFUSED, "%s was unplugged", transport->pci->channel);
	return 0;
}

static int group_wait(const struct pci *pci, uint64_t group_bytes, char name[NAME_BYTES])
{
	uint64_t deadline_ms = now_ms() + PLUG_TIMEOUT_S * 1000u;
	unsigned pause_us = PAUSE_FIRST_US;

	while (group_find(pci, group_bytes, name) < 0) {
		if (look_again(deadline_ms, &pause_us))
			continue;
		if (stop_requested())
			return failure_set(ECANCELED, "stopped while attaching");
		return failure_set(EPROTO,
			"no ivshmem device has the %llu bytes of the group memory",
			(unsigned long long)group_bytes);
	}
	return device_enable(pci->folder, name);
}

/*
 * How much of the group memory holds buffers: the kernel fills in a page table for all that is
 * mapped. What makes no sense is for attachment.c to refuse, by the whole.
 */
static size_t buffers_end(const struct netvm_layout *layout)
{
	uint64_t bytes = (uint64_t)layout->n_buffers * layout->buffer_stride;

	return layout->buffer_offset > layout->group_bytes ||
			       bytes > layout->group_bytes - layout->buffer_offset
		       ? layout->group_bytes
		       : layout->buffer_offset + bytes;
}

static int group_map(struct transport *transport)
{
	const struct pci *pci = transport->pci;
	struct netvm_layout layout;
	char name[NAME_BYTES];
	struct mapping group = {0};
	int result;

	memcpy(&layout, &transport->channel->layout, sizeof(layout));
	result = group_wait(pci, layout.group_bytes, name);
	if (result == 0)
		result = bar_map(pci->folder, name, "resource2", buffers_end(&layout), &group);
	transport->group = group.memory;
	transport->group_bytes = group.bytes;
	return result;
}

static int timers_create(struct transport *transport, unsigned n_queues)
{
	for (unsigned i = 0; i < n_queues; i++) {
		int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

		if (fd < 0)
			return failure_set(errno, "timerfd: %m");
		transport->queue_fd[transport->n_queue_fds++] = fd;
	}
	return 0;
}

/* What ends the sleep of a queue: its port, or a timer where the host does not ring. */
static int sleepers_create(struct transport *transport, unsigned n_queues)
{
	transport->dozes = transport->n_bells < n_queues ||
			   !(transport->channel->answer.features & NETVM_FEATURE_BELL);
	if (transport->dozes)
		return timers_create(transport, n_queues);
	transport->n_queue_fds = n_queues;
	memcpy(transport->queue_fd, transport->pci->bell, n_queues * sizeof(int));
	return 0;
}

static int pci_greet(struct transport *transport, unsigned n_queues)
{
	int result = answer_wait(transport);

	if (result < 0 ||
		__atomic_load_n(&transport->channel->state, __ATOMIC_ACQUIRE) != NETVM_STATE_READY)
		return result;
	result = group_map(transport);
	return result < 0 ? result : sleepers_create(transport, n_queues);
}

/* ---- doorbells ----------------------------------------------------------------------------- */

static void pci_ring(struct transport *transport, unsigned worker)
{
	doorbell_ring(transport->pci, NETVM_GUEST_WORKER(worker));
}

/* A quarter of the time already idle: the first packet after a pause is late by no more. */
static void pci_doze(struct transport *transport, unsigned queue, uint64_t idle_ns)
{
	uint64_t ns = idle_ns / 4 < DOZE_LEAST_NS ? DOZE_LEAST_NS : idle_ns / 4;
	struct itimerspec once = {
		.it_value.tv_nsec = (long)(ns < DOZE_MOST_NS ? ns : DOZE_MOST_NS),
	};

	(void)timerfd_settime(transport->queue_fd[queue], 0, &once, NULL);
}

const struct transport_ops transport_pci = {
	.open = pci_open,
	.greet = pci_greet,
	.ring = pci_ring,
	.doze = pci_doze,
	.close = pci_close,
};

/* ---- addresses ----------------------------------------------------------------------------- */

const char *pci_folder(const char *address)
{
	if (strncmp(address, "pci", 3) != 0 || (address[3] != '\0' && address[3] != ':'))
		return NULL;
	return address[3] == ':' ? address + 4 : FOLDER_DEFAULT;
}

bool pci_present(void)
{
	struct devices devices;

	devices_list(FOLDER_DEFAULT, &devices);
	return devices.n > 0;
}
