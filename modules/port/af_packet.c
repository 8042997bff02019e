/*
 * af_packet: an interface of the kernel taken over with packet sockets; for any interface, veth
 * pairs of containers above all. Called by the engine through af_packet_driver.
 *
 *     kernel ── recvmmsg ──► [vnet header | group buffer | rest of a super-packet]
 *                             what the kernel left undone is done here: tag, checksum, cutting
 *     kernel ◄── sendmmsg ── [vnet header, zero | group buffer]
 *
 * The kernel keeps its own copy of what comes in (it still answers for the addresses it has), so an
 * interface that carries one is refused. Queues are sockets of one fanout group, by flow. Sockets
 * go with the process: nothing stays behind, promiscuity included.
 *
 * Sources: packet(7), Linux Documentation/networking/packet_mmap.rst.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "modules/port/driver.h"
#include "modules/port/frame.h"
#include "modules/port/iface.h"
#include "modules/port/spec.h"

#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

#define TAG_BYTES    4u                   /* a tag is put back in front, behind the headroom */
#define SUPER_BYTES  (64u * 1024u + 256u) /* a super-packet with its Ethernet header and tags */
#define SOCKET_BYTES (8 * 1024 * 1024)    /* kernel's side of a queue */

/* Where one packet is received. The kernel fills header, then the buffer, then `super`. */
struct packet_slot {
	struct virtio_net_hdr header;
	uint8_t *super; /* SUPER_BYTES, touched by super-packets only */
	struct iovec iov[3];
	union {
		char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
		struct cmsghdr align;
	} control;
};

struct packet_queue {
	int fd;
	struct packet_queue *next_left;
	uint32_t room; /* bytes of a packet that fit a buffer behind headroom and tag */
	struct stash stash;
	unsigned n_received; /* slots filled by the last recvmmsg() */
	unsigned next;       /* the first of them not looked at */
	bool cutting;        /* the slot before `next` */
	struct frame_cutter cutter;
	uint64_t rx_errors;
	uint64_t rx_missed;
	uint8_t *memory; /* of all `super` */
	struct mmsghdr message[DRIVER_BURST];
	struct packet_slot slot[DRIVER_BURST];
};

struct packet_options {
	char name[IFNAMSIZ];
	char netns[256];
};

struct packet_port {
	struct iface iface;
	struct packet_options options;
	unsigned n_queues;
	bool promiscuous;
	struct packet_queue *queue[PORT_QUEUES_MAX];
};

static const struct spec_field packet_fields[] = {
	{"IFACE", SPEC_TEXT, SPEC_REQUIRED, offsetof(struct packet_options, name), IFNAMSIZ},
	{"netns", SPEC_TEXT, SPEC_OPTION, offsetof(struct packet_options, netns), 256},
	{NULL},
};

/* ---- receiving ------------------------------------------------------------------------------- */

/*
 * The words of slots that were handed over are 0; move the others to the front. Slot i receives
 * into word i.
 */
static void compact(struct stash *stash)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < stash->n; i++)
		if (stash->word[i])
			stash->word[kept++] = stash->word[i];
	stash->n = kept;
}

static void receive_slots(struct packet_queue *q, struct buffer_cache *cache, unsigned max)
{
	unsigned n;
	int got;

	compact(&q->stash);
	n = stash_fill(&q->stash, cache, max < DRIVER_BURST ? max : DRIVER_BURST);
	for (unsigned i = 0; i < n; i++) {
		q->slot[i].iov[1].iov_base = buffer_data(cache->pool, q->stash.word[i]) + TAG_BYTES;
		q->message[i].msg_hdr.msg_controllen = sizeof(q->slot[i].control);
	}
	got = n ? recvmmsg(q->fd, q->message, n, MSG_DONTWAIT, NULL) : 0;
	q->n_received = got > 0 ? (unsigned)got : 0;
	q->next = 0;
}

