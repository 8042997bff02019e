/* trace.run over a fake engine: what it asks of it, what it answers, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/event.h>

#include "manager/schema.h"
#include "manager/testing/daemon.h"
#include "manager/testing/fake.h"
#include "modules/port/control.h"

static int start(void **state)
{
	(void)state;
	daemon_start(0);
	apply("ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan'}}\n"
	      "nfs: {fw: {}}\n"
	      "chains: {web: {from: lan, to: wan, path: [fw]}}");
	return 0;
}

/* ---- the question ---------------------------------------------------------------------------- */

static void the_match_is_that_of_flows(void **state)
{
	const struct match *match = &fake.trace_options.match;

	(void)state;
	fake.trace_done = true;
	json_decref(call("trace.run", "{'in_port': 'lan', 'chain': 'web', 'protocol': 'tcp', "
				      "'dst': '10.0.0.0/8', 'dst_port': '80-90', 'count': 7}"));
	assert_ptr_equal(match->in_port, port_find("lan"));
	assert_int_equal(match->protocol, 6);
	assert_int_equal(match->family, 4);
	assert_int_equal(match->dst_prefix, 96 + 8);
	assert_int_equal(match->src_port_max, UINT16_MAX);
	assert_int_equal(match->dst_port_min, 80);
	assert_int_equal(match->dst_port_max, 90);
	assert_int_equal(fake.trace_options.n_pkts, 7);
	json_decref(call("trace.run", NULL));
	assert_null(match->in_port);
	assert_null(fake.trace_options.chain);
	assert_int_equal(fake.trace_options.n_pkts, 1);
	assert_false(fake.trace_on);
}

static void refuses(const char *params, const char *path, const char *hint)
{
	json_t *error = call_error("trace.run", params), *data = json_object_get(error, "data");

	assert_string_equal(value_text(data, "path"), path);
	assert_non_null(strstr(value_text(data, "hint"), hint));
	assert_false(fake.trace_on);
	json_decref(error);
}

static void wrong_questions_start_nothing(void **state)
{
	(void)state;
	refuses("{'in_port': 'lam'}", "in_port", "ports there are: lan, wan");
	refuses("{'chain': 'wob'}", "chain", "chains there are: web");
	refuses("{'count': 256}", "count", "1..255");
	refuses("{'timeout_s': 0}", "timeout_s", "1..3600");
	refuses("{'src': '::1', 'dst': '10.0.0.1'}", "dst", "IPv4 both");
	refuses("{'dst_porx': 1}", "dst_porx", "dst_port");
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void add(struct trace_packet *packet, enum trace_event event, unsigned detail,
	enum trace_object object, const char *name)
{
	struct trace_record *record = &packet->record[packet->n_records];

	*record = (struct trace_record){
		.when = 1000 + 100 * packet->n_records++,
		.word = netvm_desc(5, 2, 192, 60, 0),
		.address = 5 * 2112,
		.event = (uint8_t)event,
		.object = (uint8_t)object,
		.detail = (uint16_t)detail,
	};
	snprintf(record->name, sizeof(record->name), "%s", name);
	snprintf(record->group, sizeof(record->group), "default");
}

static void one_sent_one_dropped_one_refused_one_held(struct trace *trace)
{
	struct trace_packet *packet = trace->packet;

	trace->n_pkts = 4;
	for (unsigned i = 0; i < 4; i++) {
		packet[i].key = (struct netvm_flow_key){
			.eth_type = 0x0800, .family = 4, .protocol = 17, .dst_port = 53};
		packet[i].key.src[12] = 10;
		packet[i].ended = i != 3;
		add(&packet[i], TRACE_RECEIVED, 0, TRACE_PORT, "lan");
		add(&packet[i], TRACE_STEERED, 1, TRACE_CHAIN, "web");
		add(&packet[i], TRACE_GIVEN, 0, TRACE_NF, "fw");
	}
	add(&packet[0], TRACE_RETURNED, NETVM_VERDICT_FIRST_DESTINATION, TRACE_PORT, "wan");
	add(&packet[0], TRACE_SENT, 0, TRACE_PORT, "wan");
	add(&packet[1], TRACE_DROPPED, DROP_NF_DIED, TRACE_NOTHING, "");
	add(&packet[2], TRACE_RETURNED, NETVM_VERDICT_NEXT, TRACE_NOTHING, "");
	add(&packet[2], TRACE_SENT, 0, TRACE_PORT, "wan");
	add(&packet[2], TRACE_DROPPED, DROP_PORT_TX_FULL, TRACE_PORT, "wan");
}

/* "received lan, chain web, nf fw 100 next, sent wan" */
static const char *story(const json_t *answer, size_t packet)
{
	static char text[1024];
	const json_t *steps = json_object_get(
		json_array_get(json_object_get(answer, "packets"), packet), "steps");
	const json_t *step;
	size_t i, at = 0;

	json_array_foreach (steps, i, step) {
		static const char *const keys[] = {"nf", "port", "chain", "verdict", "reason"};

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? ", " : "",
			value_text(step, "what"));
		for (unsigned k = 0; k < sizeof(keys) / sizeof(*keys); k++)
			if (value_text(step, keys[k]))
				at += (size_t)snprintf(text + at, sizeof(text) - at, " %s",
					value_text(step, keys[k]));
	}
	return text;
}

