/* The form of state handed over: what was written is read, nothing else is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/state.h"

static const struct state_form form = {
	.magic = "netvm-xx", .version = 3, .head_bytes = 4, .record_bytes = 6};

static char *text;
static size_t size;

static int write_two(void **state)
{
	FILE *file = open_memstream(&text, &size);

	(void)state;
	assert_int_equal(state_begin(file, &form, "head"), 0);
	assert_int_equal(state_record(file, &form, "first"), 0);
	assert_int_equal(state_record(file, &form, "other"), 0);
	return fclose(file);
}

static int forget(void **state)
{
	(void)state;
	free(text);
	return 0;
}

static int read_it(const void *from, size_t n_bytes, size_t *n)
{
	const uint8_t *records;
	char head[5] = "";
	int rc = state_read(from, n_bytes, &form, head, &records, n);

	if (rc == 0 && *n > 0)
		assert_string_equal((const char *)records, "first");
	if (rc == 0)
		assert_string_equal(head, "head");
	return rc;
}

static void test_read(void **state)
{
	size_t n;

	(void)state;
	assert_int_equal(read_it(text, size, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(read_it(text, size - 12, &n), 0);
	assert_int_equal(n, 0);
}

/* Cut anywhere else, or another byte in the header: refused. */
static void test_bad(void **state)
{
	const size_t begin = sizeof(form) + 4;
	size_t n;

	(void)state;
	for (size_t cut = 0; cut < size; cut++) {
		char *part = malloc(cut); /* for AddressSanitizer */

		memcpy(part, text, cut);
		assert_int_equal(read_it(part, cut, &n),
			cut >= begin && (cut - begin) % 6 == 0 ? 0 : -EBADMSG);
		free(part);
	}
	for (size_t i = 0; i < sizeof(form); i++) {
		text[i] ^= 1;
		assert_int_equal(read_it(text, size, &n), -EBADMSG);
		text[i] ^= 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, write_two, forget),
		cmocka_unit_test_setup_teardown(test_bad, write_two, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
