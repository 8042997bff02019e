/* Flows that crash NFs: who is suspected, and what becomes of whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/test_fixture.h"

#define LONG_MS 600000

/* in -> services -> out; kept from a service after two crashes. */
static void steer(
	struct fixture *f, struct service *const *services, unsigned n, bool bypass, unsigned ms)
{
	struct program_options chain;

	fixture_chain(&chain, f, "chain", services, n);
	chain.guard_crashes = 2;
	chain.guard_ms = ms;
	chain.guard_bypass = bypass;
	fixture_steer(f, &chain);
}

/* The NF takes n packets, of the ports from `first` on, and dies with them in its hands. */
static void crash_with(
	struct fixture *f, struct service *service, unsigned n, uint16_t first, const char *name)
{
	struct rig_nf *nf = rig_nf_new(f->engine, service, f->pool, name, 0);
	uint64_t words[64];
	unsigned got = 0;

	fixture_give(f, n, first);
	assert_true(rig_wait((got += rig_nf_take(nf, 0, words + got, n - got)) == n));
	rig_nf_free(f->engine, nf);
}

static unsigned n_guarded(struct fixture *f, unsigned *n_suspects)
{
	struct suspect list[SUSPECTS_MAX];
	unsigned n = engine_suspects(f->engine, list, SUSPECTS_MAX), guarded = 0;

	for (unsigned i = 0; i < n; i++)
		guarded += list[i].guarded;
	*n_suspects = n;
	return guarded;
}

/* Packets of n flows from `first` on get through this NF. */
static void expect_through(struct fixture *f, struct rig_nf *nf, unsigned n, uint16_t first)
{
	unsigned got = 0;

	fixture_give(f, n, first);
	assert_true(rig_wait(({
		rig_nf_turn(nf, 0);
		while (rig_port_take(f->out))
			got++;
		got == n;
	})));
}

