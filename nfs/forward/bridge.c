/* The learning bridge. See bridge.h. */
#include "forward/bridge.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "forward/mac_table.h"

struct bridge_port {
	uint32_t id;      /* as in the metadata */
	unsigned verdict; /* what sends a packet there */
	char name[NETVM_NAME_BYTES];
};

struct bridge {
	pthread_mutex_t lock;
	struct mac_table *macs;
	uint32_t version; /* of the destination table that `port` was read from */
	bool has_version;
	unsigned n_ports;
	struct bridge_port port[NETVM_DESTINATIONS_MAX];
	struct bridge_counters counters;
};

int bridge_create(uint32_t n_macs, uint32_t age_s, struct bridge **bridge)
{
	*bridge = calloc(1, sizeof(**bridge));
	if (!*bridge)
		return -ENOMEM;
	pthread_mutex_init(&(*bridge)->lock, NULL);
	if (mac_table_create(n_macs, age_s, &(*bridge)->macs)) {
		free(*bridge);
		return -ENOMEM;
	}
	return 0;
}

void bridge_destroy(struct bridge *bridge)
{
	if (!bridge)
		return;
	mac_table_destroy(bridge->macs);
	pthread_mutex_destroy(&bridge->lock);
	free(bridge);
}

/* Read the granted ports again when the host changed them. */
static void ports_refresh(struct bridge *bridge, struct netvm *nf)
{
	uint32_t version = netvm_destination_version(nf);
	struct netvm_destination entry;

	if (bridge->has_version && bridge->version == version)
		return;
	bridge->n_ports = 0;
	for (unsigned i = NETVM_VERDICT_FIRST_DESTINATION; i < NETVM_DESTINATIONS_MAX; i++) {
		struct bridge_port *port = &bridge->port[bridge->n_ports];

		if (netvm_destination_get(nf, i, &entry) || entry.kind != NETVM_DESTINATION_PORT)
			continue;
		*port = (struct bridge_port){.id = entry.id, .verdict = i};
		memcpy(port->name, entry.name, sizeof(port->name));
		bridge->n_ports++;
	}
	bridge->version = version;
	bridge->has_version = true;
}

static const struct bridge_port *port_find(const struct bridge *bridge, uint32_t id)
{
	for (unsigned i = 0; i < bridge->n_ports; i++) {
		if (bridge->port[i].id == id)
			return &bridge->port[i];
	}
	return NULL;
}

/* IEEE 802.1Q 8.6.3: addresses that a bridge keeps to one link, such as spanning tree and LACP. */
static bool mac_link_local(const uint8_t mac[6])
{
	static const uint8_t prefix[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};

	return memcmp(mac, prefix, sizeof(prefix)) == 0 && mac[5] < 16;
}

static bool mac_is_group(const uint8_t mac[6])
{
	return mac[0] & 1;
}

/* The VLAN of the outer tag, 0 when untagged. */
static uint16_t packet_vlan(const struct netvm *nf, const struct netvm_packet *pkt)
{
	const uint8_t *tag = netvm_at(nf, pkt, 12, 4);

	if (!tag)
		return 0;
	if (netvm_flow_be16(tag) != NETVM_ETH_VLAN && netvm_flow_be16(tag) != NETVM_ETH_QINQ)
		return 0;
	return netvm_flow_be16(tag + 2) & 0xfff;
}

static void drop(struct bridge *bridge, struct netvm_packet *pkt)
{
	netvm_drop(pkt);
	bridge->counters.dropped_pkts++;
}

static void forward(struct bridge *bridge, struct netvm_packet *pkt, const struct bridge_port *port)
{
	netvm_to(pkt, port->verdict);
	bridge->counters.forwarded_pkts++;
}

static void send_copy(struct bridge *bridge, struct netvm *nf, const struct netvm_packet *pkt,
	const struct bridge_port *port)
{
	struct netvm_packet copy;

	if (netvm_clone(nf, pkt, &copy)) {
		bridge->counters.short_pkts++;
		return;
	}
	netvm_to(&copy, port->verdict);
	netvm_send(nf, &copy, 1);
}

