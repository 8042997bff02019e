/* The command line table: what is taken, what is refused and how it is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/options.h"

static bool flag;
static uint64_t number;
static const char *text, *pair[2];
static unsigned mode;
static const char *const modes[] = {"walk", "run", NULL};

static const struct option_spec specs[] = {
	{"MODE", NULL, "how to go", .choice = &mode, .choices = modes},
	{"--flag", NULL, "a flag", .flag = &flag},
	{"--number", "N", "a number", .number = &number, .min = 2, .max = 5000},
	{"--text", "TEXT", "a text", .text = &text},
	{"--pair", "A B", "two texts", .text = pair, .n_texts = 2},
	{0},
};
static const struct options options = {"test", "[options]", "A test.", specs};

static char said[4096];
static char left[256]; /* for netvm_main(): each word with a blank in front */

/* Parse a command line; what it prints on stderr is in `said`. */
static bool parse(const char *line, int *status)
{
	static char words[256]; /* the values point into it */
	char *argv[16] = {(char *)"test"}, *save = NULL;
	int argc = 1, saved = dup(STDERR_FILENO);
	FILE *catch = tmpfile();
	bool run;

	flag = false, number = 0, text = pair[0] = pair[1] = NULL, mode = 99;
	snprintf(words, sizeof(words), "%s", line);
	for (char *at = strtok_r(words, " ", &save); at; at = strtok_r(NULL, " ", &save))
		argv[argc++] = at;
	assert_non_null(catch);
	dup2(fileno(catch), STDERR_FILENO);
	run = options_parse(&options, &argc, argv, status);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(catch);
	said[fread(said, 1, sizeof(said) - 1, catch)] = '\0';
	fclose(catch);
	left[0] = '\0';
	for (int i = 1, n = 0; run && i < argc; i++)
		n += snprintf(left + n, sizeof(left) - (size_t)n, " %s", argv[i]);
	return run;
}

static void values_are_stored(void **state)
{
	int status;

	(void)state;
	assert_true(parse("run --flag --number 2k --text a --pair b c", &status));
	assert_int_equal(mode, 1);
	assert_true(flag);
	assert_int_equal(number, 2000);
	assert_string_equal(text, "a");
	assert_string_equal(pair[0], "b");
	assert_string_equal(pair[1], "c");
	assert_true(parse("--text=x=y --number=7", &status));
	assert_string_equal(text, "x=y");
	assert_int_equal(number, 7);
}

static void common_arguments_are_left(void **state)
{
	int status;

	(void)state;
	assert_true(parse(
		"--name walk --flag --busy --wait --socket=/x --replay a,b --text t", &status));
	assert_string_equal(text, "t");
	assert_int_equal(mode, 99);
	assert_string_equal(left, " --name walk --busy --wait --socket=/x --replay a,b");
	assert_true(parse("run --flag", &status));
	assert_string_equal(left, "");
}

static void errors_name_option_and_what_is_valid(void **state)
{
	static const struct {
		const char *line, *message;
	} table[] = {
		{"--number 1", "test: --number: \"1\" is not valid; valid: a number 2..5000\n"},
		{"--number 6k", "test: --number: \"6k\" is not valid; valid: a number 2..5000\n"},
		{"--number 99999999999999999999",
			"test: --number: \"99999999999999999999\" is not valid; valid: a number "
			"2..5000\n"},
		{"--number -3", "test: --number: \"-3\" is not valid; valid: a number 2..5000\n"},
		{"--number 3x", "test: --number: \"3x\" is not valid; valid: a number 2..5000\n"},
		{"--number", "test: --number: needs a value; valid: N\n"},
		{"--text --flag", "test: --text: needs a value; valid: TEXT\n"},
		{"--pair a", "test: --pair: needs a value; valid: A B\n"},
		{"--name", "test: --name: needs a value; valid: NAME\n"},
		{"fly", "test: MODE: \"fly\" is not known; valid: walk run\n"},
		{"--fla", "test: --fla: unknown option; valid: MODE --flag --number --text --pair "
			  "--name --service --socket --queues --busy --wait --replay --help\n"},
		{"--flag=1",
			"test: --flag=1: unknown option; valid: MODE --flag --number --text --pair "
			"--name --service --socket --queues --busy --wait --replay --help\n"},
	};
	int status;

	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_false(parse(table[i].line, &status));
		assert_int_equal(status, OPTIONS_BAD_USAGE);
		assert_string_equal(said, table[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_stored),
		cmocka_unit_test(common_arguments_are_left),
		cmocka_unit_test(errors_name_option_and_what_is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
