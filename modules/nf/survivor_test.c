/* Processes that outlive one daemon and are found by the next, or not trusted, or ended. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/estate.h"
#include "manager/module.h"
#include "modules/nf/nf.h"
#include "modules/nf/testing/fake.h"
#include "modules/nf/testing/rig.h"

/* A daemon ran it and is gone. Returns its process. */
static pid_t leave_one(void)
{
	pid_t pid;

	rig_apply_ok(rig_one("fw", rig_acting("again")));
	rig_await("running");
	pid = (pid_t)rig_figure("fw", "pid");
	rig_phase = PHASE_HAND_OVER;
	rig_apply_ok(json_object());
	assert_int_equal(fake.attached, fake.detached);
	assert_return_code(kill(pid, 0), errno);
	rig_phase = PHASE_START;
	return pid;
}

static json_t *notes(void)
{
	return estate_read("nf");
}

static size_t n_notes(void)
{
	json_t *all = notes();
	size_t n = json_object_size(all);

	json_decref(all);
	return n;
}

static bool has_ended(void *arg)
{
	return waitpid(*(pid_t *)arg, NULL, WNOHANG) > 0;
}

static void assert_ends(pid_t pid)
{
	fake_loop_until(rig_manager.base, has_ended, &pid);
}

static void test_is_adopted(void **state)
{
	pid_t pid = leave_one();

	(void)state;
	assert_int_equal(n_notes(), 1);
	rig_apply_ok(rig_one("fw", rig_acting("again")));
	assert_true(rig_is_state("fw", "starting"));
	assert_false(nf_module.ready());
	rig_await("running");
	assert_int_equal(rig_figure("fw", "pid"), pid);
	assert_int_equal(n_notes(), 1);
	rig_phase = PHASE_RUN;
	rig_apply_ok(json_object());
	fake_loop_until(rig_manager.base, rig_no_children, NULL);
	assert_int_equal(n_notes(), 0);
}

static void test_what_may_change_may_have_changed(void **state)
{
	pid_t pid = leave_one();

	(void)state;
	rig_apply_ok(rig_one("fw", rig_with(rig_acting("again"), "restart", "never")));
	rig_await("running");
	assert_int_equal(rig_figure("fw", "pid"), pid);
}

static void test_another_command_is_another_process(void **state)
{
	pid_t pid = leave_one();

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	assert_int_not_equal(rig_figure("fw", "pid"), pid);
	assert_ends(pid);
	assert_int_equal(fake_events("nf-orphan", "is ended"), 1);
}

static void test_who_is_not_declared_is_ended(void **state)
{
	pid_t pid = leave_one();

	(void)state;
	rig_apply_ok(json_object());
	assert_ends(pid);
	assert_int_equal(fake_events("nf-orphan", "is ended"), 1);
	assert_int_equal(n_notes(), 0);
}

static void test_who_died_meanwhile_is_started(void **state)
{
	pid_t pid = leave_one();

	(void)state;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	rig_apply_ok(rig_one("fw", rig_acting("again")));
	rig_await("running");
	assert_int_not_equal(rig_figure("fw", "pid"), pid);
	assert_int_equal(fake_events("nf-orphan", "is ended"), 0);
}

/* Its number was given to another process since: that one is neither adopted nor ended. */
static void test_a_reused_number_is_not_trusted(void **state)
{
	json_t *object = rig_object("fw", rig_acting("serve"));
	char name[16];
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0)
		pause();
	snprintf(name, sizeof(name), "%d", pid);
	estate_note("nf", name,
		json_pack("{s:s s:i s:o s:s}", "name", "fw", "start", 1, "object", object, "cgroup",
			""));
	rig_phase = PHASE_START;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	assert_int_not_equal(rig_figure("fw", "pid"), pid);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	assert_int_equal(fake_events("nf-orphan", "is ended"), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_notes_of_another_boot_are_removed(void **state)
{
	char path[PATH_MAX + 32];
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/estate/nf.1", rig_run_dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs("{\"boot\": \"another\", \"name\": \"fw\", \"start\": 1}", file);
	fclose(file);
	assert_int_equal(n_notes(), 0);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_damaged_notes_are_removed(void **state)
{
	static const char *const texts[] = {"", "{", "[]", "{\"boot\": 7}", "\xff"};
	char path[PATH_MAX + 32];

	(void)state;
	snprintf(path, sizeof(path), "%s/estate/nf.1", rig_run_dir);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fputs(texts[i], file);
		fclose(file);
		assert_int_equal(n_notes(), 0);
		assert_int_equal(access(path, F_OK), -1);
	}
}

/* The new daemon cannot start: what it found it leaves, what it started it ends. */
static void test_a_start_that_fails_ends_nothing(void **state)
{
	struct error error = {0};
	pid_t pid = leave_one();
	json_t *document = rig_one("fw", rig_acting("again"));
	const struct change change = {.old = json_object(), .new = document, .phase = PHASE_START};

	(void)state;
	assert_int_equal(nf_module.prepare(&change, &error), 0);
	nf_module.abort(&change);
	nf_module.fini();
	json_decref((json_t *)change.old);
	assert_return_code(kill(pid, 0), errno);
	assert_int_equal(n_notes(), 1);
	assert_int_equal(nf_module.init(&rig_manager, &error), 0);
	rig_apply_ok(document);
	rig_await("running");
	assert_int_equal(rig_figure("fw", "pid"), pid);
}

static int make_places(void **state)
{
	struct error error = {0};
	int rc = rig_make_places(state);

	return rc ? rc : estate_open(rig_run_dir, &error);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_is_adopted),
		TEST(test_what_may_change_may_have_changed),
		TEST(test_another_command_is_another_process),
		TEST(test_who_is_not_declared_is_ended),
		TEST(test_who_died_meanwhile_is_started),
		TEST(test_a_reused_number_is_not_trusted),
		TEST(test_notes_of_another_boot_are_removed),
		TEST(test_damaged_notes_are_removed),
		TEST(test_a_start_that_fails_ends_nothing),
	};

	return cmocka_run_group_tests_name("nf-survivor", tests, make_places, rig_remove_places);
}
