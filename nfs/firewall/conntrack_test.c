/* Connection tracking: whole conversations written as tables, timeouts, and a full table. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "firewall/conntrack.h"

#define SYN NETVM_TCP_SYN
#define ACK NETVM_TCP_ACK
#define FIN NETVM_TCP_FIN
#define RST NETVM_TCP_RST

#define CALLER_ISN 1000u
#define CALLED_ISN 0xffffffffu /* its successor wraps */

static struct conntrack *table;
static struct conntrack_policy policy;

static int setup(void **state)
{
	(void)state;
	policy = conntrack_policy_default;
	return conntrack_create(4096, &table);
}

static int teardown(void **state)
{
	(void)state;
	conntrack_destroy(table);
	return 0;
}

static struct conntrack_packet packet_of(
	uint8_t protocol, uint32_t caller, bool back, uint8_t flags, uint32_t now_s)
{
	struct conntrack_packet packet = {.tcp_flags = flags, .now_s = now_s};
	struct netvm_flow_key *key = &packet.key;
	uint16_t call_port = 40000, service_port = 80;

	*key = (struct netvm_flow_key){
		.eth_type = NETVM_ETH_IPV4, .family = 4, .protocol = protocol};
	memcpy(back ? key->dst : key->src, &caller, sizeof(caller));
	memset(back ? key->src : key->dst, 9, 16);
	key->src_port = back ? service_port : call_port;
	key->dst_port = back ? call_port : service_port;
	packet.tcp_seq = back ? CALLED_ISN : CALLER_ISN;
	packet.tcp_ack = back ? CALLER_ISN + 1 : CALLED_ISN + 1;
	return packet;
}

/* What the firewall does with a packet that its rules allow. */
static enum state pass(const struct conntrack_packet *packet)
{
	struct conntrack_hit hit;
	enum state state = conntrack_find(table, &policy, packet, &hit);

	if (state == STATE_INVALID)
		return state;
	if (hit.connection)
		conntrack_advance(&policy, packet, &hit);
	else
		assert_int_equal(conntrack_open(table, &policy, packet), 0);
	return state;
}

static enum state pass_tcp(bool back, uint8_t flags, uint32_t now_s)
{
	struct conntrack_packet packet = packet_of(NETVM_PROTO_TCP, 1, back, flags, now_s);

	return pass(&packet);
}

static void handshake(uint32_t now_s)
{
	assert_int_equal(pass_tcp(false, SYN, now_s), STATE_NEW);
	assert_int_equal(pass_tcp(true, SYN | ACK, now_s), STATE_ESTABLISHED);
	assert_int_equal(pass_tcp(false, ACK, now_s), STATE_ESTABLISHED);
}

static bool known(uint32_t now_s)
{
	struct conntrack_packet packet = packet_of(NETVM_PROTO_TCP, 1, false, 0, now_s);

	return conntrack_knows(table, &packet.key, now_s);
}

