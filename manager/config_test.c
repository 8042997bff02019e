/* The document's life: apply, diff, patch, confirm, roll back, save, read again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "manager/file.h"
#include "manager/handover.h"
#include "manager/events.h"
#include "manager/testing/daemon.h"
#include "manager/testing/fake.h"
#include "manager/yaml.h"

#define PORTS "ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan', mtu: 1400}}\n"

/* {"op path", ...} of a list of changes. */
static void assert_changes(json_t *result, const char *const *wanted)
{
	json_t *list = json_object_get(result, "changes");
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const char *op, *path, *effect;
		char text[128];

		assert_int_equal(json_unpack(json_array_get(list, i), "{ss ss ss}", "op", &op,
					 "path", &path, "effect", &effect),
			0);
		snprintf(text, sizeof(text), "%s %s %s", op, path, effect);
		assert_non_null(wanted[i]);
		assert_string_equal(text, wanted[i]);
	}
	assert_null(wanted[i]);
	json_decref(result);
}

static void differences_are_by_field(void **state)
{
	static const char *const wanted[] = {"set engine.workers restart", "del ports.lan live",
		"set ports.wan.spec recreate", "set ports.wan.mtu live", "add ports.dmz live",
		"set flows.f.match.vlan live", NULL};

	(void)state;
	apply(PORTS "flows: {f: {match: {vlan: 1, protocol: tcp}, drop: true}}\n");
	assert_changes(call("config.diff",
			       "{'document': {'engine': {'workers': 2}, 'ports': {'wan':"
			       " {'spec': 'fake:x', 'mtu': 1300}, 'dmz': {'spec': 'fake:dmz'}},"
			       " 'flows': {'f': {'match': {'vlan': 2, 'protocol': 'tcp'}, 'drop': "
			       "true}}}}"),
		wanted);
	assert_int_equal(fake.n_ports, 2);
}

/* A default that is written out is no change, but stays written out. */
static void wording_is_no_change(void **state)
{
	static const char *const nothing[] = {NULL};
	json_t *port;

	(void)state;
	apply(PORTS);
	assert_changes(
		call("config.apply", "{'document': {'ports': {'lan': {'spec': 'fake:lan',"
				     " 'mtu': 1500}, 'wan': {'spec': 'fake:wan', 'mtu': 1400}}}}"),
		nothing);
	port = call("config.get", "{'section': 'ports', 'name': 'lan'}");
	assert_int_equal(json_integer_value(json_object_get(port, "mtu")), 1500);
	json_decref(port);
}

static void patches_merge(void **state)
{
	static const char *const wanted[] = {"set ports.lan.mtu live", "set ports.wan.mtu live",
		"set flows.f.match.vlan live", "set flows.f.match.protocol live", NULL};
	json_t *flow;
	int vlan;

	(void)state;
	apply(PORTS "flows: {f: {match: {vlan: 1}, drop: true}}\n");
	assert_changes(
		call("config.patch",
			"{'changes': ["
			"{'op': 'set', 'section': 'ports', 'name': 'lan', 'value': {'mtu': 1000}},"
			"{'op': 'set', 'section': 'ports', 'name': 'wan', 'value': {'mtu': null}},"
			"{'op': 'set', 'section': 'flows', 'name': 'f',"
			" 'value': {'match': {'vlan': null, 'protocol': 'udp'}}}]}"),
		wanted);
	flow = call("config.get", "{'section': 'flows', 'name': 'f'}");
	assert_int_equal(json_unpack(flow, "{s{si}}", "match", "vlan", &vlan), -1);
	json_decref(flow);
}

static void the_default_group_can_be_set(void **state)
{
	json_t *group;

	(void)state;
	json_decref(call("config.patch", "{'changes': [{'op': 'set', 'section': 'groups',"
					 " 'name': 'default', 'value': {'buffers': 128}}]}"));
	group = call("config.get", "{'section': 'groups', 'name': 'default', 'defaults': true}");
	assert_int_equal(json_integer_value(json_object_get(group, "buffers")), 128);
	json_decref(group);
}

/* Takes over the text. */
static void assert_runs(char *wanted)
{
	char *text = running_document();

	assert_string_equal(text, wanted);
	free(text);
	free(wanted);
}

static void rollback_goes_one_step_back(void **state)
{
	char *before;

	(void)state;
	apply(PORTS);
	before = running_document();
	apply("{}\n");
	assert_int_equal(fake.n_ports, 0);
	json_decref(call("config.rollback", "{}"));
	assert_runs(before);
	assert_int_equal(fake.n_ports, 2);
	json_decref(call_error("config.rollback", "{}"));
}

/* As if it had never been: also the way back. */
static void what_was_undone_is_no_step(void **state)
{
	char *before;

	(void)state;
	apply(PORTS);
	before = running_document();
	apply("{}\n");
	json_decref(call("config.apply",
		"{'document': {'ports': {'new': {'spec': 'fake:new'}}}, 'confirm_s': 60}"));
	assert_int_equal(fake.n_ports, 1);
	json_decref(call("config.rollback", "{}"));
	assert_int_equal(fake.n_ports, 0);
	json_decref(call("config.rollback", "{}"));
	assert_runs(before);
	json_decref(call_error("config.rollback", "{}"));
}

static void an_empty_section_goes(void **state)
{
	json_t *document;

	(void)state;
	apply("ports: {lan: {spec: 'fake:lan'}}\n");
	json_decref(call(
		"config.patch", "{'changes': [{'op': 'del', 'section': 'ports', 'name': 'lan'}]}"));
	document = call("config.get", "{}");
	assert_int_equal(json_object_size(document), 0);
	json_decref(document);
}

