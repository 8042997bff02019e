/*
 * tap: an interface of the kernel whose other end is this port. Called by the engine through
 * tap_driver.
 *
 *     host or namespace ── lan0 ║ read, write ── group buffers ── chain
 *
 * Packets are read into and written out of the group's buffers; the kernel completes checksums and
 * cuts super-packets before it hands them over, since the device is created without offloads. A
 * device deleted from outside reports errors for ever: its descriptor is then replaced by one that
 * is never readable, and the link is down.
 *
 * Source: Linux Documentation/networking/tuntap.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "modules/port/driver.h"
#include "modules/port/iface.h"
#include "modules/port/spec.h"

struct tap_queue {
	int fd;
	int spare_fd; /* never readable; takes the place of fd when the device is gone */
	bool gone;
	uint32_t room;
	uint64_t rx_errors;
	struct stash stash;
};

struct tap_options {
	char name[IFNAMSIZ];
	char netns[256];
	uint64_t queues;
	uint8_t mac[6];
};

struct tap_port {
	struct iface iface;
	struct tap_options options;
	unsigned n_queues;
	bool promiscuous;
	struct tap_queue queue[PORT_QUEUES_MAX];
};

static const struct spec_field tap_fields[] = {
	{"NAME", SPEC_TEXT, SPEC_REQUIRED, offsetof(struct tap_options, name), IFNAMSIZ},
	{"queues", SPEC_NUMBER, SPEC_OPTION, offsetof(struct tap_options, queues), 0, 1,
		PORT_QUEUES_MAX},
	{"netns", SPEC_TEXT, SPEC_OPTION, offsetof(struct tap_options, netns), 256},
	{"mac", SPEC_ADDRESS, SPEC_OPTION, offsetof(struct tap_options, mac)},
	{NULL},
};

/* ---- worker ---------------------------------------------------------------------------------- */

/* dup2() closes the tap, so that nobody who waits on the descriptor is woken any more. */
static void tap_gone(struct tap_queue *q)
{
	__atomic_store_n(&q->gone, true, __ATOMIC_RELAXED);
	dup2(q->spare_fd, q->fd);
}

/* Length of the packet read, 0 when there is none for this turn. */
static uint32_t read_packet(struct tap_queue *q, uint8_t *at)
{
	ssize_t length = read(q->fd, at, q->room);

	if (length > 0)
		return (uint32_t)length;
	if (length < 0 && errno != EAGAIN && errno != EINTR)
		tap_gone(q);
	return 0;
}

static unsigned tap_rx(struct port_queue *queue, uint64_t *words, unsigned max)
{
	struct tap_queue *q = queue->driver;
	struct stash *stash = &q->stash;
	struct buffer_pool *pool = queue->cache->pool;
	unsigned n = 0;

	if (q->gone)
		return 0;
	max = stash_fill(stash, queue->cache, max < DRIVER_BURST ? max : DRIVER_BURST);
	for (unsigned i = 0; i < max; i++) {
		uint64_t word = stash->word[stash->n - 1];
		uint32_t length = read_packet(q, buffer_data(pool, word));

		if (length == 0)
			break;
		/* A packet that fills all the room was cut there, or is longer than any MTU. */
		if (length == q->room) {
			driver_count(&q->rx_errors, 1);
			continue;
		}
		stash->n--;
		buffer_state(pool, word)->owner = OWNER_ENGINE;
		words[n++] = netvm_desc_set_extent(word, pool->headroom, length);
	}
	return n;
}

static unsigned tap_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	struct tap_queue *q = queue->driver;
	struct buffer_pool *pool = queue->cache->pool;
	unsigned i;

	if (__atomic_load_n(&q->gone, __ATOMIC_RELAXED))
		return 0;
	for (i = 0; i < n; i++) {
		ssize_t length =
			write(q->fd, buffer_data(pool, words[i]), netvm_desc_length(words[i]));

		/* EINVAL: this packet cannot be one. Else the device is full, down or gone. */
		if (length < 0) {
			queue->refused = errno == EINVAL;
			break;
		}
	}
	buffer_free(queue->cache, words, i);
	return i;
}

static int tap_wait_fd(struct port_queue *rx_queue)
{
	return ((struct tap_queue *)rx_queue->driver)->fd;
}

/* ---- control --------------------------------------------------------------------------------- */

