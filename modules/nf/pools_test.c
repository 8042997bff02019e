/*
 * Pools whose QEMU does not come up: who waits hears of it, and nothing is left behind. What a QEMU
 * that works does is for tests/guest.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/nf/instance.h"
#include "modules/nf/nf.h"
#include "modules/nf/testing/fake.h"
#include "modules/nf/testing/rig.h"

static char image[PATH_MAX], slow_qemu[PATH_MAX];

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	assert_return_code(chmod(path, mode), errno);
}

static int make_places(void **state)
{
	static const char *const parts[] = {"vmlinux", "initramfs", "cmdline"};
	char path[PATH_MAX + 32];

	if (rig_make_places(state))
		return -1;
	snprintf(image, sizeof(image), "%.4000s/image", rig_run_dir);
	assert_return_code(mkdir(image, 0755), errno);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", image, parts[i]);
		write_file(path, "quiet\n", 0644);
	}
	snprintf(slow_qemu, sizeof(slow_qemu), "%.4000s/slow-qemu", rig_run_dir);
	write_file(slow_qemu, "#!/bin/sh\nexec sleep 1000\n", 0755);
	return 0;
}

/* A pool whose QEMU is this program. */
static json_t *pool(const char *qemu)
{
	return json_pack("{s:s, s:i, s:b, s:s, s:{s:s, s:s, s:s, s:i, s:i}}", "group", "default",
		"idle", 1, "template", 1, "user", "root", "guest", "boot", image, "qemu", qemu,
		"accel", "tcg", "memory_mb", 128, "vcpus", 1);
}

static json_t *pool_document(json_t *pool)
{
	return json_pack("{s:{}, s:{s:o}}", "nfs", "pools", "small", pool);
}

static json_t *with_nf(json_t *document, json_t *fields)
{
	json_t *nf = rig_object("fw", fields);

	json_object_del(nf, "user");
	json_object_set_new(json_object_get(document, "nfs"), "fw", nf);
	return document;
}

static json_t *taker(void)
{
	return json_pack("{s:s, s:s}", "image", "guest", "pool", "small");
}

static json_int_t figure(const char *field)
{
	json_t *stats = json_object();
	json_int_t value;

	nf_module.stats(stats);
	value = value_int(document_object(stats, "pools", "small"), field);
	json_decref(stats);
	return value;
}

static bool starts(void *arg)
{
	(void)arg;
	return figure("starting") == 1;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_a_qemu_that_fails(void **state)
{
	(void)state;
	rig_apply_ok(with_nf(pool_document(pool("/bin/false")), taker()));
	rig_await_event("pool-guest-ended", "exited with status 1");
	rig_await_event("nf-failed", "exited with status 1");
	rig_await("backoff");
	assert_int_equal(figure("idle"), 0);
}

static void test_waiting_and_leaving(void **state)
{
	json_t *document = with_nf(pool_document(pool(slow_qemu)), taker());

	(void)state;
	rig_apply_ok(document);
	fake_loop_until(rig_manager.base, starts, NULL);
	assert_true(rig_is_state("fw", "starting"));
	assert_int_equal(figure("waiting"), 1);
	rig_apply_ok(pool_document(pool(slow_qemu)));
	assert_int_equal(figure("waiting"), 0);
	assert_int_equal(figure("starting"), 1);
}

/* A guest that nobody came for in time is a bad end. */
static void test_patience_ends(void **state)
{
	(void)state;
	instance_times.settle_ms = instance_times.attach_ms = 1;
	rig_apply_ok(with_nf(pool_document(pool(slow_qemu)), taker()));
	rig_await("backoff");
	assert_int_equal(fake_events("nf-failed", "none of its pool"), 1);
}

/* The successor waits at the new pool, not at the old one. */
static void test_a_pool_is_replaced(void **state)
{
	(void)state;
	rig_apply_ok(with_nf(pool_document(pool(slow_qemu)), taker()));
	fake_loop_until(rig_manager.base, starts, NULL);
	rig_apply_ok(with_nf(pool_document(rig_with(pool("/bin/false"), "group", "other")),
		rig_with(taker(), "group", "other")));
	rig_await_event("pool-guest-ended", "exited with status 1");
	rig_await("backoff");
}

static void expect_error(json_t *document, const char *path, const char *part)
{
	struct error error = {0};

	assert_int_not_equal(rig_apply(document, &error), 0);
	assert_string_equal(error.path, path);
	if (!strstr(error.message, part) && !strstr(error.hint, part))
		fail_msg("%s (%s)", error.message, error.hint);
}

static void test_bad_documents(void **state)
{
	json_t *odd = pool("/bin/false");

	(void)state;
	expect_error(
		with_nf(pool_document(pool("/bin/false")), rig_with(taker(), "group", "other")),
		"nfs.fw.pool", "memory of group default");
	expect_error(with_nf(pool_document(pool("/bin/false")),
			     rig_with(taker(), "image", "external-guest")),
		"nfs.fw.pool", "image: guest");
	expect_error(with_nf(pool_document(pool("/bin/false")),
			     json_pack("{s:s, s:s, s:{s:s}}", "image", "guest", "pool", "small",
				     "guest", "boot", image)),
		"nfs.fw.guest", "says what its guests are");
	expect_error(with_nf(pool_document(pool("/bin/false")),
			     json_pack("{s:s, s:s}", "image", "guest", "monitor", "/x")),
		"nfs.fw.monitor", "external-guest");
	expect_error(pool_document(pool("no-such-qemu")), "pools.small.guest.qemu", "no-such-qemu");
	expect_error(pool_document(rig_with(pool("/bin/false"), "user", "nobody-at-all")),
		"pools.small.user", "nobody-at-all");
	json_object_set_new(json_object_get(odd, "guest"), "boot", json_string(slow_qemu));
	expect_error(pool_document(odd), "pools.small.guest.boot", "a disk has no agent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_a_qemu_that_fails),
		RIG_TEST(test_waiting_and_leaving),
		RIG_TEST(test_patience_ends),
		RIG_TEST(test_a_pool_is_replaced),
		RIG_TEST(test_bad_documents),
	};

	return cmocka_run_group_tests(tests, make_places, rig_remove_places);
}
