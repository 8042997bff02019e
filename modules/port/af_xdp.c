/*
 * af_xdp: an interface of the kernel taken over below its network stack, with the group's memory as
 * the umem: in zero-copy mode the device writes straight into group buffers, else the kernel copies
 * once into them. Called by the engine through af_xdp_driver.
 *
 *              ┌─ fill ◄── empty buffers ─┐            slot            chunk (what the umem sees)
 *     device ──┤                          │ one umem   |meta 64|256 XDP headroom | packet ...
 *              ├─ rx ────► packets        │ per queue          ^ address in fill
 *              ├─ tx ◄──── packets        │
 *              └─ completion ► sent ──────┘
 *
 * Slots are no power of two apart, so chunks are unaligned: an address is any byte of the umem. A
 * chunk is a slot without its metadata line, a page at most (the kernel's limit). Every queue
 * registers the group's memory anew instead of sharing one umem: ports of a group then come and go
 * without knowing of each other, and a packet received by one is sent by another as it is.
 *
 * A veth or TAP hands over packets of local senders before their checksum is complete, and nothing
 * says so: frame_repair() finds and completes them.
 *
 * Thread-safety: rx with fill, and tx with completion, have no state in common.
 *
 * Source: Linux Documentation/networking/af_xdp.rst.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "modules/port/driver.h"
#include "modules/port/frame.h"
#include "modules/port/iface.h"
#include "modules/port/spec.h"
#include "modules/port/xdp_program.h"

#define RING_WORDS_MIN  64u /* a queue holds up to one ring of empty and one of filled buffers, */
#define RING_WORDS_MAX  2048u
#define POOL_SHARE      8u    /* of the group's, so at most a quarter of them */
#define REFILL          32u   /* buffers lent at a time */
#define CHUNK_BYTES_MIN 2048u /* the kernel's limits */
#define CHUNK_BYTES_MAX 4096u
#define XDP_HEADROOM    256u /* the kernel keeps so much in front of a packet */
#define TX_BATCH        32u  /* the kernel sends so many per call in copy mode */
#define TAG_BYTES       4u

#define OPEN_TRIES      500 /* a closed socket keeps its queue busy for some milliseconds */
#define DRAIN_TRIES     50
#define TRY_INTERVAL_NS 1000000

struct xdp_queue {
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	int fd;
	bool repair; /* checksums may be partial */
	bool zero_copy;
	struct loan *loan;
	struct xsk_ring_prod fill __attribute__((aligned(64)));
	struct xsk_ring_cons rx;
	struct xsk_ring_prod tx __attribute__((aligned(64)));
	struct xsk_ring_cons completion;
};

struct xdp_settings {
	char name[IFNAMSIZ];
	char netns[256];
	uint64_t queue;
};

struct xdp_port {
	struct iface iface;
	struct xdp_settings options;
	struct loan loan;
	unsigned n_queues;
	struct xdp_program program;
	int promiscuous_fd; /* a packet socket that receives nothing */
	bool promiscuous;
	bool stripped_tags; /* before us; put back at close */
	struct xdp_queue queue[PORT_QUEUES_MAX];
};

#define ANY_QUEUE UINT64_MAX

static const struct spec_field xdp_fields[] = {
	{"IFACE", SPEC_TEXT, SPEC_REQUIRED, offsetof(struct xdp_settings, name), IFNAMSIZ},
	{"queue", SPEC_NUMBER, SPEC_OPTION, offsetof(struct xdp_settings, queue), 0, 0, 1023},
	{"netns", SPEC_TEXT, SPEC_OPTION, offsetof(struct xdp_settings, netns), 256},
	{NULL},
};

/* ---- worker: receiving ----------------------------------------------------------------------- */

static inline uint32_t index_of(const struct buffer_pool *pool, uint64_t address)
{
	return (uint32_t)(address / pool->stride);
}

