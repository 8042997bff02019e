/*
 * null: a source that makes packets out of nothing and a sink that swallows them; for benchmarks,
 * tests and ports that are not there yet. Called by the engine through null_driver.
 *
 * A packet is its flow's first 64 bytes from a table and zeros behind them. A buffer that holds
 * the wanted bytes already (the common case: the same few buffers come round and round) is only
 * read, so that its cache lines stay shared with the core that reads them next.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_udp.h>

#include "modules/port/driver.h"
#include "modules/port/iface.h"
#include "modules/port/pace.h"
#include "modules/port/spec.h"

#define NULL_LINE       64u
#define NULL_BYTES_MIN  60u
#define NULL_FLOWS_MAX  65536u
#define NULL_PORT_FIRST 1024u
#define NULL_PORTS      50000u
#define NULL_SOURCE     0xc6120001u /* 198.18.0.1 and 198.19.0.1: RFC 2544 C.2.2, for benchmarks */
#define NULL_TARGET     0xc6130001u

struct null_queue {
	struct pace pace;
	uint64_t left;                    /* packets still to make */
	const uint8_t (*line)[NULL_LINE]; /* of flow 0 */
	uint32_t size;
	uint32_t flow; /* the next one's */
	uint32_t flow_step;
	uint32_t n_flows;
};

struct null_options {
	uint64_t size, rate, delay, count, flows, vlan;
	bool source;
};

struct null_port {
	struct null_options options;
	uint32_t mtu;
	bool promiscuous, link_up;
	uint8_t (*line)[NULL_LINE];
	struct null_queue queue[PORT_QUEUES_MAX];
};

#define NULL_FIELD(name, low, high)                                                                \
	{                                                                                          \
#name, SPEC_NUMBER, SPEC_OPTION, offsetof(struct null_options, name), 0, low, high \
	}

static const struct spec_field null_fields[] = {
	NULL_FIELD(size, NULL_BYTES_MIN, NETVM_BUFFER_BYTES_MAX - 1),
	NULL_FIELD(rate, 1, 1000000000),
	NULL_FIELD(delay, 0, 3600000),
	NULL_FIELD(count, 0, UINT64_MAX),
	NULL_FIELD(flows, 1, NULL_FLOWS_MAX),
	NULL_FIELD(vlan, 1, 4094),
	{"source", SPEC_SWITCH, SPEC_OPTION, offsetof(struct null_options, source)},
	{NULL},
};

/* ---- the packets ----------------------------------------------------------------------------- */

static uint8_t *put_ethernet(uint8_t *at, uint16_t vlan)
{
	static const uint8_t addresses[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};

	memcpy(at, addresses, sizeof(addresses));
	at += sizeof(addresses);
	if (vlan) {
		*at++ = 0x81;
		*at++ = 0x00;
		*at++ = (uint8_t)(vlan >> 8);
		*at++ = (uint8_t)vlan;
	}
	*at++ = 0x08;
	*at++ = 0x00;
	return at;
}

/* One flow's first 64 bytes. */
static void make_line(uint8_t line[NULL_LINE], const struct null_options *options, uint32_t flow)
{
	uint8_t *at = put_ethernet(line, (uint16_t)options->vlan);
	uint32_t length = (uint32_t)options->size - (uint32_t)(at - line);
	struct rte_ipv4_hdr *ip = (void *)at;
	struct rte_udp_hdr *udp = (void *)(ip + 1);
	uint32_t sum;

	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16((uint16_t)length),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = rte_cpu_to_be_32(NULL_SOURCE + flow / NULL_PORTS),
		.dst_addr = rte_cpu_to_be_32(NULL_TARGET)};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*udp = (struct rte_udp_hdr){
		.src_port = rte_cpu_to_be_16((uint16_t)(NULL_PORT_FIRST + flow % NULL_PORTS)),
		.dst_port = rte_cpu_to_be_16(9), /* discard */
		.dgram_len = rte_cpu_to_be_16((uint16_t)(length - sizeof(*ip)))};
	/* The payload is zeros: the headers alone decide the checksum. */
	sum = (uint32_t)rte_raw_cksum(udp, sizeof(*udp)) + rte_ipv4_phdr_cksum(ip, 0);
	udp->dgram_cksum = (uint16_t) ~((sum & 0xffff) + (sum >> 16));
	if (udp->dgram_cksum == 0)
		udp->dgram_cksum = 0xffff;
}

