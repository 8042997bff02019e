/*
 * What NFs hand in, judged by border.c: handles, extents, destinations, indices, quotas. Like all
 * tests of the engine they end with balanced books and all buffers free. What only a sanitizer can
 * see (a look behind a table's end) is here for the builds with one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/control.h"
#include "engine/test_fixture.h"

#define STOCK_QUOTA 200u /* of the rig's NFs */

static uint64_t violations(struct fixture *f, const struct rig_nf *nf)
{
	struct counters counters;

	engine_nf_counters(f->engine, nf->nf, &counters);
	return counters.violations;
}

static void take_n(struct netvm_ring_end *from, uint64_t *words, unsigned n)
{
	unsigned got = 0;

	assert_true(rig_wait((got += netvm_ring_take(from, words + got, n - got)) == n));
}

static uint64_t other_generation(uint64_t word)
{
	return word ^ UINT64_C(1) << NETVM_GENERATION_SHIFT;
}

/* ---- handles ------------------------------------------------------------------------------- */

static void forged_handles_are_refused(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	uint64_t words[4], bad[5];

	(void)state;
	fixture_steer_through(f, (struct service *[]){f->a, f->b}, 2);
	fixture_give(f, 4, 0);
	take_n(&a->rx[0], words, 4);
	bad[0] = netvm_desc(N_BUFFERS, 0, 192, 60, 0); /* beyond the pool */
	bad[1] = other_generation(words[0]);
	bad[2] = words[1];                                 /* right */
	bad[3] = words[1];                                 /* the same again */
	bad[4] = netvm_desc(N_BUFFERS - 1, 0, 192, 60, 0); /* free, or not ours */
	rig_nf_send(a, 0, bad, 5);
	assert_true(rig_wait(violations(f, a) == 4));
	rig_nf_send(b, 0, words, 1); /* another NF's packet */
	assert_true(rig_wait(violations(f, b) == 1));
	rig_nf_send(a, 0, words, 1);
	rig_nf_send(a, 0, words + 2, 2);
	assert_true(rig_wait((rig_nf_turn(b, 0), rig_port_n_out(f->out) == 4)));
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

/* Packets with the same way ahead are taken back together: those behind the first are judged, too.
 */
static void a_forged_handle_hides_in_no_run(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	uint64_t words[4], bad[7];

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	fixture_give(f, 4, 0);
	take_n(&a->rx[0], words, 4);
	bad[0] = words[0];
	bad[1] = other_generation(words[1]);
	bad[2] = words[2];
	bad[3] = netvm_desc(N_BUFFERS, netvm_desc_generation(words[2]), 192, 60, 0);
	bad[4] = words[3];
	bad[5] = netvm_desc(NETVM_BUFFERS_MAX - 1, netvm_desc_generation(words[3]), 192, 60, 0);
	bad[6] = words[3];
	rig_nf_send(a, 0, bad, 7);
	assert_true(rig_wait(violations(f, a) == 4));
	assert_true(rig_wait(rig_port_n_out(f->out) == 3));
	rig_nf_send(a, 0, words + 1, 1); /* still its own */
	assert_true(rig_wait(rig_port_n_out(f->out) == 4));
	assert_int_equal(violations(f, a), 4);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* Who goes on handing in what is not his is quarantined. */
static void junk_ends_in_quarantine(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	const uint64_t junk[4] = {UINT64_MAX, 0, 1, 2};
	struct nf *faulty = NULL;

	(void)state;
	assert_true(rig_wait(({
		if (netvm_ring_room(&a->tx[0], 4) >= 4)
			rig_nf_send(a, 0, junk, 4);
		engine_faults(f->engine, &faulty, 1) == 1;
	})));
	assert_ptr_equal(faulty, a->nf);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* ---- extents ------------------------------------------------------------------------------- */

static void bad_extents_are_dropped(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", NETVM_FEATURE_STOCK);
	const uint32_t end = f->pool->stride;
	const struct {
		uint32_t offset, length;
	} extents[] = {{0, 60}, {NETVM_META_BYTES - 1, 60}, {192, 0}, {192, 13}, {end - 59, 60},
		{end, 14}, {16383, 16383}},
	  good[] = {{NETVM_META_BYTES, 60}, {192, 14}, {end - 60, 60}};
	uint64_t words[10], stock[64];
	unsigned to_chain;

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	to_chain = rig_nf_destination(a, NETVM_DESTINATION_CHAIN, "chain");
	take_n(&a->stock[0], stock, 10);
	fixture_give(f, 10, 0);
	take_n(&a->rx[0], words, 10);
	for (unsigned i = 0; i < 10; i++) {
		uint32_t offset = i < 7 ? extents[i].offset : good[i - 7].offset;
		uint32_t length = i < 7 ? extents[i].length : good[i - 7].length;

		words[i] = netvm_desc_set_extent(words[i], offset, length);
		stock[i] = netvm_desc_set_extent(
			netvm_desc_set_verdict(stock[i], to_chain), offset, length);
	}
	rig_nf_send(a, 0, words, 10);
	assert_true(rig_wait(fixture_books(f).drops[DROP_NF_BAD_EXTENT] == 7));
	rig_nf_send(a, 0, stock, 10); /* packets of its own */
	assert_true(rig_wait(fixture_books(f).drops[DROP_NF_BAD_EXTENT] == 14));
	assert_true(rig_wait(rig_port_n_out(f->out) == 6));
	assert_int_equal(fixture_books(f).dropped, 14);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* ---- indices ------------------------------------------------------------------------------- */

static void corrupt_ring_is_a_fault(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct nf *faulty = NULL;

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	__atomic_store_n(&a->tx[0].ring->producer, a->layout.tx_words + 1, __ATOMIC_RELEASE);
	(void)!write(a->worker_fd[0], &(uint64_t){1}, 8);
	assert_true(rig_wait(engine_faults(f->engine, &faulty, 1) == 1));
	assert_ptr_equal(faulty, a->nf);
	assert_int_equal(engine_faults(f->engine, &faulty, 1), 0); /* told once */
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* What people are shown of it stays within what is possible. */
static void a_lying_index_shows_no_more_than_the_ring(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct nf_load load;

	(void)state;
	__atomic_store_n(&a->rx[0].ring->consumer, 0x80000000u, __ATOMIC_RELEASE);
	engine_nf_load(f->engine, a->nf, &load);
	assert_int_equal(load.rx_ring_words, a->layout.rx_words);
	assert_in_range(load.rx_ring_depth, 0, load.rx_ring_words);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* Nobody can say who of a group tore its memory, see guard.h; other groups have nothing to do with
 * it. */
static void a_torn_group_is_a_fault_of_all_its_nfs(void **state)
{
	struct fixture *f = fixture_start(1);
	struct buffer_pool *other = fixture_pool(f->engine, "two");
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0), *far;
	struct service *service;
	struct nf *faulty[3];

	(void)state;
	assert_int_equal(engine_service_create(f->engine, "far", other, &service, NULL), 0);
	far = rig_nf_new(f->engine, service, other, "far1", 0);
	assert_int_equal(engine_faults(f->engine, faulty, 3), 0);
	__atomic_store_n(&f->pool->torn, true, __ATOMIC_RELEASE);
	assert_int_equal(engine_faults(f->engine, faulty, 3), 2);
	assert_true(faulty[0] != far->nf && faulty[1] != far->nf);
	assert_int_equal(engine_faults(f->engine, faulty, 3), 0); /* told once */
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	rig_nf_free(f->engine, far);
	engine_service_destroy(f->engine, service);
	engine_pool_detach(f->engine, other);
	buffer_pool_destroy(other);
	fixture_finish(f);
}

/* ---- quota --------------------------------------------------------------------------------- */

/* Who takes all he can get and gives nothing back gets his quota, and no more. */
static void stock_ends_at_the_quota(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", NETVM_FEATURE_STOCK);
	uint64_t words[STOCK_QUOTA];
	unsigned n = STOCK_QUOTA / 64 * 64; /* a burst at a time, as long as a whole one fits */
	struct nf_load load;

	(void)state;
	take_n(&a->stock[0], words, n);
	for (int i = 0; i < 100; i++) {
		engine_grace(f->engine); /* each worker has had a turn */
		assert_int_equal(netvm_ring_filled(&a->stock[0]), 0);
	}
	engine_nf_load(f->engine, a->nf, &load);
	assert_int_equal(load.stock, n);
	rig_nf_send(a, 0, words, n);
	take_n(&a->stock[0], words, n);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forged_handles_are_refused),
		cmocka_unit_test(a_forged_handle_hides_in_no_run),
		cmocka_unit_test(junk_ends_in_quarantine),
		cmocka_unit_test(bad_extents_are_dropped),
		cmocka_unit_test(corrupt_ring_is_a_fault),
		cmocka_unit_test(a_lying_index_shows_no_more_than_the_ring),
		cmocka_unit_test(a_torn_group_is_a_fault_of_all_its_nfs),
		cmocka_unit_test(stock_ends_at_the_quota),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
