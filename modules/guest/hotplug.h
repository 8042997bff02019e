/*
 * The steps by which the two devices, and whole guests, get into and out of a running QEMU. Called
 * by modules/nf/guest.c and spare.c; what runs them is script.h.
 *
 *   plug      chardev-add, device_add           behind the slots of qemu_slots(), one device each
 *   unplug    device_del ... DEVICE_DELETED     the guest lets go; its NF has left before
 *   port      chardev-change                    the daemon at its other end is another one
 *   save      stop, getfd, migrate              into a file, or to a QEMU that loads
 *   load      getfd, migrate-incoming           of a QEMU started with `-incoming defer`
 *
 * A QEMU with an ivshmem device neither saves nor loads: its memory is the host's. So a guest is
 * unplugged before and plugged after.
 *
 * Source: QEMU, docs/pcie.txt, docs/devel/migration.rst, qapi/migration.json.
 */
#ifndef NETVM_MODULES_GUEST_HOTPLUG_H
#define NETVM_MODULES_GUEST_HOTPLUG_H

#include <stdbool.h>

#include "modules/guest/script.h"

struct hotplug {
	const char *channel_socket;
	const char *group_socket;
	unsigned n_vectors; /* of the channel's device */
};

void hotplug_plug(struct script *script, const struct hotplug *devices);
/* The virtio-serial port of this queue leads to this socket from now on, if there is such a port.
 */
void hotplug_port(struct script *script, unsigned queue, const char *socket);
/* Also when they are not there, or in part. */
void hotplug_unplug(struct script *script);

/* Take over `fd`. */
void hotplug_save(struct script *script, int fd, bool running);
void hotplug_load(struct script *script, int fd);

#endif
