/*
 * dpdk: any Ethernet device DPDK has a driver for, physical or virtual. Called by the engine
 * through dpdk_driver; EAL runs already.
 *
 *     dpdk:0000:01:00.0        dpdk:net_pcap0,iface=foo        dpdk:net_memif0,role=client,...
 *
 * The device is plugged in at open and out at close. Its packets are received into and sent from
 * the group's memory through a mempool over it (dpdk_pool.h). Flows are spread over queues by RSS
 * with a symmetric key, so that both directions of a connection reach one worker.
 *
 * Sources: DPDK Programmer's Guide 22.11, chapters "Mbuf Library" and "Poll Mode Driver"; the key:
 * S. Woo, K. Park, "Scalable TCP Session Monitoring with Symmetric Receive-side Scaling", 2012.
 */
#define ALLOW_EXPERIMENTAL_API /* rte_dev_dma_map(), rte_dev_dma_unmap() */

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_memory.h>

#include "modules/port/dpdk_pool.h"
#include "modules/port/iface.h"

#define DESCRIPTORS   1024u
#define POOL_SHARE    8u /* all receive queues together get at most this part of the group */
#define RSS_KEY_BYTES 64u
#define NO_DEVICE     UINT16_MAX

struct dpdk_queue {
	struct dpdk_pool *dpdk;
	uint16_t device;
	uint16_t queue;
	uint64_t errors;
};

struct dpdk_port {
	struct dpdk_pool *pool;
	uint16_t device; /* DPDK's port number */
	bool mapped;     /* for DMA */
	char name[RTE_DEV_NAME_MAX_LEN];
	struct rte_device *hardware;
	struct dpdk_queue rx[PORT_QUEUES_MAX], tx[PORT_QUEUES_MAX];
};

/* ---- worker ---------------------------------------------------------------------------------- */

/* A packet in several buffers becomes one, if it fits. 0: it did not and is gone. */
static uint64_t take_packet(struct dpdk_queue *q, struct rte_mbuf *mbuf)
{
	struct dpdk_pool *dpdk = q->dpdk;

	if (unlikely(mbuf->nb_segs > 1) && rte_pktmbuf_linearize(mbuf) != 0) {
		rte_pktmbuf_free(mbuf);
		driver_count(&q->errors, 1);
		return 0;
	}
	return loan_receive(&dpdk->loan, dpdk_pool_index(dpdk, mbuf),
		NETVM_META_BYTES + mbuf->data_off, mbuf->data_len);
}

static unsigned dpdk_rx(struct port_queue *queue, uint64_t *words, unsigned max)
{
	struct dpdk_queue *q = queue->driver;
	struct rte_mbuf *mbufs[BUFFER_BURST_MAX];
	unsigned got, n = 0;

	max = max < BUFFER_BURST_MAX ? max : BUFFER_BURST_MAX;
	got = rte_eth_rx_burst(q->device, q->queue, mbufs, (uint16_t)max);
	for (unsigned i = 0; i < got; i++) {
		words[n] = take_packet(q, mbufs[i]);
		n += words[n] != 0;
	}
	return n;
}

/* The mbuf of a buffer lay idle while the engine had it; here it gets what DPDK expects. */
static struct rte_mbuf *give_packet(struct dpdk_pool *dpdk, uint64_t word)
{
	uint32_t index = netvm_desc_index(word);
	struct rte_mbuf *mbuf = dpdk_pool_mbuf(dpdk, index);

	loan_out(&dpdk->loan, index);
	mbuf->data_off = (uint16_t)(netvm_desc_offset(word) - NETVM_META_BYTES);
	mbuf->data_len = (uint16_t)netvm_desc_length(word);
	mbuf->pkt_len = mbuf->data_len;
	mbuf->ol_flags = 0;
	mbuf->nb_segs = 1;
	mbuf->next = NULL;
	return mbuf;
}

static unsigned dpdk_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	struct dpdk_queue *q = queue->driver;
	struct dpdk_pool *dpdk = q->dpdk;
	struct rte_mbuf *mbufs[BUFFER_BURST_MAX];
	unsigned sent;

	n = n < BUFFER_BURST_MAX ? n : BUFFER_BURST_MAX;
	for (unsigned i = 0; i < n; i++)
		mbufs[i] = give_packet(dpdk, words[i]);
	sent = rte_eth_tx_burst(q->device, q->queue, mbufs, (uint16_t)n);
	for (unsigned i = sent; i < n; i++)
		loan_receive(&dpdk->loan, netvm_desc_index(words[i]), 0, 0);
	return sent;
}

