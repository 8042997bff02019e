/*
 * The ivshmem devices of a guest as sysfs shows them: a folder of folders, a file for each
 * property. Called by transport_pci.c and ports.c, while they attach.
 */
#ifndef NETVM_NETLIB_DEVICES_H
#define NETVM_NETLIB_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICES_MAX 16u
#define NAME_BYTES  64u

#define DEVICE_TEXT_BYTES 64u

/* Names of the ivshmem devices. */
struct devices {
	unsigned n;
	char name[DEVICES_MAX][NAME_BYTES];
};

void devices_list(const char *folder, struct devices *devices);

/* A descriptor of the device's file, or -errno, told by failure_set(). */
int device_open(const char *folder, const char *device, const char *file, int flags);

/* What the file begins with; "" when it cannot be read. */
void device_text(
	const char *folder, const char *device, const char *file, char text[DEVICE_TEXT_BYTES]);

/* The first number of a file of hexadecimal numbers; 0 when there is none. */
uint64_t device_number(const char *folder, const char *device, const char *file);

/* Let it answer to reads and writes of its memory; that is all the driver it needs. */
int device_enable(const char *folder, const char *device);

/* Of a file like "resource2"; 0: it cannot be opened. */
size_t device_bar_bytes(const char *folder, const char *device, const char *bar);

#endif
