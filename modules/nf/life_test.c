/* One NF through its life: started, ended in all ways, started again. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "modules/nf/instance.h"
#include "modules/nf/nf.h"
#include "modules/nf/testing/fake.h"
#include "modules/nf/testing/rig.h"

/* ---- running --------------------------------------------------------------------------------- */

static void test_start_and_stop(void **state)
{
	json_t *object;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	assert_true(rig_is_state("fw", "starting"));
	assert_false(nf_module.ready());
	assert_non_null(nf_service("fw"));
	rig_await("running");
	assert_true(nf_module.ready());
	assert_string_equal(fake.name, "fw");
	assert_ptr_equal(fake.options.service, nf_service("fw"));
	object = rig_stats("fw");
	assert_int_equal(value_int(object, "tx_pkts"), 10);
	assert_int_equal(value_int(object, "ring_words"), 2048);
	assert_true(value_int(object, "pid") > 0);
	json_decref(object);
	rig_apply_ok(json_object());
	assert_int_equal(fake.detached, 1);
	assert_int_equal(fake.reason, DROP_NF_REMOVED);
	assert_int_equal(fake.drain_ns, 7000000);
	assert_null(nf_service("fw"));
	fake_loop_until(rig_manager.base, rig_no_children, NULL);
	assert_int_equal(fake_events("nf-exit", "status 0"), 1);
}

/* The cgroup (v2) of a process, as the kernel says; "" when there is no such hierarchy. */
static void cgroup_of(json_int_t pid, char *path, size_t size)
{
	char name[64], line[PATH_MAX];
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	file = fopen(name, "r");
	assert_non_null(file);
	path[0] = '\0';
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "0::", 3) == 0)
			snprintf(path, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
	fclose(file);
}

static void test_cgroup(void **state)
{
	struct cgroup probe;
	char path[PATH_MAX];

	(void)state;
	if (cgroup_create(&probe, "probe", NULL))
		skip();
	assert_return_code(access(probe.path, F_OK), errno);
	strcpy(path, probe.path);
	cgroup_destroy(&probe);
	assert_int_equal(access(path, F_OK), -1);
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	cgroup_of(rig_figure("fw", "pid"), path, sizeof(path));
	assert_non_null(strstr(path, "/nf-fw-"));
}

static void test_killed(void **state)
{
	json_t *stats;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	fake.lost = 12;
	fake.drained = 4;
	kill((pid_t)rig_figure("fw", "pid"), SIGKILL);
	rig_await_event("nf-backoff", "1 ms");
	assert_int_equal(fake.reason, DROP_NF_DIED);
	assert_int_equal(fake.drain_ns, 0);
	rig_await("running");
	assert_int_equal(rig_figure("fw", "restarts"), 1);
	assert_int_equal(rig_figure("fw", "tx_pkts"), 20);
	assert_int_equal(rig_figure("fw", "rx_pkts"), 18); /* what came back at last, too */
	stats = rig_stats("fw");
	assert_int_equal(value_int(json_object_get(stats, "drops"), "nf-died"), 12);
	json_decref(stats);
	assert_int_equal(fake_events("nf-", "12 packets lost"), 1);
	assert_int_equal(fake_events("nf-exit", "signal 9"), 1);
}

/* For fake_loop_until(). */
static bool pulses_seen(void *n)
{
	return fake.n_pulses >= (uintptr_t)n;
}

static bool suspect_gone(void *arg)
{
	(void)arg;
	return !fake.suspect;
}

/* `params` is taken over. */
static json_t *call(const char *name, json_t *params)
{
	const struct rpc_method *method = nf_module.methods;
	json_t *result = NULL;

	while (strcmp(method->name, name) != 0)
		method++;
	assert_int_equal(method->call(NULL, params, &result, NULL), 0);
	json_decref(params);
	return result;
}

static json_int_t crash_figure(const char *field)
{
	json_t *stats = rig_stats("fw");
	json_int_t value = value_int(json_object_get(stats, "crash"), field);

	json_decref(stats);
	return value;
}

