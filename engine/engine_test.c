/*
 * The engine as a whole, without devices or processes: frames in by a test port, NFs played by the
 * test, frames out by a test port. Every test ends with balanced books and all buffers free.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/test_fixture.h"

/* ---- tests --------------------------------------------------------------------------------- */

static void patch_without_services(void **state)
{
	struct fixture *f = fixture_start(1);

	(void)state;
	fixture_steer_through(f, NULL, 0);
	fixture_give(f, 1000, 0);
	assert_true(rig_wait(rig_port_n_out(f->out) == 1000));
	assert_int_equal(fixture_books(f).sent, 1000);
	fixture_finish(f);
}

static void no_chain_is_a_named_drop(void **state)
{
	struct fixture *f = fixture_start(1);

	(void)state;
	fixture_give(f, 10, 0);
	assert_true(rig_wait(fixture_books(f).drops[DROP_NO_FLOW] == 10));
	fixture_finish(f);
}

static void through_two_nfs_in_order(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);

	(void)state;
	fixture_steer_through(f, (struct service *[]){f->a, f->b}, 2);
	for (unsigned round = 0; round < 20; round++) {
		fixture_give(f, 100, 7);
		assert_true(rig_wait(
			(rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_n_out(f->out) == 100)));
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(rig_port_take(f->out)->data[42], i);
	}
	assert_int_equal(rig_nf_free(f->engine, a), 0);
	assert_int_equal(rig_nf_free(f->engine, b), 0);
	fixture_finish(f);
}