/* Interrupts of DPDK devices must be armed before each sleep, which no worker does: poll. */
static int dpdk_wait_fd(struct port_queue *rx_queue)
{
	(void)rx_queue;
	return -1;
}

/* ---- control: state -------------------------------------------------------------------------- */

static uint32_t port_offloads(uint64_t rx, uint64_t tx, bool rss)
{
	uint32_t offloads = rss ? PORT_OFFLOAD_RSS : 0;

	if (rx & RTE_ETH_RX_OFFLOAD_CHECKSUM)
		offloads |= PORT_OFFLOAD_RX_CHECKSUM;
	if (tx & (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM))
		offloads |= PORT_OFFLOAD_TX_CHECKSUM;
	if (rx & RTE_ETH_RX_OFFLOAD_VLAN_STRIP)
		offloads |= PORT_OFFLOAD_RX_VLAN;
	if (tx & RTE_ETH_TX_OFFLOAD_TCP_TSO)
		offloads |= PORT_OFFLOAD_TSO;
	return offloads;
}

static void add_statistics(
	const struct port *port, const struct dpdk_port *dpdk, struct port_info *info)
{
	struct rte_eth_stats stats;

	if (rte_eth_stats_get(dpdk->device, &stats) == 0) {
		info->rx_missed = stats.imissed + stats.rx_nombuf;
		info->rx_errors = stats.ierrors;
		info->tx_errors = stats.oerrors;
	}
	for (unsigned i = 0; i < port->n_rx_queues; i++)
		info->rx_errors += driver_counted(&dpdk->rx[i].errors);
}

static void dpdk_info(struct port *port, struct port_info *info)
{
	struct dpdk_port *dpdk = port->driver;
	struct rte_eth_dev_info device;
	struct rte_ether_addr mac;
	struct rte_eth_link link;
	uint16_t mtu;

	memset(info, 0, sizeof(*info));
	add_statistics(port, dpdk, info);
	if (rte_eth_macaddr_get(dpdk->device, &mac) == 0)
		memcpy(info->mac, mac.addr_bytes, sizeof(info->mac));
	if (rte_eth_dev_get_mtu(dpdk->device, &mtu) == 0)
		info->mtu = mtu;
	info->promiscuous = rte_eth_promiscuous_get(dpdk->device) == 1;
	if (rte_eth_link_get_nowait(dpdk->device, &link) == 0) {
		info->link_up = link.link_status == RTE_ETH_LINK_UP;
		info->speed_mbps =
			link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
	}
	if (rte_eth_dev_info_get(dpdk->device, &device) != 0)
		return;
	info->offloads = port->n_rx_queues > 1 ? PORT_OFFLOAD_RSS : 0;
	info->offloads_available = port_offloads(
		device.rx_offload_capa, device.tx_offload_capa, device.flow_type_rss_offloads != 0);
	snprintf(info->detail, sizeof(info->detail), "DPDK %.31s, driver %.15s", dpdk->name,
		device.driver_name);
}

static int dpdk_set_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	struct dpdk_port *dpdk = port->driver;
	int err = iface_check_mtu(port->pool, buffer_room(port->pool), mtu, error);

	if (err)
		return err;
	err = rte_eth_dev_set_mtu(dpdk->device, (uint16_t)mtu);
	if (err)
		return error_set(error, -err, "mtu",
			"some devices take another MTU only when the port is added anew",
			"%s does not take mtu %u: %s", dpdk->name, mtu, rte_strerror(-err));
	port->frame_bytes_max = mtu + IFACE_FRAME_EXTRA;
	return 0;
}

static int dpdk_set_promiscuous(struct port *port, bool on, struct error *error)
{
	struct dpdk_port *dpdk = port->driver;
	int err = on ? rte_eth_promiscuous_enable(dpdk->device)
		     : rte_eth_promiscuous_disable(dpdk->device);

	/* A virtual device without filter receives everything anyway. */
	if (err == 0 || (on && err == -ENOTSUP))
		return 0;
	return error_set(error, -err, "promiscuous", "", "%s cannot switch promiscuous mode %s: %s",
		dpdk->name, on ? "on" : "off", rte_strerror(-err));
}