static void check_crash(json_int_t count, const char *reason)
{
	json_t *stats = rig_stats("fw"), *crash = json_object_get(stats, "crash");

	assert_int_equal(value_int(crash, "count"), count);
	print_message("%s\n", value_text(crash, "reason"));
	assert_non_null(strstr(value_text(crash, "reason"), reason));
	json_decref(stats);
}

/* Reason, time and loss of the last one, how many there were; a clean end is none. */
static void test_crashes_are_kept(void **state)
{
	uint64_t before_ns = clock_ns(CLOCK_REALTIME);

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	assert_int_equal(crash_figure("count"), 0);
	fake.lost = 12;
	kill((pid_t)rig_figure("fw", "pid"), SIGABRT);
	rig_await_event("nf-exit", "signal 6");
	check_crash(1, "signal 6");
	assert_int_equal(crash_figure("lost_pkts"), 12);
	assert_true((uint64_t)crash_figure("time_ns") >= before_ns);
	assert_true(crash_figure("reclaim_ns") > 0);
	rig_await("running");
	assert_int_equal(rig_restart("fw", NULL), 0);
	rig_await("running");
	check_crash(1, "signal 6");
	rig_apply_ok(rig_one("fw", rig_with(rig_acting("quit"), "restart", "on-failure")));
	rig_await("detached");
	check_crash(1, "signal 6");
	rig_apply_ok(rig_one("fw", rig_with(rig_acting("fail"), "restart", "never")));
	rig_await("failed");
	check_crash(2, "status 3: no rules in ?here");
}

/* nf.show has what stats.get has of it, beside its settings: of one, and of all by name. */
static void test_show(void **state)
{
	json_t *stats, *one, *all, *now;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_with(rig_acting("fail"), "restart", "never")));
	rig_await("failed");
	stats = rig_stats("fw");
	one = call("nf.show", json_pack("{s:s}", "name", "fw"));
	all = call("nf.show", NULL);
	now = json_object_get(one, "now");
	assert_string_equal(value_text(one, "restart"), "never");
	assert_string_equal(value_text(now, "state"), "failed");
	assert_int_equal(value_int(json_object_get(now, "crash"), "count"), 1);
	assert_true(json_equal(json_object_get(now, "crash"), json_object_get(stats, "crash")));
	assert_int_equal(json_object_size(all), 1);
	assert_true(json_equal(json_object_get(all, "fw"), one));
	json_decref(stats);
	json_decref(one);
	json_decref(all);
}

/* Its process is killed and started again as after a crash; one that moves is left alone. */
static void test_hang(void **state)
{
	json_t *fields = rig_acting("stubborn");

	(void)state;
	json_object_set_new(fields, "hang_ms", json_integer(8));
	rig_apply_ok(rig_one("fw", fields));
	rig_await("running");
	fake_loop_until(rig_manager.base, pulses_seen, (void *)32);
	assert_int_equal(fake_events("nf-hang", ""), 0);
	fake.lost = 3;
	fake.hangs = true;
	rig_await_event(
		"nf-hang", "queue 0 has not moved for 8 ms: it was taken out and killed; 3");
	fake.hangs = false;
	assert_int_equal(fake.reason, DROP_NF_DIED);
	rig_await("backoff");
	check_crash(1, "hung: packets wait");
	rig_await("running");
}

/* The limit may change while it runs; without one nothing is looked at. */
static void test_no_hang(void **state)
{
	json_t *fields = rig_acting("serve");

	(void)state;
	json_object_set_new(fields, "hang_ms", json_integer(0));
	rig_apply_ok(rig_one("fw", fields));
	rig_await("running");
	fake.hangs = true;
	fields = rig_acting("serve");
	json_object_set_new(fields, "hang_ms", json_integer(8));
	assert_int_equal(fake_events("nf-hang", ""), 0);
	rig_apply_ok(rig_one("fw", fields));
	assert_int_equal(fake.detached, 0);
	rig_await_event("nf-hang", "8 ms");
}

