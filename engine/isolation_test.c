/*
 * What one NF, chain, port or group does to the others: nothing. Each test is a way in which it
 * once did. Like all tests of the engine they end with balanced books and all buffers free.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/test_fixture.h"

/* Two NFs cannot bounce a packet for ever, nor around the service that comes after them. */
static void bouncing_between_directions_ends(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct program_options chains[2];
	struct rule rule = {.match = fixture_match_all};
	unsigned a_forward, b_reverse;

	(void)state;
	fixture_chain(&chains[0], f, "forward", (struct service *[]){f->a, f->b}, 2);
	fixture_chain(&chains[1], f, "reverse", (struct service *[]){f->b, f->a}, 2);
	rule.match.in_port = &f->in->port;
	assert_int_equal(engine_steer(f->engine, chains, 2, &rule, 1, NULL), 0);
	a_forward = rig_nf_destination(a, NETVM_DESTINATION_CHAIN, "forward");
	b_reverse = rig_nf_destination(b, NETVM_DESTINATION_CHAIN, "reverse");
	fixture_give(f, 4, 0);
	assert_true(rig_wait((rig_nf_turn(a, a_forward), rig_nf_turn(b, b_reverse),
		fixture_books(f).drops[DROP_LOOP] == 4)));
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

/* Packets stuck in front of a hung NF leave the services behind it open to other chains. */
static void a_hung_nf_leaves_other_chains_alone(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct rig_port *other = fixture_port(f, "other", f->pool);
	struct program_options chains[2];
	struct rule rules[2] = {
		{.match = fixture_match_all}, {.match = fixture_match_all, .program = 1}};
	uint8_t frame[64];

	(void)state;
	fixture_chain(&chains[0], f, "stuck", (struct service *[]){f->b, f->a}, 2);
	fixture_chain(&chains[1], f, "free", &f->a, 1);
	rules[0].match.in_port = &f->in->port;
	rules[1].match.in_port = &other->port;
	assert_int_equal(engine_steer(f->engine, chains, 2, rules, 2, NULL), 0);
	fixture_give(f, 2 * RING, 0);
	assert_true(rig_wait(fixture_books(f).received == 2 * RING)); /* b takes none of them */
	for (unsigned i = 1; i <= 200; i++) {
		rig_port_give(other, frame, rig_udp(frame, 1, 2, 3, 4));
		assert_true(rig_wait((rig_nf_turn(a, 0), rig_port_n_out(f->out) == i)));
	}
	rig_nf_free(f->engine, b);
	rig_nf_free(f->engine, a);
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_port_detach(f->engine, &other->port);
	rig_port_free(other);
	fixture_finish(f);
}

/* A detour into another group copies, and its NF is blamed for nothing. */
static void a_detour_crosses_groups_by_copy(void **state)
{
	struct fixture *f = fixture_start(1);
	struct buffer_pool *other = fixture_pool(f->engine, "two");
	struct rule rule = {.match = fixture_match_all};
	struct grant grant = {.kind = NETVM_DESTINATION_SERVICE};
	struct program_options chain;
	struct counters counters;
	struct rig_nf *a, *far;
	unsigned to_far;

	(void)state;
	assert_int_equal(engine_service_create(f->engine, "far", other, &grant.service, NULL), 0);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	far = rig_nf_new(f->engine, grant.service, other, "far1", 0);
	assert_int_equal(engine_service_grant(f->engine, f->a, &grant, 1, NULL), 0);
	fixture_chain(&chain, f, "border", &f->a, 1);
	chain.cross_groups = true;
	rule.match.in_port = &f->in->port;
	assert_int_equal(engine_steer(f->engine, &chain, 1, &rule, 1, NULL), 0);
	to_far = rig_nf_destination(a, NETVM_DESTINATION_SERVICE, "far");
	fixture_give(f, 10, 0);
	assert_true(rig_wait(
		(rig_nf_turn(a, to_far), rig_nf_turn(far, 0), rig_port_n_out(f->out) == 10)));
	engine_nf_counters(f->engine, far->nf, &counters);
	assert_int_equal(counters.violations, 0);
	assert_int_equal(fixture_books(f).copied, 20); /* there and back */
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, far);
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_service_destroy(f->engine, grant.service);
	engine_pool_detach(f->engine, other);
	buffer_pool_destroy(other);
	fixture_finish(f);
}

/* A port that takes the place of another does not send the packets meant for that one. */
static void a_new_port_gets_nobody_elses_packets(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_port *gone = fixture_port(f, "gone", f->pool), *tenant;
	struct program_options chain;
	uint64_t words[10];
	unsigned got = 0;

	(void)state;
	fixture_chain(&chain, f, "chain", &f->a, 1);
	chain.step[1].port = &gone->port;
	fixture_steer(f, &chain);
	fixture_give(f, 10, 0);
	assert_true(rig_wait((got += rig_nf_take(a, 0, words + got, 10 - got)) == 10));
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_port_detach(f->engine, &gone->port);
	tenant = fixture_port(f, "tenant", f->pool);
	rig_nf_send(a, 0, words, 10);
	assert_true(rig_wait(fixture_books(f).drops[DROP_PORT_DOWN] == 10));
	assert_int_equal(rig_port_n_out(tenant), 0);
	rig_nf_free(f->engine, a);
	engine_port_detach(f->engine, &tenant->port);
	rig_port_free(tenant);
	rig_port_free(gone);
	fixture_finish(f);
}