/* Lend empty buffers, so that the fill ring stays full. */
static void refill(struct xdp_queue *q, struct buffer_cache *cache)
{
	uint64_t words[REFILL];
	uint32_t at;
	unsigned n;

	if (xsk_prod_nb_free(&q->fill, REFILL) < REFILL)
		return;
	n = buffer_alloc(cache, words, REFILL);
	if (n == 0 || xsk_ring_prod__reserve(&q->fill, n, &at) != n)
		return;
	for (unsigned i = 0; i < n; i++) {
		uint32_t index = netvm_desc_index(words[i]);

		loan_out(q->loan, index);
		*xsk_ring_prod__fill_addr(&q->fill, at + i) =
			(uint64_t)index * cache->pool->stride + NETVM_META_BYTES;
	}
	xsk_ring_prod__submit(&q->fill, n);
}

static uint64_t take_packet(
	struct xdp_queue *q, struct buffer_pool *pool, const struct xdp_desc *desc)
{
	uint64_t slot = xsk_umem__extract_addr(desc->addr);
	uint32_t index = index_of(pool, slot);
	uint32_t offset = (uint32_t)(xsk_umem__add_offset_to_addr(desc->addr) -
				     (uint64_t)index * pool->stride);

	if (q->repair)
		frame_repair(pool->base + (size_t)index * pool->stride + offset, desc->len);
	return loan_receive(q->loan, index, offset, desc->len);
}

static unsigned xdp_rx(struct port_queue *queue, uint64_t *words, unsigned max)
{
	struct xdp_queue *q = queue->driver;
	uint32_t at;
	unsigned n = xsk_ring_cons__peek(&q->rx, max, &at);

	for (unsigned i = 0; i < n; i++)
		words[i] =
			take_packet(q, queue->cache->pool, xsk_ring_cons__rx_desc(&q->rx, at + i));
	if (n > 0)
		xsk_ring_cons__release(&q->rx, n);
	refill(q, queue->cache);
	if (xsk_ring_prod__needs_wakeup(&q->fill))
		recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	return n;
}

static int xdp_wait_fd(struct port_queue *rx_queue)
{
	return ((struct xdp_queue *)rx_queue->driver)->fd;
}

/* ---- worker: sending ------------------------------------------------------------------------- */

static bool all_taken(const struct xdp_queue *q)
{
	return __atomic_load_n(q->tx.consumer, __ATOMIC_ACQUIRE) ==
	       __atomic_load_n(q->tx.producer, __ATOMIC_RELAXED);
}

/* In copy mode the kernel sends within the call, a batch at a time. */
static void kick(struct xdp_queue *q, unsigned n)
{
	for (unsigned i = 0; i <= n / TX_BATCH && !all_taken(q); i++)
		if (sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN)
			break;
}

/* Take back what was sent, and see to what an earlier call left over. */
static bool xdp_complete(struct port_queue *queue)
{
	struct xdp_queue *q = queue->driver;
	struct buffer_pool *pool = queue->cache->pool;
	uint64_t words[BUFFER_BURST_MAX];
	uint32_t at;
	unsigned n = xsk_ring_cons__peek(&q->completion, BUFFER_BURST_MAX, &at);

	for (unsigned i = 0; i < n; i++)
		words[i] = loan_back(
			q->loan, index_of(pool, *xsk_ring_cons__comp_addr(&q->completion, at + i)));
	if (n > 0) {
		xsk_ring_cons__release(&q->completion, n);
		buffer_free(queue->cache, words, n);
	}
	if (xsk_ring_prod__needs_wakeup(&q->tx))
		kick(q, 0);
	return !all_taken(q);
}

static unsigned xdp_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	struct xdp_queue *q = queue->driver;
	uint32_t room = xsk_prod_nb_free(&q->tx, n), at;

	if (n > room)
		n = room;
	if (n > 0 && xsk_ring_prod__reserve(&q->tx, n, &at) == n) {
		for (unsigned i = 0; i < n; i++) {
			struct xdp_desc *desc = xsk_ring_prod__tx_desc(&q->tx, at + i);
			uint32_t index = netvm_desc_index(words[i]);

			loan_out(q->loan, index);
			desc->addr = (uint64_t)index * q->loan->pool->stride +
				     netvm_desc_offset(words[i]);
			desc->len = netvm_desc_length(words[i]);
			desc->options = 0;
		}
		xsk_ring_prod__submit(&q->tx, n);
	}
	if (xsk_ring_prod__needs_wakeup(&q->tx))
		kick(q, n);
	return n;
}

/* ---- control: state -------------------------------------------------------------------------- */