/* A quarter of a line: what the vector registers of every machine hold, at any address. */
typedef uint64_t quarter __attribute__((vector_size(16), aligned(1), may_alias));

static inline bool same_line(const uint8_t *a, const uint8_t *b)
{
	const quarter *x = (const void *)a, *y = (const void *)b;
	quarter differ = (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]);

	return (differ[0] | differ[1]) == 0;
}

/* Zeros from byte 64 on, written only where they are not. */
static void make_tail(uint8_t *data, uint32_t size)
{
	static const uint8_t zeros[NULL_LINE];

	for (uint32_t at = NULL_LINE; at < size; at += NULL_LINE) {
		uint32_t some = size - at < NULL_LINE ? size - at : NULL_LINE;

		if (some == NULL_LINE ? !same_line(data + at, zeros)
				      : memcmp(data + at, zeros, some) != 0)
			memset(data + at, 0, some);
	}
}

static inline void make_packet(uint8_t *data, const uint8_t *line, uint32_t size)
{
	if (!same_line(data, line))
		memcpy(data, line, NULL_LINE);
	if (size > NULL_LINE)
		make_tail(data, size);
}

/* ---- worker ---------------------------------------------------------------------------------- */

static unsigned null_rx(struct port_queue *queue, uint64_t *words, unsigned max)
{
	struct null_queue *q = queue->driver;
	struct buffer_pool *pool = queue->cache->pool;
	unsigned n;

	if (q->left == 0) {
		pace_sleep_until(&q->pace, PACE_NEVER);
		return 0;
	}
	n = pace_allow(&q->pace, max < BUFFER_BURST_MAX ? max : BUFFER_BURST_MAX);
	if (n > q->left)
		n = (unsigned)q->left;
	n = n ? buffer_alloc(queue->cache, words, n) : 0;
	for (unsigned i = 0; i < n; i++) {
		make_packet(buffer_data(pool, words[i]), q->line[q->flow], q->size);
		words[i] = netvm_desc_set_extent(words[i], pool->headroom, q->size);
		q->flow += q->flow_step;
		if (q->flow >= q->n_flows)
			q->flow -= q->n_flows;
	}
	q->left -= n;
	pace_sent(&q->pace, n);
	return n;
}

static unsigned null_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	buffer_free(queue->cache, words, n);
	return n;
}

static int null_wait_fd(struct port_queue *rx_queue)
{
	return ((struct null_queue *)rx_queue->driver)->pace.fd;
}

/* ---- control --------------------------------------------------------------------------------- */

static int null_set_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	struct null_port *null = port->driver;
	int err = iface_check_mtu(port->pool, buffer_room(port->pool), mtu, error);

	if (err)
		return err;
	null->mtu = mtu;
	port->frame_bytes_max = mtu + IFACE_FRAME_EXTRA;
	return 0;
}

static int null_set_promiscuous(struct port *port, bool on, struct error *error)
{
	(void)error;
	((struct null_port *)port->driver)->promiscuous = on;
	return 0;
}

static int null_set_link(struct port *port, bool up, struct error *error)
{
	(void)error;
	((struct null_port *)port->driver)->link_up = up;
	return 0;
}

static void null_info(struct port *port, struct port_info *info)
{
	struct null_port *null = port->driver;

	memset(info, 0, sizeof(*info));
	memcpy(info->mac, (const uint8_t[]){2, 0, 0, 0, 0, 1}, 6);
	info->link_up = null->link_up;
	info->promiscuous = null->promiscuous;
	info->mtu = null->mtu;
	for (unsigned i = 0; i < port->n_rx_queues; i++)
		info->rx_missed += driver_counted(&null->queue[i].pace.missed);
	snprintf(info->detail, sizeof(info->detail), "%s and sink",
		null->options.source ? "source" : "no source");
}

