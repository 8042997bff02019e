/* The doorbells of a guest: virtio-serial ports. Called by transport_pci.c. */
#ifndef NETVM_NETLIB_PORTS_H
#define NETVM_NETLIB_PORTS_H

#include <netvm/abi/channel.h>

/*
 * Open the ports of the queues 0, 1, ... for reading without blocking; they become readable when
 * the host rings. `class` is sysfs's folder of ports, `nodes` that of their device files. Returns
 * how many there are without a gap; 0 also in a guest without such ports, which is no error.
 */
unsigned ports_open(const char *class, const char *nodes, int fd[NETVM_QUEUES_MAX]);

#endif