/* Out of all ports but the one it came in by; the packet itself takes the last, copies the rest. */
static void flood(
	struct bridge *bridge, struct netvm *nf, struct netvm_packet *pkt, uint32_t in_port)
{
	const struct bridge_port *last = NULL;

	for (unsigned i = 0; i < bridge->n_ports; i++) {
		if (bridge->port[i].id == in_port)
			continue;
		if (last)
			send_copy(bridge, nf, pkt, last);
		last = &bridge->port[i];
	}
	if (!last) {
		drop(bridge, pkt);
		return;
	}
	netvm_to(pkt, last->verdict);
	bridge->counters.flooded_pkts++;
}

static void bridge_packet(
	struct bridge *bridge, struct netvm *nf, struct netvm_packet *pkt, uint32_t now_s)
{
	uint16_t in_port = netvm_meta(nf, pkt)->in_port;
	const struct netvm_eth *eth = netvm_at(nf, pkt, 0, sizeof(*eth));
	const struct bridge_port *out = NULL;
	uint16_t vlan;
	int known;

	if (!eth || mac_link_local(eth->dst)) {
		drop(bridge, pkt);
		return;
	}
	vlan = packet_vlan(nf, pkt);
	if (!mac_is_group(eth->src) && port_find(bridge, in_port))
		mac_table_learn(bridge->macs, eth->src, vlan, in_port, now_s);
	known = mac_is_group(eth->dst) ? -ENOENT
				       : mac_table_find(bridge->macs, eth->dst, vlan, now_s);
	if (known >= 0)
		out = port_find(bridge, (uint32_t)known);
	if (!out)
		flood(bridge, nf, pkt, in_port);
	else if (out->id == in_port)
		drop(bridge, pkt); /* both stations are on that side */
	else
		forward(bridge, pkt, out);
}

/* With two ports there is one way out, whatever the address: no table, no look at the packet. */
static void wire_packet(struct bridge *bridge, struct netvm *nf, struct netvm_packet *pkt)
{
	uint16_t in_port = netvm_meta(nf, pkt)->in_port;

	if (in_port == bridge->port[0].id)
		forward(bridge, pkt, &bridge->port[1]);
	else if (in_port == bridge->port[1].id)
		forward(bridge, pkt, &bridge->port[0]);
	else
		drop(bridge, pkt);
}

void bridge_burst(struct bridge *bridge, struct netvm *nf, struct netvm_packet *pkts, unsigned n,
	uint32_t now_s)
{
	pthread_mutex_lock(&bridge->lock);
	ports_refresh(bridge, nf);
	for (unsigned i = 0; i < n; i++) {
		if (bridge->n_ports == 2)
			wire_packet(bridge, nf, &pkts[i]);
		else
			bridge_packet(bridge, nf, &pkts[i], now_s);
	}
	pthread_mutex_unlock(&bridge->lock);
}

void bridge_print(struct bridge *bridge, uint32_t now_s, FILE *file)
{
	const struct bridge_counters *counters = &bridge->counters;

	pthread_mutex_lock(&bridge->lock);
	fprintf(file,
		"forwarded %" PRIu64 " flooded %" PRIu64 " dropped %" PRIu64
		" copies short %" PRIu64 " packets\n",
		counters->forwarded_pkts, counters->flooded_pkts, counters->dropped_pkts,
		counters->short_pkts);
	for (unsigned i = 0; i < bridge->n_ports; i++)
		fprintf(file, "port %" PRIu32 " is %.*s\n", bridge->port[i].id, NETVM_NAME_BYTES,
			bridge->port[i].name);
	mac_table_print(bridge->macs, now_s, file);
	pthread_mutex_unlock(&bridge->lock);
}

void bridge_counters(struct bridge *bridge, struct bridge_counters *counters)
{
	pthread_mutex_lock(&bridge->lock);
	*counters = bridge->counters;
	pthread_mutex_unlock(&bridge->lock);
}