static void add_statistics(const struct xdp_queue *q, struct port_info *info)
{
	struct xdp_statistics stats = {0};
	socklen_t size = sizeof(stats);

	if (getsockopt(q->fd, SOL_XDP, XDP_STATISTICS, &stats, &size) != 0)
		return;
	info->rx_missed += stats.rx_dropped + stats.rx_ring_full;
	info->rx_errors += stats.rx_invalid_descs;
	info->tx_errors += stats.tx_invalid_descs;
}

static void xdp_info(struct port *port, struct port_info *info)
{
	struct xdp_port *xdp = port->driver;

	memset(info, 0, sizeof(*info));
	iface_info(&xdp->iface, info);
	info->promiscuous |= xdp->promiscuous;
	info->offloads = info->offloads_available = xdp->n_queues > 1 ? PORT_OFFLOAD_RSS : 0;
	if (iface_strips_tags(&xdp->iface))
		info->offloads |= PORT_OFFLOAD_RX_VLAN;
	for (unsigned i = 0; i < xdp->n_queues; i++)
		add_statistics(&xdp->queue[i], info);
	snprintf(info->detail, sizeof(info->detail), "AF_XDP %s, %s XDP, %u queue%s, ifindex %d",
		xdp->queue[0].zero_copy ? "zero copy" : "copy mode",
		xdp->program.native ? "native" : "generic", xdp->n_queues,
		xdp->n_queues > 1 ? "s" : "", xdp->iface.index);
}

static uint32_t chunk_bytes(const struct buffer_pool *pool)
{
	uint32_t bytes = pool->stride - NETVM_META_BYTES;

	return bytes < CHUNK_BYTES_MAX ? bytes : CHUNK_BYTES_MAX;
}

static int xdp_check_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	uint32_t room = chunk_bytes(port->pool) - XDP_HEADROOM;
	int err;

	if (mtu > CHUNK_BYTES_MAX - XDP_HEADROOM - IFACE_FRAME_EXTRA)
		return error_set(error, EINVAL, "mtu", "use af_packet or dpdk for jumbo frames",
			"AF_XDP cannot receive frames of mtu %u: at most %u", mtu,
			CHUNK_BYTES_MAX - XDP_HEADROOM - IFACE_FRAME_EXTRA);
	err = iface_check_mtu(port->pool, room, mtu, error);
	/* The kernel takes one tag more than the MTU. */
	if (!err)
		port->frame_bytes_max = mtu + ETH_HLEN + TAG_BYTES;
	return err;
}

static int xdp_set_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	struct xdp_port *xdp = port->driver;
	int err = xdp_check_mtu(port, mtu, error);

	return err ? err : iface_set_mtu(&xdp->iface, mtu, error);
}

static int xdp_set_promiscuous(struct port *port, bool on, struct error *error)
{
	struct xdp_port *xdp = port->driver;
	struct packet_mreq request = {.mr_ifindex = xdp->iface.index, .mr_type = PACKET_MR_PROMISC};

	if (on == xdp->promiscuous)
		return 0;
	if (setsockopt(xdp->promiscuous_fd, SOL_PACKET,
		    on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP, &request,
		    sizeof(request)) != 0)
		return error_set(error, errno, "promiscuous", "", "cannot set promiscuous mode: %s",
			strerror(errno));
	xdp->promiscuous = on;
	return 0;
}

static int xdp_set_link(struct port *port, bool up, struct error *error)
{
	return iface_set_up(&((struct xdp_port *)port->driver)->iface, up, error);
}

/* ---- control: open and close ----------------------------------------------------------------- */

static void pause_briefly(void)
{
	nanosleep(&(struct timespec){.tv_nsec = TRY_INTERVAL_NS}, NULL);
}

/* The kernel may still read packets of ours while it sends them. */
static void drain(struct xdp_queue *q)
{
	for (int i = 0; i < DRAIN_TRIES; i++) {
		if (__atomic_load_n(q->completion.producer, __ATOMIC_ACQUIRE) == *q->tx.producer)
			break;
		kick(q, 0);
		pause_briefly();
	}
}

static void close_queue(struct xdp_queue *q)
{
	if (q->socket) {
		drain(q);
		xsk_socket__delete(q->socket);
	}
	if (q->umem)
		xsk_umem__delete(q->umem);
	q->socket = NULL;
	q->umem = NULL;
}

