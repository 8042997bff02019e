/* One instance takes over from another: who has the flows, whoever fails when; nf.upgrade. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include <cmocka.h>

#include "modules/nf/instance.h"
#include "modules/nf/testing/fake.h"
#include "modules/nf/testing/rig.h"

#define LONG_MS 90000

static void start(const char *role)
{
	rig_apply_ok(rig_one("fw", rig_acting(role)));
	rig_await("running");
}

static pid_t pid_now(void)
{
	return (pid_t)rig_figure("fw", "pid");
}

static bool is_moved(void *arg)
{
	(void)arg;
	return fake.replaced > 0;
}

static void change_to(const char *role)
{
	rig_apply_ok(rig_one("fw", rig_acting(role)));
}

static void move_to(const char *role)
{
	change_to(role);
	fake_loop_until(rig_manager.base, is_moved, NULL);
}

/* What is kept of earlier ends, at the name. */
static void check_history(json_int_t restarts, json_int_t crashes, const char *last_exit)
{
	json_t *stats = rig_stats("fw");

	assert_int_equal(value_int(stats, "restarts"), restarts);
	assert_int_equal(value_int(json_object_get(stats, "crash"), "count"), crashes);
	assert_string_equal(value_text(stats, "last_exit"), last_exit);
	json_decref(stats);
}

static void ring(void)
{
	uint64_t one = 1;

	assert_int_equal(write(rig_manager.notify_fd, &one, sizeof(one)), sizeof(one));
}

/* ---- who has the flows ----------------------------------------------------------------------- */

/* Ready is not enough: the new one gets them when it looks at its rings. */
static void test_warms_up(void **state)
{
	(void)state;
	start("serve");
	change_to("absent");
	while (fake.attached < 2)
		event_base_loop(rig_manager.base, EVLOOP_ONCE);
	assert_true(fake.options.parked);
	for (int i = 0; i < 10; i++) /* looks of the timer */
		event_base_loop(rig_manager.base, EVLOOP_ONCE);
	assert_int_equal(fake.replaced, 0);
	assert_true(rig_is_state("fw", "starting"));
	fake.options.channel->queue[0].heartbeat = 1;
	rig_await("running");
	assert_int_equal(fake.replaced, 1);
}

static void test_probation(void **state)
{
	struct nf *old;

	(void)state;
	start("serve");
	assert_false(fake.options.parked);
	old = fake.last;
	instance_times.probation_ms = LONG_MS;
	move_to("serve again");
	assert_ptr_equal(fake.from, old);
	assert_ptr_equal(fake.to, fake.last);
	assert_false(fake.held);
	rig_await("running");
	assert_int_equal(rig_figure("fw", "tx_pkts"), 20);
	kill(pid_now(), SIGKILL);
	rig_await_event("nf-returned", "has its packets again");
	assert_ptr_equal(fake.to, old);
	assert_int_equal(fake.detached, 1);
	/* Started again, it gets its chance again. */
	rig_await("running");
	assert_int_equal(fake.replaced, 3);
	assert_ptr_equal(fake.from, old);
}

static void test_change_is_taken_back(void **state)
{
	pid_t pid;

	(void)state;
	start("serve");
	pid = pid_now();
	instance_times.probation_ms = LONG_MS;
	move_to("serve again");
	change_to("serve");
	assert_int_equal(pid_now(), pid);
	assert_int_equal(fake.replaced, 2);
	assert_int_equal(fake.detached, 1);
	rig_await_event("nf-exit", "status 0");
	/* It is a full member again. */
	kill(pid, SIGKILL);
	rig_await_event("nf-backoff", "");
	rig_await("running");
}

/* Who works in its place does: neither is told to have begun to stand by, or to take over. */
static void test_stands_by_all_along(void **state)
{
	(void)state;
	fake.stands_by = true;
	start("serve");
	assert_int_equal(fake_events("nf-standby", "service fw"), 1);
	instance_times.probation_ms = LONG_MS;
	move_to("serve again");
	rig_await("running");
	assert_int_equal(fake_events("nf-standby", ""), 2); /* the new one */
	change_to("serve");
	rig_await_event("nf-exit", "status 0");
	assert_int_equal(fake_events("nf-standby", ""), 2);
	assert_int_equal(fake_events("nf-takeover", ""), 0);
}

/* It holds nothing up: told to stop, then taken out. */
static void test_stuck_predecessor(void **state)
{
	(void)state;
	start("serve");
	fake.in_flight = 5;
	instance_times.patience_ms = 1;
	change_to("serve again");
	rig_await_event("nf-slow", "its last 5 packets");
	assert_int_equal(fake.detached, 1);
	assert_int_equal(fake.reason, DROP_NF_REMOVED);
	assert_true(rig_is_state("fw", "running"));
}

static void test_predecessor_waited_for(void **state)
{
	(void)state;
	start("serve");
	fake.in_flight = 5;
	move_to("serve again");
	ring();
	event_base_loop(rig_manager.base, EVLOOP_ONCE);
	assert_int_equal(fake.detached, 0);
	fake.in_flight = 0;
	ring();
	rig_await_event("nf-stopping", "is being stopped");
	assert_int_equal(fake.detached, 1);
}

