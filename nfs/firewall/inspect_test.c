/* What the firewall sees in packets, each written down header by header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "firewall/inspect.h"
#include "tests/fixture.h"

#define ETH4 "020000000002 020000000001 0800 "
#define ETH6 "020000000002 020000000001 86dd "
/* IPv4 10.0.0.1 to 10.0.0.2 and back; total length, id and fragment, protocol */
#define IP4(total, fragment, protocol)                                                             \
	"4500" total "0001" fragment "40" protocol "0000 0a000001 0a000002 "
#define IP4_BACK(total, fragment, protocol)                                                        \
	"4500" total "0001" fragment "40" protocol "0000 0a000002 0a000001 "
#define A6                      "20010db8000000000000000000000001 "
#define B6                      "20010db8000000000000000000000002 "
#define IP6(length, next, hops) "60000000" length next hops A6 B6
#define TCP(flags)              "9c40 0050 00000064 000000c8 50" flags "ffff 0000 0000 "
#define UDP                     "9c40 0035 0008 0000 "

static struct netvm nf;

static struct inspection seen_of(const char *hex)
{
	uint8_t bytes[FIXTURE_STRIDE];
	struct netvm_packet pkt = fixture_packet(&nf, 0, bytes, fixture_hex(hex, bytes), 1);
	struct inspection seen;

	memcpy(netvm_data(&nf, &pkt), bytes, netvm_length(&pkt));
	inspect(&nf, &pkt, &seen);
	return seen;
}

static void kinds(void **state)
{
	static const struct {
		const char *hex;
		enum packet_kind kind;
	} table[] = {
		{"", KIND_MALFORMED},
		{"020000000002 020000000001 08", KIND_MALFORMED},
		{ETH4, KIND_MALFORMED},
		{ETH4 "46000014000100004006000000000000000000", KIND_MALFORMED},
		{ETH4 IP4("0028", "0000", "06") TCP("02"), KIND_IP},
		{ETH4 IP4("0029", "0000", "06") TCP("02"), KIND_MALFORMED},
		{ETH4 IP4("0020", "0000", "06") "9c400050 00000064 000000c8", KIND_MALFORMED},
		{ETH4 IP4("001c", "0001", "06") UDP, KIND_MALFORMED}, /* RFC 3128 */
		{ETH4 IP4("001c", "0002", "06") UDP, KIND_IP},
		{ETH4 IP4("001c", "2000", "06") UDP, KIND_MALFORMED}, /* cut TCP in the first */
		{ETH6 IP6("0008", "11", "40") UDP, KIND_IP},
		{ETH6 IP6("0018", "3a", "ff") "87000000 00000000" A6, KIND_NDP},
		{ETH6 IP6("0018", "3a", "fe") "87000000 00000000" A6, KIND_IP},
		{ETH6 IP6("0008", "3a", "ff") "80000000 00010001", KIND_IP},
		{"ffffffffffff 020000000001 0806 0001", KIND_ARP},
		{"ffffffffffff 020000000001 88cc 0001", KIND_OTHER},
		{"ffffffffffff 020000000001 8100 0005 0806 0001", KIND_ARP},
		{"ffffffffffff 020000000001 8100 0005 8100 0006 8100 0007 0800", KIND_OTHER},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct inspection seen = seen_of(table[i].hex);

		if (seen.kind != table[i].kind)
			fail_msg("%s: kind %u", table[i].hex, seen.kind);
	}
}

static void tcp_and_vlan(void **state)
{
	struct inspection seen = seen_of(
		"020000000002 020000000001 8100 e005 0800 " IP4("0028", "0000", "06") TCP("12"));

	(void)state;
	assert_true(seen.trackable);
	assert_int_equal(seen.packet.tcp_flags, NETVM_TCP_SYN | NETVM_TCP_ACK);
	assert_int_equal(seen.packet.tcp_seq, 100);
	assert_int_equal(seen.packet.tcp_ack, 200);
	assert_int_equal(seen.packet.key.src_port, 40000);
	assert_int_equal(seen.packet.key.dst_port, 80);
	assert_int_equal(seen.packet.key.vlan_tci, 5);
}

static void fragments_are_not_tracked(void **state)
{
	struct inspection first = seen_of(ETH4 IP4("001c", "2000", "11") UDP);
	struct inspection later = seen_of(ETH4 IP4("001c", "0010", "11") UDP);
	struct inspection six = seen_of(ETH6 IP6("0010", "2c", "40") "11000001 00000001" UDP);
	struct inspection atomic = seen_of(ETH6 IP6("0010", "2c", "40") "11000000 00000001" UDP);

	(void)state;
	assert_true(first.fragment && !first.trackable);
	assert_true(later.fragment && !later.trackable);
	assert_true(six.fragment && !six.trackable);
	assert_int_equal(first.packet.key.dst_port, 0);
	assert_true(!atomic.fragment && atomic.trackable);
	assert_int_equal(atomic.packet.key.dst_port, 53);
}

