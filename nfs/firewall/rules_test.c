/* Rule files: every error with its place, and what rules match, fragments included. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "firewall/cache.h"
#include "firewall/rules.h"

static int parse_bytes(
	const char *text, size_t size, struct ruleset **ruleset, struct rules_error *error)
{
	FILE *file = fmemopen((void *)text, size, "r");
	int result;

	assert_non_null(file);
	result = ruleset_parse(file, ruleset, error);
	fclose(file);
	return result;
}

static struct ruleset *rules_of(const char *text)
{
	struct ruleset *ruleset;
	struct rules_error error;

	if (parse_bytes(text, strlen(text), &ruleset, &error))
		fail_msg("%u:%u: %s", error.line, error.column, error.message);
	return ruleset;
}

/* Each is refused, with this place, and these words in what is said. */
static const struct {
	const char *text;
	unsigned line, column;
	const char *message; /* a part of it */
	const char *valid;   /* a part of it */
} bad_files[] = {
	{"\n\nalow", 3, 1, "\"alow\" is no statement", "allow, drop, default"},
	{"allow tcp", 1, 7, "\"tcp\" is no condition", "proto P"},
	{"allow port 80", 1, 7, "stands behind an address", "to any port N"},
	{"allow proto", 1, 12, "needs something behind it", "tcp, udp"},
	{"allow proto  # x", 1, 14, "needs something behind it", "tcp, udp"},
	{"allow proto 256", 1, 13, "\"256\" is no protocol", "0..255"},
	{"allow proto tpc", 1, 13, "\"tpc\" is no protocol", "icmpv6"},
	{"allow proto 4294967297", 1, 13, "is no protocol", "0..255"},
	{"allow proto tcp proto tcp", 1, 17, "\"proto\" stands here twice", "once"},
	{"drop from", 1, 10, "needs something behind it", "IPv4 or IPv6"},
	{"drop from 10.0.0", 1, 11, "\"10.0.0\" is no address", "IPv4 or IPv6"},
	{"drop from 10.0.0.256", 1, 11, "is no address", "IPv4 or IPv6"},
	{"drop from 10.0.0.0/33", 1, 11, "\"33\" is no prefix length", "0..32"},
	{"drop from 10.0.0.0/", 1, 11, "\"\" is no prefix length", "0..32"},
	{"drop from ::/129", 1, 11, "\"129\" is no prefix length", "0..128"},
	{"drop from 10.1.2.3/8", 1, 11, "bits set behind", "10.0.0.0/8"},
	{"drop from 2001:db8::1/32", 1, 11, "bits set behind", "2001:db8::/32"},
	{"drop from ::1 to 1.2.3.4", 1, 18, "another IP version", "both IPv4"},
	{"drop from 1111111111111111111111111111111111111111111111111111/1", 1, 11, "is no address",
		"IPv4"},
	{"allow proto tcp to any port", 1, 28, "needs something", "0..65535"},
	{"allow proto tcp to any port 65536", 1, 29, "is no port", "0..65535"},
	{"allow proto tcp to any port 80-", 1, 29, "is no port", "1024-65535"},
	{"allow proto tcp to any port -80", 1, 29, "is no port", "1024-65535"},
	{"allow proto tcp to any port 1-2-3", 1, 29, "is no port", "1024-65535"},
	{"allow proto tcp to any port 90-80", 1, 29, "runs backwards", "1024-65535"},
	{"allow proto tcp to any port http", 1, 29, "is no port", "1024-65535"},
	{"allow to any port 80", 1, 1, "needs a protocol", "proto tcp"},
	{"allow proto icmp to any port 80", 1, 1, "needs a protocol", "proto tcp"},
	{"allow proto icmp from ::1", 1, 1, "another IP version", "icmpv6 with IPv6"},
	{"allow in", 1, 9, "needs something behind it", "a port's name"},
	{"allow in .eth0", 1, 10, "\".eth0\" is no port name", "letters"},
	{"allow in 0123456789012345678901234567890123", 1, 10, "is no port name", "31"},
	{"default", 1, 8, "needs something behind it", "allow, drop"},
	{"default pass", 1, 9, "\"pass\" is no action", "allow, drop"},
	{"default drop now", 1, 14, "\"now\" is too much", "end of the line"},
	{"timeout", 1, 8, "needs something behind it", "tcp-opening"},
	{"timeout tcp 3", 1, 9, "\"tcp\" is no timeout", "tcp-established"},
	{"timeout udp", 1, 12, "needs something behind it", "seconds"},
	{"timeout udp 0", 1, 13, "is no number of seconds", "1..1000000"},
	{"timeout udp 5m", 1, 13, "is no number of seconds", "1..1000000"},
	{"allow\nfl\x1b[31mip", 2, 1, "fl?[31mip", "allow, drop"},
	{"a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a "
	 "a",
		1, 79, "too many words", "at most 39"},
};

