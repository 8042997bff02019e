/* The state file: what was written comes back, and nothing else does, whatever became of the file.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/events.h"
#include "manager/state.h"

static char dir[] = "/tmp/netvm-state-test.XXXXXX";
static char running[64], previous[64], config[64];
static bool edited;
static uint64_t since; /* events of this test */

static void write_file(const char *path, const char *bytes, size_t n)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, n, file), n);
	fclose(file);
}

static size_t read_file(const char *path, char bytes[4096])
{
	FILE *file = fopen(path, "r");
	size_t n;

	assert_non_null(file);
	n = fread(bytes, 1, 4095, file);
	fclose(file);
	bytes[n] = '\0';
	return n;
}

static void keep(const char *text)
{
	json_t *document = json_pack("{s:{s:s}}", "chains", "one", text);

	state_write(document);
	json_decref(document);
}

/* As the next daemon sees it: the text of keep(), "" for none. */
static const char *next_reads(void)
{
	static char text[64];
	struct error error = {0};
	json_t *document;

	state_open(dir, config);
	assert_int_equal(state_read(&document, &edited, &error), 0);
	snprintf(text, sizeof(text), "%s",
		document ? json_string_value(
				   json_object_get(json_object_get(document, "chains"), "one"))
			 : "");
	json_decref(document);
	return text;
}

static int setup(void **state)
{
	(void)state;
	write_file(config, "ports: {}\n", 10);
	state_open(dir, config);
	since = events_next();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	state_remove();
	return 0;
}

static void test_comes_back(void **state)
{
	(void)state;
	assert_string_equal(next_reads(), "");
	keep("a");
	assert_string_equal(next_reads(), "a");
	assert_false(edited);
	keep("b");
	assert_string_equal(next_reads(), "b");
	state_remove();
	assert_string_equal(next_reads(), "");
}

/* Every length, and every byte changed: the one before it, never something in between. */
static void test_torn(void **state)
{
	char whole[4096], torn[4096];
	size_t n;

	(void)state;
	keep("before");
	keep("last");
	n = read_file(running, whole);
	for (size_t length = 0; length < n; length++) {
		write_file(running, whole, length);
		assert_string_equal(next_reads(), "before");
	}
	for (size_t at = (size_t)(strchr(whole, '\n') - whole); at < n; at++) {
		memcpy(torn, whole, n);
		torn[at] ^= 1;
		write_file(running, torn, n);
		assert_string_equal(next_reads(), "before");
	}
	write_file(running, whole, n);
	assert_string_equal(next_reads(), "last");
}

static void test_missing(void **state)
{
	(void)state;
	keep("before");
	keep("last");
	unlink(running);
	assert_string_equal(next_reads(), "before");
	write_file(previous, "{}", 2);
	assert_string_equal(next_reads(), "");
}

/* Kept again without a change, as each start does, it does not push out the one before. */
static void test_the_same_again(void **state)
{
	(void)state;
	keep("before");
	keep("last");
	keep("last");
	unlink(running);
	assert_string_equal(next_reads(), "before");
}

/* Puts `new` in place of `old` in the state file. */
static void replace(const char *old, const char *new)
{
	char text[4096], changed[4096];
	size_t n = read_file(running, text);
	char *at = strstr(text, old);

	assert_non_null(at);
	snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, new,
		at + strlen(old));
	write_file(running, changed, n - strlen(old) + strlen(new));
}

static void test_another_format(void **state)
{
	struct error error = {0};
	json_t *document;

	(void)state;
	keep("before");
	keep("newer");
	replace("\"netvm-state\":1", "\"netvm-state\":2");
	replace("\"version\":\"" NETVM_VERSION "\"", "\"version\":\"9.9\"");
	assert_int_equal(state_read(&document, &edited, &error), -ENOTSUP);
	assert_string_equal(error.path, running);
	assert_non_null(strstr(error.message, "written by netvmd 9.9 in format 2"));
	assert_non_null(strstr(error.hint, "remove"));
	assert_string_equal(error.hint + strlen(error.hint) - 14, "saved document");
}

static void test_another_boot_or_config(void **state)
{
	(void)state;
	keep("a");
	replace("\"boot\":\"", "\"boot\":\"x");
	assert_string_equal(next_reads(), "");
	keep("b");
	assert_string_equal(next_reads(), "b");
	replace(config, "/other.yaml");
	assert_string_equal(next_reads(), "");
}

static void test_edited(void **state)
{
	(void)state;
	keep("a");
	write_file(config, "chains: {}\n", 11);
	assert_string_equal(next_reads(), "a");
	assert_true(edited);
	state_saved(); /* as by config.save */
	keep("a");
	assert_string_equal(next_reads(), "a");
	assert_false(edited);
}

/* Root may write anywhere, so the folder is taken away altogether. */
static void test_unwritable(void **state)
{
	json_t *events;

	(void)state;
	keep("a");
	assert_int_equal(json_array_size(events = events_since(since)), 0);
	json_decref(events);
	state_open("/nowhere", config);
	keep("b");
	keep("c");
	events = events_since(since);
	assert_int_equal(json_array_size(events), 1); /* said once */
	assert_non_null(
		strstr(json_string_value(json_object_get(json_array_get(events, 0), "message")),
			"cannot keep the running document in /nowhere/running"));
	json_decref(events);
	state_open(dir, config);
	assert_string_equal(next_reads(), "a");
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(running, sizeof(running), "%s/running", dir);
	snprintf(previous, sizeof(previous), "%s/running.previous", dir);
	snprintf(config, sizeof(config), "%s/netvm.yaml", dir);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(config);
	return rmdir(dir);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_comes_back),
		TEST(test_torn),
		TEST(test_missing),
		TEST(test_the_same_again),
		TEST(test_another_format),
		TEST(test_another_boot_or_config),
		TEST(test_edited),
		TEST(test_unwritable),
	};

	return cmocka_run_group_tests_name("state", tests, make_folder, remove_folder);
}