static void a_flow_seen_in_two_crashes_is_dropped(void **state)
{
	struct fixture *f = fixture_start(1);
	struct worker_info before, after;
	struct suspect news;
	struct rig_nf *a;
	unsigned n;

	(void)state;
	steer(f, &f->a, 1, false, LONG_MS);
	crash_with(f, f->a, 10, 100, "a1");
	assert_int_equal(n_guarded(f, &n), 0);
	assert_int_equal(n, 10);
	assert_false(engine_suspect_news(f->engine, &news));
	crash_with(f, f->a, 1, 103, "a1");
	assert_int_equal(n_guarded(f, &n), 1);
	assert_int_equal(n, 10);
	assert_true(engine_suspect_news(f->engine, &news));
	assert_int_equal(news.key.dst_port, 103);
	assert_int_equal(news.n_crashes, 2);
	assert_string_equal(news.service, "a");
	assert_string_equal(news.in_port, "in");
	assert_false(news.bypassed);
	assert_false(engine_suspect_news(f->engine, &news));

	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	fixture_give(f, 5, 103); /* 103 to 107 */
	assert_true(rig_wait(fixture_books(f).drops[DROP_FLOW_GUARDED] == 1));
	assert_true(rig_wait((rig_nf_turn(a, 0), rig_port_n_out(f->out) == 4)));
	while (rig_port_take(f->out))
		;
	/* Looking after them costs the flow cache nothing when nothing has changed. */
	engine_worker_info(f->engine, 0, &before);
	engine_suspects_refresh(f->engine);
	expect_through(f, a, 4, 104);
	engine_worker_info(f->engine, 0, &after);
	assert_int_equal(after.flow_cache_misses, before.flow_cache_misses);
	engine_suspects_clear(f->engine);
	expect_through(f, a, 5, 103);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* Several packets of a flow in one crash are one crash. */
static void a_crash_counts_once(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a;
	uint64_t words[3];
	unsigned got = 0, n;

	(void)state;
	steer(f, &f->a, 1, false, LONG_MS);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	for (unsigned i = 0; i < 3; i++)
		fixture_give(f, 1, 7);
	assert_true(rig_wait((got += rig_nf_take(a, 0, words + got, 3 - got)) == 3));
	rig_nf_free(f->engine, a);
	assert_int_equal(n_guarded(f, &n), 0);
	assert_int_equal(n, 1);
	fixture_finish(f);
}

/* What it had not taken, or had handed back, did not crash it; nor is an orderly end a crash. */
static void innocents_are_not_suspected(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a;
	struct nf_load load;
	uint64_t words[20];
	unsigned got = 0, n;

	(void)state;
	steer(f, &f->a, 1, false, LONG_MS);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	fixture_give(f, 100, 0);
	assert_true(rig_wait((got += rig_nf_take(a, 0, words + got, 20 - got)) == 20));
	rig_nf_send(a, 0, words, 15);
	assert_true(rig_wait(({
		engine_nf_load(f->engine, a->nf, &load);
		load.owned_pkts == 85;
	})));
	rig_nf_free(f->engine, a);
	n_guarded(f, &n);
	assert_int_equal(n, 5);
	engine_suspects_clear(f->engine);
	while (rig_port_take(f->out))
		;
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	fixture_give(f, 1, 0);
	assert_true(rig_wait(rig_nf_take(a, 0, words, 1) == 1));
	engine_nf_detach(f->engine, a->nf, DROP_NF_REMOVED, 0, NULL);
	n_guarded(f, &n);
	assert_int_equal(n, 0);
	rig_nf_discard(a);
	fixture_finish(f);
}

/* Only the service that it crashed is passed over, also under a new steering with a classifier. */
static void a_guarded_flow_may_pass_over_the_service(void **state)
{
	struct fixture *f = fixture_start(2);
	struct service *path[] = {f->a, f->b};
	struct rule rule = {.match = fixture_match_all};
	struct program_options chain;
	struct rig_nf *a, *b;
	struct counters counters;
	unsigned n;

	(void)state;
	rule.match.in_port = &f->in->port;
	rule.match.dst_port_min = 1; /* so that packets must be looked into */
	for (unsigned again = 0; again < 2; again++) {
		fixture_chain(&chain, f, "chain", path, 2);
		chain.guard_crashes = 2;
		chain.guard_ms = LONG_MS;
		chain.guard_bypass = true;
		assert_int_equal(engine_steer(f->engine, &chain, 1, &rule, 1, NULL), 0);
		for (unsigned i = 0; i < 2 && !again; i++) {
			struct rig_nf *nf = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
			uint64_t words[1];

			b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
			fixture_give(f, 1, 9);
			assert_true(rig_wait(rig_nf_take(nf, 0, words, 1) == 1 ||
					     rig_nf_take(nf, 1, words, 1) == 1));
			rig_nf_free(f->engine, nf);
			rig_nf_free(f->engine, b);
		}
		assert_int_equal(n_guarded(f, &n), 1);
		a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
		b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
		fixture_give(f, 1, 9);
		assert_true(rig_wait((rig_nf_turn(b, 0), rig_port_take(f->out))));
		engine_nf_counters(f->engine, a->nf, &counters);
		assert_int_equal(counters.tx_pkts, 0);
		fixture_give(f, 1, 10);
		assert_true(
			rig_wait((rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_take(f->out))));
		rig_nf_free(f->engine, a);
		rig_nf_free(f->engine, b);
	}
	fixture_finish(f);
}

/* After a while without a crash it may try again. */
static void guarded_flows_are_forgotten(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a;
	unsigned n;

	(void)state;
	steer(f, &f->a, 1, false, LONG_MS);
	crash_with(f, f->a, 1, 5, "a1");
	crash_with(f, f->a, 1, 5, "a1");
	assert_int_equal(n_guarded(f, &n), 1);
	steer(f, &f->a, 1, false, 20);
	assert_true(rig_wait((engine_suspects_refresh(f->engine), n_guarded(f, &n), n == 0)));
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	expect_through(f, a, 1, 5);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* The table is bounded, and who was in more crashes is kept. */
static void the_table_is_bounded(void **state)
{
	struct fixture *f = fixture_start(1);
	unsigned n;

	(void)state;
	steer(f, &f->a, 1, false, LONG_MS);
	crash_with(f, f->a, 1, 1, "a1");
	crash_with(f, f->a, 1, 1, "a1");
	for (unsigned i = 0; i < SUSPECTS_MAX / 64 + 2; i++)
		crash_with(f, f->a, 64, (uint16_t)(1000 + 64 * i), "a1");
	assert_int_equal(n_guarded(f, &n), 1);
	assert_int_equal(n, SUSPECTS_MAX);
	fixture_finish(f);
}

/* Its channel is the NF's to write: whatever stands there, nobody else's flows are suspected. */
static void a_lying_nf_suspects_nobody_else(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a, *b;
	struct suspect list[SUSPECTS_MAX];
	uint64_t words[10];
	unsigned got = 0, n;

	(void)state;
	steer(f, (struct service *[]){f->a, f->b}, 2, false, LONG_MS);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	fixture_give(f, 10, 0);
	assert_true(rig_wait(
		(rig_nf_turn(a, 0), got += rig_nf_take(b, 0, words + got, 10 - got)) == 10));
	for (unsigned i = 0; i <= a->rx[0].mask; i++)
		a->rx[0].ring->word[i] = i < 10 ? words[i] : UINT64_MAX;
	rig_nf_free(f->engine, a);
	assert_int_equal(engine_suspects(f->engine, list, SUSPECTS_MAX), 0);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	a->rx[0].ring->consumer = 0x80000000;
	rig_nf_free(f->engine, a);
	assert_int_equal(engine_suspects(f->engine, list, SUSPECTS_MAX), 0);
	rig_nf_free(f->engine, b);
	n_guarded(f, &n);
	assert_int_equal(n, 10);
	fixture_finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_seen_in_two_crashes_is_dropped),
		cmocka_unit_test(a_crash_counts_once),
		cmocka_unit_test(innocents_are_not_suspected),
		cmocka_unit_test(a_guarded_flow_may_pass_over_the_service),
		cmocka_unit_test(guarded_flows_are_forgotten),
		cmocka_unit_test(the_table_is_bounded),
		cmocka_unit_test(a_lying_nf_suspects_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
