/*
 * Traces: what they record of packets that are sent, dropped, consumed, copied and lost, and that
 * they end. The fixture's end checks the books.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/test_fixture.h"
#include "engine/trace.h"

static void start_trace(struct fixture *f, unsigned n_pkts)
{
	struct trace_options options = {.match = fixture_match_all, .n_pkts = n_pkts};

	assert_int_equal(engine_trace_start(f->engine, &options, NULL), 0);
}

/* Of one packet, which is somewhere on its way now. */
static void start_trace_under_way(struct fixture *f)
{
	start_trace(f, 1);
	fixture_give(f, 1, 0);
	assert_true(rig_wait(fixture_books(f).in_flight == 1));
}

/* What was recorded, as text: "received in, steered chain, ..." */
static const char *story(const struct trace_packet *packet)
{
	static const char *const events[] = {"received", "steered", "given", "returned", "copied",
		"held", "sent", "consumed", "dropped"};
	static char text[4096];
	size_t at = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < packet->n_records; i++) {
		const struct trace_record *record = &packet->record[i];

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s%s%s", i ? ", " : "",
			events[record->event], record->name[0] ? " " : "", record->name);
		if (record->event == TRACE_DROPPED)
			at += (size_t)snprintf(text + at, sizeof(text) - at, ": %s",
				drop_label((enum drop_reason)record->detail));
	}
	return text;
}