static void xdp_close(struct port *port)
{
	struct xdp_port *xdp = port->driver;

	if (!xdp)
		return;
	xdp_program_close(&xdp->program);
	for (unsigned i = 0; i < xdp->n_queues; i++)
		close_queue(&xdp->queue[i]);
	loan_return_all(&xdp->loan);
	if (xdp->promiscuous_fd >= 0)
		close(xdp->promiscuous_fd);
	if (xdp->stripped_tags)
		iface_set_strip_tags(&xdp->iface, true);
	iface_close(&xdp->iface);
	free(xdp);
	port->driver = NULL;
}

/* One try. A umem serves one try only: a failed bind leaves its rings half set up. */
static int try_socket(struct xdp_port *xdp, struct xdp_queue *q, uint32_t queue, uint16_t mode)
{
	struct buffer_pool *pool = xdp->loan.pool;
	uint32_t ring_words = RING_WORDS_MIN;
	int err;

	while (ring_words * 2 <= RING_WORDS_MAX && ring_words * 2 <= pool->n_buffers / POOL_SHARE)
		ring_words *= 2;
	const struct xsk_umem_config umem = {.fill_size = ring_words,
		.comp_size = RING_WORDS_MAX,
		.frame_size = chunk_bytes(pool),
		.flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG};
	const struct xsk_socket_config socket = {.rx_size = ring_words,
		.tx_size = ring_words,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)(mode | XDP_USE_NEED_WAKEUP)};

	err = xsk_umem__create(
		&q->umem, pool->base, pool->size_bytes, &q->fill, &q->completion, &umem);
	if (!err)
		err = xsk_socket__create(
			&q->socket, xdp->options.name, queue, q->umem, &q->rx, &q->tx, &socket);
	if (err) {
		q->socket = NULL;
		close_queue(q);
		return err;
	}
	q->zero_copy = mode == XDP_ZEROCOPY;
	return 0;
}

static int open_queue(struct xdp_port *xdp, struct xdp_queue *q, uint32_t queue)
{
	int err = -EBUSY;

	for (int i = 0; i < OPEN_TRIES && err == -EBUSY; i++) {
		if (i > 0)
			pause_briefly();
		err = try_socket(xdp, q, queue, XDP_ZEROCOPY);
		if (err && err != -EBUSY)
			err = try_socket(xdp, q, queue, XDP_COPY);
	}
	if (err)
		return err;
	q->fd = xsk_socket__fd(q->socket);
	q->loan = &xdp->loan;
	setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){8 << 20}, sizeof(int));
	return xdp_program_add(&xdp->program, queue, q->fd);
}

static int open_queues(struct port *port, const struct port_config *config, struct error *error)
{
	struct xdp_port *xdp = port->driver;
	char driver[32];
	bool repair;

	iface_driver(&xdp->iface, driver);
	repair = strcmp(driver, "veth") == 0 || strcmp(driver, "tun") == 0;
	for (unsigned i = 0; i < xdp->n_queues; i++) {
		uint32_t queue = (uint32_t)xdp->options.queue + i;
		int err = open_queue(xdp, &xdp->queue[i], queue);

		if (err)
			return error_set(error, -err, "spec",
				err == -EBUSY ? "another program uses it" : "",
				"cannot open an AF_XDP socket on queue %u of %s: %s", queue,
				xdp->options.name, strerror(-err));
		xdp->queue[i].repair = repair;
		port->rx[i].driver = port->tx[i].driver = &xdp->queue[i];
	}
	port->n_rx_queues = port->n_tx_queues = xdp->n_queues;
	if (config->n_tx_queues && config->n_tx_queues < xdp->n_queues)
		port->n_tx_queues = config->n_tx_queues;
	return 0;
}

/* The device spreads flows over all its queues: one that nobody reads would lose its flows. */
static int choose_queues(
	struct xdp_port *xdp, const struct port_config *config, struct error *error)
{
	unsigned have = iface_rx_queues(&xdp->iface);
	unsigned want = driver_queues(config->n_rx_queues);
	char hint[128];