/* Who stands by is told when he begins to, and when he takes over. */
static void test_standby(void **state)
{
	json_t *stats;

	(void)state;
	fake.stands_by = true;
	rig_apply_ok(json_pack("{s:{s:o s:o}}", "nfs", "fw", rig_object("fw", rig_acting("serve")),
		"other",
		rig_object("other", json_pack("{s:s s:b s:s}", "service", "fw", "standby", 1,
					    "command", "sleep 1000"))));
	rig_await("running");
	rig_await_event("nf-standby", "service fw");
	stats = rig_stats("fw");
	assert_true(value_bool(stats, "standby"));
	json_decref(stats);
	fake.stands_by = false;
	kill((pid_t)rig_figure("other", "pid"), SIGKILL);
	rig_await_event("nf-exit", "signal 9");
	assert_int_equal(fake_events("nf-takeover", ""), 0); /* it was not attached */
	nf_changed();
	assert_int_equal(fake_events("nf-takeover", "service fw"), 1);
	assert_int_equal(fake_events("nf-standby", ""), 1);
	rig_apply_ok(json_object());
	rig_await_event("nf-exit", "status 0");
}

static const char *shown(const json_t *result, const char *field)
{
	const char *text = value_text(json_array_get(json_object_get(result, "flows"), 0), field);

	return text ? text : "";
}

/* Flows that crash NFs are told of once, shown, and let go in time or on request. */
static void test_guard(void **state)
{
	struct suspect suspect = {
		.key = {.family = 4, .src[15] = 1, .dst[15] = 2, .dst_port = 53, .protocol = 17},
		.in_port = "lan",
		.service = "fw",
		.n_crashes = 3,
		.guarded = true,
	};
	json_t *result;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	for (int i = 0; i < 2; i++) {
		rig_await("running");
		suspect.bypassed = i;
		fake.suspect = &suspect;
		fake.suspect_is_new = true;
		kill((pid_t)rig_figure("fw", "pid"), SIGKILL);
		rig_await_event("nf-guard",
			i ? "0.0.0.1:0 to 0.0.0.2:53 protocol 17 by port lan was in 3 crashes of "
			    "service fw: it bypasses"
			  : "it is dropped");
		result = call("guard.show", NULL);
		assert_string_equal(shown(result, "action"), i ? "bypass" : "drop");
		assert_string_equal(shown(result, "service"), "fw");
		json_decref(result);
		if (i)
			json_decref(call("guard.clear", NULL));
		else
			fake_loop_until(rig_manager.base, suspect_gone, NULL);
		assert_null(fake.suspect);
	}
	assert_int_equal(fake_events("nf-guard", ""), 2);
}

/* How a process ends, and what comes of it. */
static const struct {
	const char *role;
	const char *restart;
	const char *state;
	const char *event;
} ends[] = {
	{"fail", "never", "failed", "status 3: no rules in ?here"},
	{"fail", "on-failure", "backoff", "status 3"},
	{"fail", "always", "backoff", "status 3"},
	{"quit", "never", "detached", "status 0"},
	{"quit", "on-failure", "detached", "status 0"},
	{"quit", "always", "backoff", "status 0"},
	{"crash", "never", "failed", "signal 6"},
	{"crash", "on-failure", "backoff", "signal 6"},
};

static void test_ends(void **state)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		rig_teardown(state);
		rig_setup(state);
		instance_times.backoff_min_ms = instance_times.backoff_max_ms = 90000;
		print_message("%s, %s\n", ends[i].role, ends[i].restart);
		rig_apply_ok(rig_one(
			"fw", rig_with(rig_acting(ends[i].role), "restart", ends[i].restart)));
		rig_await(ends[i].state);
		assert_int_equal(fake_events("nf-exit", ends[i].event), 1);
		assert_true(nf_module.ready());
	}
}

static void test_back_off_doubles(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("fail")));
	rig_await_event("nf-backoff", "in 8 ms");
	assert_int_equal(fake_events("nf-backoff", "in 1 ms"), 1);
	assert_int_equal(fake_events("nf-backoff", "in 2 ms"), 1);
	assert_int_equal(fake_events("nf-backoff", "in 4 ms"), 1);
	assert_int_equal(rig_figure("fw", "restarts"), 3);
}

static bool is_true(void *flag)
{
	return *(bool *)flag;
}

static void set_flag(evutil_socket_t fd, short what, void *flag)
{
	(void)fd, (void)what;
	*(bool *)flag = true;
}

