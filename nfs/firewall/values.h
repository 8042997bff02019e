/*
 * Single words of a rule file turned into values. Called by parse.c, which knows where they stand.
 *
 * Each returns 0, or -EINVAL with error->message and error->valid filled and the value unspecified.
 * Thread-safety: pure functions.
 */
#ifndef NFS_FIREWALL_VALUES_H
#define NFS_FIREWALL_VALUES_H

#include "firewall/rules.h"

/* What a word stands for, as the errors say it. */
#define VALUES_ACTIONS   "allow, drop"
#define VALUES_PROTOCOLS "tcp, udp, icmp, icmpv6, any, a number 0..255"
#define VALUES_PORTS     "a port 0..65535 or a range such as 1024-65535"
#define VALUES_PREFIXES  "any, an IPv4 or IPv6 address, or one with /BITS behind it"
#define VALUES_NAMES     "a port's name: letters, digits and _ . -, at most 31"
#define VALUES_SECONDS   "seconds, 1..1000000"

int value_action(const char *text, bool *allow, struct rules_error *error);
int value_protocol(const char *text, int *protocol, struct rules_error *error); /* -1: any */
int value_ports(const char *text, struct port_range *range, struct rules_error *error);
int value_name(const char *text, struct rules_error *error); /* of a port */
int value_seconds(const char *text, uint32_t *seconds, struct rules_error *error);

/* *family becomes 4, 6, or 0 for "any", which leaves *prefix alone. */
int value_prefix(
	const char *text, struct prefix *prefix, uint8_t *family, struct rules_error *error);

/* Fill an error's words; what is not printable in them becomes '?'. Returns -EINVAL. */
int rules_error_set(struct rules_error *error, const char *valid, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
