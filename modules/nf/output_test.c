/* What NFs print, and that it never takes more room than it may. */
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/nf/output.h"

#define FLOOD_BYTES (2 * OUTPUT_MAX_BYTES)

static struct event_base *base;
static struct output *output;
static char dir[64], log_path[96];

static struct output *open_one(const char *name)
{
	struct output *one = NULL;
	struct error error = {0};

	assert_int_equal(output_open(base, dir, name, &one, &error), 0);
	return one;
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/netvm-output-test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(log_path, sizeof(log_path), "%s/nf/fw.log", dir);
	base = event_base_new();
	output = open_one("fw");
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	output_close(output);
	event_base_free(base);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static off_t log_bytes(void)
{
	struct stat st;

	assert_return_code(stat(log_path, &st), errno);
	return st.st_size;
}

static void await_bytes(off_t n_bytes)
{
	while (log_bytes() < n_bytes)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(log_bytes(), n_bytes);
}

static void check_last(const char *wanted)
{
	char line[16];

	output_last_line(output, line, sizeof(line));
	assert_string_equal(line, wanted);
}

static void lines_come_to_the_log(void **state)
{
	int writer = output_writer(output);

	(void)state;
	check_last("");
	dprintf(writer, "one\n");
	await_bytes(4);
	dprintf(writer, "two\n");
	await_bytes(8);
	check_last("two");
	dprintf(writer, "a stranger's \033 line\r\n");
	check_last("a stranger's ? "); /* which was not in the log yet; cut */
	output_resume(output);
	check_last("");
	close(writer);
}

/* The other side of a pipe that is full. */
static pid_t start_flood(int writer)
{
	static char text[OUTPUT_LOOK_BYTES];
	pid_t pid = fork();

	if (pid)
		return pid;
	memset(text, '\n', sizeof(text));
	for (unsigned i = 0; i < FLOOD_BYTES / sizeof(text); i++)
		if (write(writer, text, sizeof(text)) != sizeof(text))
			_exit(1);
	_exit(0);
}

/* It waits, loses nothing by it, and the log stays small. */
static void a_flood_has_to_wait(void **state)
{
	int writer = output_writer(output), status, n_cut = 0;
	pid_t pid = start_flood(writer);
	off_t before = 0;

	(void)state;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		event_base_loop(base, EVLOOP_ONCE);
		n_cut += log_bytes() < before;
		assert_in_range(log_bytes(), 0, OUTPUT_MAX_BYTES);
		if (log_bytes() > before)
			assert_in_range(log_bytes() - before, 0, OUTPUT_LOOK_BYTES);
		before = log_bytes();
	}
	assert_int_equal(status, 0);
	assert_true(n_cut > 0);
	close(writer);
}

/* The NF goes on printing, and the next daemon has it. */
static void a_daemon_is_missing(void **state)
{
	int writer = output_writer(output);

	(void)state;
	dprintf(writer, "one\n");
	await_bytes(4);
	output_close(output);
	dprintf(writer, "two\n");
	output = open_one("fw");
	check_last("two");
	assert_int_equal(log_bytes(), 8);
	close(writer);
}

/* As it is taken from a pool. */
static void a_log_gets_another_name(void **state)
{
	struct output *spare = open_one("pool.1");
	int writer = output_writer(spare);

	(void)state;
	output_rename(dir, "pool.1", "fw");
	dprintf(writer, "one\n");
	while (log_bytes() == 0)
		event_base_loop(base, EVLOOP_ONCE);
	output_close(spare);
	dprintf(writer, "two\n");
	output_close(output);
	output = open_one("fw");
	check_last("two");
	output_rename(dir, "fw", NULL);
	assert_int_equal(access(log_path, F_OK), -1);
	close(writer);
}

static void without_a_folder(void **state)
{
	struct output *none = NULL;
	struct error error = {0};

	(void)state;
	assert_int_equal(output_open(base, "/nowhere", "fw", &none, &error), -ENOENT);
	assert_non_null(strstr(error.message, "/nowhere/nf/fw.log"));
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_come_to_the_log, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_has_to_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_daemon_is_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_log_gets_another_name, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_folder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