/* A source that can wait loses nothing, however many workers there are. */
static void sources_that_wait_lose_nothing(void **state)
{
	struct fixture *f = fixture_start(2);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	unsigned n_out = 0;

	(void)state;
	engine_port_detach(f->engine, &f->in->port);
	f->in->port.waits = true;
	assert_int_equal(engine_port_attach(f->engine, &f->in->port, NULL), 0);
	fixture_give(f, 3000, 0);
	fixture_steer_through(f, &f->a, 1);
	engine_port_set_up(f->engine, &f->in->port, true);
	assert_true(rig_wait(({
		rig_nf_turn(a, 0);
		while (rig_port_take(f->out))
			n_out++;
		n_out == 3000;
	})));
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* A flow whose worker only drops does not collect the buffers the receiving worker needs. */
static void caches_leave_buffers_to_others(void **state)
{
	struct fixture *f = fixture_start(2);
	struct program_options chain;

	(void)state;
	fixture_chain(&chain, f, "chain", NULL, 0);
	chain.step[0] = (struct program_step){.op = PROGRAM_DROP, .reason = DROP_POLICY};
	fixture_steer(f, &chain);
	for (unsigned i = 1; i <= 4 * N_BUFFERS; i++) {
		fixture_give(f, 1, (uint16_t)i);
		if (i % 64 == 0)
			assert_true(rig_wait(fixture_books(f).drops[DROP_POLICY] == i));
	}
	fixture_finish(f);
}

#define KEPT_MAX 64

static uint64_t kept[KEPT_MAX];
static unsigned n_kept;

static unsigned keep_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		buffer_state(queue->cache->pool, words[i])->owner = OWNER_PORT;
		kept[n_kept++] = words[i];
	}
	return n;
}

static bool wants_more; /* the device, of us */

static bool give_back(struct port_queue *queue)
{
	buffer_free(queue->cache, kept, __atomic_exchange_n(&n_kept, 0, __ATOMIC_RELAXED));
	return __atomic_load_n(&wants_more, __ATOMIC_RELAXED);
}

/* What a device still holds was sent, and is not in flight as well. */
static void sent_packets_are_counted_once(void **state)
{
	struct fixture *f = fixture_start(1);
	struct port_driver driver = *f->out->port.ops;
	struct books books;

	(void)state;
	driver.tx = keep_tx;
	engine_port_detach(f->engine, &f->out->port);
	f->out->port.ops = &driver;
	assert_int_equal(engine_port_attach(f->engine, &f->out->port, NULL), 0);
	fixture_steer_through(f, NULL, 0);
	fixture_give(f, KEPT_MAX, 0);
	assert_true(rig_wait((books = fixture_books(f)).sent == KEPT_MAX));
	assert_int_equal(books.in_flight, 0);
	assert_int_equal(books.buffers_port, KEPT_MAX);
	engine_port_detach(f->engine, &f->out->port);
	driver.complete = give_back;
	assert_int_equal(engine_port_attach(f->engine, &f->out->port, NULL), 0);
	assert_true(rig_wait(fixture_books(f).buffers_port == 0));
	fixture_finish(f);
}

static uint64_t n_sleeps(struct fixture *f)
{
	struct worker_info info;

	engine_worker_info(f->engine, 0, &info);
	return info.sleeps;
}

/* It sleeps a second at a time, unless a device has to be asked again. */
static void devices_are_asked_soon(void **state)
{
	struct fixture *f = fixture_start(1);
	struct port_driver driver = *f->out->port.ops;
	uint64_t before;

	(void)state;
	driver.complete = give_back;
	engine_port_detach(f->engine, &f->out->port);
	f->out->port.ops = &driver;
	__atomic_store_n(&wants_more, true, __ATOMIC_RELAXED);
	assert_int_equal(engine_port_attach(f->engine, &f->out->port, NULL), 0);
	before = n_sleeps(f);
	assert_true(rig_wait(n_sleeps(f) > before + 50));
	__atomic_store_n(&wants_more, false, __ATOMIC_RELAXED);
	fixture_finish(f);
}

/* An NF may come and go under traffic that copies into its group on the way. */
static void nfs_come_and_go_under_traffic(void **state)
{
	struct fixture *f = fixture_start(1);
	struct buffer_pool *other = fixture_pool(f->engine, "two");
	struct rule rule = {.match = fixture_match_all};
	struct service *service = NULL;
	struct program_options chain;

	(void)state;
	assert_int_equal(engine_service_create(f->engine, "far", other, &service, NULL), 0);
	fixture_chain(&chain, f, "chain", &service, 1);
	chain.cross_groups = true;
	chain.on_failure = ON_FAILURE_OPEN;
	rule.match.in_port = &f->in->port;
	assert_int_equal(engine_steer(f->engine, &chain, 1, &rule, 1, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		struct rig_nf *nf = rig_nf_new(f->engine, service, other, "far1", 0);

		fixture_give(f, 64, 0);
		rig_nf_turn(nf, 0);
		rig_nf_free(f->engine, nf);
		while (rig_port_take(f->out))
			;
	}
	assert_true(rig_wait((({
		while (rig_port_take(f->out))
			;
	}),
		fixture_books(f).received == 300 * 64)));
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_service_destroy(f->engine, service);
	engine_pool_detach(f->engine, other);
	buffer_pool_destroy(other);
	fixture_finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bouncing_between_directions_ends),
		cmocka_unit_test(a_hung_nf_leaves_other_chains_alone),
		cmocka_unit_test(a_detour_crosses_groups_by_copy),
		cmocka_unit_test(a_new_port_gets_nobody_elses_packets),
		cmocka_unit_test(sources_that_wait_lose_nothing),
		cmocka_unit_test(caches_leave_buffers_to_others),
		cmocka_unit_test(sent_packets_are_counted_once),
		cmocka_unit_test(devices_are_asked_soon),
		cmocka_unit_test(nfs_come_and_go_under_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
