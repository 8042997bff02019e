/*
 * How the channel and the group memory get into this process, and how each side wakes the other.
 * The handshake in the channel header and everything after it is the same for all transports; see
 * attachment.c, the only caller.
 *
 *   transport_socket.c   process or container: file descriptors over a Unix socket
 *   transport_pci.c      guest: BARs of two ivshmem devices, found in sysfs
 *   replay.c             no daemon at all: plain memory, the host's part played by replay.c
 *
 * Ownership: a transport owns its mappings and descriptors until close. Thread-safety: ring may be
 * called by all queue threads at once, doze by each for its own queue, the others on one thread.
 */
#ifndef NETVM_NETLIB_TRANSPORT_H
#define NETVM_NETLIB_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netvm/abi/channel.h>

struct transport;

struct transport_ops {
	/* Map at least the channel's header. On failure nothing is left behind. */
	int (*open)(struct transport *transport, const char *address);
	/*
	 * `hello` stands in the channel and state is HELLO: tell the host and wait for its answer.
	 * Returns 0 when the host refused (state says so) or is ready; then all fields below are
	 * valid.
	 */
	int (*greet)(struct transport *transport, unsigned n_queues);
	/* Ring the doorbell of a host worker. */
	void (*ring)(struct transport *transport, unsigned worker);
	/* Where `dozes` is set: make the queue's descriptor readable soon; it has been idle for so
	 * long. */
	void (*doze)(struct transport *transport, unsigned queue, uint64_t idle_ns);
	/* An NF asked for a destination that is not in the table. NULL: the table is all there is.
	 */
	void (*grant)(
		struct transport *transport, enum netvm_destination_kind kind, const char *name);
	/*
	 * What the host says after READY; all three NULL: it cannot. `waits`: 1 when a message is
	 * there, 0 when none is, -1 when the host is gone. `hear`: take it, SAVE or LOAD, with the
	 * descriptor that comes along. `say`: the answer.
	 */
	int (*waits)(struct transport *transport);
	int (*hear)(struct transport *transport, uint32_t *type, uint64_t *value, int *fd);
	int (*say)(struct transport *transport, uint32_t type, uint64_t value);
	void (*close)(struct transport *transport);
};

struct transport {
	const struct transport_ops *ops;
	struct netvm_channel *channel;
	size_t channel_bytes; /* of the object, measured, not said by the host */
	uint8_t *group;
	size_t group_bytes;
	unsigned n_bells;     /* after open: queues for which NETVM_FEATURE_BELL can be asked */
	bool dozes;           /* after greet: this host cannot ring, doze() ends a sleep */
	int channel_fd;       /* -1: none */
	int host_fd;          /* readable when the host is gone; -1: cannot go */
	unsigned n_queue_fds; /* 0: this transport has no doorbells */
	unsigned n_worker_fds;
	int queue_fd[NETVM_QUEUES_MAX];   /* readable when the host rings */
	int worker_fd[NETVM_WORKERS_MAX]; /* written to ring the host */
	struct pci *pci;                  /* transport_pci.c's own */
};

extern const struct transport_ops transport_socket;
extern const struct transport_ops transport_pci;

/* The folder of devices an address of the form "pci" or "pci:FOLDER" means; NULL: another form. */
const char *pci_folder(const char *address);
/* This machine has ivshmem devices. */
bool pci_present(void);

#endif