static void tcp_conversations(void **state)
{
	/* One packet per step: direction, flags, what it must be. N new, E established, ! invalid.
	 */
	static const struct {
		const char *name;
		struct {
			char direction; /* '>' forth, '<' back, 0 the end */
			uint8_t flags;
			char is;
		} step[10];
	} table_of[] = {
		{"regular", {{'>', SYN, 'N'}, {'<', SYN | ACK, 'E'}, {'>', ACK, 'E'},
				    {'<', ACK, 'E'}, {'>', FIN | ACK, 'E'}, {'<', ACK, 'E'},
				    {'<', FIN | ACK, 'E'}, {'>', ACK, 'E'}}},
		{"repeated SYN", {{'>', SYN, 'N'}, {'>', SYN, 'N'}, {'<', SYN | ACK, 'E'}}},
		{"refused", {{'>', SYN, 'N'}, {'<', RST | ACK, 'E'}, {'>', SYN, 'N'}}},
		{"both call", {{'>', SYN, 'N'}, {'<', SYN, 'E'}, {'>', SYN | ACK, 'E'}}},
		{"data before the answer", {{'>', SYN, 'N'}, {'>', ACK, '!'}}},
		{"challenge to a repeated call",
			{{'>', SYN, 'N'}, {'<', ACK, 'E'}, {'>', RST, 'E'}}},
		{"out of the blue", {{'>', ACK, '!'}, {'<', SYN | ACK, '!'}, {'>', FIN | ACK, '!'},
					    {'>', RST, '!'}}},
		{"nonsense", {{'>', 0, '!'}, {'>', SYN | FIN, '!'}, {'>', SYN | RST, '!'},
				     {'>', FIN, '!'}}},
		{"port used again after FIN",
			{{'>', SYN, 'N'}, {'<', SYN | ACK, 'E'}, {'>', ACK, 'E'},
				{'>', FIN | ACK, 'E'}, {'<', FIN | ACK, 'E'}, {'>', ACK, 'E'},
				{'>', SYN, 'N'}, {'<', SYN | ACK, 'E'}}},
		{"called back on the same ports after RST",
			{{'>', SYN, 'N'}, {'<', SYN | ACK, 'E'}, {'>', ACK, 'E'}, {'>', RST, 'E'},
				{'<', SYN, 'N'}, {'>', SYN | ACK, 'E'}}},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(table_of) / sizeof(table_of[0]); i++) {
		teardown(NULL);
		setup(NULL);
		for (unsigned j = 0; table_of[i].step[j].direction; j++) {
			enum state is = pass_tcp(table_of[i].step[j].direction == '<',
				table_of[i].step[j].flags, 100);
			char letter = is == STATE_NEW ? 'N' : is == STATE_ESTABLISHED ? 'E' : '!';

			if (letter != table_of[i].step[j].is)
				fail_msg("%s: step %u is %c", table_of[i].name, j, letter);
		}
	}
}

static void each_stage_of_tcp_has_its_timeout(void **state)
{
	(void)state;
	pass_tcp(false, SYN, 100);
	assert_true(known(159));
	assert_false(known(160));
	handshake(200);
	assert_true(known(200 + 7439));
	assert_false(known(200 + 7440));
	pass_tcp(false, FIN | ACK, 300);
	assert_true(known(539));
	assert_false(known(540));
	pass_tcp(true, RST, 400);
	assert_true(known(409));
	assert_false(known(410));
}

/* A forged caller never sees the other side's number, so its ACK does not establish anything. */
static void a_wrong_acknowledgement_establishes_nothing(void **state)
{
	struct conntrack_packet forged;

	(void)state;
	pass_tcp(false, SYN, 100);
	pass_tcp(true, SYN | ACK, 100);
	forged = packet_of(NETVM_PROTO_TCP, 1, false, ACK, 100);
	forged.tcp_ack = 12345;
	pass(&forged);
	assert_false(known(160));
	pass_tcp(false, ACK, 100);
	assert_true(known(160));
}

static void the_middle_of_a_connection_opens_one_only_if_asked(void **state)
{
	(void)state;
	assert_int_equal(pass_tcp(false, ACK, 100), STATE_INVALID);
	policy.midstream = true;
	assert_int_equal(pass_tcp(false, RST, 100), STATE_INVALID);
	assert_int_equal(pass_tcp(false, ACK, 100), STATE_NEW);
	assert_int_equal(pass_tcp(true, ACK, 100), STATE_ESTABLISHED);
}

static void udp_is_new_until_answered(void **state)
{
	struct conntrack_packet forth = packet_of(NETVM_PROTO_UDP, 1, false, 0, 100);
	struct conntrack_packet back = packet_of(NETVM_PROTO_UDP, 1, true, 0, 110);

	(void)state;
	assert_int_equal(pass(&forth), STATE_NEW);
	assert_int_equal(pass(&forth), STATE_NEW);
	assert_int_equal(pass(&back), STATE_ESTABLISHED);
	assert_int_equal(pass(&forth), STATE_ESTABLISHED);
	back.now_s = 100 + 299;
	assert_int_equal(pass(&back), STATE_ESTABLISHED);
	back.now_s += 300;
	assert_int_equal(pass(&back), STATE_NEW);
}

