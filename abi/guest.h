/*
 * How a guest gets its two memory objects: two stock QEMU devices, ivshmem-doorbell. The host is
 * their ivshmem server (QEMU, docs/specs/ivshmem-spec.txt) on one Unix socket per device.
 *
 *            channel device                         group device
 *   BAR 0    registers, the doorbell among them     (not used)
 *   BAR 2    the channel                            the group memory
 *   server   version 0, ID 0, -1 + memfd,           version 0, ID 0, -1 + memfd
 *            then 1 + eventfd for each vector
 *
 * The guest is peer 0, the host peer 1. The size of BAR 2 is the memfd's: a power of two, since
 * QEMU takes no other, and at least layout.channel_bytes or layout.group_bytes. The channel has its
 * full size from the start, so nothing but `state` moves in the handshake:
 *
 *   NF in the guest                             host
 *    |  finds the channel: BAR 2 starts with     |  state OFFERED before QEMU gets the memfd
 *    |    NETVM_CHANNEL_MAGIC, state OFFERED     |
 *    |  fills hello, state = HELLO               |
 *    | ---- doorbell, NETVM_GUEST_STATE -------> |  copies hello, checks the copy
 *    |  looks at state now and then              |  fills answer and layout; READY or REFUSED
 *    |  finds the group memory: the smallest     |
 *    |    other BAR 2 that holds group_bytes     |
 *    |                ...                        |
 *    |  state = GONE                             |
 *    | ---- doorbell, NETVM_GUEST_STATE -------> |
 *
 * A guest's doorbells are ports of a stock virtio-serial device, one per queue, named
 * NETVM_GUEST_BELL and the queue's number in decimal. An NF that has opened those of all its queues
 * asks for NETVM_FEATURE_BELL. Granted, it sleeps as a process does, by tickets: the host writes
 * one byte, of any value, to the port; one that does not fit need not, since the bell rings
 * already. Without, or in a guest without ports, an NF that sleeps looks at its rings again within
 * 2 ms, and its tickets stay 0. The other way, from the guest, the port of queue 0 carries its last
 * words: who started the NF may write its exit status there, as a shell knows it, in decimal, as a
 * line.
 *
 * There is no connection to end: the host's side is gone when `state` is no longer READY, or when a
 * port says so. Who attaches holds an exclusive lock (flock) on the file through which it maps the
 * channel. The kernel gives the lock back however an NF ends; so who gets it, and finds a state
 * other than OFFERED, may store GONE for the NF before it, ring NETVM_GUEST_STATE, and wait for
 * OFFERED. Unplug the devices only after GONE: whoever touches a BAR that is no more is ended by
 * SIGBUS.
 */
#ifndef NETVM_ABI_GUEST_H
#define NETVM_ABI_GUEST_H

#include <stdint.h>

#define NETVM_GUEST_PCI_VENDOR 0x1af4u
#define NETVM_GUEST_PCI_DEVICE 0x1110u

#define NETVM_GUEST_DOORBELL 12u /* BAR 0: 32-bit register, written with what follows */

/* The value that makes the eventfd of this vector readable at peer 1, the host. */
#define NETVM_GUEST_RING(vector) (UINT32_C(1) << 16 | (uint32_t)(vector))

/* Vectors of the channel device: `state` has changed; worker w shall wake up. */
#define NETVM_GUEST_STATE     0u
#define NETVM_GUEST_WORKER(w) (1u + (w))

#define NETVM_GUEST_BELL "netvm.bell." /* + queue: name of a port */

#endif
