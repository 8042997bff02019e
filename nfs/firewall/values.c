/* Single words of a rule file turned into values. See values.h. */
#include "firewall/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int rules_error_set(struct rules_error *error, const char *valid, const char *format, ...)
{
	va_list args;

	snprintf(error->valid, sizeof(error->valid), "%s", valid);
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	for (char *at = error->message; *at; at++) {
		if (!isprint((unsigned char)*at))
			*at = '?'; /* what the file holds does not reach the terminal */
	}
	return -EINVAL;
}

/* Decimal digits and nothing else. */
static bool number_parse(const char *text, unsigned long max, unsigned long *number)
{
	char *end;

	if (!isdigit((unsigned char)text[0]) || strlen(text) > 9)
		return false;
	*number = strtoul(text, &end, 10);
	return !*end && *number <= max;
}

int value_action(const char *text, bool *allow, struct rules_error *error)
{
	*allow = strcmp(text, "allow") == 0;
	if (*allow || strcmp(text, "drop") == 0)
		return 0;
	return rules_error_set(error, VALUES_ACTIONS, "\"%s\" is no action", text);
}

int value_protocol(const char *text, int *protocol, struct rules_error *error)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {
		{"any", -1},
		{"tcp", NETVM_PROTO_TCP},
		{"udp", NETVM_PROTO_UDP},
		{"icmp", NETVM_PROTO_ICMP},
		{"icmpv6", NETVM_PROTO_ICMPV6},
	};
	unsigned long number;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i].name) == 0) {
			*protocol = names[i].number;
			return 0;
		}
	}
	if (!number_parse(text, 255, &number))
		return rules_error_set(error, VALUES_PROTOCOLS, "\"%s\" is no protocol", text);
	*protocol = (int)number;
	return 0;
}

int value_ports(const char *text, struct port_range *range, struct rules_error *error)
{
	const char *dash = strchr(text, '-');
	unsigned long min, max;
	char first[8];

	snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - text) : 7, text);
	if (!number_parse(first, 65535, &min) || !number_parse(dash ? dash + 1 : text, 65535, &max))
		return rules_error_set(
			error, VALUES_PORTS, "\"%s\" is no port or range of ports", text);
	if (max < min)
		return rules_error_set(error, VALUES_PORTS, "\"%s\" runs backwards", text);
	*range = (struct port_range){.min = (uint16_t)min, .max = (uint16_t)max};
	return 0;
}

int value_name(const char *text, struct rules_error *error)
{
	const char *at = text;

	while (isalnum((unsigned char)*at) || (at > text && *at && strchr("_.-", *at)))
		at++;
	if (*at || at == text || at - text >= NETVM_NAME_BYTES)
		return rules_error_set(error, VALUES_NAMES, "\"%s\" is no port name", text);
	return 0;
}

int value_seconds(const char *text, uint32_t *seconds, struct rules_error *error)
{
	unsigned long number;

	if (!number_parse(text, 1000000, &number) || number == 0)
		return rules_error_set(
			error, VALUES_SECONDS, "\"%s\" is no number of seconds", text);
	*seconds = (uint32_t)number;
	return 0;
}

/* Returns the family, or 0 when it is no address. IPv4 comes out mapped into IPv6. */
static uint8_t address_parse(const char *text, uint8_t address[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (inet_pton(AF_INET6, text, address) == 1)
		return 6;
	memcpy(address, mapped, sizeof(mapped));
	return inet_pton(AF_INET, text, address + 12) == 1 ? 4 : 0;
}

/* `bits` of the 128. */
static void prefix_set(struct prefix *prefix, const uint8_t address[16], unsigned bits)
{
	uint8_t mask[16] = {0};

	for (unsigned i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	memcpy(prefix->mask, mask, sizeof(mask));
	memcpy(prefix->value, address, sizeof(prefix->value));
	prefix->value[0] &= prefix->mask[0];
	prefix->value[1] &= prefix->mask[1];
}

/* The address has bits behind the prefix: most likely a mistake; say what may have been meant. */
static int host_bits_fail(const char *text, const struct prefix *prefix, uint8_t family,
	unsigned long bits, struct rules_error *error)
{
	char meant[INET6_ADDRSTRLEN], valid[INET6_ADDRSTRLEN + 8];
	uint8_t address[16];

	memcpy(address, prefix->value, sizeof(address));
	inet_ntop(family == 4 ? AF_INET : AF_INET6, family == 4 ? address + 12 : address, meant,
		sizeof(meant));
	snprintf(valid, sizeof(valid), "%s/%lu", meant, bits & 255);
	return rules_error_set(error, valid, "%s has bits set behind its prefix length", text);
}

int value_prefix(
	const char *text, struct prefix *prefix, uint8_t *family, struct rules_error *error)
{
	const char *slash = strchrnul(text, '/');
	char host[INET6_ADDRSTRLEN];
	uint8_t address[16];
	unsigned long bits;

	*family = 0;
	if (strcmp(text, "any") == 0)
		return 0;
	snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
	*family = address_parse(host, address);
	if (!*family || slash - text >= INET6_ADDRSTRLEN)
		return rules_error_set(error, VALUES_PREFIXES, "\"%s\" is no address", text);
	bits = *family == 4 ? 32 : 128;
	if (*slash && !number_parse(slash + 1, bits, &bits))
		return rules_error_set(error, *family == 4 ? "0..32" : "0..128",
			"\"%s\" is no prefix length", slash + 1);
	prefix_set(prefix, address, (unsigned)bits + (*family == 4 ? 96 : 0));
	if (memcmp(prefix->value, address, sizeof(address)) != 0)
		return host_bits_fail(text, prefix, *family, bits, error);
	return 0;
}