static void test_predecessor_dies_while_warming(void **state)
{
	pid_t pid;

	(void)state;
	start("serve");
	pid = pid_now();
	change_to("absent");
	while (fake.attached < 2)
		event_base_loop(rig_manager.base, EVLOOP_ONCE);
	kill(pid, SIGKILL);
	rig_await("running");
	assert_int_equal(fake.replaced, 1);
	assert_ptr_equal(fake.to, fake.last);
}

/* ---- state ----------------------------------------------------------------------------------- */

static void test_state(void **state)
{
	(void)state;
	start("state");
	instance_times.probation_ms = LONG_MS;
	move_to("state again");
	rig_await_event("nf-state", "10 bytes of state handed over");
	assert_false(fake.held);
	assert_int_equal(fake.detached, 0);
}

/* What the old one does wrong holds nothing up. */
static void test_state_not_saved(void **state)
{
	static const char *const cases[][2] = {
		{"state fails", "could not save it"},
		{"state empty", "has none"},
		{"state mapped", "keeps the file mapped"},
		{"state late", "in time"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		rig_teardown(state);
		rig_setup(state);
		print_message("%s\n", cases[i][0]);
		start(cases[i][0]);
		if (strstr(cases[i][0], "late"))
			instance_times.state_ms = 1;
		change_to("state again");
		rig_await_event("nf-state", cases[i][1]);
		assert_false(fake.held);
		assert_true(rig_is_state("fw", "running"));
	}
}

/* What it says at last is no answer to what it was asked since. */
static void test_state_saved_too_late(void **state)
{
	(void)state;
	start("state late");
	instance_times.probation_ms = LONG_MS;
	instance_times.state_ms = 1;
	change_to("state again");
	rig_await_event("nf-state", "in time");
	instance_times.state_ms = LONG_MS;
	kill(pid_now(), SIGKILL);
	rig_await_event("nf-returned", "");
	rig_await_event("nf-state", "did not answer the last time");
	assert_true(rig_is_state("fw", "running"));
	assert_int_equal(fake.replaced, 3);
}

/* What the new one does wrong leads back. */
static void test_state_not_loaded(void **state)
{
	struct nf *old;

	(void)state;
	start("state");
	old = fake.last;
	change_to("state picky");
	rig_await_event("nf-stopping", "cannot go on with its predecessor's state");
	assert_ptr_equal(fake.to, old);
	assert_int_equal(fake_events("nf-returned", ""), 1);
}

static void test_only_one_has_state(void **state)
{
	(void)state;
	start("state");
	change_to("serve");
	rig_await_event("nf-exit", "status 0");
	assert_true(rig_is_state("fw", "running"));
	assert_int_equal(fake_events("nf-state", ""), 0);
}

/* ---- nf.upgrade ------------------------------------------------------------------------------ */

static json_t *to_role(const char *role)
{
	json_t *params = rig_acting(role);

	json_object_set_new(params, "name", json_string("fw"));
	return params;
}

static void upgrade_ok(json_t *params)
{
	struct error error = {0};

	if (rig_start_upgrade(params, &error) != RPC_LATER)
		fail_msg("%s: %s", error.path, error.message);
}

static void test_upgrade(void **state)
{
	pid_t pid;

	(void)state;
	start("serve");
	pid = pid_now();
	upgrade_ok(to_role("serve again"));
	rig_await_upgrade();
	assert_true(rig_upgrade.answered);
	assert_int_equal(rig_upgrade.confirmed, 1);
	assert_int_not_equal(pid_now(), pid);
	assert_int_equal(fake.detached, 1);
}

/* The file was replaced: nothing to change in the document. */
static void test_upgrade_to_the_same(void **state)
{
	pid_t pid;

	(void)state;
	start("serve");
	pid = pid_now();
	upgrade_ok(to_role("serve"));
	rig_await_upgrade();
	assert_true(rig_upgrade.answered);
	assert_int_equal(rig_upgrade.confirmed, 0);
	assert_int_not_equal(pid_now(), pid);
}

/* The one before is back, as the document says; the answer says why. */
static void test_upgrade_fails(void **state)
{
	static const char *const cases[][2] = {
		{"fail", "status 3: no rules"},
		{"crash", "signal 6"},
		{"quit", "status 0"},
		{"mute", "has not attached"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *params = to_role(cases[i][0]);
		pid_t pid;

		rig_teardown(state);
		rig_setup(state);
		print_message("%s\n", cases[i][0]);
		start("serve");
		pid = pid_now();
		instance_times.settle_ms = i < 3 ? LONG_MS : 50;
		instance_times.stop_ms = 1;
		json_object_set_new(params, "probation_ms", json_integer(LONG_MS));
		upgrade_ok(params);
		rig_await_upgrade();
		assert_int_equal(rig_upgrade.refusal.code, ECANCELED);
		assert_string_equal(rig_upgrade.refusal.path, "command");
		assert_non_null(strstr(rig_upgrade.refusal.message, cases[i][1]));
		assert_non_null(strstr(rig_upgrade.refusal.hint, "is back"));
		assert_int_equal(pid_now(), pid);
		assert_true(rig_is_state("fw", "running"));
		assert_int_equal(fake_events("nf-upgrade", cases[i][1]), 1);
		assert_int_equal(fake_events("nf-backoff", ""), 0);
		check_history(0, 0, "");
		/* What it wrote last is not its successor's last line. */
		kill(pid, SIGKILL);
		rig_await_event("nf-exit", "killed by signal 9 (Killed)");
		assert_int_equal(fake_events("nf-exit", "(Killed): "), 0);
	}
}

static void test_upgrade_fails_with_same_document(void **state)
{
	json_t *params = to_role("serve");
	pid_t pid;

	(void)state;
	start("serve");
	pid = pid_now();
	json_object_set_new(params, "probation_ms", json_integer(LONG_MS));
	upgrade_ok(params);
	fake_loop_until(rig_manager.base, is_moved, NULL);
	kill(pid_now(), SIGKILL);
	rig_await_upgrade();
	assert_int_equal(rig_upgrade.refusal.code, ECANCELED);
	assert_int_equal(pid_now(), pid);
	check_history(0, 0, "");
}

/* There is nothing to go back to: then the new one is the NF, and its end a crash. */
static void test_upgrade_fails_for_good(void **state)
{
	json_t *params = to_role("serve");
	pid_t pid;

	(void)state;
	start("serve");
	pid = pid_now();
	json_object_set_new(params, "probation_ms", json_integer(LONG_MS));
	upgrade_ok(params);
	fake_loop_until(rig_manager.base, is_moved, NULL);
	kill(pid, SIGKILL);
	rig_await_event("nf-exit", "signal 9");
	kill(pid_now(), SIGKILL);
	rig_await_upgrade();
	assert_non_null(strstr(rig_upgrade.refusal.hint, "cannot come back: it ended, too"));
	assert_int_equal(fake_events("nf-backoff", "1 ms"), 1);
	rig_await("running");
	check_history(2, 1, "killed by signal 9 (Killed)");
}

static void test_upgrade_is_overtaken(void **state)
{
	(void)state;
	start("serve");
	upgrade_ok(to_role("mute"));
	change_to("serve");
	rig_await_upgrade();
	assert_int_equal(rig_upgrade.refusal.code, ECANCELED);
	assert_non_null(strstr(rig_upgrade.refusal.message, "changed again"));
}

static void test_upgrade_wrong(void **state)
{
	static const struct {
		const char *params;
		int code;
		const char *path;
	} cases[] = {
		{"{\"name\": \"fv\", \"command\": \"x\"}", ENOENT, "name"},
		{"{\"name\": \"fw\"}", EINVAL, ""},
		{"{\"name\": \"fw\", \"command\": \"x\", \"binary\": \"x\"}", EINVAL, ""},
		{"{\"name\": \"fw\", \"image\": \"/x\"}", EINVAL, "image"},
		{"{\"name\": \"fw\", \"binary\": \"no-such-program\"}", ENOENT, "nfs.fw.command"},
		{"{\"name\": \"fw\", \"command\": \"a | b\"}", EINVAL, "nfs.fw.command"},
		{"{\"name\": \"ex\", \"binary\": \"x\"}", EINVAL, "name"},
	};
	json_t *document = rig_one("fw", rig_acting("serve"));

	(void)state;
	json_object_set_new(
		json_object_get(document, "nfs"), "ex", rig_object("ex", rig_external()));
	rig_apply_ok(document);
	rig_await("running");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct error error = {0};

		print_message("%s\n", cases[i].params);
		assert_int_equal(rig_start_upgrade(json_loads(cases[i].params, 0, NULL), &error),
			-cases[i].code);
		assert_string_equal(error.path, cases[i].path);
		assert_true(error.hint[0]);
	}
	assert_int_equal(fake.attached, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_warms_up),
		RIG_TEST(test_probation),
		RIG_TEST(test_change_is_taken_back),
		RIG_TEST(test_stands_by_all_along),
		RIG_TEST(test_stuck_predecessor),
		RIG_TEST(test_predecessor_waited_for),
		RIG_TEST(test_predecessor_dies_while_warming),
		RIG_TEST(test_state),
		RIG_TEST(test_state_not_saved),
		RIG_TEST(test_state_saved_too_late),
		RIG_TEST(test_state_not_loaded),
		RIG_TEST(test_only_one_has_state),
		RIG_TEST(test_upgrade),
		RIG_TEST(test_upgrade_to_the_same),
		RIG_TEST(test_upgrade_fails),
		RIG_TEST(test_upgrade_fails_with_same_document),
		RIG_TEST(test_upgrade_fails_for_good),
		RIG_TEST(test_upgrade_is_overtaken),
		RIG_TEST(test_upgrade_wrong),
	};

	return cmocka_run_group_tests(tests, rig_make_places, rig_remove_places);
}
