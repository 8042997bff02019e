/* Reports to files: whole or not at all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/outfile.h"

static char folder[] = "/tmp/outfile_test.XXXXXX";
static char path[64];

static void print(FILE *file, void *arg)
{
	fputs(arg, file);
}

static void assert_content(const char *expected)
{
	char content[64] = "";
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	content[fread(content, 1, sizeof(content) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(content, expected);
}

static void a_report_replaces_the_one_before(void **state)
{
	(void)state;
	assert_int_equal(outfile_write(path, print, (void *)"a longer text"), 0);
	assert_int_equal(outfile_write(path, print, (void *)"short"), 0);
	assert_content("short");
}

static void no_folder_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(outfile_write("/nonexistent/file", print, (void *)""), -ENOENT);
}

/* /dev/full takes nothing, so the write fails when the file is closed. */
static void a_full_disk_keeps_the_old_report(void **state)
{
	char beside[80];

	(void)state;
	assert_int_equal(outfile_write(path, print, (void *)"old"), 0);
	snprintf(beside, sizeof(beside), "%s.new", path);
	assert_int_equal(symlink("/dev/full", beside), 0);
	assert_int_equal(outfile_write(path, print, (void *)"new"), -ENOSPC);
	assert_content("old");
}

static int folder_create(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/report", folder);
	return 0;
}

static int folder_remove(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_replaces_the_one_before),
		cmocka_unit_test(no_folder_is_an_error),
		cmocka_unit_test(a_full_disk_keeps_the_old_report),
	};

	return cmocka_run_group_tests(tests, folder_create, folder_remove);
}