static int dpdk_set_link(struct port *port, bool up, struct error *error)
{
	struct dpdk_port *dpdk = port->driver;
	int err = up ? rte_eth_dev_set_link_up(dpdk->device)
		     : rte_eth_dev_set_link_down(dpdk->device);

	if (err == 0 || err == -ENOTSUP)
		return 0;
	return error_set(error, -err, "up", "", "%s cannot set its link: %s", dpdk->name,
		rte_strerror(-err));
}

/* ---- control: may it be used? ---------------------------------------------------------------- */

/* Drivers that reach only DPDK's own memory, or would silently lose packets over the group's. */
static int check_driver(const char *args, struct error *error)
{
	static const struct {
		const char *prefix, *contains, *hint;
	} unfit[] = {
		{"net_af_xdp", "", "use af_xdp:IFACE instead"},
		{"eth_af_xdp", "", "use af_xdp:IFACE instead"},
		{"net_virtio_user", "", "use net_vhost on this side, virtio-user on the other"},
		{"virtio_user", "", "use net_vhost on this side, virtio-user on the other"},
		{"net_memif", "zero-copy=yes", "use zero-copy=no"},
	};

	if (!*args)
		return error_set(error, EINVAL, "spec", dpdk_driver.usage, "the device is missing");
	for (unsigned i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++)
		if (strncmp(args, unfit[i].prefix, strlen(unfit[i].prefix)) == 0 &&
			strstr(args, unfit[i].contains))
			return error_set(error, ENOTSUP, "spec", unfit[i].hint,
				"DPDK's %s%s%s cannot use the memory that a group shares",
				unfit[i].prefix, *unfit[i].contains ? " with " : "",
				unfit[i].contains);
	return 0;
}

static int check_iface(const char *name, struct error *error)
{
	struct iface iface;
	int err = iface_open(&iface, name, NULL, error);

	if (err)
		return err;
	err = iface_check_free(&iface, error);
	iface_close(&iface);
	return err;
}

/* The interface that net_af_packet and net_pcap take, named in their arguments. */
static int check_virtual(const char *args, struct error *error)
{
	const char *at = strstr(args, ",iface=");
	char name[IFNAMSIZ];

	if (!at || (strncmp(args, "net_af_packet", 13) != 0 && strncmp(args, "net_pcap", 8) != 0))
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 7, ","), at + 7);
	return check_iface(name, error);
}

