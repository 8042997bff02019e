/* Transactions: what a change of the document does to processes and services. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "modules/nf/instance.h"
#include "modules/nf/nf.h"
#include "modules/nf/testing/client.h"
#include "modules/nf/testing/fake.h"
#include "modules/nf/testing/rig.h"

/* ---- changes --------------------------------------------------------------------------------- */

/* The old one works until the new one does. */
static void test_command_changes(void **state)
{
	json_int_t pid;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	pid = rig_figure("fw", "pid");
	rig_apply_ok(rig_one("fw", rig_acting("serve again")));
	assert_int_equal(fake.detached, 0);
	rig_await_event("nf-stopping", "is being stopped");
	assert_true(rig_is_state("fw", "running"));
	assert_int_equal(fake.attached, 2);
	assert_int_equal(fake.detached, 1);
	assert_int_equal(fake.reason, DROP_NF_REMOVED);
	assert_int_not_equal(rig_figure("fw", "pid"), pid);
	assert_int_equal(rig_figure("fw", "tx_pkts"), 20);
}

/* As long as the new one does not work, the old one does. */
static void test_command_changes_for_the_worse(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	rig_apply_ok(rig_one("fw", rig_with(rig_acting("fail"), "restart", "never")));
	rig_await("failed");
	assert_int_equal(fake.detached, 0);
	assert_int_equal(fake.replaced, 0);
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	assert_true(rig_is_state("fw", "running"));
	assert_int_equal(fake.attached, 1);
}

static void test_twice_in_a_row(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	rig_apply_ok(rig_one("fw", rig_acting("mute")));
	rig_apply_ok(rig_one("fw", rig_acting("serve again")));
	rig_await_event("nf-stopping", "packets lost");
	rig_await("running");
	assert_int_equal(fake.attached, 2);
	rig_await_event("nf-exit", "status 0");
	assert_int_equal(fake.detached, 1);
}

/* Services go with the document, so nobody may be left in the engine when it is applied. */
static void test_removed_while_replaced(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	rig_apply_ok(rig_one("fw", rig_acting("mute")));
	rig_apply_ok(json_object());
	assert_int_equal(fake.detached, 1);
}

static void test_group_changes(void **state)
{
	struct service *service;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	service = nf_service("fw");
	rig_apply_ok(rig_one("fw", rig_with(rig_acting("serve"), "group", "other")));
	/* Its service goes, so it cannot stay. */
	assert_int_equal(fake.detached, 1);
	assert_ptr_not_equal(nf_service("fw"), service);
	assert_int_equal(fake.services, 1);
	rig_await("running");
	assert_ptr_equal(fake.options.service, nf_service("fw"));
}

static void test_live_changes(void **state)
{
	json_t *fields = rig_with(rig_acting("serve"), "restart", "never");
	json_int_t pid;
	cpu_set_t cpus;
	int cpu = 0;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	pid = rig_figure("fw", "pid");
	sched_getaffinity((pid_t)pid, sizeof(cpus), &cpus);
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	json_object_set_new(fields, "cpus", json_pack("[i]", cpu));
	rig_apply_ok(rig_one("fw", fields));
	assert_int_equal(rig_figure("fw", "pid"), pid);
	sched_getaffinity((pid_t)pid, sizeof(cpus), &cpus);
	assert_int_equal(CPU_COUNT(&cpus), 1);
	kill((pid_t)pid, SIGKILL);
	rig_await("failed");
}

/* The second NF cannot be executed: the first, started already, is gone again. */
static void test_abort(void **state)
{
	struct error error = {0};
	json_t *next = rig_one("a", rig_acting("serve"));
	char bad[PATH_MAX];
	FILE *file;

	(void)state;
	snprintf(bad, sizeof(bad), "%.4000s/garbage", rig_run_dir);
	file = fopen(bad, "w");
	fputs("\001\002", file);
	fclose(file);
	chmod(bad, 0755);
	json_object_set_new(json_object_get(next, "nfs"), "b",
		rig_object("b", json_pack("{s:s}", "command", "garbage")));
	assert_int_equal(rig_apply(next, &error), -ENOEXEC);
	assert_string_equal(error.path, "nfs.b.command");
	assert_int_equal(fake.services, 0);
	fake_loop_until(rig_manager.base, rig_no_children, NULL);
}

/* ---- nf.restart ------------------------------------------------------------------------------ */

static void test_restart(void **state)
{
	struct error error = {0};
	json_int_t pid;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("serve")));
	rig_await("running");
	pid = rig_figure("fw", "pid");
	assert_int_equal(rig_restart("fw", &error), 0);
	assert_int_equal(fake.detached, 0);
	rig_await_event("nf-exit", "status 0");
	assert_true(rig_is_state("fw", "running"));
	assert_int_equal(fake.detached, 1);
	assert_int_not_equal(rig_figure("fw", "pid"), pid);
	assert_int_equal(rig_figure("fw", "restarts"), 1);
	assert_int_equal(rig_restart("fv", &error), -ENOENT);
	assert_non_null(strstr(error.hint, "fw"));
}

