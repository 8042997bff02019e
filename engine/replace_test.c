/*
 * One NF takes over from another: nothing lost, nothing overtaken, whoever ends when. Frames carry
 * a number; both NFs are played by the test, the old one as slow as the test wants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/test_fixture.h"

struct pair {
	struct fixture *f;
	struct rig_nf *old, *new;
};

static struct pair pair_start(unsigned n_workers)
{
	struct pair p = {.f = fixture_start(n_workers)};

	p.old = rig_nf_new(p.f->engine, p.f->a, p.f->pool, "a", 0);
	p.new = rig_nf_parked(p.f->engine, p.f->a, p.f->pool, "a");
	fixture_steer_through(p.f, &p.f->a, 1);
	return p;
}

static void replace(struct pair *p, bool hold)
{
	engine_nf_replace(p->f->engine, p->old->nf, p->new->nf, hold);
}

static unsigned in_flight(const struct pair *p, const struct rig_nf *nf)
{
	struct nf_load load;

	engine_nf_load(p->f->engine, nf->nf, &load);
	return load.owned_pkts;
}

static bool has_work(const struct pair *p, const struct rig_nf *nf)
{
	struct nf_pulse pulse;

	engine_nf_pulse(p->f->engine, nf->nf, 0, &pulse);
	return pulse.has_work;
}

/* n frames of one flow, the first with this number. */
static void give(struct pair *p, unsigned first, unsigned n)
{
	uint8_t frame[64];

	for (unsigned i = first; i < first + n; i++) {
		unsigned length = rig_udp(frame, 0x0a000001, 0x0a000002, 1000, 2000);

		frame[42] = (uint8_t)i;
		frame[43] = (uint8_t)(i >> 8);
		rig_port_give(p->f->in, frame, length);
	}
}

/* The next frames to come out are those from `first` to `end`, in order. */
static void assert_out(struct pair *p, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		const struct rig_frame *frame;

		assert_true(rig_wait((frame = rig_port_take(p->f->out)) != NULL));
		assert_int_equal(frame->data[42] | frame->data[43] << 8, i);
	}
	assert_null(rig_port_take(p->f->out));
}

static void take_n(struct rig_nf *nf, uint64_t *words, unsigned n)
{
	unsigned got = 0;

	assert_true(rig_wait((got += rig_nf_take(nf, 0, words + got, n - got)) == n));
}

/* All the port was given is in the engine. */
static void await_received(struct pair *p, uint64_t n)
{
	assert_true(rig_wait(fixture_books(p->f).received == n));
}

static void pair_finish(struct pair *p)
{
	if (p->old)
		assert_int_equal(rig_nf_free(p->f->engine, p->old), 0);
	if (p->new)
		assert_int_equal(rig_nf_free(p->f->engine, p->new), 0);
	fixture_finish(p->f);
}

/* What comes for the new one is shown when the old one has handed back the last of its own. */
static void later_ones_wait(void **state)
{
	struct pair p = pair_start(1);
	uint64_t words[128];
	uint64_t rung;

	(void)state;
	give(&p, 0, 50);
	assert_true(rig_wait(in_flight(&p, p.old) == 50));
	replace(&p, false);
	give(&p, 50, 50);
	assert_true(rig_wait(in_flight(&p, p.new) == 50));
	assert_int_equal(rig_nf_take(p.new, 0, words, 128), 0);
	take_n(p.old, words, 50);
	rig_nf_send(p.old, 0, words, 49);
	assert_true(rig_wait(in_flight(&p, p.old) == 1));
	fixture_books(p.f); /* a turn */
	assert_int_equal(rig_nf_take(p.new, 0, words + 64, 64), 0);
	assert_int_equal(read(p.f->notify_fd, &rung, sizeof(rung)), -1);
	rig_nf_send(p.old, 0, words + 49, 1);
	assert_true(rig_wait(rig_nf_turn(p.new, 0) > 0));
	assert_true(rig_wait((rig_nf_turn(p.new, 0), in_flight(&p, p.new) == 0)));
	assert_out(&p, 0, 100);
	assert_int_equal(read(p.f->notify_fd, &rung, sizeof(rung)), sizeof(rung));
	pair_finish(&p);
}

