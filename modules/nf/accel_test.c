/* Whether KVM works is tried once, with a QEMU that works, fails, hangs, and is told to stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/nf/accel.h"
#include "modules/nf/instance.h"
#include "modules/nf/testing/fake.h"
#include "modules/nf/testing/rig.h"

static void put(const char *name, const char *text)
{
	char path[PATH_MAX + 32];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", rig_run_dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	chmod(path, 0755);
}

/*
 * A guest of a QEMU that does this with the probe; as itself it only says by which accelerator it
 * would run, and ends.
 */
static json_t *guest(const char *name, const char *with_probe)
{
	char script[256], boot[PATH_MAX + 16], qemu[PATH_MAX + 32];

	snprintf(script, sizeof(script),
		"#!/bin/sh\ncase \"$*\" in\n*-bios*) %s;;\nesac\n"
		"echo \"$*\" | grep -o 'accel [a-z]*'\nexit 7\n",
		with_probe);
	put(name, script);
	put("vmlinux", "");
	put("initramfs", "");
	snprintf(boot, sizeof(boot), "%s", rig_run_dir);
	snprintf(qemu, sizeof(qemu), "%s/%s", rig_run_dir, name);
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:i, s:i}}", "image", "guest", "restart",
		"never", "guest", "boot", boot, "qemu", qemu, "accel", "auto", "memory_mb", 128,
		"vcpus", 1);
}

static void test_works(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", guest("works", "exit 43")));
	rig_await_event("guest-accel", "run under KVM");
	rig_await_event("nf-exit", "status 7: accel kvm");
	rig_apply_ok(json_object());
	/* Known now: not tried again. */
	rig_apply_ok(rig_one("fw", guest("works", "exit 1")));
	rig_await_event("nf-exit", "status 7: accel kvm");
	assert_int_equal(fake_events("guest-accel", ""), 1);
}

static void test_fails(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", guest("fails", "echo no such thing; exit 1")));
	rig_await_event("guest-accel", "are emulated: a try of KVM exited with status 1: no such");
	rig_await_event("nf-exit", "status 7: accel tcg");
}

static void test_hangs(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", guest("hangs", "exec sleep 1000")));
	rig_await_event("guest-accel", "no sign of life");
	rig_await_event("nf-exit", "status 7: accel tcg");
}

static void test_stopped_meanwhile(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", guest("stopped", "exec sleep 1000")));
	assert_true(rig_is_state("fw", "starting"));
	rig_apply_ok(json_object());
	fake_loop_until(rig_manager.base, rig_no_children, NULL);
	assert_int_equal(fake_events("guest-accel", ""), 0);
	assert_int_equal(fake_events("nf-exit", "status 7"), 0);
}

static void test_without_a_device(void **state)
{
	(void)state;
	accel_device = "/no/such/device";
	rig_apply_ok(rig_one("fw", guest("without", "exit 43")));
	rig_await_event("nf-exit", "status 7: accel tcg");
	assert_int_equal(fake_events("guest-accel", ""), 0);
	accel_device = "/dev/null";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_works),
		RIG_TEST(test_fails),
		RIG_TEST(test_hangs),
		RIG_TEST(test_stopped_meanwhile),
		RIG_TEST(test_without_a_device),
	};

	accel_device = "/dev/null"; /* there, whatever the machine has */
	return cmocka_run_group_tests(tests, rig_make_places, rig_remove_places);
}