static void vlans_and_protocols_are_apart(void **state)
{
	struct conntrack_packet forth = packet_of(NETVM_PROTO_UDP, 1, false, 0, 100);
	struct conntrack_packet back = packet_of(NETVM_PROTO_UDP, 1, true, 0, 100);

	(void)state;
	pass(&forth);
	back.key.vlan_tci = 5;
	assert_int_equal(pass(&back), STATE_NEW);
	back.key.vlan_tci = 0;
	back.key.protocol = 132;
	assert_int_equal(pass(&back), STATE_NEW);
}

static void time_may_wrap(void **state)
{
	struct conntrack_packet packet = packet_of(NETVM_PROTO_UDP, 1, false, 0, UINT32_MAX - 5);

	(void)state;
	pass(&packet);
	assert_true(conntrack_knows(table, &packet.key, UINT32_MAX));
	assert_true(conntrack_knows(table, &packet.key, 10));
	assert_false(conntrack_knows(table, &packet.key, 25));
}

/* One bucket: 8 answered UDP flows, then a flood of unanswered ones. */
static void a_flood_replaces_itself(void **state)
{
	unsigned answered = 0;
	struct conntrack_counters counters;

	(void)state;
	teardown(NULL);
	assert_int_equal(conntrack_create(8, &table), 0);
	for (uint32_t i = 1; i <= 8; i++) {
		struct conntrack_packet forth = packet_of(NETVM_PROTO_UDP, i, false, 0, 100 + i);
		struct conntrack_packet back = packet_of(NETVM_PROTO_UDP, i, true, 0, 100 + i);

		pass(&forth);
		pass(&back);
	}
	for (uint32_t i = 1000; i < 2000; i++) {
		struct conntrack_packet packet = packet_of(NETVM_PROTO_UDP, i, false, 0, 110);

		assert_int_equal(pass(&packet), STATE_NEW);
	}
	for (uint32_t i = 1; i <= 8; i++) {
		struct conntrack_packet forth = packet_of(NETVM_PROTO_UDP, i, false, 0, 111);

		answered += conntrack_knows(table, &forth.key, 111);
	}
	assert_int_equal(answered, 7);
	conntrack_counters(table, &counters);
	assert_int_equal(counters.opened, 1008);
	assert_int_equal(counters.evicted, 1000);
	assert_int_equal(counters.refused, 0);
	assert_int_equal(conntrack_count(table, 111), 8);
	assert_int_equal(conntrack_count(table, 1000), 0);
}

/* One bucket of unanswered flows of different age: the oldest makes room. */
static void the_nearest_to_its_end_goes_first(void **state)
{
	static const uint32_t asked_s[8] = {104, 103, 101, 102, 108, 107, 106, 105};
	struct conntrack_packet packet;

	(void)state;
	teardown(NULL);
	assert_int_equal(conntrack_create(8, &table), 0);
	for (uint32_t i = 0; i < 8; i++) {
		packet = packet_of(NETVM_PROTO_UDP, 1 + i, false, 0, asked_s[i]);
		pass(&packet);
	}
	packet = packet_of(NETVM_PROTO_UDP, 99, false, 0, 110);
	pass(&packet);
	for (uint32_t i = 0; i < 8; i++) {
		packet = packet_of(NETVM_PROTO_UDP, 1 + i, false, 0, 110);
		assert_int_equal(conntrack_knows(table, &packet.key, 110), i != 2);
	}
}

static void established_tcp_is_never_replaced(void **state)
{
	struct conntrack_packet extra = packet_of(NETVM_PROTO_TCP, 99, false, SYN, 100);

	(void)state;
	teardown(NULL);
	assert_int_equal(conntrack_create(8, &table), 0);
	for (uint32_t i = 1; i <= 8; i++) {
		struct conntrack_packet syn = packet_of(NETVM_PROTO_TCP, i, false, SYN, 100);
		struct conntrack_packet answer =
			packet_of(NETVM_PROTO_TCP, i, true, SYN | ACK, 100);
		struct conntrack_packet ack = packet_of(NETVM_PROTO_TCP, i, false, ACK, 100);

		pass(&syn);
		pass(&answer);
		pass(&ack);
	}
	assert_int_equal(conntrack_open(table, &policy, &extra), -ENOSPC);
	assert_int_equal(conntrack_count(table, 100), 8);
	extra.now_s = 100 + 7440;
	assert_int_equal(conntrack_open(table, &policy, &extra), 0);
}

