/*
 * The server of one ivshmem-doorbell device: hands a memory and doorbells to one QEMU at a time.
 * Called by modules/nf/guest.c.
 *
 *   QEMU ── connect ──► listener ── allowed? ──► version, id, memory, doorbells ──► connected()
 *                                                      │
 *        the guest rings: store of (1 << 16 | vector)  │     ◄── gone() at the end of the
 * connection in BAR 0 ──► eventfd of that vector           │
 *
 * Messages are 8 bytes, little-endian, some with one descriptor: protocol version 0; the guest's
 * id, 0; -1 and the memory; then 1, the id of the daemon, once per vector with its eventfd. QEMU
 * has nothing to say.
 *
 * The guest gets no vectors of its own: no stock guest kernel hands interrupts of this device to
 * user space (it is rung through a port, see bell.h), and the daemon never writes to a descriptor
 * it shares with QEMU, which could make it blocking. It does not read the eventfds either, where it
 * can help it; see modules/nf/guest.c.
 *
 * All that is sent fits into the socket's buffer, so nothing here waits.
 *
 * Source: QEMU, docs/specs/ivshmem-spec.txt, "Client-Server protocol" (versions 7.2 to 10.0).
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_GUEST_IVSHMEM_H
#define NETVM_MODULES_GUEST_IVSHMEM_H

#include <stdbool.h>

#include "common/error.h"
#include "modules/guest/listener.h"

#define IVSHMEM_GUEST_ID    0
#define IVSHMEM_DAEMON_ID   1
#define IVSHMEM_VECTORS_MAX 32u

struct ivshmem;

struct ivshmem_options {
	struct event_base *base;
	const char *path;
	int memory_fd; /* borrowed, as vector_fd; its size must be a power of two */
	unsigned n_vectors;
	int vector_fd[IVSHMEM_VECTORS_MAX];                    /* eventfds the guest can ring */
	bool (*allowed)(void *arg, const struct peer *peer);   /* to have the memory */
	void (*connected)(void *arg, const struct peer *peer); /* may be NULL */
	void (*gone)(void *arg);                               /* may close the device */
	void *arg;
};

/* Errors: -EINVAL the memory cannot be a BAR; as listener_open(). */
int ivshmem_open(
	const struct ivshmem_options *options, struct ivshmem **device, struct error *error);
/* NULL is fine. */
void ivshmem_close(struct ivshmem *device);

/* What a BAR needs: the next power of two, at least a page. */
size_t ivshmem_size(size_t bytes);

#endif
