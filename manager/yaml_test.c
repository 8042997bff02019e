/* YAML: what is read, what is refused and where, and that writing and reading agree. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manager/yaml.h"

static json_t *parse(const char *text)
{
	struct error error = {0};
	json_t *value = NULL;

	if (yaml_parse(text, strlen(text), &value, &error))
		print_error("%s: %s\n", error.path, error.message);
	assert_non_null(value);
	return value;
}

static void scalars_have_types(void **state)
{
	json_t *got = parse("a: 12\nb: -3\nc: 0x10\nd: true\ne: no\nf: ~\ng: \"12\"\nh: 'true'\n"
			    "i: 1000-2000\nj: 1.5\nk: 10.0.0.0/8\nl: 0o17\nm: 08\n");
	json_t *want = json_pack("{si si si sb ss sn ss ss ss sf ss si si}", "a", 12, "b", -3, "c",
		16, "d", 1, "e", "no", "f", "g", "12", "h", "true", "i", "1000-2000", "j", 1.5, "k",
		"10.0.0.0/8", "l", 15, "m", 8);

	(void)state;
	assert_true(json_equal(got, want));
	json_decref(got);
	json_decref(want);
}

static void the_example_is_read(void **state)
{
	json_t *got = parse("flows:\n"
			    "  v: {match: {vlan: 20, src: 10.0.0.0/8, dst: 2001:db8::/32,"
			    " src_port: 1000-2000}, chain: web}\n");
	const char *dst;

	(void)state;
	assert_int_equal(json_unpack(got, "{s{s{s{ss}}}}", "flows", "v", "match", "dst", &dst), 0);
	assert_string_equal(dst, "2001:db8::/32");
	json_decref(got);
}

static void nothing_is_null(void **state)
{
	static const char *const texts[] = {"", "\n", "# only a {comment}\n", "---\n"};
	json_t *got;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_true(json_is_null(parse(texts[i])));
	got = parse("---\n{}\n");
	assert_true(json_is_object(got));
	assert_int_equal(json_object_size(got), 0);
	json_decref(got);
}

static const struct {
	const char *text;
	int code;
	const char *place, *message;
} wrong[] = {
	{"a: 1\nb:\n  c: 1\n  c: 2\n", EEXIST, "4:3", "given twice: c"},
	{"a: &x 1\n", EINVAL, "1:4", "no anchors or aliases: x"},
	{"a: *x\n", EINVAL, "1:4", "no anchors or aliases: x"},
	{"a: !!str 1\n", EINVAL, "1:4", "no tags"},
	{"a:\n\tb: 1\n", EINVAL, "2:1", "not YAML"},
	{"a: [1, 2\n", EINVAL, "2:1", "not YAML"},
	{"a: 1\n---\nb: 1\n", EINVAL, "2:1", "a second document"},
	{"? [a]\n: 1\n", EINVAL, "1:3", "a key must be one word"},
	{"a: \"x\\0y\"\n", EINVAL, "1:4", "a NUL byte"},
	{"a: \"\xff\"\n", EINVAL, "1:1", "not YAML"},
	{"a: 99999999999999999999\n", EINVAL, "1:4", "out of range"},
	{"[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n", EINVAL, "1:17", "nested too deep"},
};

static void wrong_texts_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error error = {0};
		json_t *value = NULL;

		assert_int_equal(yaml_parse(wrong[i].text, strlen(wrong[i].text), &value, &error),
			-wrong[i].code);
		assert_string_equal(error.path, wrong[i].place);
		assert_non_null(strstr(error.message, wrong[i].message));
		assert_null(value);
	}
}

static void long_texts_are_refused(void **state)
{
	size_t length = YAML_BYTES_MAX + 1;
	char *text = malloc(length);
	struct error error = {0};
	json_t *value;

	(void)state;
	memset(text, ' ', length);
	assert_int_equal(yaml_parse(text, length, &value, &error), -E2BIG);
	free(text);
}

static void writing_and_reading_agree(void **state)
{
	json_t *value = json_pack("{s{s{ss ss si sb sn s[ss] s{ss}}} s{ss}}", "ports", "lan",
		"spec", "tap:lan0", "version", "1.5", "mtu", 1500, "up", 1, "nothing", "path",
		"true", "a b", "match", "dst", "2001:db8::/32", "odd", "key: with colon",
		"# no comment\nnext");
	char *text = yaml_dump(value);
	json_t *again;

	(void)state;
	assert_non_null(text);
	again = parse(text);
	assert_true(json_equal(value, again));
	json_decref(value);
	json_decref(again);
	free(text);
}

static void places_are_found(void **state)
{
	static const char text[] = "ports:\n  lan:\n    mtu: 9\n  eth0.1: {mtu: 3}\n";
	static const struct {
		const char *path;
		unsigned line, column;
	} cases[] = {
		{"ports.lan.mtu", 3, 5},
		{"ports.lan.spec", 2, 3}, /* the field is missing: its object */
		{"ports.eth0.1.mtu", 4, 12},
		{"chains.web", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned line, column;

		yaml_find(text, strlen(text), cases[i].path, &line, &column);
		assert_int_equal(line, cases[i].line);
		assert_int_equal(column, cases[i].column);
	}
}

static void a_missing_file_is_named(void **state)
{
	struct error error = {0};
	json_t *value;

	(void)state;
	assert_int_equal(yaml_load("/nonexistent/x.yaml", &value, &error), -ENOENT);
	assert_string_equal(error.path, "/nonexistent/x.yaml");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_have_types),
		cmocka_unit_test(the_example_is_read),
		cmocka_unit_test(nothing_is_null),
		cmocka_unit_test(wrong_texts_are_refused),
		cmocka_unit_test(long_texts_are_refused),
		cmocka_unit_test(writing_and_reading_agree),
		cmocka_unit_test(places_are_found),
		cmocka_unit_test(a_missing_file_is_named),
	};

	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
