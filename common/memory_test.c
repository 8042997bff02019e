/* Texts are read with room for all they may become, whatever malloc() does. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/memory.h"

void *__real_malloc(size_t n_bytes);
void __real_free(void *at);
void *__wrap_malloc(size_t n_bytes);
void __wrap_free(void *at);

static struct {
	unsigned fails_at; /* this call and no other; 0: none */
	size_t first_bytes, bytes, most_bytes;
} heap;

void *__wrap_malloc(size_t n_bytes)
{
	void *at = heap.fails_at && --heap.fails_at == 0 ? NULL : __real_malloc(n_bytes);

	if (!heap.first_bytes)
		heap.first_bytes = n_bytes;
	heap.bytes += malloc_usable_size(at);
	if (heap.bytes > heap.most_bytes)
		heap.most_bytes = heap.bytes;
	return at;
}

void __wrap_free(void *at)
{
	heap.bytes -= malloc_usable_size(at);
	__real_free(at);
}

static int read_text(const char *text, json_t **value)
{
	heap.first_bytes = heap.bytes = heap.most_bytes = 0;
	return memory_read_json(text, strlen(text), JSON_DECODE_ANY, value, NULL);
}

static void test_each_call_may_fail(void **state)
{
	static const char text[] =
		"{\"a name of some length\": [1, 2.5, \"a text that is longer than the name\", {}],"
		" \"\\u00e4\\ud83d\\ude00 and more than is escaped here\": [[], true, null]}";
	json_t *whole, *value;
	unsigned n = 0;

	(void)state;
	assert_int_equal(read_text(text, &whole), 0);
	do {
		heap.fails_at = ++n;
		if (read_text(text, &value) == 0)
			assert_true(json_equal(value, whole));
		else
			assert_int_equal(n, 1); /* the room */
		json_decref(value);
	} while (heap.fails_at == 0);
	assert_true(n > 20);
	heap.fails_at = 0;
	json_decref(whole);
}

/* What jansson makes of it fits into what was taken first. */
static void test_room_is_enough(void **state)
{
	static const char *const units[] = {
		"{},", "[],", "\"\",", "1,", "0.1,", "{\"\":{}},", "\"a\","};
	static char text[100000];

	(void)state;
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		for (size_t size = 10; size < sizeof(text); size *= 3) {
			json_t *value;
			size_t n = 1;

			strcpy(text, "[");
			for (; n + strlen(units[i]) < size; n += strlen(units[i]))
				strcpy(text + n, units[i]);
			text[n - (n > 1)] = ']';
			text[n + (n == 1)] = '\0';
			assert_int_equal(read_text(text, &value), 0);
			assert_true(heap.most_bytes - heap.first_bytes <= heap.first_bytes);
			json_decref(value);
		}
}

static void test_wrong(void **state)
{
	struct error error = {0};
	json_t *value;

	(void)state;
	assert_int_equal(memory_read_json("{\"a\": 1", 7, 0, &value, &error), -EINVAL);
	assert_null(value);
	assert_string_equal(error.hint, "one JSON text per line");
	assert_non_null(strstr(error.message, "at byte 7"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call_may_fail),
		cmocka_unit_test(test_room_is_enough),
		cmocka_unit_test(test_wrong),
	};

	memory_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
