/*
 * The command line of a guest's QEMU, and the same devices for libvirt. Called by
 * modules/nf/guest.c; pure functions, but for the measured clock.
 */
#ifndef NETVM_MODULES_GUEST_QEMU_H
#define NETVM_MODULES_GUEST_QEMU_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

#define QEMU_PORTS_MAX 16
#define QEMU_AGENT     "netvm.agent" /* the port of a pool's guest, see agent.h */

/* A port of its virtio-serial device: the guest knows it by its name. */
struct qemu_port {
	char name[32];
	const char *socket; /* where QEMU connects to the daemon */
};

/* Ids of the two devices, and of the slots they can be plugged into while the guest runs. */
#define QEMU_CHANNEL      "netvm-channel"
#define QEMU_GROUP        "netvm-group"
#define QEMU_CHANNEL_SLOT "netvm-slot0"
#define QEMU_GROUP_SLOT   "netvm-slot1"
#define QEMU_PORT         "netvm-port%u" /* what is behind the port of this queue */

/* The descriptor of the socket at which the monitor of a QEMU that the daemon starts listens. */
#define QEMU_MONITOR_FD 3

/* The largest memory that fits behind these slots. */
#define QEMU_PLUG_BYTES_MAX (UINT64_C(4) << 30)

/* What makes one guest. */
struct qemu_guest {
	const char *name;
	const char *service;
	const char *program;  /* QEMU's binary */
	const char *boot;     /* a folder of an image (vmlinux, initramfs, cmdline), or a disk */
	char *const *command; /* words for the NF inside, behind the kernel's --; NULL: the image
				 knows */
	const char *accel;    /* auto, kvm, tcg */
	unsigned memory_mb;
	unsigned vcpus;
	unsigned n_vectors;         /* of the channel's device */
	const char *channel_socket; /* where QEMU connects to the daemon */
	const char *group_socket;
	unsigned n_ports;
	struct qemu_port port[QEMU_PORTS_MAX];
	bool waits; /* a guest of a pool: slots are empty, init hears at QEMU_AGENT what to run */
	bool loads; /* what it is comes by migrate-incoming, not by booting */
};

/*
 * All words of the command line. New reference in *list. Errors: -ENOENT, -EINVAL what
 * `boot` names is no image; -E2BIG.
 */
int qemu_arguments(const struct qemu_guest *guest, json_t **list, struct error *error);

/* Only the devices that lead to the daemon, to be added to somebody else's command line. New
 * reference. */
json_t *qemu_devices(const struct qemu_guest *guest);

/* Only the slots that devices can be plugged into later. New reference. */
json_t *qemu_slots(void);

/* The same as elements of <devices> in a libvirt domain, a text. New reference. */
json_t *qemu_libvirt(const struct qemu_guest *guest);

/* Whether these words can be handed over on a kernel's command line. */
int qemu_check_command(char *const *argv, struct error *error);

#endif
