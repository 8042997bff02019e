/* A flow's match: see match.h. */
#include "modules/chain/match.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "manager/schema.h"

/* Sources: IANA's protocol numbers and Ethernet types. Names and numbers stand in one order. */
const char *const match_protocol_names[] = {
	"icmp", "tcp", "udp", "gre", "esp", "ah", "icmpv6", "sctp", NULL};
static const uint8_t protocol_numbers[] = {IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_GRE,
	IPPROTO_ESP, IPPROTO_AH, IPPROTO_ICMPV6, IPPROTO_SCTP};
const char *const match_eth_type_names[] = {"ipv4", "arp", "ipv6", "mpls", NULL};
static const uint16_t eth_type_numbers[] = {0x0800, 0x0806, 0x86dd, 0x8847};

const char *match_eth_type_name(uint16_t eth_type)
{
	for (unsigned i = 0; match_eth_type_names[i]; i++)
		if (eth_type_numbers[i] == eth_type)
			return match_eth_type_names[i];
	return NULL;
}

const char *match_protocol_name(uint8_t protocol)
{
	for (unsigned i = 0; match_protocol_names[i]; i++)
		if (protocol_numbers[i] == protocol)
			return match_protocol_names[i];
	return NULL;
}

void match_all(struct match *match)
{
	*match = (struct match){.src_port_max = UINT16_MAX, .dst_port_max = UINT16_MAX};
}

/* Place in a NULL-terminated list; the schema made sure that it is there. */
static unsigned place_of(const char *name, const char *const *names)
{
	unsigned i = 0;

	while (strcmp(names[i], name) != 0)
		i++;
	return i;
}

static void read_eth_type(const json_t *value, struct match *match)
{
	if (json_is_string(value))
		match->eth_type =
			eth_type_numbers[place_of(json_string_value(value), match_eth_type_names)];
	else
		match->eth_type = (uint16_t)json_integer_value(value);
}

static void read_protocol(const json_t *value, struct match *match)
{
	match->has_protocol = value != NULL;
	if (json_is_string(value))
		match->protocol =
			protocol_numbers[place_of(json_string_value(value), match_protocol_names)];
	else
		match->protocol = (uint8_t)json_integer_value(value);
}

static int read_prefix(const json_t *given, const char *field, uint8_t address[16], uint8_t *bits,
	struct match *match, struct error *error)
{
	const char *text = value_text(given, field);
	uint8_t family;

	if (!text)
		return 0;
	schema_prefix(text, address, bits, &family, NULL);
	if (match->family && match->family != family)
		return error_set(error, EINVAL, field, "IPv4 both or IPv6 both",
			"source and destination are of different IP versions");
	match->family = family;
	return 0;
}

static int check_eth_type(const struct match *match, struct error *error)
{
	uint16_t needed = match->family == 4 ? 0x0800 : 0x86dd;

	if (!match->family || !match->eth_type || match->eth_type == needed)
		return 0;
	return error_set(error, EINVAL, "eth_type",
		"leave it out, or ipv4 or ipv6 as the addresses",
		"no packet of this Ethernet type has such addresses");
}

int match_read(const json_t *given, struct match *match, struct error *error)
{
	const json_t *vlan = json_object_get(given, "vlan");
	const json_t *src_port = json_object_get(given, "src_port");
	const json_t *dst_port = json_object_get(given, "dst_port");
	int rc;

	match_all(match);
	match->has_vlan = vlan != NULL;
	match->vlan = (uint16_t)json_integer_value(vlan);
	read_eth_type(json_object_get(given, "eth_type"), match);
	read_protocol(json_object_get(given, "protocol"), match);
	if (src_port)
		schema_range(src_port, &match->src_port_min, &match->src_port_max);
	if (dst_port)
		schema_range(dst_port, &match->dst_port_min, &match->dst_port_max);
	rc = read_prefix(given, "src", match->src, &match->src_prefix, match, error);
	if (rc == 0)
		rc = read_prefix(given, "dst", match->dst, &match->dst_prefix, match, error);
	return rc ? rc : check_eth_type(match, error);
}

static void swap_bytes(void *a, void *b, size_t n)
{
	uint8_t kept[16];

	memcpy(kept, a, n);
	memcpy(a, b, n);
	memcpy(b, kept, n);
}

void match_swap(struct match *match)
{
	swap_bytes(match->src, match->dst, sizeof(match->src));
	swap_bytes(&match->src_prefix, &match->dst_prefix, sizeof(match->src_prefix));
	swap_bytes(&match->src_port_min, &match->dst_port_min, sizeof(match->src_port_min));
	swap_bytes(&match->src_port_max, &match->dst_port_max, sizeof(match->src_port_max));
}