/* The tag the kernel took out, if any. */
static bool find_tag(struct msghdr *message, uint16_t *tpid, uint16_t *tci)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
	struct tpacket_auxdata aux;

	if (!cmsg || cmsg->cmsg_level != SOL_PACKET || cmsg->cmsg_type != PACKET_AUXDATA)
		return false;
	memcpy(&aux, CMSG_DATA(cmsg), sizeof(aux));
	*tci = aux.tp_vlan_tci;
	*tpid = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q;
	return (aux.tp_status & TP_STATUS_VLAN_VALID) != 0;
}

/*
 * A super-packet: put its beginning in front of the rest, which lies in `super` behind the room
 * left for it, and cut it from there.
 */
static int start_cutting(
	struct packet_queue *q, unsigned i, uint32_t length, struct buffer_pool *pool)
{
	struct packet_slot *slot = &q->slot[i];
	uint32_t begin = length < q->room ? length : q->room;
	uint8_t *frame = slot->super + TAG_BYTES;
	uint16_t tpid, tci;

	memcpy(frame, slot->iov[1].iov_base, begin);
	if (find_tag(&q->message[i].msg_hdr, &tpid, &tci)) {
		frame = frame_push_tag(frame, tpid, tci);
		length += TAG_BYTES;
	}
	return frame_cut_start(&q->cutter, frame, length, slot->header.gso_type,
		slot->header.gso_size, buffer_room(pool));
}