static void null_close(struct port *port)
{
	struct null_port *null = port->driver;

	if (!null)
		return;
	for (unsigned i = 0; i < PORT_QUEUES_MAX; i++)
		pace_close(&null->queue[i].pace);
	free(null->line);
	free(null);
	port->driver = NULL;
}

/* Queue i of n gets flows i, i + n, ..., and its share of rate and count. */
static int open_queue(struct port *port, unsigned i)
{
	struct null_port *null = port->driver;
	const struct null_options *options = &null->options;
	struct null_queue *q = &null->queue[i];
	unsigned n = port->n_rx_queues;
	uint64_t rate = options->rate / n + (i < options->rate % n);

	q->left = !options->source      ? 0
		  : options->count == 0 ? UINT64_MAX
					: options->count / n + (i < options->count % n);
	q->line = (const void *)null->line;
	q->size = (uint32_t)options->size;
	q->n_flows = (uint32_t)options->flows;
	q->flow = i;
	q->flow_step = n;
	port->rx[i].driver = q;
	return pace_open(&q->pace, options->rate && rate == 0 ? 1 : rate, options->delay * 1000000);
}

static int open_queues(struct port *port, const struct port_config *config)
{
	struct null_port *null = port->driver;
	const struct null_options *options = &null->options;

	null->line = calloc(options->flows, NULL_LINE);
	if (!null->line)
		return -ENOMEM;
	for (uint32_t flow = 0; flow < options->flows; flow++)
		make_line(null->line[flow], options, flow);
	port->n_rx_queues = driver_queues(config->n_rx_queues);
	if (port->n_rx_queues > options->flows)
		port->n_rx_queues = (unsigned)options->flows;
	port->n_tx_queues = driver_queues(config->n_tx_queues);
	for (unsigned i = 0; i < port->n_rx_queues; i++) {
		int err = open_queue(port, i);

		if (err)
			return err;
	}
	return 0;
}

static int null_open(struct port *port, const struct port_config *config, struct error *error)
{
	struct null_port *null = calloc(1, sizeof(*null));
	uint32_t room = buffer_room(config->pool);
	int err;

	if (!null)
		return error_set(error, ENOMEM, "", "", "out of memory");
	for (unsigned i = 0; i < PORT_QUEUES_MAX; i++)
		null->queue[i].pace.fd = -1;
	null->options = (struct null_options){.size = 64, .flows = 1, .source = true};
	null->link_up = true;
	port->driver = null;
	port->pool = config->pool;
	err = spec_parse(config->args, null_fields, null_driver.usage, &null->options, error);
	if (!err && null->options.size > room)
		err = error_set(error, EINVAL, "spec",
			"use a smaller size or a larger buffer_bytes",
			"size %u is more than the %u bytes a buffer of group %s has room for",
			(unsigned)null->options.size, room, port->pool->name);
	if (!err)
		err = null_set_mtu(
			port, config->mtu ? config->mtu : room - IFACE_FRAME_EXTRA, error);
	if (!err && open_queues(port, config))
		err = error_set(error, ENOMEM, "spec", "use fewer flows", "out of memory or files");
	if (err)
		null_close(port);
	else
		port->waits = null->options.rate == 0; /* a rate is a load: it does not wait */
	return err;
}

const struct port_driver null_driver = {
	.kind = "null",
	.usage = "null:[size=BYTES,rate=PPS,delay=MS,count=N,flows=N,vlan=ID,source=on|off]",
	.help = "makes packets (all it can, or rate per second, from a delay on, count at most) "
		"and swallows packets",
	.open = null_open,
	.close = null_close,
	.info = null_info,
	.set_mtu = null_set_mtu,
	.set_promiscuous = null_set_promiscuous,
	.set_link = null_set_link,
	.rx = null_rx,
	.tx = null_tx,
	.wait_fd = null_wait_fd,
};
