/* What happens to packets and flows when NFs die: holding, standing by, exact reclaim. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/control.h"
#include "engine/test_fixture.h"

#define LONG_MS 60000

static void steer_holding(struct fixture *f, struct service *const *services, unsigned n,
	uint32_t hold_pkts, uint32_t hold_ms)
{
	struct program_options chain;

	fixture_chain(&chain, f, "chain", services, n);
	chain.on_failure = ON_FAILURE_HOLD;
	chain.hold_pkts = hold_pkts;
	chain.hold_ms = hold_ms;
	fixture_steer(f, &chain);
}

/* The number that fixture_give() wrote into a frame. */
static unsigned number_of(const struct rig_frame *frame)
{
	return frame->data[42] | (unsigned)frame->data[43] << 8;
}

/* Turn the NF until n frames have come out, which must be those from `first` on, in order. */
static void expect_in_order(struct fixture *f, struct rig_nf *nf, unsigned first, unsigned n)
{
	unsigned got = 0;

	assert_true(rig_wait(({
		const struct rig_frame *frame;

		rig_nf_turn(nf, 0);
		while (got < n && (frame = rig_port_take(f->out)))
			assert_int_equal(number_of(frame), first + got++);
		got == n;
	})));
}

/* ---- holding ------------------------------------------------------------------------------- */

