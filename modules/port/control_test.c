/* Ports on the control side: opening, live changes, making room, undoing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "manager/events.h"
#include "manager/testing/daemon.h"
#include "manager/testing/fake.h"
#include "modules/port/control.h"

static int start(void **state)
{
	(void)state;
	daemon_start(0);
	apply("ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan'}}\n"
	      "chains: {web: {from: lan, to: wan, default: true}}\n");
	return 0;
}

static json_t *port_stats(const char *name)
{
	json_t *stats = call("stats.get", "{}");
	json_t *port = json_object_get(json_object_get(stats, "ports"), name);

	assert_non_null(port);
	json_incref(port);
	json_decref(stats);
	return port;
}

static int mtu_of(const char *name)
{
	json_t *port = port_stats(name);
	int mtu = (int)json_integer_value(json_object_get(port, "mtu"));

	json_decref(port);
	return mtu;
}

static void patch(const char *changes)
{
	json_decref(call("config.patch", changes));
}

static void ports_are_opened_and_closed(void **state)
{
	(void)state;
	assert_int_equal(fake.n_ports, 2);
	patch("{'changes': [{'op': 'add', 'section': 'ports', 'name': 'x',"
	      " 'value': {'spec': 'fake:x'}}]}");
	assert_int_equal(fake.n_ports, 3);
	assert_non_null(port_find("x"));
	patch("{'changes': [{'op': 'del', 'section': 'ports', 'name': 'x'}]}");
	assert_int_equal(fake.n_ports, 2);
	assert_null(port_find("x"));
}

static void live_settings_keep_the_port_open(void **state)
{
	int opened = fake.n_opened;

	(void)state;
	patch("{'changes': [{'op': 'set', 'section': 'ports', 'name': 'lan', 'value': {'mtu': "
	      "1400}}]}");
	assert_int_equal(mtu_of("lan"), 1400);
	assert_int_equal(fake.n_opened, opened);
}

static void what_a_driver_cannot_is_an_error(void **state)
{
	json_t *error = call_error("config.patch",
		"{'changes': [{'op': 'set', 'section': 'ports', 'name': 'lan',"
		" 'value': {'promiscuous': true}}]}");
	const char *path;

	(void)state;
	assert_int_equal(json_unpack(error, "{s{ss}}", "data", "path", &path), 0);
	assert_string_equal(path, "ports.lan.promiscuous");
	json_decref(error);
}

/* wan refuses after lan has changed: lan must be as it was. */
static void live_changes_are_undone(void **state)
{
	(void)state;
	fake.mtu_fails = true;
	json_decref(call_error("config.patch", "{'changes': [{'op': 'set', 'section': 'ports', "
					       "'name': 'wan', 'value': {'mtu': 900}}]}"));
	fake.mtu_fails = false;
	fake.steer_fails = true;
	json_decref(call_error("config.patch", "{'changes': [{'op': 'set', 'section': 'ports', "
					       "'name': 'lan', 'value': {'mtu': 900}}]}"));
	assert_int_equal(mtu_of("lan"), 1500);
	assert_int_equal(mtu_of("wan"), 1500);
}

/* A new name, more queues, another group: the same device under another object. */
static void the_same_device_can_be_taken_again(void **state)
{
	(void)state;
	apply("groups: {g: {}}\n"
	      "ports: {left: {spec: 'fake:lan', group: g}, wan: {spec: 'fake:wan,x=1', queues: 2,"
	      " group: g}}\n"
	      "chains: {web: {from: left, to: wan, default: true}}\n");
	assert_int_equal(fake.n_ports, 2);
	assert_string_equal(port_find("left")->pool->name, "g");
	assert_ptr_equal(fake_rule("left", -1)->match.in_port, port_find("left"));
}

static void room_that_was_made_is_given_back(void **state)
{
	struct port *before = port_find("lan");
	json_t *error = apply_error("ports: {lan: {spec: 'fake:lan', queues: 2},"
				    " wan: {spec: 'fake:wan'}, x: {spec: 'fake:none'}}\n");

	(void)state;
	json_decref(error);
	assert_int_equal(fake.n_ports, 2);
	assert_ptr_equal(port_find("lan"), before);
	assert_int_equal(before->number, fake.n_opened); /* opened again, */
	assert_int_equal(fake_rule("lan", -1)->match.in_port->number, before->number); /* steered */
}

static void a_new_group_moves_its_ports(void **state)
{
	struct buffer_pool *before = port_find("lan")->pool;

	(void)state;
	patch("{'changes': [{'op': 'set', 'section': 'groups', 'name': 'default',"
	      " 'value': {'buffers': 1024}}]}");
	assert_ptr_not_equal(port_find("lan")->pool, before);
	assert_int_equal(port_find("lan")->pool->n_buffers, 1024);
	assert_int_equal(fake.n_pools, 1);
	assert_int_equal(fake.n_ports, 2);
}

static void link_changes_are_events(void **state)
{
	const char *message;
	char params[64];
	json_t *result;

	(void)state;
	fake.link_down = true;
	snprintf(params, sizeof(params), "{'since': %d, 'wait_ms': 5000}", (int)events_next());
	result = call("events.get", params);
	assert_int_equal(json_unpack(json_array_get(json_object_get(result, "events"), 0), "{ss}",
				 "message", &message),
		0);
	assert_string_equal(message, "link down");
	json_decref(result);
}

/* Said before each is compared with all others: a document may have many thousands. */
static void more_ports_than_can_be_are_refused(void **state)
{
	char *text;
	size_t size;
	FILE *document = open_memstream(&text, &size);
	json_t *error;

	(void)state;
	fputs("ports:\n", document);
	for (int i = 0; i < 256; i++)
		fprintf(document, "  p%d: {spec: 'fake:p%d'}\n", i, i);
	fclose(document);
	error = apply_error(text);
	assert_string_equal(json_string_value(json_object_get(error, "message")),
		"256 ports, at most 255 can be");
	json_decref(error);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			ports_are_opened_and_closed, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			more_ports_than_can_be_are_refused, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			live_settings_keep_the_port_open, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			what_a_driver_cannot_is_an_error, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(live_changes_are_undone, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			the_same_device_can_be_taken_again, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			room_that_was_made_is_given_back, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			a_new_group_moves_its_ports, start, daemon_teardown),
		cmocka_unit_test_setup_teardown(link_changes_are_events, start, daemon_teardown),
	};

	return cmocka_run_group_tests_name("port control", tests, NULL, NULL);
}
