/* Counting: both directions, protocols, eviction; and the report made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/report.h"
#include "monitor/tally.h"

static struct netvm_flow_key key_of(uint8_t src, uint8_t dst, uint16_t src_port, uint16_t dst_port)
{
	struct netvm_flow_key key = {
		.eth_type = NETVM_ETH_IPV4,
		.family = 4,
		.protocol = NETVM_PROTO_TCP,
		.src_port = src_port,
		.dst_port = dst_port,
	};

	key.src[10] = key.src[11] = key.dst[10] = key.dst[11] = 0xff;
	key.src[12] = key.dst[12] = 10;
	key.src[15] = src;
	key.dst[15] = dst;
	return key;
}

/* Count a TCP packet of 100 bytes from host `src`. */
static void count_from(struct tally *tally, uint8_t src, uint64_t now_ns)
{
	struct netvm_flow_key key = key_of(src, 99, 1, 2);

	tally_packet(tally, &key, 100, now_ns);
}

static struct tally *tally_of(uint32_t n_flows)
{
	struct tally *tally;

	assert_int_equal(tally_create(n_flows, &tally), 0);
	return tally;
}

static void collect(struct report *report, struct tally *tally, unsigned n_top, bool by_packets)
{
	*report = (struct report){.now_ns = 1000};
	report_collect(report, &tally, 1, n_top, by_packets);
}

static void both_directions_are_one_flow(void **state)
{
	struct netvm_flow_key there = key_of(1, 2, 4000, 80), back = key_of(2, 1, 80, 4000);
	struct tally *tally = tally_of(64);
	static struct report report;

	(void)state;
	there.vlan_tci = 0xe005; /* priority differs, VLAN is the same */
	back.vlan_tci = 0x0005;
	tally_packet(tally, &there, 100, 5);
	tally_packet(tally, &back, 1000, 6);
	tally_packet(tally, &there, 50, 7);
	collect(&report, tally, 10, false);
	assert_int_equal(report.n_flows, 1);
	assert_int_equal(report.n_top, 1);
	assert_int_equal(report.top[0].forth.pkts, 2);
	assert_int_equal(report.top[0].forth.bytes, 150);
	assert_int_equal(report.top[0].back.pkts, 1);
	assert_int_equal(report.top[0].back.bytes, 1000);
	assert_int_equal(report.top[0].first_ns, 5);
	assert_int_equal(report.top[0].last_ns, 7);
	assert_int_equal(report.top[0].key.src[15], 1);
	tally_destroy(tally);
}

static void ports_vlans_and_protocols_tell_flows_apart(void **state)
{
	struct netvm_flow_key key = key_of(1, 2, 4000, 80);
	struct tally *tally = tally_of(64);

	(void)state;
	tally_packet(tally, &key, 100, 1);
	key.src_port++;
	tally_packet(tally, &key, 100, 1);
	key.protocol = NETVM_PROTO_UDP;
	tally_packet(tally, &key, 100, 1);
	key.vlan_tci = 7;
	tally_packet(tally, &key, 100, 1);
	assert_int_equal(tally->n_flows, 4);
	assert_int_equal(tally->protocol[TALLY_TCP].pkts, 2);
	assert_int_equal(tally->protocol[TALLY_UDP].pkts, 2);
	tally_destroy(tally);
}

static void each_kind_of_packet_has_its_line(void **state)
{
	static const struct {
		struct netvm_flow_key key;
		enum tally_protocol protocol;
	} table[] = {
		{{.eth_type = 0x0800, .family = 4, .protocol = 1}, TALLY_ICMP},
		{{.eth_type = 0x86dd, .family = 6, .protocol = 58}, TALLY_ICMPV6},
		{{.eth_type = 0x0800, .family = 4, .protocol = 47}, TALLY_OTHER_IP},
		{{.eth_type = 0x0806}, TALLY_ARP},
		{{.eth_type = 0x88cc}, TALLY_OTHER},
		{{.eth_type = 0x0800}, TALLY_MALFORMED},
		{{.eth_type = 0x86dd}, TALLY_MALFORMED},
		{{.eth_type = 0}, TALLY_MALFORMED},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct tally *tally = tally_of(64);

		tally_packet(tally, &table[i].key, 60, 1);
		assert_int_equal(tally->protocol[table[i].protocol].pkts, 1);
		assert_int_equal(tally->protocol[table[i].protocol].bytes, 60);
		tally_destroy(tally);
	}
}

