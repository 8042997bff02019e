/*
 * Ports: where packets enter or leave the host. This header is what a port driver implements.
 *
 * A driver is one file (modules/port/<kind>.c) with a `const struct port_driver`, listed in
 * modules/port/drivers.c. Control functions run on the manager's thread; rx and tx run on the
 * worker that owns the queue, never two at a time on one queue, and never before open returned or
 * after close was called. rx and tx must not allocate, log, lock or block; a system call per burst
 * is what kernel ports cost.
 *
 * Buffers: rx takes buffers from the worker's cache, fills them and hands them over as words with
 * offset and length set and owner ENGINE; it sets nothing else of their state. tx takes words over:
 * those it accepts (a prefix of the burst) it must give back with buffer_free(), now or when the
 * device is done with them (owner PORT meanwhile; `complete` is called every turn for that). The
 * engine counts and frees the rest. When tx stops at a packet that can never be sent, not because
 * the device is full, it sets `refused`: the engine drops that one and goes on with the next.
 */
#ifndef NETVM_ENGINE_PORT_H
#define NETVM_ENGINE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/channel.h"
#include "common/error.h"
#include "engine/buffers.h"

#define PORT_QUEUES_MAX NETVM_WORKERS_MAX

/* What a port can do and does, told truthfully. */
enum port_offload {
	PORT_OFFLOAD_RX_CHECKSUM = 1u << 0, /* bad checksums are seen and counted by the device */
	PORT_OFFLOAD_TX_CHECKSUM = 1u << 1,
	PORT_OFFLOAD_RX_VLAN = 1u << 2, /* tags are taken out of the packet */
	PORT_OFFLOAD_TSO = 1u << 3,     /* super-packets are accepted from the kernel and cut */
	PORT_OFFLOAD_RSS = 1u << 4,     /* the device spreads flows over queues */
};

struct port_info {
	uint8_t mac[6];
	bool link_up;
	bool promiscuous;
	uint32_t mtu;        /* payload bytes of an Ethernet frame */
	uint32_t speed_mbps; /* 0 unknown */
	uint32_t offloads;   /* enum port_offload, in force */
	uint32_t offloads_available;
	uint64_t rx_missed; /* lost before the engine could take them: kernel or device ring full */
	uint64_t rx_errors; /* malformed, too long for a buffer */
	uint64_t tx_errors;
	char detail[64]; /* e.g. "AF_XDP copy mode, ifindex 3" */
};

struct port_config {
	const char *name;
	const char *args; /* behind "kind:" of the spec */
	struct buffer_pool *pool;
	unsigned n_rx_queues; /* wanted; the driver may give fewer */
	unsigned n_tx_queues;
	uint32_t mtu; /* 0: leave as it is */
	bool promiscuous;
	bool force;     /* take an interface that carries an address or the default route */
	bool inherited; /* an earlier daemon had it open by the same arguments, and left it */
};

struct port_queue {
	void *driver;               /* the driver's queue state */
	struct buffer_cache *cache; /* of the owning worker, set by the engine before rx/tx */
	bool refused;               /* set by tx, cleared by the engine */
};

struct port {
	const struct port_driver *ops;
	void *driver; /* the driver's port state */
	struct buffer_pool *pool;
	char name[NETVM_NAME_BYTES];
	uint16_t number;
	unsigned n_rx_queues; /* what open gave */
	unsigned n_tx_queues;
	/*
	 * Set by open when what comes in can wait (a file, a generator without a rate): the engine
	 * then takes only what the chains have room for, so that nothing of it is lost to overload.
	 */
	bool waits;
	bool made;  /* set by open: it made something in the kernel that outlives the process */
	bool stays; /* set before close: that shall stay, for the next daemon */
	uint32_t frame_bytes_max; /* longest frame that tx takes; set by open and set_mtu */
	struct port_queue rx[PORT_QUEUES_MAX];
	struct port_queue tx[PORT_QUEUES_MAX];
};

struct port_driver {
	const char *kind;  /* "tap" */
	const char *usage; /* "tap:NAME[,queues=N]" */
	const char *help;  /* one line */
	bool exclusive;    /* no two ports with the same spec: each would get all of the other's */

	/* control thread */
	int (*open)(struct port *port, const struct port_config *config, struct error *error);
	void (*close)(struct port *port);
	void (*info)(struct port *port, struct port_info *info);
	int (*set_mtu)(struct port *port, uint32_t mtu, struct error *error);
	int (*set_promiscuous)(struct port *port, bool on, struct error *error);
	int (*set_link)(struct port *port, bool up, struct error *error);

	/*
	 * Take away what a daemon that was killed made by these arguments. NULL: what this kind of
	 * port makes ends with the process.
	 */
	void (*remove)(const char *args);

	/* owning worker */
	unsigned (*rx)(struct port_queue *queue, uint64_t *words, unsigned max);
	unsigned (*tx)(struct port_queue *queue, const uint64_t *words, unsigned n);
	/*
	 * True: something is left that the device takes only when asked again, so an idle worker
	 * does every millisecond. NULL: nothing is ever outstanding.
	 */
	bool (*complete)(struct port_queue *tx_queue);

	/*
	 * File descriptor that is readable when rx has something, or -1: then an idle worker looks
	 * again every millisecond. May differ per rx queue.
	 */
	int (*wait_fd)(struct port_queue *rx_queue);
};

extern const struct port_driver *const port_drivers[]; /* NULL-terminated */

#endif
