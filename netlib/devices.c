/* A guest's ivshmem devices in sysfs. See devices.h. */
#include "devices.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <netvm/abi/guest.h>

#include "failure.h"

int device_open(const char *folder, const char *device, const char *file, int flags)
{
	char path[512];
	int n = snprintf(path, sizeof(path), "%s/%s/%s", folder, device, file);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(path))
		return failure_set(ENAMETOOLONG, "%s: the path is too long", folder);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? failure_set(errno, "%s: %m", path) : fd;
}

void device_text(
	const char *folder, const char *device, const char *file, char text[DEVICE_TEXT_BYTES])
{
	int fd = device_open(folder, device, file, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, DEVICE_TEXT_BYTES - 1);

	text[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		close(fd);
}

uint64_t device_number(const char *folder, const char *device, const char *file)
{
	char text[DEVICE_TEXT_BYTES];

	device_text(folder, device, file, text);
	return strtoull(text, NULL, 16);
}

static bool is_ivshmem(const char *folder, const char *device)
{
	return device_number(folder, device, "vendor") == NETVM_GUEST_PCI_VENDOR &&
	       device_number(folder, device, "device") == NETVM_GUEST_PCI_DEVICE;
}

void devices_list(const char *folder, struct devices *devices)
{
	DIR *listing = opendir(folder);
	struct dirent *entry;

	devices->n = 0;
	if (!listing)
		return;
	while (devices->n < DEVICES_MAX && (entry = readdir(listing))) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= NAME_BYTES ||
			!is_ivshmem(folder, entry->d_name))
			continue;
		strcpy(devices->name[devices->n++], entry->d_name);
	}
	closedir(listing);
}

int device_enable(const char *folder, const char *device)
{
	int result = 0;
	int fd;

	if (device_number(folder, device, "enable") != 0)
		return 0; /* the kernel counts: once is enough */
	fd = device_open(folder, device, "enable", O_WRONLY);
	if (fd < 0)
		return fd;
	if (write(fd, "1", 1) < 0)
		result = failure_set(errno, "%s/%s/enable: %m", folder, device);
	close(fd);
	return result;
}

size_t device_bar_bytes(const char *folder, const char *device, const char *bar)
{
	int fd = device_open(folder, device, bar, O_RDWR);
	struct stat status = {0};

	if (fd < 0)
		return 0;
	if (fstat(fd, &status) < 0)
		status.st_size = 0;
	close(fd);
	return (size_t)status.st_size;
}
