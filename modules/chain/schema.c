/* The sections `chains` and `flows` of the document. Read by the manager's schema. */
#include "modules/chain/chain.h"

#include "engine/engine.h"
#include "modules/chain/match.h"

static const struct field service_field = {"service", FIELD_NAME, .ref = "nfs.service"};

static const struct field chain_fields[] = {
	{"from", FIELD_REF, .ref = "ports", .required = true,
		.help = "Port whose packets enter the chain", .example = "lan"},
	{"to", FIELD_REF, .ref = "ports", .required = true,
		.help = "Port by which packets leave it", .example = "wan"},
	{"path", FIELD_LIST, .element = &service_field, .max = PROGRAM_STEPS_MAX - 1,
		.preset = "[]", .help = "Services on the way, in order",
		.example = "[firewall, monitor]"},
	{"reverse", FIELD_ENUM, .preset = "\"mirror\"",
		.values = (const char *const[]){"mirror", "same", "none", NULL},
		.help = "Packets from `to` back to `from`: the path backwards, in the same order, "
			"or not"},
	{"on_failure", FIELD_ENUM, .preset = "\"closed\"",
		.values = (const char *const[]){"closed", "open", "hold", "standby", NULL},
		.help = "A service without a live NF: drop the packets, pass it over, hold them "
			"until it is back; standby: it must not come to that, one stands by"},
	{"hold_pkts", FIELD_INT, .min = 1, .max = 16384, .preset = "1024", .unit = "packets",
		.help = "With on_failure hold: packets that may wait for a service, per direction "
			"and worker"},
	{"hold_ms", FIELD_INT, .min = 1, .max = 60000, .preset = "1000", .unit = "ms",
		.help = "With on_failure hold: how long a packet waits before it is dropped"},
	{"guard_crashes", FIELD_INT, .min = 0, .max = 1000, .preset = "0", .unit = "crashes",
		.help = "Crashes of a service with a flow in its hands before the flow is kept "
			"from "
			"it; 0: never"},
	{"guard", FIELD_ENUM, .preset = "\"drop\"",
		.values = (const char *const[]){"drop", "bypass", NULL},
		.help = "What becomes of such a flow: drop it, or let it bypass the service"},
	{"guard_s", FIELD_INT, .min = 1, .max = 86400, .preset = "600", .unit = "s",
		.help = "So long after its last crash a flow is forgotten"},
	{"default", FIELD_BOOL,
		.help = "Take everything from the chain's ports that no flow claims; not said: "
			"yes, "
			"unless a flow names the chain"},
	{"cross_groups", FIELD_BOOL, .preset = "false",
		.help = "Copy packets where the path goes from one trust group to another"},
	{},
};

const struct section chain_section = {"chains", "chain", chain_fields,
	.help = "Chains: ordered services between two ports", .role = ROLE_OPERATE};

static const struct field match_fields[] = {
	{"in_port", FIELD_REF, .ref = "ports",
		.help = "Port it comes in by; a flow to a chain has the chain's `from`"},
	MATCH_FIELDS,
	{},
};

static const struct field flow_fields[] = {
	{"match", FIELD_MAP, .fields = match_fields, .preset = "{}",
		.help = "Which packets; all that is given must hold", .example = "{vlan: 20}"},
	{"priority", FIELD_INT, .max = 65535, .preset = "100",
		.help = "Of the flows that match, the one with the highest priority decides"},
	{"chain", FIELD_REF, .ref = "chains", .help = "Send them through this chain"},
	{"port", FIELD_REF, .ref = "ports", .help = "Send them straight out of this port"},
	{"drop", FIELD_BOOL, .help = "Drop them"},
	{"mirror", FIELD_BOOL, .preset = "true",
		.help = "With a chain: replies (addresses and ports swapped) take its reverse "
			"direction"},
	{},
};

const struct section flow_section = {"flows", "flow", flow_fields,
	.help = "Flows: which packets go where", .role = ROLE_OPERATE};