static void one_buffer_through_two_nfs(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	const struct trace_packet *packet;
	struct trace *trace;

	(void)state;
	fixture_steer_through(f, (struct service *[]){f->a, f->b}, 2);
	start_trace(f, 3);
	fixture_give(f, 10, 7);
	assert_true(rig_wait((rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_n_out(f->out) == 10)));
	assert_true(rig_wait(engine_trace_done(f->engine)));
	trace = engine_trace_stop(f->engine);
	assert_int_equal(trace->n_pkts, 3);
	for (unsigned i = 0; i < 3; i++) {
		packet = &trace->packet[i];
		assert_string_equal(story(packet), "received in, steered chain, given a1, "
						   "returned, given b1, returned, sent out");
		assert_true(packet->ended);
		assert_int_equal(packet->n_lost, 0);
		assert_int_equal(packet->key.dst_port, 7 + i);
		for (unsigned r = 0; r < packet->n_records; r++) {
			assert_int_equal(packet->record[r].address, packet->record[0].address);
			assert_int_equal(netvm_desc_length(packet->record[r].word), 60);
			assert_string_equal(packet->record[r].group, "one");
			assert_true(packet->record[r].when >= packet->record[r ? r - 1 : 0].when);
		}
	}
	free(trace);
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

/* Gives one packet and returns what was recorded until it had ended. */
static struct trace *trace_one(struct fixture *f, struct rig_nf *nf, unsigned verdict)
{
	start_trace(f, 1);
	fixture_give(f, 1, 0);
	assert_true(
		rig_wait(((void)(nf && rig_nf_turn(nf, verdict)), engine_trace_done(f->engine))));
	return engine_trace_stop(f->engine);
}

static void expect(struct fixture *f, struct rig_nf *nf, unsigned verdict, const char *wanted)
{
	struct trace *trace = trace_one(f, nf, verdict);

	assert_string_equal(story(&trace->packet[0]), wanted);
	free(trace);
}

static void ends_have_a_place_and_a_reason(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a;
	struct grant grant = {.kind = NETVM_DESTINATION_PORT, .port = &f->out->port};

	(void)state;
	expect(f, NULL, 0, "received in, dropped in: no-flow");
	assert_int_equal(engine_service_grant(f->engine, f->a, &grant, 1, NULL), 0);
	fixture_steer_through(f, (struct service *[]){f->a, f->b}, 2);
	expect(f, NULL, 0, "received in, steered chain, dropped a: service-down");
	fixture_steer_through(f, &f->a, 1);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	expect(f, a, NETVM_VERDICT_DROP,
		"received in, steered chain, given a1, returned, dropped a1: nf-verdict");
	expect(f, a, NETVM_VERDICT_CONSUME,
		"received in, steered chain, given a1, returned, consumed");
	expect(f, a, 200,
		"received in, steered chain, given a1, returned, dropped a1: nf-bad-verdict");
	expect(f, a, rig_nf_destination(a, NETVM_DESTINATION_PORT, "out"),
		"received in, steered chain, given a1, returned out, sent out");
	f->out->tx_limit = 0;
	expect(f, a, NETVM_VERDICT_NEXT,
		"received in, steered chain, given a1, returned, sent out, dropped out: "
		"port-tx-full");
	engine_port_set_up(f->engine, &f->out->port, false);
	expect(f, a, NETVM_VERDICT_NEXT,
		"received in, steered chain, given a1, returned, dropped out: port-down");
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

static void a_detour_ends_where_it_led(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct service *other;
	struct grant grant = {.kind = NETVM_DESTINATION_SERVICE};

	(void)state;
	assert_int_equal(engine_service_create(f->engine, "other", f->pool, &other, NULL), 0);
	grant.service = other;
	assert_int_equal(engine_service_grant(f->engine, f->a, &grant, 1, NULL), 0);
	fixture_steer_through(f, &f->a, 1);
	expect(f, a, rig_nf_destination(a, NETVM_DESTINATION_SERVICE, "other"),
		"received in, steered chain, given a1, returned other, "
		"dropped other: service-down");
	rig_nf_free(f->engine, a);
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_service_destroy(f->engine, other);
	fixture_finish(f);
}

static uint32_t n_owned(struct fixture *f, const struct rig_nf *nf)
{
	struct nf_load load;

	engine_nf_load(f->engine, nf->nf, &load);
	return load.owned_pkts;
}

static void overload_names_the_full_service(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);

	(void)state;
	fixture_steer_through(f, (struct service *[]){f->a, f->b}, 2);
	fixture_give(f, FAIR, 0);
	assert_true(rig_wait((rig_nf_turn(a, 0), n_owned(f, b) == FAIR)));
	expect(f, NULL, 0, "received in, steered chain, dropped b: chain-overload");
	assert_true(
		rig_wait((rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_n_out(f->out) == FAIR)));
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

static void a_dying_nf_ends_it(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct trace *trace;

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	start_trace_under_way(f);
	assert_false(engine_trace_done(f->engine));
	assert_int_equal(rig_nf_free(f->engine, a), 1);
	assert_true(engine_trace_done(f->engine));
	trace = engine_trace_stop(f->engine);
	assert_string_equal(
		story(&trace->packet[0]), "received in, steered chain, given a1, dropped: nf-died");
	free(trace);
	fixture_finish(f);
}

static void held_packets_say_what_for(void **state)
{
	struct fixture *f = fixture_start(1);
	struct program_options chain;
	struct rig_nf *a;
	struct trace *trace;

	(void)state;
	fixture_chain(&chain, f, "chain", &f->a, 1);
	chain.on_failure = ON_FAILURE_HOLD;
	chain.hold_pkts = 100;
	chain.hold_ms = 60000;
	fixture_steer(f, &chain);
	start_trace_under_way(f);
	a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	assert_true(rig_wait((rig_nf_turn(a, 0), engine_trace_done(f->engine))));
	trace = engine_trace_stop(f->engine);
	assert_string_equal(story(&trace->packet[0]),
		"received in, steered chain, held a, given a1, returned, sent out");
	free(trace);
	rig_nf_free(f->engine, a);
	chain.hold_ms = 1;
	fixture_steer(f, &chain);
	expect(f, NULL, 0, "received in, steered chain, held a, dropped a: hold-expired");
	fixture_finish(f);
}

static void copies_are_followed(void **state)
{
	struct fixture *f = fixture_start(1);
	struct buffer_pool *two = fixture_pool(f->engine, "two");
	struct rig_port *other = fixture_port(f, "other", two);
	struct program_options chain;
	const struct trace_packet *packet;
	struct trace *trace;

	(void)state;
	fixture_chain(&chain, f, "chain", NULL, 0);
	chain.step[0].port = &other->port;
	fixture_steer(f, &chain);
	trace = trace_one(f, NULL, 0);
	packet = &trace->packet[0];
	assert_string_equal(story(packet), "received in, steered chain, copied, sent other");
	assert_string_equal(packet->record[1].group, "one");
	assert_string_equal(packet->record[2].group, "two");
	free(trace);
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_port_detach(f->engine, &other->port);
	engine_pool_detach(f->engine, two);
	rig_port_free(other);
	buffer_pool_destroy(two);
	fixture_finish(f);
}

/* With several workers most packets are handed over; their records stay in order. */
static void workers_hand_over_marks(void **state)
{
	struct fixture *f = fixture_start(3);
	bool other_worker = false;
	struct trace *trace;

	(void)state;
	fixture_steer_through(f, NULL, 0);
	start_trace(f, TRACE_PKTS_MAX);
	fixture_give(f, TRACE_PKTS_MAX + 1, 0);
	assert_true(rig_wait(rig_port_n_out(f->out) == TRACE_PKTS_MAX + 1));
	assert_true(rig_wait(engine_trace_done(f->engine)));
	trace = engine_trace_stop(f->engine);
	for (unsigned i = 0; i < TRACE_PKTS_MAX; i++) {
		const struct trace_record *record = trace->packet[i].record;

		assert_string_equal(
			story(&trace->packet[i]), "received in, steered chain, sent out");
		other_worker |= record[1].worker != record[0].worker;
	}
	assert_true(other_worker);
	free(trace);
	fixture_finish(f);
}

static void only_what_matches(void **state)
{
	struct fixture *f = fixture_start(1);
	struct trace_options options = {.match = fixture_match_all, .n_pkts = 5, .chain = "chain"};
	struct program_options other;
	struct trace *trace;

	(void)state;
	assert_int_equal(engine_trace_start(f->engine, &options, NULL), -ENOENT);
	fixture_steer_through(f, NULL, 0);
	options.match.in_port = &f->in->port;
	options.match.dst_port_min = 20;
	options.match.dst_port_max = 21;
	assert_int_equal(engine_trace_start(f->engine, &options, NULL), 0);
	assert_int_equal(engine_trace_start(f->engine, &options, NULL), -EBUSY);
	fixture_give(f, 100, 0);
	assert_true(rig_wait(rig_port_n_out(f->out) == 100));
	assert_false(engine_trace_done(f->engine));
	trace = engine_trace_stop(f->engine);
	assert_int_equal(trace->n_pkts, 2);
	assert_int_equal(trace->packet[0].key.dst_port, 20);
	assert_int_equal(trace->packet[1].key.dst_port, 21);
	free(trace);
	/* The chain goes meanwhile, and others come: they are not taken for it. */
	assert_int_equal(engine_trace_start(f->engine, &options, NULL), 0);
	for (unsigned i = 0; i < 5; i++) {
		fixture_chain(&other, f, (const char *[]){"b", "c", "d", "e", "f"}[i], NULL, 0);
		fixture_steer(f, &other);
	}
	fixture_give(f, 1, 20);
	assert_true(rig_wait(rig_port_n_out(f->out) == 101));
	trace = engine_trace_stop(f->engine);
	assert_int_equal(trace->n_pkts, 0);
	free(trace);
	fixture_steer(f, &other);
	assert_int_equal(engine_trace_start(f->engine, &options, NULL), -ENOENT);
	fixture_finish(f);
}

/* Also when it was a good one, refused together with a bad one. */
static void a_refused_chain_is_unknown(void **state)
{
	struct fixture *f = fixture_start(1);
	struct trace_options options = {.match = fixture_match_all, .n_pkts = 1, .chain = "good"};
	struct program_options chains[2];
	struct error error = {0};

	(void)state;
	fixture_chain(&chains[0], f, "good", &f->a, 1);
	fixture_chain(&chains[1], f, "bad", &f->a, 1);
	chains[1].n_steps = 1;
	assert_int_equal(engine_steer(f->engine, chains, 2, NULL, 0, &error), -EINVAL);
	assert_int_equal(engine_trace_start(f->engine, &options, &error), -ENOENT);
	assert_int_equal(engine_steer(f->engine, chains, 1, NULL, 0, &error), 0);
	assert_int_equal(engine_trace_start(f->engine, &options, &error), 0);
	free(engine_trace_stop(f->engine));
	fixture_finish(f);
}

/* A packet that an earlier trace has marked and that ends in a later one is not that one's. */
static void old_marks_mean_nothing(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct trace *trace;

	(void)state;
	fixture_steer_through(f, &f->a, 1);
	start_trace_under_way(f);
	trace = engine_trace_stop(f->engine);
	assert_false(trace->packet[0].ended);
	assert_string_equal(story(&trace->packet[0]), "received in, steered chain, given a1");
	free(trace);
	start_trace(f, 1);
	assert_true(rig_wait((rig_nf_turn(a, 0), rig_port_n_out(f->out) == 1)));
	assert_false(engine_trace_done(f->engine));
	trace = engine_trace_stop(f->engine);
	assert_int_equal(trace->n_pkts, 0);
	assert_int_equal(trace->packet[0].n_records, 0);
	free(trace);
	rig_nf_free(f->engine, a);
	fixture_finish(f);
}

/* Two NFs of one chain send a packet to and fro until it has been to too many. */
static void a_long_way_keeps_its_beginning_and_its_end(void **state)
{
	struct fixture *f = fixture_start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct grant to_a = {.kind = NETVM_DESTINATION_SERVICE, .service = f->a};
	struct grant to_b = {.kind = NETVM_DESTINATION_SERVICE, .service = f->b};
	const struct trace_packet *packet;
	unsigned verdict_a, verdict_b;
	struct trace *trace;

	(void)state;
	assert_int_equal(engine_service_grant(f->engine, f->a, &to_b, 1, NULL), 0);
	assert_int_equal(engine_service_grant(f->engine, f->b, &to_a, 1, NULL), 0);
	fixture_steer_through(f, &f->a, 1);
	verdict_a = rig_nf_destination(a, NETVM_DESTINATION_SERVICE, "b");
	verdict_b = rig_nf_destination(b, NETVM_DESTINATION_SERVICE, "a");
	start_trace(f, 1);
	fixture_give(f, 1, 0);
	assert_true(rig_wait((rig_nf_turn(a, verdict_a), rig_nf_turn(b, verdict_b),
		engine_trace_done(f->engine))));
	trace = engine_trace_stop(f->engine);
	packet = &trace->packet[0];
	assert_int_equal(packet->n_records, TRACE_RECORDS_MAX);
	assert_true(packet->n_lost > 0);
	assert_int_equal(packet->record[0].event, TRACE_RECEIVED);
	assert_int_equal(packet->record[3].object, TRACE_SERVICE);
	assert_int_equal(packet->record[TRACE_RECORDS_MAX - 1].event, TRACE_DROPPED);
	assert_int_equal(packet->record[TRACE_RECORDS_MAX - 1].detail, DROP_LOOP);
	free(trace);
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	fixture_finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_buffer_through_two_nfs),
		cmocka_unit_test(ends_have_a_place_and_a_reason),
		cmocka_unit_test(a_detour_ends_where_it_led),
		cmocka_unit_test(overload_names_the_full_service),
		cmocka_unit_test(a_dying_nf_ends_it),
		cmocka_unit_test(held_packets_say_what_for),
		cmocka_unit_test(copies_are_followed),
		cmocka_unit_test(workers_hand_over_marks),
		cmocka_unit_test(only_what_matches),
		cmocka_unit_test(a_refused_chain_is_unknown),
		cmocka_unit_test(old_marks_mean_nothing),
		cmocka_unit_test(a_long_way_keeps_its_beginning_and_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
