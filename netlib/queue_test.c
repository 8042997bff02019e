/*
 * Packets through one queue by the lower interface: verdicts, order, workers, and the books of
 * hold, clone, alloc and release; destinations. The fake host checks every word that comes back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "test_host.h"

struct bench {
	struct test_host *host;
	struct netvm *nf;
};

static struct bench bench_open(unsigned n_workers)
{
	struct test_host_options host_options = {.n_workers = n_workers};
	struct netvm_options options = {.name = "nf", .meta = true, .stock = true};
	struct bench bench;

	assert_int_equal(test_host_open(&bench.host, &host_options), 0);
	options.socket = bench.host->path;
	assert_int_equal(netvm_attach(&options, &bench.nf), 0);
	assert_int_equal(test_host_ready(bench.host), 0);
	return bench;
}

/* No word was refused, none came back to the wrong worker, and the NF keeps nothing. */
static void bench_close(struct bench *bench)
{
	assert_int_equal(bench->host->refused, 0);
	assert_int_equal(bench->host->misrouted, 0);
	assert_int_equal(bench->host->returned, bench->host->given);
	netvm_detach(bench->nf);
	test_host_close(bench->host);
}

static void give(struct bench *bench, unsigned worker, const char *text)
{
	assert_int_equal(test_host_give(bench->host, worker, 0, text, (uint32_t)strlen(text)), 0);
}

static int receive(struct bench *bench, struct netvm_packet *pkts, unsigned max)
{
	return netvm_receive(bench->nf, pkts, max, 0);
}

static void send_and_flush(struct bench *bench, const struct netvm_packet *pkts, unsigned n)
{
	netvm_send(bench->nf, pkts, n);
	netvm_flush(bench->nf);
}

static void packets_arrive_as_they_were_given(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkts[8];
	uint64_t words[8];

	(void)state;
	give(&bench, 0, "first");
	give(&bench, 0, "second!");
	assert_int_equal(receive(&bench, pkts, 1), 1);
	assert_int_equal(receive(&bench, pkts + 1, 7), 1);
	assert_int_equal(receive(&bench, pkts + 2, 6), 0);
	assert_int_equal(netvm_length(&pkts[0]), 5);
	assert_memory_equal(netvm_data(bench.nf, &pkts[0]), "first", 5);
	assert_memory_equal(netvm_data(bench.nf, &pkts[1]), "second!", 7);
	assert_int_equal(netvm_meta(bench.nf, &pkts[0])->in_port, 0);
	assert_true(netvm_meta(bench.nf, &pkts[0])->arrival_ns > 0);
	send_and_flush(&bench, pkts, 2);
	assert_int_equal(test_host_collect(bench.host, 0, 0, words, 8), 2);
	assert_true(words[0] == pkts[0].word && words[1] == pkts[1].word);
	bench_close(&bench);
}

static void verdicts_travel(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkts[5];
	uint64_t words[5];

	(void)state;
	for (int i = 0; i < 5; i++)
		give(&bench, 0, "packet");
	assert_int_equal(receive(&bench, pkts, 5), 5);
	netvm_next(&pkts[1]);
	netvm_drop(&pkts[2]);
	netvm_consume(&pkts[3]);
	netvm_to(&pkts[4], 77);
	send_and_flush(&bench, pkts, 5);
	assert_true(test_host_collect_all(bench.host, 0, 0, words, 5));
	assert_int_equal(netvm_desc_verdict(words[0]), TEST_HOST_NEXT);
	assert_int_equal(netvm_desc_verdict(words[1]), NETVM_VERDICT_NEXT);
	assert_int_equal(netvm_desc_verdict(words[2]), NETVM_VERDICT_DROP);
	assert_int_equal(netvm_desc_verdict(words[3]), NETVM_VERDICT_CONSUME);
	assert_int_equal(netvm_desc_verdict(words[4]), 77);
	bench_close(&bench);
}

static void staged_packets_wait_for_flush_or_receive(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkts[2];
	uint64_t words[2];

	(void)state;
	give(&bench, 0, "a");
	assert_int_equal(receive(&bench, pkts, 1), 1);
	netvm_send(bench.nf, pkts, 1);
	assert_int_equal(test_host_collect(bench.host, 0, 0, words, 2), 0);
	assert_int_equal(receive(&bench, pkts, 1), 0);
	assert_int_equal(test_host_collect(bench.host, 0, 0, words, 2), 1);
	bench_close(&bench);
}