static void tap_info(struct port *port, struct port_info *info)
{
	struct tap_port *tap = port->driver;

	memset(info, 0, sizeof(*info));
	iface_info(&tap->iface, info);
	info->promiscuous = tap->promiscuous;
	info->rx_missed = iface_tx_dropped(&tap->iface);
	for (unsigned i = 0; i < tap->n_queues; i++)
		info->rx_errors += driver_counted(&tap->queue[i].rx_errors);
	snprintf(info->detail, sizeof(info->detail), "TAP %s, ifindex %d, %u queue%s",
		tap->options.name, tap->iface.index, tap->n_queues, tap->n_queues > 1 ? "s" : "");
}

static int tap_set_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	struct tap_port *tap = port->driver;
	/* One byte of the room tells whole packets from cut ones. */
	int err = iface_check_mtu(port->pool, buffer_room(port->pool) - 1, mtu, error);

	if (!err)
		err = iface_set_mtu(&tap->iface, mtu, error);
	if (!err)
		port->frame_bytes_max = mtu + IFACE_FRAME_EXTRA;
	return err;
}

/* The port gets everything the kernel sends into the interface; there is nothing to filter. */
static int tap_set_promiscuous(struct port *port, bool on, struct error *error)
{
	(void)error;
	((struct tap_port *)port->driver)->promiscuous = on;
	return 0;
}

/* The cable: what the other side sees as carrier. */
static int tap_set_link(struct port *port, bool up, struct error *error)
{
	struct tap_port *tap = port->driver;
	int carrier = up;

	if (ioctl(tap->queue[0].fd, TUNSETCARRIER, &carrier) == 0)
		return 0;
	return error_set(error, ENODEV, "up", "remove the port and add it again",
		"the interface %s is gone", tap->options.name);
}

static void close_queue(struct tap_queue *q)
{
	if (q->fd >= 0)
		close(q->fd);
	if (q->spare_fd >= 0)
		close(q->spare_fd);
}

static void tap_close(struct port *port)
{
	struct tap_port *tap = port->driver;

	if (!tap)
		return;
	if (port->made && !port->stays)
		ioctl(tap->queue[0].fd, TUNSETPERSIST, 0);
	for (unsigned i = 0; i < tap->n_queues; i++) {
		struct tap_queue *q = &tap->queue[i];

		stash_return_all(&q->stash, port->pool);
		close_queue(q);
	}
	iface_close(&tap->iface);
	free(tap);
	port->driver = NULL;
}

static int attach_failed(const struct tap_port *tap, struct error *error)
{
	int code = errno;
	const char *hint = "TAP devices need /dev/net/tun (modprobe tun) and CAP_NET_ADMIN";

	if (code == EBUSY)
		hint = "another program has it open";
	if (code == EINVAL)
		hint = "it exists and is no TAP device, or has another number of queues; use "
		       "another "
		       "name or ip link del it";
	return error_set(error, code, "spec", hint, "cannot open TAP %s: %s", tap->options.name,
		strerror(code));
}

/* Called inside the namespace: the device is made in the one its descriptor was opened in. */
static int attach_queue(struct tap_port *tap, struct tap_queue *q, struct error *error)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	if (tap->n_queues > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, tap->options.name, IFNAMSIZ);
	q->spare_fd = epoll_create1(EPOLL_CLOEXEC); /* empty: nothing ever happens on it */
	q->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (q->fd < 0 || q->spare_fd < 0 || ioctl(q->fd, TUNSETIFF, &ifr) != 0)
		return attach_failed(tap, error);
	return 0;
}

/*
 * A device of its own would end with the daemon, and addresses and routes with it: it shall stay
 * while the daemon is away. One that stayed before, and not after an earlier daemon, is somebody
 * else's.
 */
static int make_stay(struct port *port, bool inherited, struct error *error)
{
	struct tap_port *tap = port->driver;
	struct ifreq ifr = {.ifr_flags = 0};

	if (ioctl(tap->queue[0].fd, TUNGETIFF, &ifr))
		return attach_failed(tap, error);
	port->made = inherited || !(ifr.ifr_flags & IFF_PERSIST);
	if (!port->made || ioctl(tap->queue[0].fd, TUNSETPERSIST, 1) == 0)
		return 0;
	return attach_failed(tap, error);
}