static void held_ones_wait_for_control(void **state)
{
	struct pair p = pair_start(1);
	uint64_t words[64];

	(void)state;
	replace(&p, true);
	give(&p, 0, 30);
	assert_true(rig_wait(in_flight(&p, p.new) == 30));
	fixture_books(p.f);
	assert_int_equal(rig_nf_take(p.new, 0, words, 64), 0);
	assert_false(has_work(&p, p.new)); /* so it does not hang */
	engine_nf_release(p.f->engine, p.new->nf);
	assert_true(rig_wait(has_work(&p, p.new)));
	assert_true(rig_wait((rig_nf_turn(p.new, 0), in_flight(&p, p.new) == 0)));
	assert_out(&p, 0, 30);
	pair_finish(&p);
}

/* Whoever is stuck is taken out; what it had is lost, the others go on. */
static void stuck_one_is_taken_out(void **state)
{
	struct pair p = pair_start(1);

	(void)state;
	give(&p, 0, 10);
	assert_true(rig_wait(in_flight(&p, p.old) == 10));
	replace(&p, false);
	give(&p, 10, 10);
	await_received(&p, 20);
	assert_int_equal(rig_nf_free(p.f->engine, p.old), 10);
	p.old = NULL;
	assert_true(rig_wait((rig_nf_turn(p.new, 0), in_flight(&p, p.new) == 0)));
	assert_out(&p, 10, 20);
	assert_int_equal(fixture_books(p.f).drops[DROP_NF_DIED], 10);
	pair_finish(&p);
}

/* Taken back before it saw anything: not even what was put to it is lost. */
static void back_with_closed_gate(void **state)
{
	struct pair p = pair_start(1);

	(void)state;
	give(&p, 0, 20);
	assert_true(rig_wait(in_flight(&p, p.old) == 20));
	replace(&p, true);
	give(&p, 20, 20);
	assert_true(rig_wait(in_flight(&p, p.new) == 20));
	engine_nf_replace(p.f->engine, p.new->nf, p.old->nf, false);
	assert_int_equal(in_flight(&p, p.new), 0);
	assert_int_equal(rig_nf_free(p.f->engine, p.new), 0);
	p.new = NULL;
	give(&p, 40, 20);
	await_received(&p, 60);
	assert_true(rig_wait((rig_nf_turn(p.old, 0), in_flight(&p, p.old) == 0)));
	assert_out(&p, 0, 60);
	pair_finish(&p);
}

/* Taken back later: now the old one waits for what the new one has. */
static void back_with_open_gate(void **state)
{
	struct pair p = pair_start(1);
	uint64_t words[64];

	(void)state;
	replace(&p, false);
	give(&p, 0, 20);
	take_n(p.new, words, 20);
	engine_nf_replace(p.f->engine, p.new->nf, p.old->nf, false);
	give(&p, 20, 20);
	await_received(&p, 40);
	assert_int_equal(rig_nf_turn(p.old, 0), 0);
	rig_nf_send(p.new, 0, words, 20);
	assert_true(rig_wait((rig_nf_turn(p.old, 0), in_flight(&p, p.old) == 0)));
	assert_out(&p, 0, 40);
	pair_finish(&p);
}

/* A third one takes over before the second has seen anything. */
static void three_in_a_row(void **state)
{
	struct pair p = pair_start(1);
	struct rig_nf *third = rig_nf_parked(p.f->engine, p.f->a, p.f->pool, "a");
	uint64_t words[64];

	(void)state;
	give(&p, 0, 10);
	take_n(p.old, words, 10);
	replace(&p, false);
	give(&p, 10, 10);
	assert_true(rig_wait(in_flight(&p, p.new) == 10));
	engine_nf_replace(p.f->engine, p.new->nf, third->nf, false);
	assert_int_equal(rig_nf_free(p.f->engine, p.new), 0);
	p.new = third;
	give(&p, 20, 10);
	await_received(&p, 30);
	assert_int_equal(rig_nf_turn(third, 0), 0);
	rig_nf_send(p.old, 0, words, 10);
	assert_true(rig_wait((rig_nf_turn(third, 0), in_flight(&p, third) == 0)));
	assert_out(&p, 0, 30);
	pair_finish(&p);
}