/* Timers run in the order of their times: this one after that of the NF. */
static void pass_steady_time(void)
{
	const struct timeval later = {.tv_usec = 2000};
	bool over = false;

	event_base_once(rig_manager.base, -1, EV_TIMEOUT, set_flag, &over, &later);
	fake_loop_until(rig_manager.base, is_true, &over);
}

/* It resets the back-off. */
static void test_steady_run(void **state)
{
	(void)state;
	instance_times.steady_ms = 1;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	for (int i = 0; i < 2; i++) {
		rig_await("running");
		pass_steady_time();
		kill((pid_t)rig_figure("fw", "pid"), SIGKILL);
		rig_await("backoff");
	}
	assert_int_equal(fake_events("nf-backoff", "in 1 ms"), 2);
}

struct watched_log {
	char path[PATH_MAX];
	off_t before;
};

/* In each turn of the loop it is within its bound. */
static bool log_was_cut(void *arg)
{
	struct watched_log *log = arg;
	struct stat st;
	bool cut;

	assert_return_code(stat(log->path, &st), errno);
	assert_in_range(st.st_size, 0, OUTPUT_MAX_BYTES);
	cut = st.st_size < log->before;
	log->before = st.st_size;
	return cut;
}

/* It can print as much as it likes: it lives, works, and takes no more room than others. */
static void test_chatter(void **state)
{
	struct watched_log log = {.before = 0};

	(void)state;
	snprintf(log.path, sizeof(log.path), "%.4000s/nf/fw.log", rig_run_dir);
	rig_apply_ok(rig_one("fw", rig_acting("chatter")));
	rig_await("running");
	fake_loop_until(rig_manager.base, log_was_cut, &log);
	assert_true(rig_is_state("fw", "running"));
	kill((pid_t)rig_figure("fw", "pid"), SIGKILL);
	rig_await_event("nf-exit", "(Killed): and so on and so on");
}

static void test_stubborn_is_killed(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("stubborn")));
	rig_await("running");
	instance_times.stop_ms = 1;
	rig_apply_ok(json_object());
	fake_loop_until(rig_manager.base, rig_no_children, NULL);
	assert_int_equal(fake_events("nf-exit", "signal 9"), 1);
}

static void test_mute_does_not_hold_up(void **state)
{
	(void)state;
	instance_times.settle_ms = instance_times.attach_ms = instance_times.stop_ms = 1;
	rig_apply_ok(rig_one("fw", rig_acting("mute")));
	assert_false(nf_module.ready());
	rig_await_event("nf-slow", "not attached");
	assert_true(nf_module.ready());
	rig_await("backoff");
	assert_int_equal(fake_events("nf-exit", "signal 15"), 1);
}

/* Also one whose first try is long over may take its time to attach. */
static void test_restart_has_time(void **state)
{
	(void)state;
	instance_times.settle_ms = 1;
	rig_apply_ok(rig_one("fw", rig_acting("slow")));
	rig_await("running");
	kill((pid_t)rig_figure("fw", "pid"), SIGKILL);
	rig_await_event("nf-backoff", "");
	rig_await("running");
	assert_int_equal(fake_events("nf-stopping", "does not attach"), 0);
}

static void test_word_after_ready(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", rig_with(rig_acting("talk"), "restart", "never")));
	rig_await("failed");
	assert_int_equal(fake_events("nf-stopping", "not asked for"), 1);
	assert_int_equal(fake_events("nf-exit", "status 0"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_start_and_stop),
		RIG_TEST(test_cgroup),
		RIG_TEST(test_killed),
		RIG_TEST(test_crashes_are_kept),
		RIG_TEST(test_show),
		RIG_TEST(test_hang),
		RIG_TEST(test_no_hang),
		RIG_TEST(test_standby),
		RIG_TEST(test_guard),
		RIG_TEST(test_ends),
		RIG_TEST(test_back_off_doubles),
		RIG_TEST(test_steady_run),
		RIG_TEST(test_chatter),
		RIG_TEST(test_stubborn_is_killed),
		RIG_TEST(test_mute_does_not_hold_up),
		RIG_TEST(test_restart_has_time),
		RIG_TEST(test_word_after_ready),
	};

	return cmocka_run_group_tests(tests, rig_make_places, rig_remove_places);
}