/* The interfaces that the kernel's driver made of this PCI device. */
static int check_pci(const char *name, struct error *error)
{
	char pattern[128];
	glob_t found;
	int err = 0;

	snprintf(pattern, sizeof(pattern), "/sys/bus/pci/devices/%s/net/*", name);
	if (glob(pattern, 0, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; i < found.gl_pathc && !err; i++)
		err = check_iface(strrchr(found.gl_pathv[i], '/') + 1, error);
	globfree(&found);
	return err;
}

static int check_free(
	const struct dpdk_port *dpdk, const struct port_config *config, struct error *error)
{
	int err = check_driver(config->args, error);

	if (!err && !config->force)
		err = check_virtual(config->args, error);
	if (!err && !config->force)
		err = check_pci(dpdk->name, error);
	return err;
}

/* ---- control: close -------------------------------------------------------------------------- */

static void unmap_memory(struct dpdk_port *dpdk, struct buffer_pool *pool)
{
	if (!dpdk->mapped)
		return;
	rte_dev_dma_unmap(
		dpdk->hardware, pool->base, (uint64_t)(uintptr_t)pool->base, pool->size_bytes);
	dpdk->mapped = false;
}

static void dpdk_close(struct port *port)
{
	struct dpdk_port *dpdk = port->driver;

	if (!dpdk)
		return;
	if (dpdk->device != NO_DEVICE) {
		rte_eth_dev_stop(dpdk->device);
		unmap_memory(dpdk, port->pool);
		rte_eth_dev_close(dpdk->device);
	}
	if (dpdk->hardware)
		rte_dev_remove(dpdk->hardware);
	dpdk_pool_put(dpdk->pool);
	free(dpdk);
	port->driver = NULL;
}

/* ---- control: open --------------------------------------------------------------------------- */

/* By its name, as most are called; the iterator, which needs memory, finds the others. */
static void find_device(struct dpdk_port *dpdk, const char *args)
{
	struct rte_dev_iterator iterator;
	uint16_t device;

	if (rte_eth_dev_get_port_by_name(dpdk->name, &device) == 0) {
		dpdk->device = device;
		return;
	}
	RTE_ETH_FOREACH_MATCHING_DEV(device, args, &iterator)
	{
		dpdk->device = device;
		rte_eth_iterator_cleanup(&iterator);
		break;
	}
}

static void pull_out(const char *args)
{
	struct rte_devargs parsed;

	if (rte_devargs_parse(&parsed, args))
		return;
	rte_eal_hotplug_remove(rte_bus_name(parsed.bus), parsed.name);
	rte_devargs_reset(&parsed);
}

static int plug_in(struct dpdk_port *dpdk, const char *args, struct error *error)
{
	struct rte_eth_dev_info info;
	uint16_t device;
	int err;

	if (rte_eth_dev_get_port_by_name(dpdk->name, &device) == 0)
		return error_set(error, EBUSY, "spec", "give virtual devices names of their own",
			"DPDK device %s is in use", dpdk->name);
	err = rte_dev_probe(args);
	if (err)
		return error_set(error, -err, "spec",
			"a PCI device must be bound to vfio-pci (dpdk-devbind.py --status); a "
			"virtual one is net_memif0, net_pcap0, net_vhost0, ... with its arguments "
			"(for a TAP device there is tap:)",
			"DPDK cannot open '%s': %s", args, rte_strerror(-err));
	find_device(dpdk, args);
	if (dpdk->device == NO_DEVICE || rte_eth_dev_info_get(dpdk->device, &info) != 0) {
		pull_out(args);
		return error_set(error, ENODEV, "spec", "", "'%s' is no Ethernet device", args);
	}
	dpdk->hardware = info.device;
	return 0;
}

/* A physical device reads and writes the group's memory by itself: the IOMMU must let it. */
static int map_memory(struct dpdk_port *dpdk, struct buffer_pool *pool, struct error *error)
{
	int err;

	if (strcmp(rte_bus_name(rte_dev_bus(dpdk->hardware)), "vdev") == 0)
		return 0;
	if (rte_eal_iova_mode() != RTE_IOVA_VA)
		return error_set(error, ENOTSUP, "spec", "switch the IOMMU on (intel_iommu=on)",
			"%s needs an IOMMU to reach the memory of a group", dpdk->name);
	err = dpdk_pool_register(dpdk->pool);
	if (err)
		return error_set(error, -err, "spec", "", "cannot register the memory: %s",
			rte_strerror(-err));
	err = rte_dev_dma_map(
		dpdk->hardware, pool->base, (uint64_t)(uintptr_t)pool->base, pool->size_bytes);
	if (err && rte_errno != ENOTSUP)
		return error_set(error, rte_errno, "spec", "", "cannot map the memory for %s: %s",
			dpdk->name, rte_strerror(rte_errno));
	dpdk->mapped = !err;
	return 0;
}

static unsigned at_most(unsigned wanted, unsigned limit)
{
	wanted = driver_queues(wanted);
	return limit && wanted > limit ? limit : wanted;
}

/* Flows are spread by addresses and ports, both directions alike. */
static void want_rss(struct rte_eth_conf *conf, const struct rte_eth_dev_info *info)
{
	static uint8_t key[RSS_KEY_BYTES];

	for (unsigned i = 0; i < RSS_KEY_BYTES; i++)
		key[i] = i % 2 ? 0x5a : 0x6d;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf =
		info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	if (info->hash_key_size > 0 && info->hash_key_size <= RSS_KEY_BYTES) {
		conf->rx_adv_conf.rss_conf.rss_key = key;
		conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
	}
}

/* Some drivers (net_tap) want as many queues one way as the other. */
static int configure_device(struct port *port, const struct rte_eth_dev_info *info, uint32_t mtu)
{
	struct dpdk_port *dpdk = port->driver;
	struct rte_eth_conf conf = {.rxmode.mtu = mtu};
	unsigned both;
	int err;

	conf.txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	if (port->n_rx_queues > 1)
		want_rss(&conf, info);
	err = rte_eth_dev_configure(
		dpdk->device, (uint16_t)port->n_rx_queues, (uint16_t)port->n_tx_queues, &conf);
	if (!err || port->n_rx_queues == port->n_tx_queues)
		return err;
	both = port->n_rx_queues < port->n_tx_queues ? port->n_rx_queues : port->n_tx_queues;
	port->n_rx_queues = port->n_tx_queues = both;
	if (both == 1)
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	return rte_eth_dev_configure(dpdk->device, (uint16_t)both, (uint16_t)both, &conf);
}

static int setup_queues(struct port *port)
{
	struct dpdk_port *dpdk = port->driver;
	unsigned limit = port->pool->n_buffers / POOL_SHARE / port->n_rx_queues;
	uint16_t n_rx = (uint16_t)(limit < DESCRIPTORS ? limit : DESCRIPTORS), n_tx = DESCRIPTORS;
	int socket = rte_eth_dev_socket_id(dpdk->device);
	int err = rte_eth_dev_adjust_nb_rx_tx_desc(dpdk->device, &n_rx, &n_tx);

	for (uint16_t i = 0; i < port->n_rx_queues && !err; i++) {
		dpdk->rx[i] =
			(struct dpdk_queue){.dpdk = dpdk->pool, .device = dpdk->device, .queue = i};
		port->rx[i].driver = &dpdk->rx[i];
		err = rte_eth_rx_queue_setup(
			dpdk->device, i, n_rx, (unsigned)socket, NULL, port->pool->mempool);
	}
	for (uint16_t i = 0; i < port->n_tx_queues && !err; i++) {
		dpdk->tx[i] =
			(struct dpdk_queue){.dpdk = dpdk->pool, .device = dpdk->device, .queue = i};
		port->tx[i].driver = &dpdk->tx[i];
		err = rte_eth_tx_queue_setup(dpdk->device, i, n_tx, (unsigned)socket, NULL);
	}
	return err;
}

static int start_device(struct port *port, const struct port_config *config, struct error *error)
{
	struct dpdk_port *dpdk = port->driver;
	struct rte_eth_dev_info info;
	uint16_t mtu = (uint16_t)config->mtu;
	int err = rte_eth_dev_info_get(dpdk->device, &info);

	if (!err && !mtu)
		err = rte_eth_dev_get_mtu(dpdk->device, &mtu);
	if (!err && iface_check_mtu(port->pool, buffer_room(port->pool), mtu, error))
		return -EINVAL;
	port->frame_bytes_max = mtu + IFACE_FRAME_EXTRA;
	port->n_rx_queues = at_most(config->n_rx_queues, info.max_rx_queues);
	port->n_tx_queues = at_most(config->n_tx_queues, info.max_tx_queues);
	if (!err)
		err = configure_device(port, &info, mtu);
	if (!err)
		err = setup_queues(port);
	if (!err)
		err = rte_eth_dev_start(dpdk->device);
	if (err)
		return error_set(error, -err, "spec",
			"its driver says why in the log of the daemon",
			"cannot start DPDK device %s: %s", dpdk->name, rte_strerror(-err));
	return 0;
}

static int open_device(struct port *port, const struct port_config *config, struct error *error)
{
	struct dpdk_port *dpdk = port->driver;
	int err = check_free(dpdk, config, error);

	if (!err)
		err = plug_in(dpdk, config->args, error);
	if (!err && dpdk_pool_get(port->pool, &dpdk->pool))
		err = error_set(error, ENOMEM, "spec",
			"give DPDK more memory, or use fewer buffers",
			"no memory for DPDK's view of group %s", port->pool->name);
	if (!err)
		err = map_memory(dpdk, port->pool, error);
	if (!err)
		err = start_device(port, config, error);
	if (!err && config->promiscuous)
		err = dpdk_set_promiscuous(port, true, error);
	return err;
}

static int dpdk_open(struct port *port, const struct port_config *config, struct error *error)
{
	struct dpdk_port *dpdk = calloc(1, sizeof(*dpdk));
	int err;

	if (!dpdk)
		return error_set(error, ENOMEM, "", "", "out of memory");
	dpdk->device = NO_DEVICE;
	snprintf(dpdk->name, sizeof(dpdk->name), "%.*s", (int)strcspn(config->args, ","),
		config->args);
	port->driver = dpdk;
	port->pool = config->pool;
	err = open_device(port, config, error);
	if (err)
		dpdk_close(port);
	return err;
}

const struct port_driver dpdk_driver = {
	.kind = "dpdk",
	.usage = "dpdk:DEVICE[,ARGUMENTS]",
	.help = "any Ethernet device DPDK can drive: a PCI address, or a virtual device such as "
		"net_memif0,role=client",
	.open = dpdk_open,
	.close = dpdk_close,
	.info = dpdk_info,
	.set_mtu = dpdk_set_mtu,
	.set_promiscuous = dpdk_set_promiscuous,
	.set_link = dpdk_set_link,
	.rx = dpdk_rx,
	.tx = dpdk_tx,
	.wait_fd = dpdk_wait_fd,
};