/* Into a fresh table, as a successor does; how many there were. */
static unsigned move_all(uint32_t now_s)
{
	struct conntrack *old = table;
	struct conntrack_record record;
	unsigned n = 0;
	uint32_t at = 0;

	assert_int_equal(conntrack_create(4096, &table), 0);
	for (; conntrack_next(old, now_s, &at, &record); n++) {
		assert_true(conntrack_is_record(&record));
		assert_int_equal(conntrack_restore(table, &policy, &record, now_s), 0);
	}
	conntrack_destroy(old);
	return n;
}

static void connections_survive_a_move(void **state)
{
	struct conntrack_packet udp = packet_of(NETVM_PROTO_UDP, 5, false, 0, 100);
	struct conntrack_packet answer = packet_of(NETVM_PROTO_UDP, 5, true, 0, 101);

	(void)state;
	handshake(100);
	pass(&udp);
	assert_int_equal(move_all(100), 2);
	assert_int_equal(conntrack_count(table, 100), 2);
	assert_int_equal(pass_tcp(true, ACK, 101), STATE_ESTABLISHED);
	assert_int_equal(pass(&answer), STATE_ESTABLISHED);
	assert_int_equal(pass_tcp(false, FIN | ACK, 102), STATE_ESTABLISHED);
	/* They end as they would have; what has ended does not move. */
	assert_true(known(102 + 239));
	assert_false(known(102 + 240));
	assert_int_equal(move_all(102 + 301), 0);
}

/* Moved in the middle of its handshake: the number it waits for moves, too. */
static void a_handshake_survives_a_move(void **state)
{
	struct conntrack_packet wrong = packet_of(NETVM_PROTO_TCP, 1, false, ACK, 101);

	(void)state;
	pass_tcp(false, SYN, 100);
	pass_tcp(true, SYN | ACK, 100);
	assert_int_equal(move_all(100), 1);
	wrong.tcp_ack++;
	pass(&wrong);
	assert_false(known(101 + 60));
	pass_tcp(false, ACK, 102);
	assert_true(known(102 + 7439));
}

static void bad_records(void **state)
{
	struct conntrack_record good, bad;
	uint32_t at = 0;

	(void)state;
	handshake(100);
	assert_true(conntrack_next(table, 100, &at, &good));
	bad = good;
	bad.progress = 7;
	assert_false(conntrack_is_record(&bad));
	bad = good;
	bad.key.protocol = NETVM_PROTO_UDP; /* with TCP's progress */
	assert_false(conntrack_is_record(&bad));
	bad = good;
	bad.key.family = 5;
	assert_false(conntrack_is_record(&bad));
	bad = good;
	bad.key.vlan_tci = 0x1000;
	assert_false(conntrack_is_record(&bad));
	bad = good;
	bad.left_s = 0;
	assert_false(conntrack_is_record(&bad));
	/* It cannot live longer than the rules let it. */
	good.left_s = UINT32_MAX;
	assert_true(conntrack_is_record(&good));
	assert_int_equal(conntrack_restore(table, &policy, &good, 100), 0);
	assert_false(known(100 + 7440));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tcp_conversations, setup, teardown),
		cmocka_unit_test_setup_teardown(each_stage_of_tcp_has_its_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_wrong_acknowledgement_establishes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_middle_of_a_connection_opens_one_only_if_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(udp_is_new_until_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(vlans_and_protocols_are_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(time_may_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_replaces_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(the_nearest_to_its_end_goes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(established_tcp_is_never_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_survive_a_move, setup, teardown),
		cmocka_unit_test_setup_teardown(a_handshake_survives_a_move, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_records, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