/* An ordinary packet, finished in its buffer. Returns the word, or 0 when it is malformed. */
static uint64_t finish_packet(struct packet_queue *q, unsigned i, uint32_t length, uint64_t word)
{
	struct packet_slot *slot = &q->slot[i];
	uint8_t *frame = slot->iov[1].iov_base;
	uint32_t offset = netvm_desc_offset(word) + TAG_BYTES;
	uint16_t tpid, tci;

	if (length > q->room || length < ETH_HLEN)
		return 0;
	if ((slot->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		frame_complete(frame, length, slot->header.csum_start, slot->header.csum_offset) !=
			0)
		return 0;
	if (!find_tag(&q->message[i].msg_hdr, &tpid, &tci))
		return netvm_desc_set_extent(word, offset, length);
	frame_push_tag(frame, tpid, tci);
	return netvm_desc_set_extent(word, offset - TAG_BYTES, length + TAG_BYTES);
}

/* One received slot becomes a word, nothing (malformed), or a super-packet to cut. */
static uint64_t take_slot(struct packet_queue *q, struct buffer_pool *pool)
{
	unsigned i = q->next++;
	uint32_t length = q->message[i].msg_len;
	uint64_t word = 0;
	bool cut = (q->message[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;

	length -= length < sizeof(struct virtio_net_hdr) ? length : sizeof(struct virtio_net_hdr);
	if (!cut && q->slot[i].header.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		q->cutting = start_cutting(q, i, length, pool) == 0;
	else if (!cut)
		word = finish_packet(q, i, length, q->stash.word[i]);
	if (word) {
		buffer_state(pool, word)->owner = OWNER_ENGINE;
		q->stash.word[i] = 0;
	} else if (!q->cutting) {
		driver_count(&q->rx_errors, 1);
	}
	return word;
}

/* The next packet of the super-packet, 0 at its end. Without a buffer the rest of it is lost. */
static uint64_t take_cut(struct packet_queue *q, struct buffer_cache *cache)
{
	struct buffer_pool *pool = cache->pool;
	uint64_t word;
	uint32_t length = 0;

	if (buffer_alloc(cache, &word, 1) == 0)
		driver_count(&q->rx_missed, 1);
	else if ((length = frame_cut_next(&q->cutter, buffer_data(pool, word))) == 0)
		buffer_free(cache, &word, 1);
	q->cutting = length != 0;
	return length ? netvm_desc_set_extent(word, pool->headroom, length) : 0;
}

static unsigned packet_rx(struct port_queue *queue, uint64_t *words, unsigned max)
{
	struct packet_queue *q = queue->driver;
	unsigned n = 0;

	if (!q->cutting && q->next == q->n_received)
		receive_slots(q, queue->cache, max);
	while (n < max && (q->cutting || q->next < q->n_received)) {
		uint64_t word =
			q->cutting ? take_cut(q, queue->cache) : take_slot(q, queue->cache->pool);

		if (word)
			words[n++] = word;
	}
	return n;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Everything is finished: checksums are whole and no packet is to be cut. */
static struct virtio_net_hdr no_header;

/* Errors of one packet only; the others mean that the device takes nothing now. */
static bool is_packet_error(int code)
{
	return code == EMSGSIZE || code == EINVAL;
}

static unsigned packet_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	struct packet_queue *q = queue->driver;
	struct buffer_pool *pool = queue->cache->pool;
	struct iovec iov[BUFFER_BURST_MAX][2];
	struct mmsghdr message[BUFFER_BURST_MAX];
	unsigned done = 0;

	n = n < BUFFER_BURST_MAX ? n : BUFFER_BURST_MAX;
	for (unsigned i = 0; i < n; i++) {
		iov[i][0] = (struct iovec){&no_header, sizeof(no_header)};
		iov[i][1] =
			(struct iovec){buffer_data(pool, words[i]), netvm_desc_length(words[i])};
		message[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = iov[i], .msg_iovlen = 2}};
	}
	while (done < n) {
		int sent = sendmmsg(q->fd, message + done, n - done, MSG_DONTWAIT);

		if (sent <= 0) {
			queue->refused = sent < 0 && is_packet_error(errno);
			break;
		}
		done += (unsigned)sent;
	}
	buffer_free(queue->cache, words, done);
	return done;
}

static int packet_wait_fd(struct port_queue *rx_queue)
{
	return ((struct packet_queue *)rx_queue->driver)->fd;
}

/* ---- control --------------------------------------------------------------------------------- */

/* Reading the kernel's counter sets it back. */
static void collect_missed(struct packet_queue *q)
{
	struct tpacket_stats stats;
	socklen_t size = sizeof(stats);

	if (getsockopt(q->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
		driver_count(&q->rx_missed, stats.tp_drops);
}

static void packet_info(struct port *port, struct port_info *info)
{
	struct packet_port *packet = port->driver;

	memset(info, 0, sizeof(*info));
	iface_info(&packet->iface, info);
	info->promiscuous |= packet->promiscuous;
	info->offloads = info->offloads_available = PORT_OFFLOAD_TSO;
	if (packet->n_queues > 1)
		info->offloads |= PORT_OFFLOAD_RSS;
	info->offloads_available |= PORT_OFFLOAD_RSS;
	for (unsigned i = 0; i < packet->n_queues; i++) {
		collect_missed(packet->queue[i]);
		info->rx_missed += driver_counted(&packet->queue[i]->rx_missed);
		info->rx_errors += driver_counted(&packet->queue[i]->rx_errors);
	}
	snprintf(info->detail, sizeof(info->detail), "packet socket on %s, ifindex %d",
		packet->options.name, packet->iface.index);
}

static int packet_check_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	int err = iface_check_mtu(port->pool, buffer_room(port->pool) - TAG_BYTES, mtu, error);

	/* The kernel takes one tag more than the MTU. */
	if (!err)
		port->frame_bytes_max = mtu + ETH_HLEN + TAG_BYTES;
	return err;
}

static int packet_set_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	struct packet_port *packet = port->driver;
	int err = packet_check_mtu(port, mtu, error);

	return err ? err : iface_set_mtu(&packet->iface, mtu, error);
}

/* The kernel counts members: it ends with the socket. */
static int packet_set_promiscuous(struct port *port, bool on, struct error *error)
{
	struct packet_port *packet = port->driver;
	struct packet_mreq request = {
		.mr_ifindex = packet->iface.index, .mr_type = PACKET_MR_PROMISC};

	if (on == packet->promiscuous)
		return 0;
	if (setsockopt(packet->queue[0]->fd, SOL_PACKET,
		    on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP, &request,
		    sizeof(request)) != 0)
		return error_set(error, errno, "promiscuous", "", "cannot set promiscuous mode: %s",
			strerror(errno));
	packet->promiscuous = on;
	return 0;
}

static int packet_set_link(struct port *port, bool up, struct error *error)
{
	return iface_set_up(&((struct packet_port *)port->driver)->iface, up, error);
}

/*
 * The kernel takes some 15 ms to close a packet socket. Those of ports that stay are left to the
 * end of the process, since the next daemon waits for this one to let go while no packet moves; or
 * until this one opens a port again, since the next has failed.
 */
static struct packet_queue *left;

static void close_left(void)
{
	while (left) {
		struct packet_queue *q = left;

		left = q->next_left;
		close(q->fd);
		free(q);
	}
}

static void close_queue(struct packet_queue *q, struct buffer_pool *pool, bool leave)
{
	if (!q)
		return;
	compact(&q->stash);
	stash_return_all(&q->stash, pool);
	if (q->memory)
		munmap(q->memory, (size_t)DRIVER_BURST * SUPER_BYTES);
	if (leave && q->fd >= 0) {
		q->next_left = left;
		left = q;
		return;
	}
	if (q->fd >= 0)
		close(q->fd);
	free(q);
}

static void packet_close(struct port *port)
{
	struct packet_port *packet = port->driver;

	if (!packet)
		return;
	for (unsigned i = 0; i < packet->n_queues; i++)
		close_queue(packet->queue[i], port->pool, port->stays);
	iface_close(&packet->iface);
	free(packet);
	port->driver = NULL;
}

/* Slots and the memory behind them; pages of `super` exist once a super-packet came. */
static int make_slots(struct packet_queue *q, struct buffer_pool *pool)
{
	uint32_t rest = SUPER_BYTES - TAG_BYTES;

	q->room = buffer_room(pool) - TAG_BYTES;
	q->memory = mmap(NULL, (size_t)DRIVER_BURST * SUPER_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (q->memory == MAP_FAILED) {
		q->memory = NULL;
		return -ENOMEM;
	}
	rest -= q->room < rest ? q->room : rest;
	for (unsigned i = 0; i < DRIVER_BURST; i++) {
		struct packet_slot *slot = &q->slot[i];

		slot->super = q->memory + (size_t)i * SUPER_BYTES;
		slot->iov[0] = (struct iovec){&slot->header, sizeof(slot->header)};
		slot->iov[1] = (struct iovec){NULL, q->room};
		slot->iov[2] = (struct iovec){slot->super + TAG_BYTES + q->room, rest};
		q->message[i].msg_hdr = (struct msghdr){
			.msg_iov = slot->iov, .msg_iovlen = 3, .msg_control = &slot->control};
	}
	return 0;
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

/* All that must be set before the first packet can arrive, then bind. */
static int open_socket(struct packet_queue *q, int ifindex)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex};
	int err;

	q->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->fd < 0)
		return -errno;
	if ((err = set_option(q->fd, SOL_PACKET, PACKET_VNET_HDR, 1)) ||
		(err = set_option(q->fd, SOL_PACKET, PACKET_AUXDATA, 1)) ||
		(err = set_option(q->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)))
		return err;
	/* Without CAP_NET_ADMIN the default sizes stay: slower, not wrong. */
	set_option(q->fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES);
	set_option(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES);
	return bind(q->fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
}

/* The first socket gets a number nobody has; the others join it. Flows by symmetric hash. */
static int join_fanout(struct packet_port *packet, unsigned i)
{
	int first = packet->queue[0]->fd, type = PACKET_FANOUT_HASH;
	int flags = PACKET_FANOUT_FLAG_IGNORE_OUTGOING, number = 0;
	socklen_t size = sizeof(number);

	if (packet->n_queues == 1)
		return 0;
	if (i == 0)
		flags |= PACKET_FANOUT_FLAG_UNIQUEID;
	else if (getsockopt(first, SOL_PACKET, PACKET_FANOUT, &number, &size) != 0)
		return -errno;
	return set_option(packet->queue[i]->fd, SOL_PACKET, PACKET_FANOUT,
		(number & 0xffff) | (type | flags) << 16);
}

static int open_queues(struct port *port, const struct port_config *config)
{
	struct packet_port *packet = port->driver;
	int err = 0;

	packet->n_queues = driver_queues(config->n_rx_queues);
	for (unsigned i = 0; i < packet->n_queues && !err; i++) {
		struct packet_queue *q = packet->queue[i] = calloc(1, sizeof(*q));

		if (!q)
			return -ENOMEM;
		q->fd = -1;
		err = make_slots(q, port->pool);
		if (!err)
			err = open_socket(q, packet->iface.index);
		if (!err)
			err = join_fanout(packet, i);
		port->rx[i].driver = q;
	}
	/* Any number of queues may send through one socket. */
	port->n_rx_queues = packet->n_queues;
	port->n_tx_queues = driver_queues(config->n_tx_queues);
	for (unsigned i = 0; i < port->n_tx_queues; i++)
		port->tx[i].driver = packet->queue[i % packet->n_queues];
	return err;
}

/* Inside the namespace, where the sockets are to live. */
static int open_inside(struct port *port, const struct port_config *config, struct error *error)
{
	struct packet_port *packet = port->driver;
	int err = iface_enter(&packet->iface, error);

	if (err)
		return err;
	err = open_queues(port, config);
	iface_leave(&packet->iface);
	if (!err)
		return 0;
	return error_set(error, -err, "spec", err == -EPERM ? "it needs CAP_NET_RAW" : "",
		"cannot open packet sockets on %s: %s", packet->options.name, strerror(-err));
}

static int take_interface(struct port *port, const struct port_config *config, struct error *error)
{
	struct packet_port *packet = port->driver;
	int err = iface_open(&packet->iface, packet->options.name, packet->options.netns, error);

	if (!err && !config->force)
		err = iface_check_free(&packet->iface, error);
	if (!err)
		err = config->mtu
			      ? packet_set_mtu(port, config->mtu, error)
			      : packet_check_mtu(port, (uint32_t)iface_mtu(&packet->iface), error);
	if (!err)
		err = iface_set_up(&packet->iface, true, error);
	return err;
}

static int packet_open(struct port *port, const struct port_config *config, struct error *error)
{
	struct packet_port *packet = calloc(1, sizeof(*packet));
	int err;

	if (!packet)
		return error_set(error, ENOMEM, "", "", "out of memory");
	close_left();
	packet->iface = IFACE_NONE;
	port->driver = packet;
	port->pool = config->pool;
	err = spec_parse(
		config->args, packet_fields, af_packet_driver.usage, &packet->options, error);
	if (!err)
		err = take_interface(port, config, error);
	if (!err)
		err = open_inside(port, config, error);
	if (!err && config->promiscuous)
		err = packet_set_promiscuous(port, true, error);
	if (err)
		packet_close(port);
	return err;
}

const struct port_driver af_packet_driver = {
	.kind = "af_packet",
	.usage = "af_packet:IFACE[,netns=NAME]",
	.help = "takes over an interface of the kernel with packet sockets; works with any",
	.exclusive = true,
	.open = packet_open,
	.close = packet_close,
	.info = packet_info,
	.set_mtu = packet_set_mtu,
	.set_promiscuous = packet_set_promiscuous,
	.set_link = packet_set_link,
	.rx = packet_rx,
	.tx = packet_tx,
	.wait_fd = packet_wait_fd,
};