static int attach_queues(struct tap_port *tap, struct error *error)
{
	int err = iface_enter(&tap->iface, error);

	if (err)
		return err;
	for (unsigned i = 0; i < tap->n_queues && !err; i++)
		err = attach_queue(tap, &tap->queue[i], error);
	iface_leave(&tap->iface);
	return err;
}

/* Any number of queues may write to one descriptor. */
static void set_queues(struct port *port, const struct port_config *config)
{
	struct tap_port *tap = port->driver;

	port->n_rx_queues = tap->n_queues;
	port->n_tx_queues = driver_queues(config->n_tx_queues);
	for (unsigned i = 0; i < port->n_rx_queues; i++) {
		tap->queue[i].room = buffer_room(port->pool);
		port->rx[i].driver = &tap->queue[i];
	}
	for (unsigned i = 0; i < port->n_tx_queues; i++)
		port->tx[i].driver = &tap->queue[i % tap->n_queues];
}

static int set_device(struct port *port, const struct port_config *config, struct error *error)
{
	static const uint8_t none[6];
	struct tap_port *tap = port->driver;
	int err = iface_find(&tap->iface, tap->options.name, error);

	if (!err && memcmp(tap->options.mac, none, 6) != 0)
		err = iface_set_mac(&tap->iface, tap->options.mac, error);
	if (!err)
		err = tap_set_mtu(
			port, config->mtu ? config->mtu : (uint32_t)iface_mtu(&tap->iface), error);
	if (!err)
		err = iface_set_up(&tap->iface, true, error);
	return err;
}

static int tap_open(struct port *port, const struct port_config *config, struct error *error)
{
	struct tap_port *tap = calloc(1, sizeof(*tap));
	int err;

	if (!tap)
		return error_set(error, ENOMEM, "", "", "out of memory");
	tap->iface = IFACE_NONE;
	for (unsigned i = 0; i < PORT_QUEUES_MAX; i++)
		tap->queue[i].fd = tap->queue[i].spare_fd = -1;
	port->driver = tap;
	port->pool = config->pool;
	tap->promiscuous = config->promiscuous;
	tap->options.queues = driver_queues(config->n_rx_queues);
	err = spec_parse(config->args, tap_fields, tap_driver.usage, &tap->options, error);
	tap->n_queues = (unsigned)tap->options.queues;
	if (!err)
		err = iface_check_name(tap->options.name, error);
	if (!err)
		err = iface_open(&tap->iface, NULL, tap->options.netns, error);
	if (!err)
		err = attach_queues(tap, error);
	if (!err)
		err = make_stay(port, config->inherited, error);
	if (!err)
		err = set_device(port, config, error);
	if (err)
		tap_close(port);
	else
		set_queues(port, config);
	return err;
}

/* Inside the namespace. It was made for one queue or for several, and only so it can be attached.
 */
static void remove_device(struct tap_port *tap)
{
	struct error ignored = {0};
	bool attached = false;

	for (tap->n_queues = 1; tap->n_queues <= 2 && !attached; tap->n_queues++) {
		struct tap_queue *q = &tap->queue[0];

		attached = attach_queue(tap, q, &ignored) == 0;
		if (attached)
			ioctl(q->fd, TUNSETPERSIST, 0);
		close_queue(q);
	}
}

static void tap_remove(const char *args)
{
	struct tap_port tap = {.iface = IFACE_NONE};
	struct error ignored = {0};

	if (spec_parse(args, tap_fields, tap_driver.usage, &tap.options, &ignored) ||
		iface_open(&tap.iface, NULL, tap.options.netns, &ignored))
		return;
	if (iface_find(&tap.iface, tap.options.name, &ignored) == 0 &&
		iface_enter(&tap.iface, &ignored) == 0) {
		remove_device(&tap);
		iface_leave(&tap.iface);
	}
	iface_close(&tap.iface);
}

const struct port_driver tap_driver = {
	.kind = "tap",
	.usage = "tap:NAME[,queues=N,netns=NAME,mac=ADDRESS]",
	.help = "makes an interface of the kernel; what the host sends into it comes in here",
	.exclusive = true,
	.open = tap_open,
	.close = tap_close,
	.info = tap_info,
	.set_mtu = tap_set_mtu,
	.set_promiscuous = tap_set_promiscuous,
	.set_link = tap_set_link,
	.remove = tap_remove,
	.rx = tap_rx,
	.tx = tap_tx,
	.wait_fd = tap_wait_fd,
};
