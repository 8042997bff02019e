/*
 * Network interfaces of the kernel, in this or a named network namespace: what a port needs to
 * know and to set. Called by the drivers tap, af_packet, af_xdp and dpdk on the control thread.
 *
 * An interface is remembered by its index, so that a rename does not lose it; once it is deleted
 * every function here says -ENODEV.
 *
 * Thread-safety: control thread only. iface_enter() moves the calling thread into the namespace of
 * the interface until iface_leave(); sockets made in between belong to it for good.
 */
#ifndef NETVM_MODULES_PORT_IFACE_H
#define NETVM_MODULES_PORT_IFACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "engine/port.h"

/* Ethernet header and two VLAN tags, the most that comes on top of the MTU here. */
#define IFACE_FRAME_EXTRA 22u

struct iface {
	int fd;       /* control socket in the namespace of the interface */
	int netns_fd; /* the namespace, -1: the daemon's own */
	int home_fd;  /* where to return to, while inside */
	int index;    /* 0: not looked up yet */
};

#define IFACE_NONE ((struct iface){.fd = -1, .netns_fd = -1, .home_fd = -1})

/* Name of an interface: 1 to 15 characters without blanks, '/', ':' and '%'. */
int iface_check_name(const char *name, struct error *error);

/*
 * Open the namespace (NULL or "": ours) and look up the interface; `name` NULL: only the
 * namespace, iface_find() follows. On failure nothing is left open.
 */
int iface_open(struct iface *iface, const char *name, const char *netns, struct error *error);
int iface_find(struct iface *iface, const char *name, struct error *error);
void iface_close(struct iface *iface);

int iface_enter(struct iface *iface, struct error *error);
void iface_leave(struct iface *iface);

/*
 * -EBUSY when the interface carries an IP address or the default route, so that taking it would cut
 * the host off. IPv6 link-local addresses do not count: every interface gets one by itself.
 */
int iface_check_free(struct iface *iface, struct error *error);

/* -EINVAL when frames of that MTU do not fit the group's buffers, naming buffer_bytes. */
int iface_check_mtu(
	const struct buffer_pool *pool, uint32_t room_bytes, uint32_t mtu, struct error *error);

/* MAC, MTU, link, promiscuity and speed of `info`. All zero and link down once it is deleted. */
void iface_info(const struct iface *iface, struct port_info *info);
int iface_mtu(const struct iface *iface); /* or -errno */
int iface_set_mtu(const struct iface *iface, uint32_t mtu, struct error *error);
int iface_set_up(const struct iface *iface, bool up, struct error *error);
int iface_set_mac(const struct iface *iface, const uint8_t mac[6], struct error *error);

/* Does the device take VLAN tags out of packets? set() returns the state before, or -errno. */
bool iface_strips_tags(const struct iface *iface);
int iface_set_strip_tags(const struct iface *iface, bool on);

/* Name of the kernel driver ("veth"), "" when it has none. */
void iface_driver(const struct iface *iface, char name[32]);
/* Receive queues in use; 1 when the driver does not say. */
unsigned iface_rx_queues(const struct iface *iface);
/* Packets the kernel dropped on their way out of the interface. */
uint64_t iface_tx_dropped(struct iface *iface);

#endif