/*
 * The first fragment has the whole chain of headers, RFC 7112, and must meet the rules of what is
 * at its end. A later one has none, whatever the fragment header calls its payload.
 */
static void the_protocol_of_a_fragment_is_the_one_behind_its_extensions(void **state)
{
	struct inspection first = seen_of(
		ETH6 IP6("0024", "2c", "40") "3c000001 00000001 0600000000000000" TCP("02"));
	struct inspection later =
		seen_of(ETH6 IP6("0010", "2c", "40") "3c000010 00000001 0600000000000000");

	(void)state;
	assert_int_equal(first.kind, KIND_IP);
	assert_int_equal(first.packet.key.protocol, NETVM_PROTO_TCP);
	assert_int_equal(later.kind, KIND_IP);
	assert_int_equal(later.packet.key.protocol, 0x3c);
}

static void echo_request_and_reply_are_one_connection(void **state)
{
	struct inspection request = seen_of(ETH4 IP4("001c", "0000", "01") "08000000 1234 0001");
	struct inspection reply = seen_of(ETH4 IP4_BACK("001c", "0000", "01") "00000000 1234 0001");
	struct inspection six = seen_of(ETH6 IP6("0008", "3a", "40") "80000000 1234 0001");
	struct inspection timestamp = seen_of(ETH4 IP4("001c", "0000", "01") "0d000000 1234 0001");

	(void)state;
	assert_true(request.trackable && reply.trackable && six.trackable);
	assert_int_equal(request.packet.key.src_port, 0x1234);
	assert_int_equal(request.packet.key.dst_port, 0);
	assert_int_equal(reply.packet.key.dst_port, 0x1234);
	assert_int_equal(reply.packet.key.src_port, 0);
	assert_int_equal(six.packet.key.src_port, 0x1234);
	assert_false(timestamp.trackable);
}

static void an_error_names_its_cause(void **state)
{
	/* 10.0.0.2 tells 10.0.0.1 that its packet to 10.0.0.2 port 53 found nobody. */
	struct inspection error = seen_of(ETH4 IP4_BACK(
		"0038", "0000", "01") "03030000 00000000" IP4("001c", "0000", "11") UDP);
	struct inspection ping = seen_of(ETH4 IP4_BACK("0038", "0000",
		"01") "0b000000 00000000" IP4("001c", "0000", "01") "08000000 1234 0001");
	struct inspection six = seen_of(
		ETH6 "60000000 0038 3a 40" B6 A6 "02000000 00000500" IP6("0008", "11", "40") UDP);

	(void)state;
	assert_true(error.has_cause && !error.trackable);
	assert_int_equal(error.cause.src_port, 40000);
	assert_int_equal(error.cause.dst_port, 53);
	assert_int_equal(error.cause.protocol, 17);
	assert_true(ping.has_cause);
	assert_int_equal(ping.cause.src_port, 0x1234);
	assert_true(six.has_cause);
	assert_int_equal(six.cause.dst_port, 53);
}

static void an_error_about_somebody_else_has_no_cause(void **state)
{
	/* sent to 10.0.0.2, about a packet that 10.0.0.1 sent; then quotes cut short */
	static const char *const table[] = {
		ETH4 IP4("0038", "0000", "01") "03030000 00000000" IP4("001c", "0000", "11") UDP,
		ETH4 IP4_BACK("0034", "0000", "01") "03030000 00000000" IP4(
			"001c", "0000", "11") "9c40 0035",
		ETH4 IP4_BACK("0038", "0000", "01") "0b000000 00000000" /* a longer header quoted */
						    "4600002000010000400100000a0000010a000002"
						    "01010101"
						    "08000000",
		ETH4 IP4_BACK("001c", "0000", "01") "03030000 00000000",
		ETH4 IP4_BACK("0018", "0000", "01") "03030000",
		ETH4 IP4_BACK("0038", "0000", "01") "03030000 00000000"
						    "4f"
						    "00001c0001000040110000"
						    "0a0000010a000002" UDP,
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct inspection seen = seen_of(table[i]);

		if (seen.kind != KIND_IP || seen.has_cause || seen.trackable)
			fail_msg("%s", table[i]);
	}
}

static int setup(void **state)
{
	(void)state;
	nf = fixture_nf();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(nf.buffers);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(tcp_and_vlan),
		cmocka_unit_test(fragments_are_not_tracked),
		cmocka_unit_test(the_protocol_of_a_fragment_is_the_one_behind_its_extensions),
		cmocka_unit_test(echo_request_and_reply_are_one_connection),
		cmocka_unit_test(an_error_names_its_cause),
		cmocka_unit_test(an_error_about_somebody_else_has_no_cause),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
