/*
 * The bridge's decisions: learning, flooding, the ports' two-, three- and no-port cases. What it
 * asks the host for is faked below: ports 10, 11, ... have verdicts 3, 4, ...
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "forward/bridge.h"
#include "tests/fixture.h"

#define FIRST 3u /* verdict of port 10 */

static unsigned n_ports, n_copies, stock;
static uint32_t version;
static unsigned copy_verdict[16];

int netvm_destination_get(struct netvm *nf, unsigned verdict, struct netvm_destination *entry)
{
	(void)nf;
	if (verdict - FIRST >= n_ports)
		return -ENOENT;
	*entry = (struct netvm_destination){
		.kind = NETVM_DESTINATION_PORT, .id = 10 + verdict - FIRST};
	return 0;
}

uint32_t netvm_destination_version(const struct netvm *nf)
{
	(void)nf;
	return version;
}

int netvm_clone(struct netvm *nf, const struct netvm_packet *pkt, struct netvm_packet *clone)
{
	(void)nf;
	if (stock == 0)
		return -ENOBUFS;
	stock--;
	*clone = *pkt;
	return 0;
}

void netvm_send(struct netvm *nf, const struct netvm_packet *pkts, unsigned n)
{
	(void)nf;
	for (unsigned i = 0; i < n; i++)
		copy_verdict[n_copies++] = netvm_desc_verdict(pkts[i].word);
}

static struct netvm nf;
static struct bridge *bridge;

static void ports_set(unsigned n)
{
	n_ports = n;
	version += 2;
}

/* A frame from station `src` to station `dst` (last byte of the address); 255 is broadcast. */
static unsigned verdict_of(uint8_t src, uint8_t dst, uint16_t in_port, uint16_t vlan)
{
	uint8_t frame[60] = {2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x08, 0x00};
	struct netvm_packet pkt;

	if (dst == 255)
		memset(frame, 0xff, 6);
	if (vlan) {
		frame[12] = 0x81, frame[13] = 0;
		frame[14] = (uint8_t)(0xe0 | vlan >> 8), frame[15] = (uint8_t)vlan;
	}
	n_copies = 0;
	pkt = fixture_packet(&nf, 0, frame, sizeof(frame), in_port);
	bridge_burst(bridge, &nf, &pkt, 1, 100);
	return netvm_desc_verdict(pkt.word);
}

static int setup(void **state)
{
	(void)state;
	nf = fixture_nf();
	stock = 8;
	return bridge_create(64, 300, &bridge);
}

static int teardown(void **state)
{
	(void)state;
	bridge_destroy(bridge);
	free(nf.buffers);
	return 0;
}

static void unknown_goes_everywhere_but_back(void **state)
{
	(void)state;
	ports_set(4);
	assert_int_equal(verdict_of(1, 2, 11, 0), FIRST + 3);
	assert_int_equal(n_copies, 2);
	assert_int_equal(copy_verdict[0], FIRST);
	assert_int_equal(copy_verdict[1], FIRST + 2);
}

static void known_goes_to_its_port_only(void **state)
{
	(void)state;
	ports_set(3);
	verdict_of(1, 255, 10, 0);
	assert_int_equal(verdict_of(2, 1, 12, 0), FIRST);
	assert_int_equal(n_copies, 0);
	assert_int_equal(verdict_of(1, 2, 10, 0), FIRST + 2);
	/* In another VLAN nobody has been seen. */
	assert_int_equal(verdict_of(1, 2, 10, 5), FIRST + 2);
	assert_int_equal(n_copies, 1);
}

static void both_on_one_side_is_dropped(void **state)
{
	(void)state;
	ports_set(3);
	verdict_of(1, 255, 10, 0);
	assert_int_equal(verdict_of(2, 1, 10, 0), NETVM_VERDICT_DROP);
}

static void a_station_behind_a_port_that_is_gone_is_unknown(void **state)
{
	(void)state;
	ports_set(4);
	verdict_of(1, 255, 13, 0);
	ports_set(3);
	assert_int_equal(verdict_of(2, 1, 10, 0), FIRST + 2);
	assert_int_equal(n_copies, 1);
}

static void an_empty_stock_costs_copies_not_the_packet(void **state)
{
	struct bridge_counters counters;

	(void)state;
	ports_set(4);
	stock = 1;
	assert_int_equal(verdict_of(1, 255, 10, 0), FIRST + 3);
	assert_int_equal(n_copies, 1);
	bridge_counters(bridge, &counters);
	assert_int_equal(counters.short_pkts, 1);
	assert_int_equal(counters.flooded_pkts, 1);
}

static void two_ports_are_a_wire(void **state)
{
	(void)state;
	ports_set(2);
	assert_int_equal(verdict_of(1, 1, 10, 0), FIRST + 1);
	assert_int_equal(verdict_of(1, 255, 11, 0), FIRST);
	assert_int_equal(verdict_of(1, 2, 99, 0), NETVM_VERDICT_DROP);
	assert_int_equal(n_copies, 0);
}

static void one_port_leads_nowhere(void **state)
{
	(void)state;
	ports_set(1);
	assert_int_equal(verdict_of(1, 2, 10, 0), NETVM_VERDICT_DROP);
}

static void what_is_no_frame_or_link_local_is_dropped(void **state)
{
	static const uint8_t lldp[60] = {1, 0x80, 0xc2, 0, 0, 14, 2, 0, 0, 0, 0, 1, 0x88, 0xcc};
	struct netvm_packet pkts[2] = {
		fixture_packet(&nf, 0, lldp, 13, 10),
		fixture_packet(&nf, 1, lldp, sizeof(lldp), 10),
	};

	(void)state;
	ports_set(3);
	bridge_burst(bridge, &nf, pkts, 2, 100);
	assert_int_equal(netvm_desc_verdict(pkts[0].word), NETVM_VERDICT_DROP);
	assert_int_equal(netvm_desc_verdict(pkts[1].word), NETVM_VERDICT_DROP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unknown_goes_everywhere_but_back, setup, teardown),
		cmocka_unit_test_setup_teardown(known_goes_to_its_port_only, setup, teardown),
		cmocka_unit_test_setup_teardown(both_on_one_side_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_station_behind_a_port_that_is_gone_is_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_empty_stock_costs_copies_not_the_packet, setup, teardown),
		cmocka_unit_test_setup_teardown(two_ports_are_a_wire, setup, teardown),
		cmocka_unit_test_setup_teardown(one_port_leads_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_is_no_frame_or_link_local_is_dropped, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