/* Takes over the error. */
static void assert_error_says(json_t *error, const char *wanted)
{
	const char *message =
		json_string_value(json_object_get(json_object_get(error, "data"), "message"));

	assert_non_null(message);
	assert_non_null(strstr(message, wanted));
	json_decref(error);
}

static void apply_for_a_second(void)
{
	json_decref(call("config.apply",
		"{'document': {'ports': {'lan': {'spec': 'fake:lan'}}}, 'confirm_s': 1}"));
	assert_int_equal(fake.n_ports, 1);
}

static void what_is_not_confirmed_goes_back(void **state)
{
	(void)state;
	apply_for_a_second();
	json_decref(call_error("config.save", "{}"));
	json_decref(call_error("config.apply", "{'document': {}}"));
	while (fake.n_ports == 1)
		event_base_loop(daemon_base(), EVLOOP_ONCE);
	assert_int_equal(fake.n_ports, 0);
	assert_error_says(call_error("config.confirm", "{}"), "too late");
	json_decref(call("config.save", "{}"));
}

/* A caller that takes its answer is not late because the daemon was. */
static void a_call_may_take_longer_than_callers_may(void **state)
{
	(void)state;
	daemon_start(50);
	fake.steer_ms = 100;
	apply(PORTS);
	fake.steer_ms = 0;
	json_decref(call("config.get", "{}"));
	daemon_stop();
}

static void what_cannot_go_back_can_still_be_confirmed(void **state)
{
	uint64_t n_events;

	(void)state;
	apply_for_a_second();
	fake.steer_fails = true;
	n_events = events_next();
	while (events_next() < n_events + 2) /* not confirmed in time; cannot go back */
		event_base_loop(daemon_base(), EVLOOP_ONCE);
	fake.steer_fails = false;
	assert_int_equal(fake.n_ports, 1);
	json_decref(call("config.confirm", "{}"));
	json_decref(call("config.save", "{}"));
}

static void what_cannot_be_taken_back_is_tried_again(void **state)
{
	(void)state;
	json_decref(call("config.apply",
		"{'document': {'ports': {'lan': {'spec': 'fake:lan'}}}, 'confirm_s': 600}"));
	fake.steer_fails = true;
	json_decref(call_error("config.rollback", "{}"));
	assert_int_equal(fake.n_ports, 1);
	fake.steer_fails = false;
	while (fake.n_ports > 0)
		event_base_loop(daemon_base(), EVLOOP_ONCE);
	assert_error_says(call_error("config.confirm", "{}"), "not confirmed in time");
}

static void what_is_confirmed_stays(void **state)
{
	(void)state;
	apply_for_a_second();
	json_decref(call("config.confirm", "{}"));
	assert_error_says(call_error("config.confirm", "{}"), "no change waits");
	json_decref(call("config.save", "{}"));
	assert_int_equal(fake.n_ports, 1);
}

static void what_is_saved_reads_the_same(void **state)
{
	json_t *result, *running, *saved;
	struct error error = {0};
	const char *path;

	(void)state;
	apply(PORTS "flows: {f: {match: {dst: '2001:db8::/32', dst_port: 1-9}, drop: true}}\n");
	result = call("config.save", "{}");
	assert_int_equal(json_unpack(result, "{ss}", "path", &path), 0);
	assert_int_equal(yaml_load(path, &saved, &error), 0);
	running = call("config.get", "{}");
	assert_true(json_equal(running, saved));
	json_decref(result);
	json_decref(running);
	json_decref(saved);
}

static void state_can_be_locked_once(void **state)
{
	struct error error = {0};
	int other = file_open_lock(daemon_dir());
	char path[128];

	(void)state;
	assert_true(other >= 0);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(handover_lock(daemon_dir(), &error), -EBUSY);
	assert_non_null(strstr(error.message, "another daemon"));
	handover_end();
	close(other);
	assert_int_equal(handover_lock(daemon_dir(), &error), 0);
	handover_end();
	snprintf(path, sizeof(path), "%s/lock", daemon_dir());
	unlink(path);
}

static void the_schema_has_all_sections(void **state)
{
	static const char *const names[] = {"engine", "groups", "ports", "nfs", "chains", "flows"};
	json_t *schema = call("schema.get", "{}");
	json_t *sections = json_object_get(schema, "sections");

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_non_null(json_object_get(sections, names[i]));
	assert_non_null(json_object_get(json_object_get(schema, "methods"), "events.get"));
	json_decref(schema);
}

static void statistics_have_all_parts(void **state)
{
	static const char *const names[] = {
		"time_ns", "uptime_ns", "groups", "ports", "chains", "workers", "books"};
	json_t *stats, *drops;

	(void)state;
	apply(PORTS "chains: {web: {from: lan, to: wan}}\n");
	stats = call("stats.get", "{}");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_non_null(json_object_get(stats, names[i]));
	json_decref(stats);
	drops = call("drops.get", "{}");
	assert_int_equal(json_array_size(json_object_get(drops, "reasons")), DROP_REASONS);
	json_decref(drops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		daemon_test(differences_are_by_field),
		daemon_test(wording_is_no_change),
		daemon_test(patches_merge),
		daemon_test(the_default_group_can_be_set),
		daemon_test(rollback_goes_one_step_back),
		daemon_test(what_was_undone_is_no_step),
		daemon_test(an_empty_section_goes),
		daemon_test(what_is_not_confirmed_goes_back),
		cmocka_unit_test(a_call_may_take_longer_than_callers_may),
		daemon_test(what_cannot_go_back_can_still_be_confirmed),
		daemon_test(what_cannot_be_taken_back_is_tried_again),
		daemon_test(what_is_confirmed_stays),
		daemon_test(what_is_saved_reads_the_same),
		daemon_test(state_can_be_locked_once),
		daemon_test(the_schema_has_all_sections),
		daemon_test(statistics_have_all_parts),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
