/*
 * netvm_replay() and the pcap reader: all four file formats, broken files, verdicts, the packets an
 * NF makes, ticks by the file's clock, words a host would refuse; and netvm_main()'s arguments.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <netvm.h>

#define SECOND UINT64_C(1000000000)

static char in_path[] = "/tmp/netvm-replay-in-XXXXXX";
static char out_path[] = "/tmp/netvm-replay-out-XXXXXX";

static int make_files(void **state)
{
	int in = mkstemp(in_path), out = mkstemp(out_path);

	(void)state;
	return in < 0 || out < 0 || close(in) < 0 || close(out) < 0 ? -1 : 0;
}

static int remove_files(void **state)
{
	(void)state;
	return unlink(in_path) + unlink(out_path);
}

/* ---- files ------------------------------------------------------------------------------------
 */

static uint32_t order(uint32_t value, bool swapped)
{
	return swapped ? __builtin_bswap32(value) : value;
}

static FILE *pcap_begin(uint32_t magic, uint32_t link, bool swapped)
{
	const uint16_t version[2] = {swapped ? 0x200 : 2, swapped ? 0x400 : 4};
	const uint32_t rest[4] = {0, 0, order(65535, swapped), order(link, swapped)};
	FILE *file = fopen(in_path, "wb");

	assert_non_null(file);
	magic = order(magic, swapped);
	fwrite(&magic, 4, 1, file);
	fwrite(version, 4, 1, file);
	fwrite(rest, 16, 1, file);
	return file;
}

static void pcap_record(FILE *file, const void *data, uint32_t length, uint32_t seconds,
	uint32_t fraction, bool swapped)
{
	const uint32_t header[4] = {order(seconds, swapped), order(fraction, swapped),
		order(length, swapped), order(length, swapped)};

	fwrite(header, 16, 1, file);
	fwrite(data, 1, length, file);
}

/* A file with one record per string, a second apart. */
static void pcap_of(const char *const *texts, size_t n)
{
	FILE *file = pcap_begin(0xa1b2c3d4, 1, false);

	for (size_t i = 0; i < n; i++)
		pcap_record(file, texts[i], (uint32_t)strlen(texts[i]), (uint32_t)i + 1, 0, false);
	fclose(file);
}