/* One bucket of four: the flow silent the longest goes, the totals stay. */
static void a_full_bucket_evicts_the_flow_silent_the_longest(void **state)
{
	struct tally *tally = tally_of(4);
	static struct report report;

	(void)state;
	for (uint8_t i = 1; i <= 4; i++)
		count_from(tally, i, i);
	count_from(tally, 1, 5);
	count_from(tally, 5, 6);
	collect(&report, tally, 10, true);
	assert_int_equal(report.n_flows, 4);
	assert_int_equal(report.n_evicted, 1);
	assert_int_equal(report.total.pkts, 6);
	assert_int_equal(report.total.bytes, 600);
	assert_int_equal(report.top[0].key.src[15], 1);
	for (unsigned i = 0; i < report.n_top; i++)
		assert_int_not_equal(report.top[i].key.src[15], 2);
	tally_destroy(tally);
}

static void the_top_is_the_largest_in_order(void **state)
{
	struct tally *tally = tally_of(1024);
	static struct report report;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		struct netvm_flow_key key = key_of((uint8_t)(i * 37 % 100), 200, 1, 2);

		tally_packet(tally, &key, 100 + i * 37 % 100, 1);
	}
	collect(&report, tally, 3, false);
	assert_int_equal(report.n_top, 3);
	assert_int_equal(report.top[0].forth.bytes, 199);
	assert_int_equal(report.top[1].forth.bytes, 198);
	assert_int_equal(report.top[2].forth.bytes, 197);
	collect(&report, tally, 0, false);
	assert_int_equal(report.n_top, 0);
	tally_destroy(tally);
}

static void reports_print_every_kind_of_flow(void **state)
{
	struct netvm_flow_key key = key_of(1, 2, 4000, 80);
	struct tally *tally = tally_of(64);
	static struct report report;
	char *text;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	(void)state;
	tally_packet(tally, &key, 100, 1);
	tally_packet(tally, &(struct netvm_flow_key){.eth_type = 0x88cc}, 60, 1);
	tally_packet(tally,
		&(struct netvm_flow_key){
			.eth_type = 0x86dd, .family = 6, .protocol = 47, .src[15] = 1},
		60, 1);
	collect(&report, tally, 10, false);
	report_print_table(&report, file);
	report_print_json(&report, file);
	fclose(file);
	assert_non_null(strstr(text, "10.0.0.1:4000 > 10.0.0.2:80"));
	assert_non_null(strstr(text, "[::1]:0 > [::]:0"));
	assert_non_null(strstr(text, "0x88cc"));
	assert_non_null(strstr(text, "\"src\":\"10.0.0.1\",\"src_port\":4000"));
	assert_non_null(strstr(text, "\"protocol\":\"47\""));
	free(text);
	tally_destroy(tally);
}

static void flows_go_on_in_another_tally(void **state)
{
	struct netvm_flow_key back = key_of(99, 1, 2, 1);
	struct tally *before = tally_of(64), *after = tally_of(64);
	struct tally_flow flow;
	static struct report report;

	(void)state;
	count_from(before, 1, 10);
	for (uint32_t i = 0; i < before->n_buckets; i++)
		if (before->buckets[i].flow[0].forth.pkts)
			flow = before->buckets[i].flow[0];
	assert_true(tally_is_flow(&flow, 10));
	assert_false(tally_is_flow(&flow, 9));
	flow.hash = 0; /* not taken on trust */
	tally_restore(after, &flow);
	tally_packet(after, &back, 60, 20);
	collect(&report, after, 10, false);
	assert_int_equal(report.n_top, 1);
	assert_int_equal(report.top[0].forth.pkts, 1);
	assert_int_equal(report.top[0].back.bytes, 60);
	assert_int_equal(after->n_flows, 1);
	flow.forth.pkts = 0;
	assert_false(tally_is_flow(&flow, 10));
	tally_destroy(before);
	tally_destroy(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_are_one_flow),
		cmocka_unit_test(ports_vlans_and_protocols_tell_flows_apart),
		cmocka_unit_test(each_kind_of_packet_has_its_line),
		cmocka_unit_test(a_full_bucket_evicts_the_flow_silent_the_longest),
		cmocka_unit_test(the_top_is_the_largest_in_order),
		cmocka_unit_test(reports_print_every_kind_of_flow),
		cmocka_unit_test(flows_go_on_in_another_tally),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