static void bad_files_say_where_and_what(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
		struct ruleset *ruleset = NULL;
		struct rules_error error;

		assert_int_equal(
			parse_bytes(bad_files[i].text, strlen(bad_files[i].text), &ruleset, &error),
			-EINVAL);
		assert_null(ruleset);
		if (!strstr(error.message, bad_files[i].message) ||
			!strstr(error.valid, bad_files[i].valid) ||
			error.line != bad_files[i].line || error.column != bad_files[i].column)
			fail_msg("%s: %u:%u: %s; valid: %s", bad_files[i].text, error.line,
				error.column, error.message, error.valid);
	}
}

static void files_that_are_no_text_are_refused(void **state)
{
	char line[2000];
	struct ruleset *ruleset;
	struct rules_error error;

	(void)state;
	memset(line, 'a', sizeof(line));
	assert_int_equal(parse_bytes(line, sizeof(line), &ruleset, &error), -EINVAL);
	assert_string_equal(error.message, "the line is too long");
	assert_int_equal(parse_bytes("allow\0drop\n", 11, &ruleset, &error), -EINVAL);
	assert_string_equal(error.message, "a NUL byte");
	assert_int_equal(ruleset_load("/nonexistent", &ruleset, &error), -ENOENT);
	assert_int_equal(error.line, 0);
	assert_int_equal(ruleset_load("/", &ruleset, &error), -EIO);
}

static void a_file_says_what_it_says(void **state)
{
	struct ruleset *rules = rules_of("# site ü\r\n"
					 "default allow\n"
					 "arp drop\n ndp drop\nother allow\nmidstream allow\n"
					 "timeout udp 7 # short\n"
					 "\tallow   in lan\tproto tcp#x\n"
					 "drop");

	(void)state;
	assert_true(rules->allow_default);
	assert_false(rules->allow_arp);
	assert_false(rules->allow_ndp);
	assert_true(rules->allow_other);
	assert_true(rules->policy.midstream);
	assert_int_equal(rules->policy.timeout_s[TIMEOUT_UDP], 7);
	assert_int_equal(rules->policy.timeout_s[TIMEOUT_TCP_ESTABLISHED], 7440);
	assert_int_equal(rules->n_rules, 2);
	assert_string_equal(rules->rules[0].text, "allow in lan proto tcp");
	assert_int_equal(rules->rules[0].line, 8);
	assert_string_equal(rules->port[0], "lan");
	assert_false(rules->stateful);
	ruleset_destroy(rules);
}

static void an_empty_file_drops_all_but_neighbours(void **state)
{
	struct ruleset *rules = rules_of("\n");

	(void)state;
	assert_false(rules->allow_default);
	assert_true(rules->allow_arp);
	assert_true(rules->allow_ndp);
	assert_false(rules->allow_other);
	ruleset_destroy(rules);
}

/* "SRC SRC_PORT DST DST_PORT" of a packet of `protocol` into a subject. */
static struct subject subject_of(const char *text, uint8_t protocol)
{
	struct subject subject = {.state = STATE_NEW, .key.protocol = protocol};
	struct netvm_flow_key *key = &subject.key;
	char src[64], dst[64];
	unsigned src_port, dst_port;

	assert_int_equal(sscanf(text, "%63s %u %63s %u", src, &src_port, dst, &dst_port), 4);
	key->src_port = (uint16_t)src_port;
	key->dst_port = (uint16_t)dst_port;
	key->family = strchr(src, ':') ? 6 : 4;
	if (key->family == 6) {
		assert_int_equal(inet_pton(AF_INET6, src, key->src), 1);
		assert_int_equal(inet_pton(AF_INET6, dst, key->dst), 1);
		return subject;
	}
	key->src[10] = key->src[11] = key->dst[10] = key->dst[11] = 0xff;
	assert_int_equal(inet_pton(AF_INET, src, key->src + 12), 1);
	assert_int_equal(inet_pton(AF_INET, dst, key->dst + 12), 1);
	return subject;
}

