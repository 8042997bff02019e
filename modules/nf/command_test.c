/* Command lines: splitting and finding. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "modules/nf/command.h"

/* `words` joined by '|'; NULL: an error whose message contains `message`. */
static const struct {
	const char *line;
	const char *words;
	const char *message;
} lines[] = {
	{"netvm-forward", "netvm-forward", NULL},
	{"  a \t b  ", "a|b", NULL},
	{"a --rules /etc/x", "a|--rules|/etc/x", NULL},
	{"a 'b c' \"d e\"", "a|b c|d e", NULL},
	{"a b'c'\"d\"e", "a|bcde", NULL},
	{"a ''", "a|", NULL},
	{"a 'x\\y' \"x\\y\" \"x\\\"y\" \"x\\\\y\"", "a|x\\y|x\\y|x\"y|x\\y", NULL},
	{"a b\\ c \\'", "a|b c|'", NULL},
	{"a 'tcp && port 80' '$HOME' \\;", "a|tcp && port 80|$HOME|;", NULL},
	{"", NULL, "no program"},
	{"   ", NULL, "no program"},
	{"'' a", NULL, "no program"},
	{"a 'b", NULL, "quote '"},
	{"a \"b\\\"", NULL, "quote \""},
	{"a b\\", NULL, "backslash"},
	{"a | b", NULL, "'|'"},
	{"a > /tmp/x", NULL, "'>'"},
	{"a $HOME", NULL, "'$'"},
	{"a;b", NULL, "';'"},
	{"a `b`", NULL, "'`'"},
	{"a &", NULL, "'&'"},
};

static void test_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct command command;
		struct error error = {0};
		char joined[128] = "";
		int rc = command_split(lines[i].line, &command, &error);

		print_message("%s\n", lines[i].line);
		if (!lines[i].words) {
			assert_int_equal(rc, -EINVAL);
			assert_non_null(strstr(error.message, lines[i].message));
			assert_true(error.hint[0]);
			continue;
		}
		assert_int_equal(rc, 0);
		for (char **word = command.argv; *word; word++)
			snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s%s",
				word == command.argv ? "" : "|", *word);
		assert_string_equal(joined, lines[i].words);
		command_free(&command);
	}
}

/* ---- finding --------------------------------------------------------------------------------- */

static char tree[] = "/tmp/netvm-command-test.XXXXXX";

static void make(const char *name, mode_t mode)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", tree, name);
	if (S_ISDIR(mode)) {
		mkdir(path, 0755);
		return;
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	chmod(path, mode);
}

static int setup(void **state)
{
	char path[64];

	(void)state;
	if (!mkdtemp(tree))
		return -1;
	make("bin", S_IFDIR);
	make("nfs", S_IFDIR);
	make("nfs/firewall", S_IFDIR);
	make("path", S_IFDIR);
	make("path/folder", S_IFDIR);
	make("bin/both", 0755);
	make("path/both", 0755);
	make("nfs/built", 0755);
	make("nfs/firewall/deep", 0755);
	make("path/installed", 0755);
	make("bin/data", 0644);
	snprintf(path, sizeof(path), "relative::%s/path", tree);
	return setenv("PATH", path, 1);
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	setenv("PATH", "/usr/bin:/bin", 1);
	snprintf(command, sizeof(command), "rm -r %s", tree);
	return system(command);
}

/* `found`: below the tree; NULL: the error. */
static const struct {
	const char *word;
	const char *found;
	int code;
} words[] = {
	{"both", "/bin/both", 0},
	{"built", "/bin/../nfs/built", 0},
	{"deep", "/bin/../nfs/firewall/deep", 0},
	{"installed", "/path/installed", 0},
	{"data", NULL, ENOENT},
	{"folder", NULL, ENOENT},
	{"*", NULL, ENOENT},
	{"nothing", NULL, ENOENT},
	{"./both", NULL, EINVAL},
	{"/nowhere/at/all", NULL, ENOENT},
	{"/etc/passwd", NULL, EACCES},
	{"/tmp", NULL, EACCES},
};

static void test_find(void **state)
{
	char binary_dir[64];

	(void)state;
	snprintf(binary_dir, sizeof(binary_dir), "%s/bin", tree);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		struct error error = {0};
		char *path = NULL;
		int rc = command_find(words[i].word, binary_dir, &path, &error);

		print_message("%s\n", words[i].word);
		assert_int_equal(rc, -words[i].code);
		assert_int_equal(error.code, words[i].code);
		if (words[i].found)
			assert_string_equal(path + strlen(tree), words[i].found);
		else
			assert_true(strstr(error.message, words[i].word));
		free(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