/* The NF can write where its words wait; what it made of them is refused when they move. */
static void forged_words_do_not_move(void **state)
{
	struct pair p = pair_start(1);
	struct netvm_ring *ring;

	(void)state;
	replace(&p, true);
	give(&p, 0, 4);
	assert_true(rig_wait(in_flight(&p, p.new) == 4));
	ring = p.new->rx[0].ring;
	rig_scribble(ring, 0, netvm_desc(N_BUFFERS, 0, 192, 60, 0));
	rig_scribble(ring, 1, netvm_desc_set_extent(rig_peek(ring, 1), 0, 60));
	rig_scribble(ring, 3, rig_peek(ring, 2));
	engine_nf_replace(p.f->engine, p.new->nf, p.old->nf, false);
	assert_int_equal(in_flight(&p, p.new), 3);
	assert_int_equal(rig_nf_free(p.f->engine, p.new), 3);
	p.new = NULL;
	assert_true(rig_wait((rig_nf_turn(p.old, 0), in_flight(&p, p.old) == 0)));
	assert_out(&p, 2, 3);
	pair_finish(&p);
}

/* Over and over under traffic of many flows, with two workers: nothing lost. */
static void many_times_under_traffic(void **state)
{
	struct pair p = pair_start(2);
	unsigned given = 0;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct rig_nf *old = p.old;

		fixture_give(p.f, 20, 100);
		given += 20;
		replace(&p, false);
		p.old = p.new;
		p.new = old;
		assert_true(rig_wait((rig_nf_turn(p.old, 0), rig_nf_turn(p.new, 0),
			rig_port_n_out(p.f->out) == 20)));
		for (unsigned i = 0; i < 20; i++)
			assert_non_null(rig_port_take(p.f->out));
	}
	assert_int_equal(fixture_books(p.f).sent, given);
	pair_finish(&p);
}

/* One that stands by is not meant when another takes over: the seat goes to the successor. */
static void the_seat_goes_along(void **state)
{
	struct pair p = pair_start(1);
	struct rig_nf *standby = rig_nf_standby(p.f->engine, p.f->a, p.f->pool, "s");

	(void)state;
	assert_true(engine_nf_is_parked(p.new->nf) && !engine_nf_is_parked(p.old->nf));
	replace(&p, false);
	assert_true(engine_nf_is_parked(p.old->nf) && !engine_nf_is_parked(p.new->nf));
	assert_false(engine_nf_stands_by(p.old->nf)); /* but for its place */
	assert_int_equal(rig_nf_free(p.f->engine, p.old), 0);
	p.old = NULL;
	assert_true(engine_nf_stands_by(standby->nf));
	assert_int_equal(rig_nf_free(p.f->engine, p.new), 0);
	p.new = standby;
	assert_false(engine_nf_stands_by(standby->nf));
	give(&p, 0, 10);
	assert_true(rig_wait((rig_nf_turn(standby, 0), rig_port_n_out(p.f->out) == 10)));
	assert_out(&p, 0, 10);
	pair_finish(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_ones_wait),
		cmocka_unit_test(held_ones_wait_for_control),
		cmocka_unit_test(stuck_one_is_taken_out),
		cmocka_unit_test(back_with_closed_gate),
		cmocka_unit_test(back_with_open_gate),
		cmocka_unit_test(three_in_a_row),
		cmocka_unit_test(forged_words_do_not_move),
		cmocka_unit_test(many_times_under_traffic),
		cmocka_unit_test(the_seat_goes_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