	if (xdp->options.queue != ANY_QUEUE) {
		xdp->n_queues = 1;
		if (xdp->options.queue < have)
			return 0;
		return error_set(error, EINVAL, "spec", af_xdp_driver.usage,
			"queue cannot be %u: %s has queues 0 to %u", (unsigned)xdp->options.queue,
			xdp->options.name, have - 1);
	}
	xdp->options.queue = 0;
	xdp->n_queues = have;
	if (have <= want)
		return 0;
	snprintf(hint, sizeof(hint), "ethtool -L %s combined %u, or queue=N to take only one",
		xdp->options.name, want);
	return error_set(error, EINVAL, "spec", hint,
		"%s spreads packets over %u queues, but the port takes %u", xdp->options.name, have,
		want);
}

/* Inside the namespace, where program and sockets belong. */
static int open_inside(struct port *port, const struct port_config *config, struct error *error)
{
	struct xdp_port *xdp = port->driver;
	int err = iface_enter(&xdp->iface, error);

	if (err)
		return err;
	xdp->promiscuous_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	err = xdp_program_open(&xdp->program, xdp->iface.index, xdp->options.name,
		(uint32_t)xdp->options.queue + xdp->n_queues, error);
	if (!err)
		err = open_queues(port, config, error);
	iface_leave(&xdp->iface);
	return err;
}

static int take_interface(struct port *port, const struct port_config *config, struct error *error)
{
	struct xdp_port *xdp = port->driver;
	int err = iface_open(&xdp->iface, xdp->options.name, xdp->options.netns, error);

	if (!err && !config->force)
		err = iface_check_free(&xdp->iface, error);
	if (!err)
		err = choose_queues(xdp, config, error);
	if (!err)
		err = config->mtu ? xdp_set_mtu(port, config->mtu, error)
				  : xdp_check_mtu(port, (uint32_t)iface_mtu(&xdp->iface), error);
	if (!err)
		err = iface_set_up(&xdp->iface, true, error);
	/* A tag taken out would be lost: a descriptor has no place for it. */
	if (!err)
		xdp->stripped_tags = iface_set_strip_tags(&xdp->iface, false) > 0;
	return err;
}

static int check_pool(const struct buffer_pool *pool, struct error *error)
{
	if (chunk_bytes(pool) >= CHUNK_BYTES_MIN)
		return 0;
	return error_set(error, EINVAL, "group", "set its buffer_bytes to 2048 or more",
		"AF_XDP needs buffers of %u bytes, group %s has %u", CHUNK_BYTES_MIN, pool->name,
		chunk_bytes(pool));
}

static int xdp_open(struct port *port, const struct port_config *config, struct error *error)
{
	struct xdp_port *xdp = aligned_alloc(64, sizeof(*xdp));
	int err;

	if (!xdp)
		return error_set(error, ENOMEM, "", "", "out of memory");
	memset(xdp, 0, sizeof(*xdp));
	xdp->iface = IFACE_NONE;
	xdp->program = XDP_PROGRAM_NONE;
	xdp->promiscuous_fd = -1;
	xdp->options.queue = ANY_QUEUE;
	port->driver = xdp;
	port->pool = config->pool;
	err = spec_parse(config->args, xdp_fields, af_xdp_driver.usage, &xdp->options, error);
	if (!err)
		err = check_pool(config->pool, error);
	if (!err && loan_open(&xdp->loan, config->pool))
		err = error_set(error, ENOMEM, "", "", "out of memory");
	if (!err)
		err = take_interface(port, config, error);
	if (!err)
		err = open_inside(port, config, error);
	if (!err && config->promiscuous)
		err = xdp_set_promiscuous(port, true, error);
	if (err)
		xdp_close(port);
	return err;
}

const struct port_driver af_xdp_driver = {
	.kind = "af_xdp",
	.usage = "af_xdp:IFACE[,queue=N,netns=NAME]",
	.help = "takes over an interface below the kernel's network stack, without copying if it "
		"can",
	.exclusive = true,
	.open = xdp_open,
	.close = xdp_close,
	.info = xdp_info,
	.set_mtu = xdp_set_mtu,
	.set_promiscuous = xdp_set_promiscuous,
	.set_link = xdp_set_link,
	.rx = xdp_rx,
	.tx = xdp_tx,
	.complete = xdp_complete,
	.wait_fd = xdp_wait_fd,
};
