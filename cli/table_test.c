/* Tables, quantities and the caret line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/fault.h"
#include "cli/table.h"

static void test_table(void **state)
{
	struct table *table = table_begin((const char *[]){"NAME", ">N", "END", NULL});
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	table_cell(table, COLOUR_BAD, "%s", "län");
	table_cell(table, COLOUR_NONE, "%d", 12345);
	table_cell(table, COLOUR_NONE, "x");
	table_end(table, out, false);
	table = table_begin((const char *[]){"", ">", NULL});
	table_cell(table, COLOUR_BAD, "bad");
	table_cell(table, COLOUR_NONE, "1");
	table_end(table, out, true);
	table_end(table_begin((const char *[]){"EMPTY", NULL}), out, false);
	fclose(out);
	assert_string_equal(text, "  NAME      N  END\n"
				  "  län   12345  x\n"
				  "\033[31m  bad  \033[0m1\n");
	free(text);
}

static void test_wrap(void **state)
{
	struct table *table = table_begin((const char *[]){"", "", NULL});
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	table_wrap(table, 2 + 4 + 2 + 24);
	table_cell(table, COLOUR_NONE, "a");
	table_cell(
		table, COLOUR_NONE, "%s", "exactly twenty-four char and more, länger und länger");
	table_cell(table, COLOUR_NONE, "wide");
	table_cell(table, COLOUR_NONE, "%s", "a-word-that-is-longer-than-the-line and more");
	table_end(table, out, false);
	table = table_begin((const char *[]){"", "", NULL});
	table_wrap(table, 2 + 4 + 2 + 23);
	table_cell(table, COLOUR_NONE, "wide");
	table_cell(table, COLOUR_NONE, "too little room for it, so it stays one line");
	table_end(table, out, false);
	fclose(out);
	assert_string_equal(text, "  a     exactly twenty-four char\n"
				  "        and more, länger und\n"
				  "        länger\n"
				  "  wide  a-word-that-is-longer-than-the-line\n"
				  "        and more\n"
				  "  wide  too little room for it, so it stays one line\n");
	free(text);
}

static void test_quantity(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{0, "0"},
		{999, "999"},
		{999.6, "1.00k"},
		{1000, "1.00k"},
		{9994, "9.99k"},
		{9996, "10.0k"},
		{99960, "100k"},
		{999499, "999k"},
		{999501, "1.00M"},
		{14880952, "14.9M"},
		{1e13, "10.0T"},
		{1e16, "10000T"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		format_quantity(cases[i].value, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
}

static void test_caret(void **state)
{
	static const struct {
		int word;
		size_t offset, length;
		const char *caret;
	} cases[] = {
		{0, 0, 0, "  ^^^\n"}, {1, 1, 1, "        ^\n"}, /* behind the quote */
		{2, 4, 0, "               ^^\n"},               /* the ü is one column */
		{3, 0, 0, "                  ^\n"},             /* what is missing at the end */
	};
	char *words[] = {"abc", "d e", "fü=gh"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fault fault = {0};
		char *text = NULL, expected[200];
		size_t size;
		FILE *out = open_memstream(&text, &size);

		fault_usage(&fault, cases[i].word, cases[i].offset, cases[i].length, "hint", "m");
		fault_usage(&fault, 0, 0, 0, NULL, "the first fault wins");
		fault_print(&fault, out, 3, words);
		fclose(out);
		snprintf(expected, sizeof(expected), "netvm: m\n  abc 'd e' fü=gh\n%s  hint\n",
			cases[i].caret);
		assert_string_equal(text, expected);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_quantity),
		cmocka_unit_test(test_caret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
