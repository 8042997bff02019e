/*
 * The way of guests: BARs of two ivshmem devices, found in sysfs; see abi/guest.h. Which of the two
 * is the channel is not asked of their memory, where the last case may have left anything: it is
 * the one in front.
 */
#include "evil.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/guest.h"

#define FOLDERS "/sys/bus/pci/devices/*"

/* The first number of a file of hexadecimal numbers; all ones when there is none. */
static uint64_t file_number(const char *folder, const char *name)
{
	char path[PCI_PATH_BYTES + 16];
	unsigned long long number;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%llx", &number) != 1)
		number = UINT64_MAX;
	if (file)
		fclose(file);
	return number;
}

static int pci_open(const struct client *client, unsigned device, const char *name)
{
	char path[PCI_PATH_BYTES + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", client->pci[device], name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	must(fd >= 0, "%s", path);
	return fd;
}

void pci_enable(const struct client *client, unsigned device, bool enable)
{
	int fd = pci_open(client, device, "enable");

	must(write(fd, enable ? "1" : "0", 1) == 1, "enabling a device");
	close(fd);
}

void *pci_map(const struct client *client, unsigned device, const char *bar, size_t *size)
{
	int fd = pci_open(client, device, bar);
	struct stat st;
	void *memory;

	must(!fstat(fd, &st), "fstat");
	*size = (size_t)st.st_size < 4096 ? 4096 : (size_t)st.st_size;
	memory = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(memory != MAP_FAILED, "mapping %s of %s", bar, client->pci[device]);
	close(fd);
	return memory;
}

void pci_access(const struct client *client, unsigned device, off_t at, void *bytes, size_t size,
	bool to_device)
{
	int fd = pci_open(client, device, "config");
	ssize_t n = to_device ? pwrite(fd, bytes, size, at) : pread(fd, bytes, size, at);

	must(n == (ssize_t)size, "configuration space at %ld", (long)at);
	close(fd);
}

/* One that is being plugged shows its folder first, and its files when its BARs have addresses. */
static unsigned devices_find(struct client *client)
{
	unsigned n = 0;
	glob_t found = {0};

	(void)glob(FOLDERS, 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *folder = found.gl_pathv[i];
		char bar[PCI_PATH_BYTES + 16];

		snprintf(bar, sizeof(bar), "%s/resource2", folder);
		if (access(bar, F_OK) || file_number(folder, "vendor") != NETVM_GUEST_PCI_VENDOR ||
			file_number(folder, "device") != NETVM_GUEST_PCI_DEVICE)
			continue;
		must(n < 2, "more than two ivshmem devices");
		snprintf(client->pci[n++], PCI_PATH_BYTES, "%s", folder);
	}
	globfree(&found);
	return n;
}

static bool connect_pci(struct client *client)
{
	struct patience plugged = patience("two ivshmem devices");
	struct patience wait;
	uint8_t *page;
	size_t size;

	while (devices_find(client) < 2)
		patience_wait(&plugged);
	for (unsigned device = 0; device < 2; device++)
		if (file_number(client->pci[device], "enable") == 0)
			pci_enable(client, device, true);
	/* less than a page, and may start within one */
	page = pci_map(client, 0, "resource0", &size);
	client->registers =
		(volatile uint32_t *)(void *)(page +
					      (file_number(client->pci[0], "resource") & 4095));
	client->channel = pci_map(client, 0, "resource2", &client->channel_bytes);
	wait = patience("the channel to be offered");
	while (__atomic_load_n(&client->channel->state, __ATOMIC_ACQUIRE) != NETVM_STATE_OFFERED)
		patience_wait(&wait);
	must(client->channel->magic == NETVM_CHANNEL_MAGIC, "a channel");
	return true;
}

void pci_doorbell(const struct client *client, uint32_t value)
{
	__atomic_store_n(&client->registers[NETVM_GUEST_DOORBELL / sizeof(uint32_t)], value,
		__ATOMIC_RELEASE);
}

void pci_look(const struct client *client)
{
	pci_doorbell(client, NETVM_GUEST_RING(NETVM_GUEST_STATE));
}

static void say_hello(struct client *client)
{
	pci_look(client);
}

static bool is_answered(struct client *client)
{
	return __atomic_load_n(&client->channel->state, __ATOMIC_ACQUIRE) != NETVM_STATE_HELLO;
}

static enum netvm_state answer(struct client *client)
{
	struct patience wait = patience("an answer");
	enum netvm_state state;

	while (!is_answered(client))
		patience_wait(&wait);
	state = __atomic_load_n(&client->channel->state, __ATOMIC_ACQUIRE);
	if (state != NETVM_STATE_READY)
		return state;
	client->layout = client->channel->layout;
	client->group = pci_map(client, 1, "resource2", &client->group_bytes);
	client_use_worker(client, 0);
	return state;
}

static void ring(const struct client *client, unsigned worker)
{
	pci_doorbell(client, NETVM_GUEST_RING(NETVM_GUEST_WORKER(worker)));
}

/* There is no connection: what is left of the daemon then is its last word. */
static bool has_ended(struct client *client)
{
	uint32_t control = __atomic_load_n(&client->channel->control, __ATOMIC_ACQUIRE);

	return control & NETVM_CONTROL_STOP || client->channel->state == NETVM_STATE_REFUSED;
}

static void hang_up(struct client *client)
{
	__atomic_store_n(&client->channel->state, NETVM_STATE_GONE, __ATOMIC_RELEASE);
	pci_look(client);
}

const struct way way_pci = {
	.connect = connect_pci,
	.say_hello = say_hello,
	.is_answered = is_answered,
	.answer = answer,
	.ring = ring,
	.has_ended = has_ended,
	.hang_up = hang_up,
};