static uint64_t rings(struct bench *bench)
{
	uint64_t count = 0;

	(void)!read(bench->host->worker_fd[0], &count, sizeof(count));
	return count;
}

static void a_sleeping_worker_is_rung_once_per_ticket(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkts[8];
	uint64_t words[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		give(&bench, 0, "packet");
	assert_int_equal(receive(&bench, pkts, 8), 8);
	send_and_flush(&bench, pkts, 1);
	assert_int_equal(rings(&bench), 0); /* awake */
	bench.host->channel->worker[0].sleep_ticket = 5;
	send_and_flush(&bench, pkts + 1, 1);
	send_and_flush(&bench, pkts + 2, 1);
	assert_int_equal(rings(&bench), 1);
	bench.host->channel->worker[0].sleep_ticket = 6;
	netvm_flush(bench.nf); /* nothing staged */
	assert_int_equal(rings(&bench), 0);
	send_and_flush(&bench, pkts + 3, 5);
	assert_int_equal(rings(&bench), 1);
	bench.host->channel->worker[0].sleep_ticket = 0;
	assert_true(test_host_collect_all(bench.host, 0, 0, words, 8));
	bench_close(&bench);
}

/* Each packet goes back to its own worker, in whatever order and however long it was kept. */
static void packets_return_to_their_worker(void **state)
{
	enum { WORKERS = 3, EACH = 40 };
	struct bench bench = bench_open(WORKERS);
	struct netvm_packet pkts[WORKERS * EACH];
	unsigned n = 0, back = 0;

	(void)state;
	for (unsigned i = 0; i < EACH; i++)
		for (unsigned w = 0; w < WORKERS; w++)
			give(&bench, w, "packet");
	while (n < WORKERS * EACH) {
		int got = receive(&bench, pkts + n, 7);

		assert_in_range(got, 1, 7);
		n += (unsigned)got;
	}
	for (unsigned i = 0; i < n; i++) /* backwards, so that workers mix */
		netvm_send(bench.nf, &pkts[n - 1 - i], 1);
	netvm_flush(bench.nf);
	for (unsigned w = 0; w < WORKERS; w++) {
		uint64_t words[EACH];

		assert_true(test_host_collect_all(bench.host, w, 0, words, EACH));
		back += EACH;
	}
	assert_int_equal(back, n);
	bench_close(&bench);
}

/* What the host tells a slow callback from a hung one by. */
static void alive_is_seen(void **state)
{
	struct bench bench = bench_open(1);
	const uint64_t *heartbeat = &bench.host->channel->queue[0].heartbeat;
	uint64_t before = *heartbeat;

	(void)state;
	for (int i = 0; i < 3; i++) {
		netvm_alive(bench.nf);
		assert_true(*heartbeat > before);
		before = *heartbeat;
	}
	bench_close(&bench);
}

static void workers_take_turns(void **state)
{
	struct bench bench = bench_open(2);
	struct netvm_packet pkts[4];
	uint64_t words[4];

	(void)state;
	for (int i = 0; i < 2; i++) {
		give(&bench, 0, "0");
		give(&bench, 1, "1");
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(receive(&bench, &pkts[i], 1), 1);
		assert_int_equal(netvm_meta(bench.nf, &pkts[i])->in_port, i % 2);
	}
	send_and_flush(&bench, pkts, 4);
	assert_true(test_host_collect_all(bench.host, 0, 0, words, 2));
	assert_true(test_host_collect_all(bench.host, 1, 0, words, 2));
	bench_close(&bench);
}

/* ---- packets of the NF's own ---------------------------------------------------------------- */

static void alloc_takes_from_the_stock(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkts[8];
	uint64_t words[8];

	(void)state;
	assert_int_equal(netvm_alloc(bench.nf, pkts, 8), 0);
	assert_int_equal(test_host_stock(bench.host, 0, 0, 5), 5);
	assert_int_equal(netvm_alloc(bench.nf, pkts, 8), 5);
	assert_int_equal(netvm_alloc(bench.nf, pkts + 5, 3), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(netvm_length(&pkts[i]), 0);
		assert_int_equal(netvm_desc_verdict(pkts[i].word), NETVM_VERDICT_DROP);
		assert_int_equal(netvm_desc_offset(pkts[i].word), bench.nf->headroom);
	}
	memcpy(netvm_append(bench.nf, &pkts[0], 4), "made", 4);
	netvm_to(&pkts[0], 9);
	send_and_flush(&bench, pkts, 2); /* one made, one given back as it came */
	netvm_release(bench.nf, &pkts[2]);
	netvm_flush(bench.nf);
	assert_true(test_host_collect_all(bench.host, 0, 0, words, 3));
	assert_memory_equal(test_host_data(bench.host, words[0]), "made", 4);
	assert_int_equal(bench.host->made, 1);
	assert_int_equal(bench.host->unused, 2);
	assert_int_equal(test_host_in_flight(bench.host), 2);
	send_and_flush(&bench, pkts + 3, 2);
	assert_true(test_host_collect_all(bench.host, 0, 0, words, 2));
	assert_int_equal(test_host_in_flight(bench.host), 0);
	bench_close(&bench);
}

/* Also what came after the last look at the ring, while something of that was left. */
static void alloc_takes_all_there_is(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkts[8];
	uint64_t words[8];

	(void)state;
	assert_int_equal(test_host_stock(bench.host, 0, 0, 3), 3);
	assert_int_equal(netvm_alloc(bench.nf, pkts, 1), 1);
	assert_int_equal(test_host_stock(bench.host, 0, 0, 5), 5);
	assert_int_equal(netvm_alloc(bench.nf, pkts + 1, 7), 7);
	send_and_flush(&bench, pkts, 8);
	assert_true(test_host_collect_all(bench.host, 0, 0, words, 8));
	bench_close(&bench);
}

static void alloc_looks_at_every_workers_stock(void **state)
{
	struct bench bench = bench_open(3);
	struct netvm_packet pkts[9];
	uint64_t words[3];

	(void)state;
	for (unsigned w = 0; w < 3; w++)
		assert_int_equal(test_host_stock(bench.host, w, 0, 2), 2);
	assert_int_equal(netvm_alloc(bench.nf, pkts, 9), 6);
	send_and_flush(&bench, pkts, 6);
	for (unsigned w = 0; w < 3; w++)
		assert_true(test_host_collect_all(bench.host, w, 0, words, 2));
	bench_close(&bench);
}

static void clone_copies_packet_metadata_and_verdict(void **state)
{
	struct bench bench = bench_open(2);
	struct netvm_packet pkt, clone;
	uint64_t words[2];

	(void)state;
	give(&bench, 1, "original");
	assert_int_equal(receive(&bench, &pkt, 1), 1);
	assert_int_equal(netvm_clone(bench.nf, &pkt, &clone), -ENOBUFS);
	test_host_stock(bench.host, 0, 0, 1);
	test_host_stock(bench.host, 1, 0, 1);
	netvm_meta(bench.nf, &pkt)->user[3] = 4711;
	assert_non_null(netvm_trim_front(bench.nf, &pkt, 2));
	assert_int_equal(netvm_clone(bench.nf, &pkt, &clone), 0);
	assert_int_not_equal(netvm_desc_index(clone.word), netvm_desc_index(pkt.word));
	assert_int_equal(netvm_length(&clone), 6);
	assert_memory_equal(netvm_data(bench.nf, &clone), "iginal", 6);
	assert_int_equal(netvm_meta(bench.nf, &clone)->user[3], 4711);
	assert_int_equal(netvm_desc_verdict(clone.word), TEST_HOST_NEXT);
	netvm_send(bench.nf, &pkt, 1);
	netvm_send(bench.nf, &clone, 1);
	netvm_flush(bench.nf);
	/* The original's worker has a stock: both go there, in order. */
	assert_true(test_host_collect_all(bench.host, 1, 0, words, 2));
	assert_true(words[0] == pkt.word && words[1] == clone.word);
	assert_int_equal(bench.host->made, 1);
	bench_close(&bench);
}

static void release_consumes(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkt;
	uint64_t word;

	(void)state;
	give(&bench, 0, "packet");
	assert_int_equal(receive(&bench, &pkt, 1), 1);
	netvm_release(bench.nf, &pkt);
	netvm_flush(bench.nf);
	assert_true(test_host_collect_all(bench.host, 0, 0, &word, 1));
	assert_int_equal(netvm_desc_verdict(word), NETVM_VERDICT_CONSUME);
	bench_close(&bench);
}

/* What an NF sends twice, the host refuses once; nothing overflows. */
static void sending_twice_is_the_hosts_to_refuse(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkt;
	uint64_t words[64];

	(void)state;
	give(&bench, 0, "packet");
	assert_int_equal(receive(&bench, &pkt, 1), 1);
	for (int i = 0; i < 5000; i++) /* more than the ring holds */
		netvm_send(bench.nf, &pkt, 1);
	netvm_flush(bench.nf);
	assert_int_equal(test_host_collect(bench.host, 0, 0, words, 64), 1);
	assert_int_equal(bench.host->refused, 63);
	netvm_detach(bench.nf);
	test_host_close(bench.host);
}

/* ---- a host that breaks its rings ------------------------------------------------------------ */

static void a_corrupt_ring_ends_the_attachment(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkt;

	(void)state;
	bench.host->pair[0][0].rx.ring->producer = 100000;
	assert_int_equal(receive(&bench, &pkt, 1), -ECONNRESET);
	assert_non_null(strstr(netvm_error(), "rx ring"));
	assert_int_equal(receive(&bench, &pkt, 1), -ECONNRESET);
	netvm_detach(bench.nf);
	test_host_close(bench.host);
}

static void a_corrupt_stock_ring_gives_nothing(void **state)
{
	struct bench bench = bench_open(1);
	struct netvm_packet pkt;

	(void)state;
	bench.host->pair[0][0].stock.ring->producer = 100000;
	assert_int_equal(netvm_alloc(bench.nf, &pkt, 1), 0);
	assert_int_equal(receive(&bench, &pkt, 1), -ECONNRESET);
	netvm_detach(bench.nf);
	test_host_close(bench.host);
}

/* ---- destinations ---------------------------------------------------------------------------- */

static void destinations_are_found_by_kind_name_and_number(void **state)
{
	struct bench bench = bench_open(1);
	unsigned lan = test_host_grant(bench.host, NETVM_DESTINATION_PORT, 7, "lan");
	unsigned scrub = test_host_grant(bench.host, NETVM_DESTINATION_SERVICE, 7, "scrub");
	uint32_t version = netvm_destination_version(bench.nf);
	struct netvm_destination entry;

	(void)state;
	assert_int_equal(netvm_destination(bench.nf, NETVM_DESTINATION_PORT, "lan"), lan);
	assert_int_equal(netvm_destination(bench.nf, NETVM_DESTINATION_SERVICE, "scrub"), scrub);
	assert_int_equal(netvm_destination(bench.nf, NETVM_DESTINATION_SERVICE, "lan"), -ENOENT);
	assert_non_null(strstr(netvm_error(), "'lan'"));
	assert_int_equal(netvm_destination_by_id(bench.nf, NETVM_DESTINATION_SERVICE, 7), scrub);
	assert_int_equal(netvm_destination_by_id(bench.nf, NETVM_DESTINATION_PORT, 8), -ENOENT);
	assert_int_equal(netvm_destination_get(bench.nf, lan, &entry), 0);
	assert_string_equal(entry.name, "lan");
	assert_int_equal(netvm_destination_get(bench.nf, 99, &entry), -ENOENT);
	assert_int_equal(netvm_destination_get(bench.nf, 0, &entry), -ENOENT);
	assert_int_equal(netvm_destination_get(bench.nf, 256, &entry), -ENOENT);
	test_host_grant(bench.host, NETVM_DESTINATION_PORT, 8, "wan");
	assert_int_not_equal(netvm_destination_version(bench.nf), version);
	bench_close(&bench);
}

static void a_table_that_is_never_finished_does_not_hang(void **state)
{
	struct bench bench = bench_open(1);

	(void)state;
	bench.host->channel->destination_version++;
	assert_int_equal(netvm_destination(bench.nf, NETVM_DESTINATION_PORT, "lan"), -EAGAIN);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_arrive_as_they_were_given),
		cmocka_unit_test(verdicts_travel),
		cmocka_unit_test(staged_packets_wait_for_flush_or_receive),
		cmocka_unit_test(a_sleeping_worker_is_rung_once_per_ticket),
		cmocka_unit_test(packets_return_to_their_worker),
		cmocka_unit_test(alive_is_seen),
		cmocka_unit_test(workers_take_turns),
		cmocka_unit_test(alloc_takes_from_the_stock),
		cmocka_unit_test(alloc_takes_all_there_is),
		cmocka_unit_test(alloc_looks_at_every_workers_stock),
		cmocka_unit_test(clone_copies_packet_metadata_and_verdict),
		cmocka_unit_test(release_consumes),
		cmocka_unit_test(sending_twice_is_the_hosts_to_refuse),
		cmocka_unit_test(a_corrupt_ring_ends_the_attachment),
		cmocka_unit_test(a_corrupt_stock_ring_gives_nothing),
		cmocka_unit_test(destinations_are_found_by_kind_name_and_number),
		cmocka_unit_test(a_table_that_is_never_finished_does_not_hang),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
