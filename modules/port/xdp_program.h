/*
 * The XDP program that sends the packets of an interface to AF_XDP sockets. Called by the driver
 * af_xdp on the control thread, inside the namespace of the interface.
 *
 * Packets of queues that have a socket in the map go there, the others on to the kernel. The
 * program hangs on a link that only our descriptor holds: it goes with the process.
 */
#ifndef NETVM_MODULES_PORT_XDP_PROGRAM_H
#define NETVM_MODULES_PORT_XDP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct xdp_program {
	int map_fd, program_fd, link_fd;
	bool native; /* in the driver; else generic, behind it */
};

#define XDP_PROGRAM_NONE ((struct xdp_program){.map_fd = -1, .program_fd = -1, .link_fd = -1})

/* For queues below `n_queues`. After a failure close() is still needed. */
int xdp_program_open(struct xdp_program *program, int ifindex, const char *name, uint32_t n_queues,
	struct error *error);
void xdp_program_close(struct xdp_program *program);

/* 0 or -errno. The socket leaves the map when it is closed. */
int xdp_program_add(struct xdp_program *program, uint32_t queue, int socket_fd);

#endif
