/*
 * Inside of a guest, between guest.c (devices, session), plug.c (plugging them) and guest_command.c
 * (its QEMU's command line).
 */
#ifndef NETVM_MODULES_NF_GUEST_PARTS_H
#define NETVM_MODULES_NF_GUEST_PARTS_H

#include <limits.h>

#include "abi/guest.h"
#include "modules/guest/bell.h"
#include "modules/guest/ivshmem.h"
#include "modules/guest/monitor.h"
#include "modules/nf/guest.h"
#include "modules/nf/tell.h"

#define PATH_BYTES (PATH_MAX + 64)

/* Under emulation, on a machine with other things to do, too. */
#define PLUG_TIMEOUT_MS 20000

#define BELL_SOCKET "bell%u" /* number of the queue */

struct guest {
	struct guest_options options;
	char sockets[NETVM_NAME_BYTES]; /* their names stay when it is given to another owner */

	/* One QEMU's: made again for the next one. */
	int channel_fd;
	size_t channel_bytes;
	struct netvm_channel *channel; /* the header, for its state */
	unsigned n_vectors;
	int vector_fd[1 + NETVM_WORKERS_MAX];
	struct event *bell, *pause; /* vector 0; until it is listened to again */
	struct ivshmem *channel_device, *group_device;
	struct bell ring[NETVM_QUEUES_MAX]; /* ports into the guest, one per queue */
	struct monitor *monitor;
	struct listener monitor_socket; /* where its QEMU listens, unless it is somebody else's */
	struct agent *agent;            /* told it what to run; kept, see agent.h */
	bool is_here;                   /* QEMU has the channel */
	struct peer peer;
	char fault[64];

	bool is_leaving; /* the NF has been told; when it has left, the script runs */

	struct complaints complaints;

	struct event *renew;
	struct session *offered;  /* until somebody attaches */
	struct session *attached; /* the owner's */
};

void guest_offer_again(struct guest *guest);

/* Where that socket of a guest of this name lies: channel, group, bell0, ... */
void guest_socket_of(
	char path[PATH_BYTES], const struct manager *manager, const char *name, const char *what);
void guest_socket(char path[PATH_BYTES], const struct guest *guest, const char *what);

/* In the place of hooks->admit: rehearsal.c. */
attach_admit guest_admit_rehearsal;

/* For the monitor of a QEMU that has run for a while, perhaps with the devices of an earlier
 * daemon. */
void guest_plug_running(void *arg);

#endif