static void records_become_steps(void **state)
{
	json_t *answer, *packet, *step;

	(void)state;
	fake.trace_done = true;
	fake.trace_fill = one_sent_one_dropped_one_refused_one_held;
	answer = call("trace.run", "{'count': 4}");
	assert_string_equal(story(answer, 0), "received lan, chain web, nf fw to, sent wan");
	assert_string_equal(story(answer, 1), "received lan, chain web, nf fw, dropped fw nf-died");
	assert_string_equal(story(answer, 2),
		"received lan, chain web, nf fw next, refused wan, dropped wan port-tx-full");
	assert_string_equal(story(answer, 3), "received lan, chain web, nf fw");
	packet = json_array_get(json_object_get(answer, "packets"), 3);
	assert_string_equal(value_text(packet, "end"), "on its way");
	packet = json_array_get(json_object_get(answer, "packets"), 0);
	assert_string_equal(value_text(packet, "end"), "sent");
	assert_string_equal(value_text(json_object_get(packet, "flow"), "protocol"), "udp");
	assert_string_equal(value_text(json_object_get(packet, "flow"), "src"), "10.0.0.0");
	step = json_array_get(json_object_get(packet, "steps"), 2);
	assert_int_equal(value_int(step, "at_ns"), 200);
	assert_int_equal(value_int(step, "took_ns"), 100);
	assert_int_equal(value_int(step, "buffer"), 5);
	assert_int_equal(value_int(step, "generation"), 2);
	assert_int_equal(value_int(step, "address"), 5 * 2112);
	assert_int_equal(value_int(step, "offset"), 192);
	assert_int_equal(value_int(step, "length"), 60);
	assert_string_equal(value_text(json_object_get(step, "to"), "port"), "wan");
	json_decref(answer);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void time_ends_it(void **state)
{
	json_t *answer;

	(void)state;
	answer = call("trace.run", "{'timeout_s': 1}"); /* nothing else ends this one */
	assert_false(value_bool(answer, "complete"));
	assert_int_equal(json_array_size(json_object_get(answer, "packets")), 0);
	assert_false(fake.trace_on);
	json_decref(answer);
}

static void turn_until(bool on)
{
	while (fake.trace_on != on)
		event_base_loop(daemon_base(), EVLOOP_NONBLOCK);
}

static void one_at_a_time_and_only_while_the_caller_is_there(void **state)
{
	static const char question[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"trace.run\",\"params\":{}}\n";
	int other = daemon_connect();
	json_t *error;

	(void)state;
	daemon_write(other, question, strlen(question));
	turn_until(true);
	error = call_error("trace.run", NULL);
	assert_string_equal(value_text(json_object_get(error, "data"), "code"), "EBUSY");
	json_decref(error);
	assert_true(fake.trace_on);
	close(other);
	turn_until(false);
	fake.trace_done = true;
	json_decref(call("trace.run", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_match_is_that_of_flows, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			wrong_questions_start_nothing, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(records_become_steps, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(time_ends_it, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			one_at_a_time_and_only_while_the_caller_is_there, start, daemon_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