static void the_first_match_decides(void **state)
{
	static const struct {
		const char *packet;
		uint8_t protocol;
		unsigned rule;
	} table[] = {
		{"10.1.2.3 5000 192.0.2.1 80", 6, 0},
		{"11.1.2.3 5000 192.0.2.1 80", 6, 5},
		{"10.1.2.3 5000 192.0.2.1 79", 6, 1},
		{"10.1.2.3 5000 192.0.2.1 80", 17, 1},
		{"11.0.0.1 53 192.0.2.1 1024", 17, 2},
		{"11.0.0.1 53 192.0.2.1 65535", 17, 2},
		{"11.0.0.1 53 192.0.2.1 1023", 17, 6},
		{"11.0.0.1 54 192.0.2.1 1024", 17, 6},
		{"2001:db8:1::1 0 2001:db8::2 0", 58, 3},
		{"2001:db9::1 0 2001:db8::2 0", 58, 4},
		{"::1 0 ::2 0", 6, 4},
		{"11.0.0.1 0 11.0.0.2 0", 47, 6},
	};
	struct ruleset *rules = rules_of("allow proto tcp from 10.0.0.0/8 to any port 80\n"
					 "drop from 10.0.0.0/8 to 192.0.2.1\n"
					 "allow proto udp from any port 53 to any port 1024-65535\n"
					 "allow proto icmpv6 from 2001:db8::/32\n"
					 "drop from ::/0\n"
					 "allow proto 6 to 192.0.2.0/24\n");

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct subject subject = subject_of(table[i].packet, table[i].protocol);

		assert_int_equal(ruleset_match(rules, &subject), table[i].rule);
	}
	ruleset_destroy(rules);
}

static void port_and_state_are_conditions(void **state)
{
	struct ruleset *rules = rules_of("allow established related\nallow in lan\n"
					 "drop in wan\nallow related\n");
	struct subject subject = subject_of("10.0.0.1 1 10.0.0.2 2", 6);

	(void)state;
	assert_true(rules->stateful);
	subject.in = 1;
	assert_int_equal(ruleset_match(rules, &subject), 1);
	subject.in = 2;
	assert_int_equal(ruleset_match(rules, &subject), 2);
	subject.in = 0;
	assert_int_equal(ruleset_match(rules, &subject), 4);
	subject.state = STATE_ESTABLISHED;
	assert_int_equal(ruleset_match(rules, &subject), 0);
	subject.state = STATE_RELATED;
	assert_int_equal(ruleset_match(rules, &subject), 0);
	ruleset_destroy(rules);
}

static void fragments_pass_no_port_rule(void **state)
{
	struct ruleset *allow = rules_of("allow proto udp to any port 53\n");
	struct ruleset *drop = rules_of("drop proto udp to any port 53\nallow\n");
	struct ruleset *whole = rules_of("allow proto udp from 10.0.0.0/8\n");
	struct subject fragment = subject_of("10.0.0.1 0 10.0.0.2 0", 17);

	(void)state;
	fragment.fragment = 1;
	assert_int_equal(ruleset_match(allow, &fragment), 1);
	assert_int_equal(ruleset_match(drop, &fragment), 0);
	assert_int_equal(ruleset_match(whole, &fragment), 0);
	fragment.key.protocol = 6;
	assert_int_equal(ruleset_match(drop, &fragment), 1);
	ruleset_destroy(allow);
	ruleset_destroy(drop);
	ruleset_destroy(whole);
}

/* 2000 rules, so that the cache is used; both ways must agree, also the second time. */
static void the_cache_says_what_the_rules_say(void **state)
{
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	struct ruleset *rules;
	struct cache *cache;

	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		fprintf(file, "%s in p%u proto tcp from 10.0.%u.%u to any port %u\n",
			i % 3 ? "allow" : "drop", i % 4, i / 256, i % 256, i % 7);
	fclose(file);
	rules = rules_of(text);
	assert_int_equal(cache_create(&cache), 0);
	for (unsigned i = 0; i < 30000; i++) {
		struct subject subject = subject_of("10.0.0.0 1 10.9.9.9 2", 6);

		subject.key.src[14] = (uint8_t)(i * 7919 >> 8 & 7);
		subject.key.src[15] = (uint8_t)(i * 7919);
		subject.key.dst_port = (uint16_t)(i % 5);
		subject.in = (uint8_t)(i % 3);
		assert_int_equal(
			cache_match(cache, rules, &subject), ruleset_match(rules, &subject));
	}
	cache_destroy(cache);
	ruleset_destroy(rules);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_files_say_where_and_what),
		cmocka_unit_test(files_that_are_no_text_are_refused),
		cmocka_unit_test(a_file_says_what_it_says),
		cmocka_unit_test(an_empty_file_drops_all_but_neighbours),
		cmocka_unit_test(the_first_match_decides),
		cmocka_unit_test(port_and_state_are_conditions),
		cmocka_unit_test(fragments_pass_no_port_rule),
		cmocka_unit_test(the_cache_says_what_the_rules_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
