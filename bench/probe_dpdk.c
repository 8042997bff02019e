/*
 * The probe on two virtio-user ports of DPDK, for OVS-DPDK: sends on port 0, receives on port 1.
 * Usage: bench-probe-dpdk EAL-OPTIONS with two --vdev; see probe.h for stdin.
 */
#include <stdio.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "bench/probe.h"

#define N_BUFFERS 16384
#define N_PLACES  1024 /* as the vhost queues of the peers */

struct ports {
	struct rte_mempool *pool;
	struct rte_mbuf *out[PROBE_BURST]; /* prepared, not sent */
	unsigned n_out;
	struct rte_mbuf *in[PROBE_BURST]; /* shown to the probe by the last receive */
	unsigned n_in;
};

static unsigned ports_prepare(void *arg, uint8_t **frames, unsigned n)
{
	struct ports *ports = arg;

	while (ports->n_out < n) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(ports->pool);

		if (mbuf == NULL)
			break;
		mbuf->data_len = PROBE_FRAME_BYTES;
		mbuf->pkt_len = PROBE_FRAME_BYTES;
		ports->out[ports->n_out++] = mbuf;
	}
	if (n > ports->n_out)
		n = ports->n_out;
	for (unsigned i = 0; i < n; i++)
		frames[i] = rte_pktmbuf_mtod(ports->out[i], uint8_t *);
	return n;
}

static unsigned ports_send(void *arg, unsigned n)
{
	struct ports *ports = arg;
	unsigned sent = rte_eth_tx_burst(0, 0, ports->out, (uint16_t)n);

	ports->n_out -= sent;
	for (unsigned i = 0; i < ports->n_out; i++)
		ports->out[i] = ports->out[sent + i];
	return sent;
}

static int ports_receive(void *arg, const uint8_t **frames, unsigned max)
{
	struct ports *ports = arg;

	rte_pktmbuf_free_bulk(ports->in, ports->n_in);
	ports->n_in = rte_eth_rx_burst(1, 0, ports->in, (uint16_t)max);
	for (unsigned i = 0; i < ports->n_in; i++)
		frames[i] = rte_pktmbuf_mtod(ports->in[i], const uint8_t *);
	return (int)ports->n_in;
}

static int port_start(uint16_t port, struct rte_mempool *pool)
{
	const struct rte_eth_conf conf = {0};
	int result = rte_eth_dev_configure(port, 1, 1, &conf);

	if (result == 0)
		result = rte_eth_rx_queue_setup(port, 0, N_PLACES, SOCKET_ID_ANY, NULL, pool);
	if (result == 0)
		result = rte_eth_tx_queue_setup(port, 0, N_PLACES, SOCKET_ID_ANY, NULL);
	if (result == 0)
		result = rte_eth_dev_start(port);
	if (result != 0)
		fprintf(stderr, "probe: port %u: %s\n", port, rte_strerror(-result));
	return result;
}

int main(int argc, char **argv)
{
	static struct ports ports;
	const struct probe_io io = {ports_prepare, ports_send, ports_receive, &ports};
	int status = 1;

	if (rte_eal_init(argc, argv) < 0)
		return 1;
	ports.pool = rte_pktmbuf_pool_create(
		"probe", N_BUFFERS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (ports.pool == NULL || rte_eth_dev_count_avail() != 2)
		fprintf(stderr, "probe: no memory, or not two ports\n");
	else if (port_start(0, ports.pool) == 0 && port_start(1, ports.pool) == 0)
		status = probe_serve(&io);
	rte_eal_cleanup();
	return status;
}