static void held_packets_go_on_in_order(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a;
	struct books books;

	(void)state;
	steer_holding(f, &f->a, 1, 1000, LONG_MS);
	fixture_give(f, 1000, 0);
	assert_true(rig_wait((books = fixture_books(f)).received == 1000));
	assert_int_equal(books.in_flight, 1000);
	/* More than fit into its ring at once; what comes meanwhile waits behind them. */
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	expect_in_order(f, a, 0, 1000);
	fixture_give(f, 100, 0);
	expect_in_order(f, a, 0, 100);
	assert_int_equal(fixture_books(f).dropped, 0);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* While the older ones still wait, the younger ones do not overtake them. */
static void younger_packets_wait_behind(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a;
	uint64_t words[RING];
	unsigned got = 0;

	(void)state;
	steer_holding(f, &f->a, 1, 1000, LONG_MS);
	fixture_give(f, 600, 0);
	assert_true(rig_wait(fixture_books(f).in_flight == 600));
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	/* It takes what its ring can have and gives nothing back: the rest has to wait. */
	assert_true(rig_wait((got += rig_nf_take(a, 0, words + got, 64)) >= FAIR));
	fixture_give(f, 100, 0);
	assert_true(rig_wait(fixture_books(f).received == 700));
	rig_nf_send(a, 0, words, got);
	expect_in_order(f, a, 0, 600);
	expect_in_order(f, a, 0, 100);
	assert_int_equal(fixture_books(f).dropped, 0);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

static void what_is_too_much_is_dropped_by_name(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a;
	struct books books;

	(void)state;
	steer_holding(f, &f->a, 1, 100, LONG_MS);
	fixture_give(f, 300, 0);
	assert_true(rig_wait((books = fixture_books(f)).received == 300));
	assert_int_equal(books.in_flight, 100);
	assert_int_equal(books.drops[DROP_HOLD_FULL], 200);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	expect_in_order(f, a, 0, 100);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* Nothing but time passes: a sleeping worker sees to it as well. */
static void what_waits_too_long_is_dropped_by_name(void **state)
{
	struct fixture *f = fixture_start(1);
	struct counters counters;

	(void)state;
	steer_holding(f, &f->a, 1, 100, 20);
	fixture_give(f, 50, 0);
	assert_true(rig_wait((engine_chain_counters(f->engine, "chain", &counters),
		counters.drops[DROP_HOLD_EXPIRED] == 50)));
	assert_int_equal(fixture_books(f).in_flight, 0);
	fixture_finish(f);
}

/* Behind one that lives; packets the dead one had are lost, the others wait. */
static void a_service_in_mid_chain_is_waited_for(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0), *b;
	struct service *path[] = {f->a, f->b};
	uint64_t words[10];
	unsigned got = 0;

	(void)state;
	steer_holding(f, path, 2, 100, LONG_MS);
	b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	fixture_give(f, 10, 0);
	assert_true(rig_wait(
		(rig_nf_turn(a, 0), got += rig_nf_take(b, 0, words + got, 10 - got)) == 10));
	assert_int_equal(rig_nf_free(f->engine, b), 10);
	fixture_give(f, 50, 0);
	assert_true(rig_wait((rig_nf_turn(a, 0), fixture_books(f).received == 60)));
	assert_true(rig_wait(({
		struct nf_load load;

		rig_nf_turn(a, 0);
		engine_nf_load(f->engine, a->nf, &load);
		load.owned_pkts == 0;
	})));
	assert_int_equal(fixture_books(f).in_flight, 50);
	b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	expect_in_order(f, b, 0, 50);
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

/* They were let in for an NF that lived; when it is gone, the hold takes what it is to, no more. */
static void what_is_too_much_in_mid_chain_is_dropped_by_name(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0), *b;
	struct service *path[] = {f->a, f->b};
	struct books books;

	(void)state;
	b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	steer_holding(f, path, 2, 20, LONG_MS);
	fixture_give(f, 50, 0);
	assert_true(rig_wait(fixture_books(f).received == 50)); /* all of them in a's hands */
	rig_nf_free(f->engine, b);
	assert_true(rig_wait(
		(rig_nf_turn(a, 0), books = fixture_books(f)).drops[DROP_HOLD_FULL] == 30));
	assert_int_equal(books.in_flight, 20);
	b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	expect_in_order(f, b, 0, 20);
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

/* A change of steering does not lose what is held; the end of the service does. */
static void held_packets_survive_a_change_of_steering(void **state)
{
	struct fixture *f = fixture_start(1);
	struct service *gone;
	struct rig_nf *a;

	(void)state;
	steer_holding(f, &f->a, 1, 100, LONG_MS);
	fixture_give(f, 50, 0);
	assert_true(rig_wait(fixture_books(f).in_flight == 50));
	fixture_steer_through(f, NULL, 0);
	assert_int_equal(fixture_books(f).in_flight, 50);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	expect_in_order(f, a, 0, 50);
	rig_nf_free(f->engine, a);

	assert_int_equal(engine_service_create(f->engine, "gone", f->pool, &gone, NULL), 0);
	steer_holding(f, &gone, 1, 100, LONG_MS);
	fixture_give(f, 50, 0);
	assert_true(rig_wait(fixture_books(f).in_flight == 50));
	fixture_steer_through(f, NULL, 0);
	engine_service_destroy(f->engine, gone);
	assert_int_equal(fixture_books(f).drops[DROP_HOLD_FLUSHED], 50);
	fixture_finish(f);
}

/* Packets wait on this side of a group's border: when their group goes, they go with it. */
static void held_packets_end_with_their_group(void **state)
{
	struct fixture *f = fixture_start(1);
	struct buffer_pool *other = fixture_pool(f->engine, "two");
	struct rig_port *in = fixture_port(f, "in2", other);
	struct rule rule = {.match = fixture_match_all};
	struct program_options chain;
	uint8_t frame[64];
	struct rig_nf *a;

	(void)state;
	fixture_chain(&chain, f, "chain", &f->a, 1);
	chain.on_failure = ON_FAILURE_HOLD;
	chain.hold_pkts = 10;
	chain.hold_ms = LONG_MS;
	chain.cross_groups = true;
	rule.match.in_port = &in->port;
	assert_int_equal(engine_steer(f->engine, &chain, 1, &rule, 1, NULL), 0);
	rig_port_give(in, frame, rig_udp(frame, 1, 2, 3, 4));
	assert_true(rig_wait(fixture_books(f).in_flight == 1));
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	assert_true(rig_wait((rig_nf_turn(a, 0), rig_port_take(f->out))));
	rig_nf_free(f->engine, a);
	rig_port_give(in, frame, rig_udp(frame, 1, 2, 3, 4));
	assert_true(rig_wait(fixture_books(f).in_flight == 1));
	fixture_steer_through(f, NULL, 0);
	engine_port_detach(f->engine, &in->port);
	engine_pool_detach(f->engine, other);
	assert_int_equal(fixture_books(f).drops[DROP_HOLD_FLUSHED], 1);
	rig_port_free(in);
	buffer_pool_destroy(other);
	fixture_finish(f);
}

/* A source that can wait is not asked for more than can be held. */
static void sources_that_wait_lose_nothing_to_a_hold(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a;

	(void)state;
	engine_port_detach(f->engine, &f->in->port);
	f->in->port.waits = true;
	assert_int_equal(engine_port_attach(f->engine, &f->in->port, NULL), 0);
	steer_holding(f, &f->a, 1, 200, LONG_MS);
	fixture_give(f, 1000, 0);
	engine_port_set_up(f->engine, &f->in->port, true);
	assert_true(rig_wait(fixture_books(f).in_flight == 192)); /* whole bursts */
	for (int i = 0; i < 100; i++)
		engine_grace(f->engine); /* each a turn in which no more is asked for */
	assert_int_equal(fixture_books(f).dropped, 0);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	expect_in_order(f, a, 0, 1000);
	assert_int_equal(fixture_books(f).dropped, 0);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* ---- standing by --------------------------------------------------------------------------- */

#define N_FLOWS 64

/* Which NF gets which flow: one packet of each flow, and who has it. */
static void map_flows(struct fixture *f, struct rig_nf *const *nfs, unsigned n_nfs, int *map)
{
	unsigned total = 0;

	fixture_give(f, N_FLOWS, 1);
	assert_true(rig_wait(({
		for (unsigned i = 0; i < n_nfs; i++) {
			uint64_t words[N_FLOWS];
			unsigned n = rig_nf_take(nfs[i], 0, words, N_FLOWS);

			for (unsigned w = 0; w < n; w++)
				map[buffer_data(f->pool, words[w])[42]] = (int)i;
			if (n > 0)
				rig_nf_send(nfs[i], 0, words, n);
			total += n;
		}
		total == N_FLOWS;
	})));
	assert_true(rig_wait((({
		while (rig_port_take(f->out))
			;
	}),
		fixture_books(f).in_flight == 0)));
}

static struct rig_nf *stand_in(struct fixture *f, const char *name)
{
	return rig_nf_standby(f->engine, f->a, f->pool, name);
}

/* Exactly the flows of the dead one go to who stood by; back again it stands by in turn. */
static void who_stands_by_takes_over_its_flows(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *nfs[3] = {rig_nf_new(f->engine, f->a, f->pool, "a1", 0),
		rig_nf_new(f->engine, f->a, f->pool, "a2", 0), stand_in(f, "spare")};
	int before[N_FLOWS], after[N_FLOWS];

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	map_flows(f, nfs, 3, before);
	assert_true(engine_nf_stands_by(nfs[2]->nf));
	for (unsigned i = 0; i < N_FLOWS; i++)
		assert_int_not_equal(before[i], 2);
	rig_nf_free(f->engine, nfs[0]);
	nfs[0] = nfs[2];
	assert_false(engine_nf_stands_by(nfs[0]->nf));
	map_flows(f, nfs, 2, after);
	assert_memory_equal(before, after, sizeof(before));

	nfs[2] = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	assert_true(engine_nf_stands_by(nfs[2]->nf));
	map_flows(f, nfs, 3, after);
	assert_memory_equal(before, after, sizeof(before));
	rig_nf_free(f->engine, nfs[0]);
	nfs[0] = nfs[2];
	map_flows(f, nfs, 2, after);
	assert_memory_equal(before, after, sizeof(before));
	rig_nf_free(f->engine, nfs[0]);
	rig_nf_free(f->engine, nfs[1]);
	fixture_finish(f);
}

static void beat(struct rig_nf *nf)
{
	nf->channel->queue[0].heartbeat = 1;
}

/* One that has attached but never looked at its rings is the last choice, whatever its name. */
static void who_is_ready_comes_first(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a", 0);
	struct rig_nf *spare[] = {stand_in(f, "s1"), stand_in(f, "s2"), stand_in(f, "s3")}, *again;

	(void)state;
	beat(spare[1]);
	rig_nf_free(f->engine, a);
	assert_false(engine_nf_stands_by(spare[1]->nf));
	again = rig_nf_new(f->engine, f->a, f->pool, "a", 0);
	beat(spare[0]);
	rig_nf_free(f->engine, spare[1]);
	assert_false(engine_nf_stands_by(spare[0]->nf));
	beat(again);
	beat(spare[2]);
	rig_nf_free(f->engine, spare[0]);
	assert_false(engine_nf_stands_by(again->nf));
	assert_true(engine_nf_stands_by(spare[2]->nf));
	rig_nf_free(f->engine, again);
	rig_nf_free(f->engine, spare[2]);
	fixture_finish(f);
}

/* It works as long as it is alone, and makes room for the one the seat is for. */
static void a_stopgap_makes_room(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *spare = stand_in(f, "spare"), *second = stand_in(f, "spare2"), *a;

	(void)state;
	assert_false(engine_nf_stands_by(spare->nf));
	assert_true(engine_nf_stands_by(second->nf));
	rig_nf_free(f->engine, spare);
	assert_false(engine_nf_stands_by(second->nf));
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	assert_false(engine_nf_stands_by(a->nf));
	assert_true(engine_nf_stands_by(second->nf));
	rig_nf_free(f->engine, a);
	assert_false(engine_nf_stands_by(second->nf));
	rig_nf_free(f->engine, second);
	fixture_finish(f);
}

/* ---- pulse --------------------------------------------------------------------------------- */

static struct nf_pulse pulse_of(struct fixture *f, const struct rig_nf *nf)
{
	struct nf_pulse pulse;

	engine_nf_pulse(f->engine, nf->nf, 0, &pulse);
	return pulse;
}

/* What tells a hung NF from an idle one and from one that works. */
static void a_pulse_shows_what_moves(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	uint32_t *ticket = &a->channel->queue[0].sleep_ticket;
	struct nf_pulse before, after;
	uint64_t words[2];
	unsigned got = 0;

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	before = pulse_of(f, a);
	assert_false(before.has_work); /* idle */
	fixture_give(f, 2, 0);
	assert_true(rig_wait(pulse_of(f, a).has_work));
	assert_int_equal(pulse_of(f, a).mark, before.mark); /* it did nothing yet */
	__atomic_store_n(ticket, 1, __ATOMIC_RELAXED);
	assert_true(pulse_of(f, a).has_work); /* asleep or stopped: packets wait all the same */
	__atomic_store_n(ticket, 0, __ATOMIC_RELAXED);
	assert_true(rig_wait((got += rig_nf_take(a, 0, words + got, 2 - got)) == 2));
	after = pulse_of(f, a);
	assert_true(after.has_work); /* in its hands */
	assert_int_not_equal(after.mark, before.mark);
	__atomic_store_n(ticket, 2, __ATOMIC_RELAXED);
	assert_false(pulse_of(f, a).has_work); /* it keeps them, and sleeps */
	__atomic_store_n(ticket, 0, __ATOMIC_RELAXED);
	a->channel->queue[0].heartbeat = 64;
	assert_int_not_equal(pulse_of(f, a).mark, after.mark);
	rig_nf_send(a, 0, words, 2);
	assert_true(rig_wait(!pulse_of(f, a).has_work));
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* ---- reclaim ------------------------------------------------------------------------------- */

/* What the dead took with them does not count against their chain: it may have as much as before.
 */
static void the_dead_take_no_room_with_them(void **state)
{
	struct fixture *f = fixture_start(1);

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	for (unsigned death = 1; death <= 5; death++) {
		struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);

		fixture_give(
			f, 100, 0); /* no multiple of a burst, so that a share can end in one */
		assert_true(rig_wait(fixture_books(f).received == (death - 1) * RING + 100));
		fixture_give(f, RING - 100, 0);
		assert_true(rig_wait(fixture_books(f).received == death * RING));
		assert_int_equal(rig_nf_free(f->engine, a), FAIR);
	}
	fixture_finish(f);
}

/* Deaths at any moment of traffic, with a stand-in: no buffer is missing, no packet unaccounted. */
static void many_deaths_lose_no_buffer(void **state)
{
	const char *wish = getenv("NETVM_KILLS");
	const unsigned n_kills = wish ? (unsigned)atoi(wish) : 200;
	struct fixture *f = fixture_start(2);
	struct rig_nf *works, *spare;
	struct books books;

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	works = rig_nf_new(f->engine, f->a, f->pool, "a1", NETVM_FEATURE_STOCK);
	spare = rig_nf_standby(f->engine, f->a, f->pool, "a2");
	for (unsigned i = 0; i < n_kills; i++) {
		uint64_t words[64];

		fixture_give(f, 100, (uint16_t)i);
		rig_nf_turn(works, 0);
		rig_nf_take(works, i % 2, words, i % 64); /* in its hands when it dies */
		rig_nf_free(f->engine, works);
		works = spare;
		assert_false(engine_nf_stands_by(works->nf));
		spare = rig_nf_new(
			f->engine, f->a, f->pool, i % 2 ? "a2" : "a1", NETVM_FEATURE_STOCK);
		while (rig_port_take(f->out))
			;
	}
	assert_true(rig_wait(({
		rig_nf_turn(works, 0);
		while (rig_port_take(f->out))
			;
		books = fixture_books(f);
		books.received == 100 * (uint64_t)n_kills &&books.in_flight == 0;
	})));
	assert_int_equal(books.buffers_free + books.buffers_stock, books.buffers_total);
	assert_int_equal(books.drops[DROP_SERVICE_DOWN], 0);
	rig_nf_free(f->engine, works);
	rig_nf_free(f->engine, spare);
	fixture_finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_packets_go_on_in_order),
		cmocka_unit_test(younger_packets_wait_behind),
		cmocka_unit_test(what_is_too_much_is_dropped_by_name),
		cmocka_unit_test(what_waits_too_long_is_dropped_by_name),
		cmocka_unit_test(a_service_in_mid_chain_is_waited_for),
		cmocka_unit_test(what_is_too_much_in_mid_chain_is_dropped_by_name),
		cmocka_unit_test(held_packets_survive_a_change_of_steering),
		cmocka_unit_test(held_packets_end_with_their_group),
		cmocka_unit_test(sources_that_wait_lose_nothing_to_a_hold),
		cmocka_unit_test(who_stands_by_takes_over_its_flows),
		cmocka_unit_test(who_is_ready_comes_first),
		cmocka_unit_test(a_stopgap_makes_room),
		cmocka_unit_test(a_pulse_shows_what_moves),
		cmocka_unit_test(the_dead_take_no_room_with_them),
		cmocka_unit_test(many_deaths_lose_no_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