static void verdicts(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct grant grant = {.kind = NETVM_DESTINATION_PORT, .port = &f->out->port};
	unsigned to_port;

	(void)state;
	assert_int_equal(engine_service_grant(f->engine, f->a, &grant, 1, NULL), 0);
	fixture_steer_through(f, &f->a, 1);
	to_port = rig_nf_destination(a, NETVM_DESTINATION_PORT, "out");
	assert_true(to_port >= NETVM_VERDICT_FIRST_DESTINATION);
	fixture_give(f, 5, 0);
	assert_true(rig_wait(rig_nf_turn(a, NETVM_VERDICT_DROP) > 0 ||
			     fixture_books(f).drops[DROP_NF_VERDICT] == 5));
	assert_true(rig_wait((
		rig_nf_turn(a, NETVM_VERDICT_DROP), fixture_books(f).drops[DROP_NF_VERDICT] == 5)));
	fixture_give(f, 6, 0);
	assert_true(
		rig_wait((rig_nf_turn(a, NETVM_VERDICT_CONSUME), fixture_books(f).consumed == 6)));
	fixture_give(f, 7, 0);
	assert_true(rig_wait((rig_nf_turn(a, to_port), rig_port_n_out(f->out) == 7)));
	fixture_give(f, 8, 0);
	assert_true(
		rig_wait((rig_nf_turn(a, 200), fixture_books(f).drops[DROP_NF_BAD_VERDICT] == 8)));
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

static unsigned take_n(struct rig_nf *nf, uint64_t *words, unsigned n)
{
	unsigned got = 0;

	assert_true(rig_wait((got += rig_nf_take(nf, 0, words + got, n - got)) == n));
	return got;
}

static void death_gives_everything_back(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", NETVM_FEATURE_STOCK);
	struct counters last;
	struct books books;
	uint64_t words[3];

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	fixture_give(f, 50, 0);
	take_n(a, words, 3); /* some in its hands, the others in its ring */
	assert_true(rig_wait(fixture_books(f).received == 50));
	assert_int_equal(engine_nf_detach(f->engine, a->nf, DROP_NF_DIED, 0, &last), 50);
	assert_int_equal(last.tx_pkts, 50);
	assert_int_equal(last.drops[DROP_NF_DIED], 50);
	rig_nf_discard(a);
	books = fixture_books(f);
	assert_int_equal(books.drops[DROP_NF_DIED], 50);
	assert_int_equal(books.buffers_stock, 0);
	fixture_give(f, 5, 0); /* nobody there, and the chain fails closed */
	assert_true(rig_wait(fixture_books(f).drops[DROP_SERVICE_DOWN] == 5));
	fixture_finish(f);
}

static void failing_open_skips_the_service(void **state)
{
	struct fixture *f = fixture_start(1);
	struct program_options chain;

	(void)state;
	fixture_chain(&chain, f, "open", (struct service *[]){f->a, f->b}, 2);
	chain.on_failure = ON_FAILURE_OPEN;
	fixture_steer(f, &chain);
	fixture_give(f, 10, 0);
	assert_true(rig_wait(rig_port_n_out(f->out) == 10));
	fixture_finish(f);
}

static void overload_is_shed_at_the_entry(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct counters chain;
	uint64_t drops;

	(void)state;
	fixture_steer_through(f, (struct service *[]){f->a, f->b}, 2);
	/* b never works: a may, but nothing may be lost between them */
	fixture_give(f, 1000, 0);
	assert_true(rig_wait((rig_nf_turn(a, 0), fixture_books(f).received == 1000)));
	drops = fixture_books(f).drops[DROP_CHAIN_OVERLOAD];
	assert_int_equal(drops, 1000 - FAIR);
	assert_int_equal(fixture_books(f).dropped, drops);
	engine_chain_counters(f->engine, "chain", &chain);
	assert_int_equal(chain.drops[DROP_CHAIN_OVERLOAD], drops);
	assert_true(
		rig_wait((rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_n_out(f->out) == FAIR)));
	fixture_give(f, 100, 0); /* and it recovers */
	assert_true(rig_wait(
		(rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_n_out(f->out) == FAIR + 100)));
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

static void change_lets_packets_finish_on_the_old_chain(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct counters counters;
	uint64_t words[10];

	(void)state;
	fixture_steer_through(f, (struct service *[]){f->a, f->b}, 2);
	fixture_give(f, 10, 0);
	take_n(a, words, 10);
	fixture_steer_through(f, &f->a, 1); /* b is not in the new chain */
	rig_nf_send(a, 0, words, 10);
	take_n(b, words, 10); /* but these still pass it */
	rig_nf_send(b, 0, words, 10);
	fixture_give(f, 10, 0);
	assert_true(rig_wait((rig_nf_turn(a, 0), rig_port_n_out(f->out) == 20)));
	engine_nf_counters(f->engine, b->nf, &counters);
	assert_int_equal(counters.tx_pkts, 10);
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

/* They go with the last packet that is on its way through the chain; the line balances. */
static void books_go_with_their_chain(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct program_options other;
	struct counters counters;
	uint64_t words[10];

	(void)state;
	fixture_chain(&other, f, "other", NULL, 0);
	fixture_steer_through(f, &f->a, 1);
	fixture_give(f, 10, 0);
	take_n(a, words, 10);
	fixture_steer_through(f, &f->a, 1); /* changed: the same books */
	fixture_steer(f, &other);
	engine_chain_counters(f->engine, "chain", &counters);
	assert_int_equal(counters.rx_pkts, 10);
	rig_nf_send(a, 0, words, 10);
	assert_true(rig_wait(rig_port_n_out(f->out) == 10));
	fixture_steer(f, &other);
	engine_chain_counters(f->engine, "chain", &counters);
	assert_int_equal(counters.rx_pkts, 0);
	fixture_steer_through(f, &f->a, 1); /* one of the same name is another one */
	engine_chain_counters(f->engine, "chain", &counters);
	assert_int_equal(counters.rx_pkts, 0);
	assert_int_equal(fixture_books(f).sent, 10);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

static void detour_comes_back_and_loops_end(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct grant to_b = {.kind = NETVM_DESTINATION_SERVICE, .service = f->b};
	struct grant to_a = {.kind = NETVM_DESTINATION_SERVICE, .service = f->a};
	unsigned a_to_b, b_to_a;

	(void)state;
	assert_int_equal(engine_service_grant(f->engine, f->a, &to_b, 1, NULL), 0);
	assert_int_equal(engine_service_grant(f->engine, f->b, &to_a, 1, NULL), 0);
	fixture_steer_through(f, &f->a, 1);
	a_to_b = rig_nf_destination(a, NETVM_DESTINATION_SERVICE, "b");
	b_to_a = rig_nf_destination(b, NETVM_DESTINATION_SERVICE, "a");
	fixture_give(f, 10, 0);
	assert_true(rig_wait(
		(rig_nf_turn(a, a_to_b), rig_nf_turn(b, 0), rig_port_n_out(f->out) == 10)));
	fixture_give(f, 3, 0);
	assert_true(rig_wait((rig_nf_turn(a, a_to_b), rig_nf_turn(b, b_to_a),
		fixture_books(f).drops[DROP_LOOP] == 3)));
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

static void stock_packets_are_injected(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", NETVM_FEATURE_STOCK);
	uint64_t words[64], packet;
	uint8_t *data;
	unsigned to_chain, n = 0;

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	to_chain = rig_nf_destination(a, NETVM_DESTINATION_CHAIN, "chain");
	assert_true(to_chain > 0);
	assert_true(rig_wait((n = netvm_ring_take(&a->stock[0], words, 64)) > 3));
	/* what "next" means for a received packet is that destination, so a clone can take it */
	fixture_give(f, 1, 0);
	take_n(a, &packet, 1);
	assert_int_equal(netvm_desc_verdict(packet), to_chain);
	rig_nf_send(a, 0, &packet, 1);
	data = buffer_data(f->pool, words[0]);
	words[0] = netvm_desc(netvm_desc_index(words[0]), netvm_desc_generation(words[0]), 192,
		rig_udp(data, 1, 2, 3, 4), to_chain);
	words[1] = netvm_desc_set_verdict(words[1], NETVM_VERDICT_DROP);
	words[2] = netvm_desc_set_extent(netvm_desc_set_verdict(words[2], 0), 192, 60);
	rig_nf_send(a, 0, words, 3);
	assert_true(rig_wait(rig_port_n_out(f->out) == 2));
	assert_true(rig_wait(fixture_books(f).drops[DROP_NO_NEXT] == 1));
	assert_int_equal(fixture_books(f).injected, 2);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* Again and again, through all of the ring. */
static void stock_is_kept_filled(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", NETVM_FEATURE_STOCK);
	uint64_t words[64];

	(void)state;
	for (unsigned n = 0, all = 0; all < 1000; all += n) {
		assert_true(rig_wait((n = netvm_ring_take(&a->stock[0], words, 64)) > 0));
		rig_nf_send(a, 0, words, n); /* back, unused */
	}
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* How many of `n` flows reach each of the instances. */
static void count_flows(
	struct fixture *f, struct rig_nf **nfs, unsigned n_nfs, unsigned n, uint8_t *owner)
{
	unsigned seen = 0;

	fixture_give(f, n, 100);
	assert_true(rig_wait(({
		for (unsigned i = 0; i < n_nfs; i++) {
			uint64_t words[64];
			unsigned got = rig_nf_take(nfs[i], 0, words, 64);

			for (unsigned k = 0; k < got; k++) {
				const uint8_t *data = buffer_data(f->pool, words[k]);

				owner[data[42] | data[43] << 8] = (uint8_t)i;
			}
			rig_nf_send(nfs[i], 0, words, got);
			seen += got;
		}
		seen == n;
	})));
	assert_true(rig_wait(rig_port_n_out(f->out) == n));
	while (rig_port_take(f->out))
		;
}

#define N_FLOWS 160u

static void instances_share_flows_consistently(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *nfs[3];
	uint8_t two[N_FLOWS], again[N_FLOWS], three[N_FLOWS];
	unsigned first = 0, moved = 0, moved_wrong = 0;

	(void)state;
	nfs[0] = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	nfs[1] = rig_nf_new(f->engine, f->a, f->pool, "a2", 0);
	fixture_steer_through(f, &f->a, 1);
	count_flows(f, nfs, 2, N_FLOWS, two);
	count_flows(f, nfs, 2, N_FLOWS, again);
	assert_memory_equal(two, again, N_FLOWS);
	for (unsigned i = 0; i < N_FLOWS; i++)
		first += two[i] == 0;
	assert_in_range(first, 48, 112);
	nfs[2] = rig_nf_new(f->engine, f->a, f->pool, "a3", 0);
	count_flows(f, nfs, 3, N_FLOWS, three);
	for (unsigned i = 0; i < N_FLOWS; i++) {
		moved += three[i] != two[i];
		moved_wrong += three[i] != two[i] && three[i] != 2;
	}
	assert_in_range(moved, 25, 90); /* a third is ideal */
	assert_in_range(moved_wrong, 0, 16);
	rig_nf_free(f->engine, nfs[0]); /* it comes back under its name, and gets its flows back */
	nfs[0] = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	count_flows(f, nfs, 3, N_FLOWS, again);
	assert_memory_equal(three, again, N_FLOWS);
	for (unsigned i = 0; i < 3; i++)
		rig_nf_free(f->engine, nfs[i]);
	fixture_finish(f);
}

static void rules_choose_by_priority(void **state)
{
	struct fixture *f = fixture_start(1);
	struct program_options programs[3];
	struct rule rules[3];
	uint8_t frame[64];

	(void)state;
	fixture_chain(&programs[0], f, "rest", NULL, 0);
	programs[1] = (struct program_options){
		.name = "no", .n_steps = 1, .step = {{.op = PROGRAM_DROP, .reason = DROP_POLICY}}};
	for (unsigned i = 0; i < 3; i++)
		rules[i] = (struct rule){.match = fixture_match_all};
	rules[0].match.in_port = &f->in->port;
	rules[1].priority = 10;
	rules[1].program = 1;
	rules[1].match.has_protocol = true;
	rules[1].match.protocol = 17;
	rules[1].match.dst_port_min = 100;
	rules[1].match.dst_port_max = 199;
	rules[2].priority = 20; /* an exception above the drop */
	rules[2].match.src_prefix = 128;
	memcpy(rules[2].match.src, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x09\x09\x09", 16);
	assert_int_equal(engine_steer(f->engine, programs, 2, rules, 3, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		unsigned length =
			rig_udp(frame, i & 1 ? 0x0a090909 : 0x0a000001, 2, 3, (uint16_t)i);

		rig_port_give(f->in, frame, length);
	}
	assert_true(rig_wait(fixture_books(f).drops[DROP_POLICY] == 50));
	assert_true(rig_wait(rig_port_n_out(f->out) == 250));
	fixture_finish(f);
}

static void crossing_groups_copies_once(void **state)
{
	struct fixture *f = fixture_start(1);
	struct buffer_pool *other = fixture_pool(f->engine, "two");
	struct rig_port *far = fixture_port(f, "far", other);
	struct rule rule = {.match = fixture_match_all};
	struct program_options chain;
	struct error error = {0};

	(void)state;
	rule.match.in_port = &f->in->port;
	fixture_chain(&chain, f, "border", NULL, 0);
	chain.step[0].port = &far->port;
	chain.n_steps = 1;
	chain.cross_groups = true;
	assert_int_equal(engine_steer(f->engine, &chain, 1, &rule, 1, &error), 0);
	fixture_give(f, 100, 0);
	assert_true(rig_wait(rig_port_n_out(far) == 100));
	assert_int_equal(fixture_books(f).copied, 100);
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_port_detach(f->engine, &far->port);
	engine_pool_detach(f->engine, other);
	rig_port_free(far);
	buffer_pool_destroy(other);
	fixture_finish(f);
}

static void full_port_is_a_named_drop(void **state)
{
	struct fixture *f = fixture_start(1);

	(void)state;
	fixture_steer_through(f, NULL, 0);
	f->out->tx_limit = 0;
	fixture_give(f, 10, 0);
	assert_true(rig_wait(fixture_books(f).drops[DROP_PORT_TX_FULL] == 10));
	engine_port_set_up(f->engine, &f->out->port, false);
	fixture_give(f, 10, 0);
	assert_true(rig_wait(fixture_books(f).drops[DROP_PORT_DOWN] == 10));
	fixture_finish(f);
}

/* Wherever in a burst they are, those around them go out. */
static void refused_packets_are_a_named_drop(void **state)
{
	struct fixture *f = fixture_start(1);
	uint8_t frame[64];

	(void)state;
	fixture_steer_through(f, NULL, 0);
	f->out->refused_length = 62;
	for (unsigned i = 0; i < 9; i++) {
		rig_udp(frame, 1, 2, 3, 4);
		rig_port_give(f->in, frame, i % 4 == 0 ? 62 : 60);
	}
	assert_true(rig_wait(rig_port_n_out(f->out) == 6));
	assert_true(rig_wait(fixture_books(f).drops[DROP_PORT_REFUSED] == 3));
	assert_int_equal(fixture_books(f).drops[DROP_PORT_TX_FULL], 0);
	fixture_finish(f);
}

/* Frames of one flow leave in the order they came, however many workers there are. */
static void workers_keep_flows_in_order(void **state)
{
	struct fixture *f = fixture_start(3);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	unsigned next[8] = {0}, worker_used = 0;
	uint8_t frame[64];

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	for (unsigned i = 0; i < 2000; i++) {
		unsigned length = rig_udp(frame, 1, 2, 3, (uint16_t)(i % 8));

		frame[42] = (uint8_t)(i / 8);
		rig_port_give(f->in, frame, length);
		rig_nf_turn(a, 0);
		/* keep the load below what sheds */
		assert_true(rig_wait((rig_nf_turn(a, 0), i + 1 - rig_port_n_out(f->out) < 128)));
	}
	assert_true(rig_wait((rig_nf_turn(a, 0), rig_port_n_out(f->out) == 2000)));
	for (unsigned i = 0; i < 2000; i++) {
		const struct rig_frame *got = rig_port_take(f->out);
		unsigned flow = got->data[37];

		assert_int_equal(got->data[42], next[flow]++ & 0xff);
	}
	for (unsigned w = 0; w < 3; w++)
		worker_used += a->rx[w].own > 0;
	assert_int_equal(worker_used, 3); /* eight flows over three workers */
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* Packets handed over between workers are classified by the port they came in by. */
static void workers_tell_ports_apart(void **state)
{
	struct fixture *f = fixture_start(3);
	struct rig_port *other = fixture_port(f, "other", f->pool);
	struct program_options programs[2];
	struct rule rules[2] = {
		{.match = fixture_match_all}, {.match = fixture_match_all, .program = 1}};
	uint8_t frame[64];

	(void)state;
	fixture_chain(&programs[0], f, "chain", NULL, 0);
	programs[1] = (struct program_options){
		.name = "no", .n_steps = 1, .step = {{.op = PROGRAM_DROP, .reason = DROP_POLICY}}};
	rules[0].match.in_port = &f->in->port;
	rules[1].match.in_port = &other->port;
	rules[0].match.eth_type = rules[1].match.eth_type = 0x0800;
	assert_int_equal(engine_steer(f->engine, programs, 2, rules, 2, NULL), 0);
	for (unsigned i = 0; i < 500; i++) {
		unsigned length = rig_udp(frame, 1, 2, 3, (uint16_t)(i % 8));

		rig_port_give(f->in, frame, length);
		rig_port_give(other, frame, length);
	}
	assert_true(rig_wait(rig_port_n_out(f->out) == 500));
	assert_true(rig_wait(fixture_books(f).drops[DROP_POLICY] == 500));
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_port_detach(f->engine, &other->port);
	rig_port_free(other);
	fixture_finish(f);
}

static void bad_programs_are_refused(void **state)
{
	struct fixture *f = fixture_start(1);
	struct buffer_pool *other = fixture_pool(f->engine, "two");
	struct rig_port *far = fixture_port(f, "far", other);
	struct program_options chain;
	struct error error = {0};

	(void)state;
	fixture_chain(&chain, f, "border", &f->a, 1);
	chain.step[1].port = &far->port;
	assert_int_equal(engine_steer(f->engine, &chain, 1, NULL, 0, &error), -EINVAL);
	assert_string_equal(error.path, "cross_groups");
	memset(&error, 0, sizeof(error));
	chain.n_steps = 1;
	assert_int_equal(engine_steer(f->engine, &chain, 1, NULL, 0, &error), -EINVAL);
	assert_string_equal(error.path, "to");
	engine_port_detach(f->engine, &far->port);
	engine_pool_detach(f->engine, other);
	rig_port_free(far);
	buffer_pool_destroy(other);
	fixture_finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patch_without_services),
		cmocka_unit_test(no_chain_is_a_named_drop),
		cmocka_unit_test(through_two_nfs_in_order),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(death_gives_everything_back),
		cmocka_unit_test(failing_open_skips_the_service),
		cmocka_unit_test(overload_is_shed_at_the_entry),
		cmocka_unit_test(change_lets_packets_finish_on_the_old_chain),
		cmocka_unit_test(books_go_with_their_chain),
		cmocka_unit_test(detour_comes_back_and_loops_end),
		cmocka_unit_test(stock_packets_are_injected),
		cmocka_unit_test(stock_is_kept_filled),
		cmocka_unit_test(instances_share_flows_consistently),
		cmocka_unit_test(rules_choose_by_priority),
		cmocka_unit_test(crossing_groups_copies_once),
		cmocka_unit_test(full_port_is_a_named_drop),
		cmocka_unit_test(refused_packets_are_a_named_drop),
		cmocka_unit_test(workers_keep_flows_in_order),
		cmocka_unit_test(workers_tell_ports_apart),
		cmocka_unit_test(bad_programs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