static void test_restart_of_failed(void **state)
{
	struct error error = {0};

	(void)state;
	rig_apply_ok(rig_one("fw", rig_with(rig_acting("fail"), "restart", "never")));
	rig_await("failed");
	assert_int_equal(rig_restart("fw", &error), 0);
	assert_true(rig_is_state("fw", "starting"));
	rig_await("failed");
	assert_int_equal(fake_events("nf-exit", "status 3"), 2);
}

/* ---- documents that are wrong ---------------------------------------------------------------- */

static const struct {
	const char *fields; /* JSON */
	const char *path;
	int code;
	const char *message;
} wrong[] = {
	{"{}", "nfs.fw.command", EINVAL, "needs a command"},
	{"{'command': 'no-such-program'}", "nfs.fw.command", ENOENT, "no-such-program"},
	{"{'command': 'sh -c \"x'}", "nfs.fw.command", EINVAL, "not closed"},
	{"{'command': 'sh', 'image': 'external'}", "nfs.fw.command", EINVAL, "somebody else"},
	{"{'command': 'sh', 'user': 'no-such-user'}", "nfs.fw.user", ENOENT, "no-such-user"},
	{"{'command': 'sh', 'cpus': [0, 1023]}", "nfs.fw.cpus", EINVAL, "CPU 1023"},
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct error error = {0};
		char json[256];

		snprintf(json, sizeof(json), "%s", wrong[i].fields);
		for (char *c = json; *c; c++)
			*c = *c == '"' ? '`' : *c == '\'' ? '"' : *c;
		for (char *c = json; *c; c++)
			*c = *c == '`' ? '\'' : *c;
		print_message("%s\n", json);
		assert_int_equal(rig_apply(rig_one("fw", json_loads(json, 0, NULL)), &error),
			-wrong[i].code);
		assert_string_equal(error.path, wrong[i].path);
		assert_non_null(strstr(error.message, wrong[i].message));
		assert_true(error.hint[0]);
	}
	assert_int_equal(fake.services, 0);
}

static void test_service_in_two_groups(void **state)
{
	struct error error = {0};

	(void)state;
	assert_int_equal(
		rig_apply(
			json_pack("{s:{s:o s:o}}", "nfs", "a",
				rig_object("a", rig_with(rig_acting("serve"), "service", "s")), "b",
				rig_object(
					"b", rig_with(rig_with(rig_acting("serve"), "service", "s"),
						     "group", "other"))),
			&error),
		-EINVAL);
	assert_string_equal(error.path, "nfs.b.group");
	assert_non_null(strstr(error.hint, "as a is"));
}

/* That many NFs that fill these services in turn. */
static json_t *crowd(unsigned n_nfs, unsigned n_services)
{
	json_t *section = json_object();
	char name[16], service[16];

	for (unsigned i = 0; i < n_nfs; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		snprintf(service, sizeof(service), "s%u", i % n_services);
		json_object_set_new(section, name,
			rig_object(name, rig_with(rig_external(), "service", service)));
	}
	return json_pack("{s:o}", "nfs", section);
}

static void test_too_many(void **state)
{
	static const struct {
		unsigned n_nfs, n_services;
		const char *path, *message;
	} crowds[] = {
		{100000, 100000, "nfs", "100000 NFs"},
		{1024, 1024, "nfs.n1023", "1023 services"},
		{65, 1, "nfs.n64.service", "64 NFs fill service s0"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(crowds) / sizeof(*crowds); i++) {
		struct error error = {0};

		assert_int_equal(
			rig_apply(crowd(crowds[i].n_nfs, crowds[i].n_services), &error), -E2BIG);
		assert_string_equal(error.path, crowds[i].path);
		assert_non_null(strstr(error.message, crowds[i].message));
		assert_true(error.hint[0]);
	}
	assert_int_equal(fake.services, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_command_changes),
		RIG_TEST(test_command_changes_for_the_worse),
		RIG_TEST(test_twice_in_a_row),
		RIG_TEST(test_removed_while_replaced),
		RIG_TEST(test_group_changes),
		RIG_TEST(test_live_changes),
		RIG_TEST(test_abort),
		RIG_TEST(test_restart),
		RIG_TEST(test_restart_of_failed),
		RIG_TEST(test_wrong),
		RIG_TEST(test_service_in_two_groups),
		RIG_TEST(test_too_many),
	};

	return cmocka_run_group_tests(tests, rig_make_places, rig_remove_places);
}
