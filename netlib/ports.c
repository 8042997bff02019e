/*
 * A guest's doorbells, see abi/guest.h: ports found by the names that sysfs gives them, since the
 * links in /dev/virtio-ports are udev's, which a small guest has not. See ports.h.
 */
#include "ports.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netvm/abi/guest.h>

#include "devices.h"

/* Which queue's port this is; NETVM_QUEUES_MAX: another program's. */
static unsigned port_queue(const char *class, const char *entry)
{
	const size_t length = sizeof(NETVM_GUEST_BELL) - 1;
	char name[DEVICE_TEXT_BYTES], *end;
	unsigned long queue;

	device_text(class, entry, "name", name);
	if (strncmp(name, NETVM_GUEST_BELL, length) != 0)
		return NETVM_QUEUES_MAX;
	queue = strtoul(name + length, &end, 10);
	return end > name + length && strspn(end, "\n") == strlen(end) && queue < NETVM_QUEUES_MAX
		       ? (unsigned)queue
		       : NETVM_QUEUES_MAX;
}

static unsigned without_gap(int fd[NETVM_QUEUES_MAX])
{
	unsigned n = 0;

	while (n < NETVM_QUEUES_MAX && fd[n] >= 0)
		n++;
	for (unsigned i = n; i < NETVM_QUEUES_MAX; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
	return n;
}

unsigned ports_open(const char *class, const char *nodes, int fd[NETVM_QUEUES_MAX])
{
	DIR *listing = opendir(class);
	struct dirent *entry;
	unsigned queue;

	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		fd[i] = -1;
	while (listing && (entry = readdir(listing))) {
		queue = port_queue(class, entry->d_name);
		if (queue < NETVM_QUEUES_MAX && fd[queue] < 0)
			fd[queue] = device_open(nodes, ".", entry->d_name, O_RDONLY | O_NONBLOCK);
	}
	if (listing)
		closedir(listing);
	return without_gap(fd);
}