#define PCAP_OF(...)                                                                               \
	pcap_of((const char *const[]){__VA_ARGS__},                                                \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void assert_conserved(const struct netvm_replay_result *r)
{
	assert_int_equal(
		r->received + r->injected, r->sent + r->dropped + r->consumed + r->in_flight);
}

/* The packets of the output file, one after the other, separated by '|'. */
static const char *output(void)
{
	static char text[512];
	static uint8_t bytes[4096];
	FILE *file = fopen(out_path, "rb");
	size_t n, at = 24, length = 0;

	assert_non_null(file);
	n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	assert_true(n >= 24);
	while (at < n) {
		uint32_t captured;

		memcpy(&captured, bytes + at + 8, 4);
		assert_true(at + 16 + captured <= n && length + captured + 2 < sizeof(text));
		memcpy(text + length, bytes + at + 16, captured);
		text[length + captured] = '|';
		length += captured + 1;
		at += 16 + captured;
	}
	text[length] = '\0';
	return text;
}

/* ---- NFs --------------------------------------------------------------------------------------
 */

struct record {
	unsigned n;
	uint64_t arrival_ns;
	char bytes[64];
	struct netvm_packet held;
	bool holds;
	unsigned ticks;
	unsigned starts;
};

static void note(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	struct record *record = arg;

	for (unsigned i = 0; i < n; i++) {
		struct netvm_flow_key key;

		netvm_flow(nf, &pkts[i], &key);
		assert_int_equal(netvm_meta(nf, &pkts[i])->flow_hash, netvm_flow_hash(&key));
		record->arrival_ns = netvm_meta(nf, &pkts[i])->arrival_ns;
		record->n++;
	}
}

static void act(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	struct record *record = arg;
	int out = netvm_destination(nf, NETVM_DESTINATION_PORT, "wherever");

	assert_true(out >= NETVM_VERDICT_FIRST_DESTINATION);
	for (unsigned i = 0; i < n; i++) {
		struct netvm_packet clone, own;

		switch (*netvm_data(nf, &pkts[i])) {
		case 'd':
			netvm_drop(&pkts[i]);
			break;
		case 'e':
			netvm_consume(&pkts[i]);
			break;
		case 'n':
			netvm_next(&pkts[i]);
			break;
		case 'c':
			assert_int_equal(netvm_clone(nf, &pkts[i], &clone), 0);
			netvm_send(nf, &clone, 1);
			break;
		case 'm':
			assert_int_equal(netvm_alloc(nf, &own, 1), 1);
			memcpy(netvm_append(nf, &own, 4), "made", 4);
			netvm_to(&own, (unsigned)out);
			netvm_send(nf, &own, 1);
			break;
		case 'h':
			record->held = pkts[i];
			record->holds = true;
			netvm_hold(nf, &pkts[i]);
			break;
		case '2': /* sends twice: the copy is not known to be of the burst */
			own = pkts[i];
			netvm_send(nf, &own, 1);
			break;
		case 's': /* keeps a word that it does not own any more ... */
			record->held = pkts[i];
			break;
		case 't': /* ... and sends it */
			netvm_send(nf, &record->held, 1);
			break;
		case 'x': /* no such destination */
			netvm_to(&pkts[i], 200);
			break;
		case 'l': /* outside the buffer */
			pkts[i].word = netvm_desc_set_extent(pkts[i].word, 16000, 16000);
			break;
		}
	}
}

static void send_held(struct netvm *nf, void *arg)
{
	struct record *record = arg;

	record->ticks++;
	if (record->holds)
		netvm_send(nf, &record->held, 1);
	record->holds = false;
}

static int run(struct netvm_options options, struct record *record, struct netvm_replay_result *r)
{
	int result;

	options.name = "nf";
	options.arg = record;
	result = netvm_replay(&options, in_path, out_path, r);
	if (result == 0)
		assert_conserved(r);
	return result;
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void all_formats_are_read(void **state)
{
	static const uint32_t magic[] = {0xa1b2c3d4, 0xa1b23c4d};

	(void)state;
	for (int i = 0; i < 4; i++) {
		bool swapped = i & 1;
		struct record record = {0};
		struct netvm_replay_result r;
		FILE *file = pcap_begin(magic[i / 2], 1, swapped);

		pcap_record(file, "packet", 6, 7, 5, swapped);
		fclose(file);
		assert_int_equal(
			run((struct netvm_options){.burst = note, .meta = true}, &record, &r), 0);
		assert_int_equal(record.n, 1);
		assert_int_equal(record.arrival_ns, 7 * SECOND + (i / 2 ? 5 : 5000));
		assert_int_equal(r.received, 1);
		assert_int_equal(r.sent, 1);
		assert_string_equal(output(), "packet|");
	}
}

static void broken_files_are_errors(void **state)
{
	static const struct {
		uint32_t magic, link;
		long cut; /* bytes taken off the end of a file with one packet of 6 bytes */
	} table[] = {
		{0x0a0d0d0a, 1, 0}, /* pcapng */
		{0xa1b2c3d4, 113, 0},
		{0xa1b2c3d4, 1, 1},
		{0xa1b2c3d4, 1, 7},
		{0xa1b2c3d4, 1, 21},
		{0xa1b2c3d4, 1, 23},
		{0xa1b2c3d4, 1, 46},
	};
	struct record record = {0};
	struct netvm_replay_result r;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		FILE *file = pcap_begin(table[i].magic, table[i].link, false);

		pcap_record(file, "packet", 6, 1, 0, false);
		fclose(file);
		assert_int_equal(truncate(in_path, 46 - table[i].cut), 0);
		assert_int_equal(run((struct netvm_options){.burst = note}, &record, &r), -EBADMSG);
		assert_non_null(strstr(netvm_error(), in_path));
	}
	assert_int_equal(netvm_replay(&(struct netvm_options){.name = "nf", .burst = note},
				 "/nowhere", NULL, &r),
		-ENOENT);
	assert_int_equal(
		netvm_replay(&(struct netvm_options){.name = "nf"}, in_path, NULL, &r), -EINVAL);
}

static void too_long_records_are_counted_and_skipped(void **state)
{
	static char big[17000];
	struct record record = {0};
	struct netvm_replay_result r;
	FILE *file = pcap_begin(0xa1b2c3d4, 1, false);

	(void)state;
	pcap_record(file, big, sizeof(big), 1, 0, false);
	pcap_record(file, "after", 5, 2, 0, false);
	fclose(file);
	assert_int_equal(run((struct netvm_options){.burst = note}, &record, &r), 0);
	assert_int_equal(r.malformed, 1);
	assert_int_equal(r.received, 1);
	assert_string_equal(output(), "after|");
}

static void verdicts_are_counted(void **state)
{
	struct record record = {0};
	struct netvm_replay_result r;

	(void)state;
	PCAP_OF("drop", "end", "next", "plain");
	assert_int_equal(run((struct netvm_options){.burst = act}, &record, &r), 0);
	assert_int_equal(r.received, 4);
	assert_int_equal(r.dropped, 1);
	assert_int_equal(r.consumed, 1);
	assert_int_equal(r.sent, 2);
	assert_string_equal(output(), "next|plain|");
}

static void own_packets_are_injected(void **state)
{
	struct record record = {0};
	struct netvm_replay_result r;

	(void)state;
	PCAP_OF("clone", "make");
	assert_int_equal(run((struct netvm_options){.burst = act, .stock = true}, &record, &r), 0);
	assert_int_equal(r.received, 2);
	assert_int_equal(r.injected, 2);
	assert_int_equal(r.sent, 4);
	assert_string_equal(output(), "clone|made|clone|make|");
}

static void many_packets_reuse_the_buffers(void **state)
{
	struct record record = {0};
	struct netvm_replay_result r;
	FILE *file = pcap_begin(0xa1b2c3d4, 1, false);

	(void)state;
	for (int i = 0; i < 20000; i++)
		pcap_record(file, "clone", 5, 1, 0, false);
	fclose(file);
	assert_int_equal(netvm_replay(
				 &(struct netvm_options){
					 .name = "nf", .burst = act, .stock = true, .arg = &record},
				 in_path, NULL, &r),
		0);
	assert_int_equal(r.received, 20000);
	assert_int_equal(r.sent, 40000);
	assert_conserved(&r);
}

static void held_packets_are_in_flight_until_sent(void **state)
{
	struct netvm_options options = {.burst = act};
	struct record record = {0};
	struct netvm_replay_result r;

	(void)state;
	PCAP_OF("hold", "plain");
	assert_int_equal(run(options, &record, &r), 0);
	assert_int_equal(r.in_flight, 1);
	assert_string_equal(output(), "plain|");
	record = (struct record){0};
	options.tick = send_held;
	options.tick_ns = 100 * SECOND; /* the one at the end only */
	assert_int_equal(run(options, &record, &r), 0);
	assert_int_equal(r.in_flight, 0);
	assert_string_equal(output(), "plain|hold|");
}

static void ticks_follow_the_files_clock(void **state)
{
	struct record record = {0};
	struct netvm_replay_result r;
	FILE *file = pcap_begin(0xa1b2c3d4, 1, false);

	(void)state;
	for (uint32_t i = 0; i < 320; i++) /* ten bursts, a second each */
		pcap_record(file, "plain", 5, 1000 + i / 32, 0, false);
	fclose(file);
	assert_int_equal(
		run((struct netvm_options){.burst = act, .tick = send_held, .tick_ns = SECOND},
			&record, &r),
		0);
	assert_int_equal(record.ticks, 10);
}

static void what_a_host_would_refuse_is_told(void **state)
{
	struct record record = {0};
	struct netvm_replay_result r;

	(void)state;
	PCAP_OF("2 times", "x", "lost", "plain");
	assert_int_equal(run((struct netvm_options){.burst = act}, &record, &r), 0);
	assert_int_equal(r.refused, 3);
	assert_int_equal(r.dropped, 2); /* the second word of "2 times" is no packet any more */
	assert_int_equal(r.sent, 2);
}

/* The buffer has been given again meanwhile, with another generation. */
static void old_words_are_refused(void **state)
{
	struct record record = {0};
	struct netvm_replay_result r;
	FILE *file = pcap_begin(0xa1b2c3d4, 1, false);
	const char *text;

	(void)state;
	for (int i = 0; i < 34; i++) /* one burst of 32; the last of it are given again first */
		pcap_record(file,
			i == 30   ? "s"
			: i == 32 ? "t"
				  : "plain",
			i == 30 || i == 32 ? 1 : 5, 1, 0, false);
	fclose(file);
	assert_int_equal(run((struct netvm_options){.burst = act}, &record, &r), 0);
	assert_int_equal(r.refused, 1);
	assert_int_equal(r.sent, 34);
	text = output();
	assert_string_equal(text + strlen(text) - 8, "t|plain|");
}

static int count_start(struct netvm *nf, void *arg)
{
	struct record *record = arg;

	record->starts++;
	return netvm_destination(nf, NETVM_DESTINATION_PORT, "in") < 0 ? -ENOENT : record->holds;
}

static void start_is_called_and_can_refuse(void **state)
{
	struct record record = {0};
	struct netvm_replay_result r;

	(void)state;
	PCAP_OF("plain");
	assert_int_equal(
		run((struct netvm_options){.burst = act, .start = count_start}, &record, &r), 0);
	assert_int_equal(record.starts, 1);
	record.holds = true;
	assert_int_equal(
		run((struct netvm_options){.burst = act, .start = count_start}, &record, &r),
		-ECANCELED);
	assert_int_equal(r.received, 0);
}

/* ---- netvm_main() ------------------------------------------------------------------------------
 */

static int main_of(struct record *record, char *const *argv)
{
	const struct netvm_options options = {
		.name = "nf", .burst = act, .arg = record, .stock = true};
	int argc = 0;

	while (argv[argc])
		argc++;
	return netvm_main(argc, (char **)(uintptr_t)argv, &options);
}

#define MAIN_OF(...) main_of(&record, (char *[]){"nf", __VA_ARGS__, NULL})

static void main_replays(void **state)
{
	struct record record = {0};
	char both[sizeof(in_path) + sizeof(out_path)];

	(void)state;
	PCAP_OF("plain", "drop");
	snprintf(both, sizeof(both), "%s,%s", in_path, out_path);
	assert_int_equal(MAIN_OF("--replay", both, "--", "--rules", "x"), 0);
	assert_string_equal(output(), "plain|");
	assert_int_equal(MAIN_OF("--replay", "/nowhere"), 1);
}

static void main_checks_its_arguments(void **state)
{
	struct record record = {0};

	(void)state;
	assert_int_equal(MAIN_OF("--help"), 0);
	assert_int_equal(MAIN_OF("--name"), 2);
	assert_non_null(strstr(netvm_error(), "--name"));
	assert_int_equal(MAIN_OF("--queues", "9"), 2);
	assert_int_equal(MAIN_OF("--queues=0"), 2);
	assert_int_equal(MAIN_OF("--queues=2x"), 2);
	assert_int_equal(MAIN_OF("--socket=/nowhere/nf.sock", "--busy", "--queues=2"), 1);
	assert_non_null(strstr(netvm_error(), "/nowhere/nf.sock"));
	assert_int_equal(MAIN_OF("--socket", "/nowhere/nf.sock", "--", "--queues", "9"), 1);
	assert_int_equal(MAIN_OF("--socket", "/nowhere/nf.sock", "--name=-"), 1);
	assert_non_null(strstr(netvm_error(), "name: '-'"));
	assert_int_equal(MAIN_OF("--help", "--nxet"), 2);
	assert_string_equal(netvm_error(),
		"--nxet: unknown argument; valid: --name --service --socket --queues --replay "
		"--busy --wait --help");
	assert_int_equal(MAIN_OF("--named"), 2);
	assert_int_equal(MAIN_OF("--busy=1"), 2);
	assert_int_equal(MAIN_OF("rules"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_formats_are_read),
		cmocka_unit_test(broken_files_are_errors),
		cmocka_unit_test(too_long_records_are_counted_and_skipped),
		cmocka_unit_test(verdicts_are_counted),
		cmocka_unit_test(own_packets_are_injected),
		cmocka_unit_test(many_packets_reuse_the_buffers),
		cmocka_unit_test(held_packets_are_in_flight_until_sent),
		cmocka_unit_test(ticks_follow_the_files_clock),
		cmocka_unit_test(what_a_host_would_refuse_is_told),
		cmocka_unit_test(old_words_are_refused),
		cmocka_unit_test(start_is_called_and_can_refuse),
		cmocka_unit_test(main_replays),
		cmocka_unit_test(main_checks_its_arguments),
	};

	return cmocka_run_group_tests_name("replay", tests, make_files, remove_files);
}
