/*
 * The code of the NFs that looks into packets, on packets that end where their memory ends, so that
 * AddressSanitizer sees a read of one byte too many. replay_test.py runs the whole NFs; there a
 * packet lies in a large buffer. Without the sanitizer this only shows that nothing crashes.
 *
 * Packets are good ones of many kinds, cut at every length, and mutated with a fixed seed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "firewall/inspect.h"
#include "monitor/tally.h"
#include "speed/frame.h"
#include "speed/meter.h"
#include "tests/fixture.h"

#define MUTATIONS 100000u

#define ETH  "020000000002 020000000001 "
#define IP4  "45000030 00010000 40"
#define ENDS "0000 0a000001 0a000002 "
#define IP6  ETH "86dd 60000000 "
#define SIX  "20010db8000000000000000000000001 20010db8000000000000000000000002 "
#define TCP  "9c400050 00000064 000000c8 60020400 00000000 020405b4 "
#define UDP  "9c400035 001c0000 534d564e 01000000 "

static const char *const good[] = {
	ETH "0800" IP4 "06" ENDS TCP "64617461",
	ETH "0800" IP4 "11" ENDS UDP "0100000000000000 0100 00000000",
	ETH "0800" IP4 "01" ENDS "08000000 12340001 00000000 00000000 00000000 00000000 00000000",
	ETH "0800" IP4 "01" ENDS "03030000 00000000 45000030 00010000 4011" ENDS,
	ETH
	"0800 4f00004c 00010000 4006" ENDS
	"0101010101010101010101010101010101010101010101010101010101010101 0101010101010101 " TCP,
	ETH "8100 0005 8100 0006 0800" IP4 "11" ENDS UDP "0100000000000000 0100 00000000",
	ETH "0800 45000030 00012000 4011" ENDS UDP "0100000000000000 0100 00000000",
	IP6 "0018 0640" SIX TCP,
	IP6 "0018 3aff" SIX "87000000 00000000 20010db8000000000000000000000002",
	IP6 "0040 3a40" SIX "01000000 00000000 60000000 0010 1140" SIX UDP,
	IP6 "0030 0040" SIX "3c00000000000000 2b00000000000000 06000000 00000000" TCP,
	IP6 "0020 2c40" SIX "06000001 00000007" TCP,
	IP6 "0028 3340" SIX "06020000 00000000 00000000 00000000" TCP,
	"ffffffffffff 020000000001 0806 00010800 06040001 020000000001 0a000001",
};

static struct tally *tally;
static struct meter *meter;

/* All that looks into a packet, on one that has exactly this memory. */
static void look(const uint8_t *bytes, uint32_t length)
{
	uint8_t *memory = malloc(FIXTURE_HEADROOM + length);
	struct netvm nf = {.buffers = memory, .buffer_stride = FIXTURE_HEADROOM + length};
	struct netvm_packet pkt = {.word = netvm_desc(0, 0, FIXTURE_HEADROOM, length, 0)};
	struct netvm_headers headers;
	struct netvm_flow_key key;
	struct inspection seen;

	assert_non_null(memory);
	memcpy(netvm_data(&nf, &pkt), bytes, length);
	inspect(&nf, &pkt, &seen);
	assert_true(seen.kind != KIND_IP || seen.packet.key.family != 0);
	netvm_flow(&nf, &pkt, &key);
	tally_packet(tally, &key, length, 1);
	meter_received(meter, &nf, &pkt, 1);
	if (netvm_parse(&nf, &pkt, &headers) == 0)
		frame_reflect(&headers);
	free(memory);
}

static void packets_cut_at_every_length(void **state)
{
	uint8_t bytes[FIXTURE_STRIDE];

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint32_t length = fixture_hex(good[i], bytes);

		for (uint32_t cut = 0; cut <= length; cut++)
			look(bytes, cut);
	}
}

static uint32_t random_next(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*seed >> 33);
}

static void packets_with_bytes_changed(void **state)
{
	uint8_t bytes[FIXTURE_STRIDE];
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < MUTATIONS; i++) {
		uint32_t length = fixture_hex(
			good[random_next(&seed) % (sizeof(good) / sizeof(good[0]))], bytes);
		unsigned n = random_next(&seed) % 6 + 1;

		while (n--)
			bytes[random_next(&seed) % length] = (uint8_t)random_next(&seed);
		look(bytes, random_next(&seed) % 4 ? length : random_next(&seed) % (length + 1));
	}
}

static int setup(void **state)
{
	(void)state;
	return tally_create(64, &tally) || meter_create(&meter);
}

static int teardown(void **state)
{
	(void)state;
	tally_destroy(tally);
	meter_destroy(meter);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_cut_at_every_length),
		cmocka_unit_test(packets_with_bytes_changed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
