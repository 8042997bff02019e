/* The schema: types, presets, references, and that the export says what validation does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "manager/schema.h"

static const struct field number = {"cpu", FIELD_INT, .max = 7};
static const struct field inner[] = {
	{"port", FIELD_RANGE, .max = 65535},
	{"src", FIELD_PREFIX},
	{"in", FIELD_REF, .ref = "things"},
	{},
};
static const struct field thing_fields[] = {
	{"spec", FIELD_TEXT, .required = true, .effect = EFFECT_RECREATE, .example = "a:b"},
	{"label", FIELD_NAME, .preset_name = true},
	{"count", FIELD_INT, .min = 2, .max = 10, .preset = "4", .unit = "pieces"},
	{"on", FIELD_BOOL, .preset = "true"},
	{"mode", FIELD_ENUM, .values = (const char *const[]){"fast", "slow", NULL}},
	{"protocol", FIELD_ENUM, .values = (const char *const[]){"tcp", NULL}, .max = 255},
	{"cpus", FIELD_LIST, .element = &number, .max = 2, .preset = "[]"},
	{"match", FIELD_MAP, .fields = inner},
	{},
};
static const struct section things = {"things", "thing", thing_fields, .always = NULL};
static const struct field all_fields[] = {{"level", FIELD_INT, .max = 3, .preset = "1"}, {}};
static const struct section all = {"all", "all", all_fields, .single = true};
static const struct section *const sections[] = {&things, &all, NULL};

static json_t *parse(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(value);
	return value;
}

static void presets_are_filled_in(void **state)
{
	json_t *given = parse("{\"things\": {\"a\": {\"spec\": \"x:y\"}}}");
	json_t *want =
		parse("{\"things\": {\"a\": {\"spec\": \"x:y\", \"label\": \"a\", \"count\": 4,"
		      "\"on\": true, \"cpus\": []}}, \"all\": {\"level\": 1}}");
	struct error error = {0};
	json_t *complete;

	(void)state;
	assert_int_equal(schema_complete(sections, NULL, given, &complete, &error), 0);
	assert_true(json_equal(complete, want));
	json_decref(given);
	json_decref(want);
	json_decref(complete);
}

static void null_sections_are_empty(void **state)
{
	json_t *given = parse("{\"things\": null, \"all\": null}");
	struct error error = {0};
	json_t *complete;

	(void)state;
	assert_int_equal(schema_complete(sections, NULL, given, &complete, &error), 0);
	json_decref(given);
	json_decref(complete);
}

/* A thing's fields, and the error: code, path, part of the message, part of the hint. */
static const struct {
	const char *fields;
	int code;
	const char *path, *message, *hint;
} wrong[] = {
	{"{}", EINVAL, "things.a.spec", "must be given", "a text"},
	{"{\"spec\": 3}", EINVAL, "things.a.spec", "3 is not valid", "for example a:b"},
	{"{\"spec\": \"\"}", EINVAL, "things.a.spec", "\"\"", "1..255 bytes"},
	{"{\"spec\": \"a\\nb\"}", EINVAL, "things.a.spec", "not valid", "a text"},
	{"{\"spec\": \"x\", \"cuont\": 3}", EINVAL, "things.a.cuont", "unknown field", "count?"},
	{"{\"spec\": \"x\", \"count\": 11}", EINVAL, "things.a.count", "11", "2..10 (pieces)"},
	{"{\"spec\": \"x\", \"count\": \"4\"}", EINVAL, "things.a.count", "\"4\"", "a number"},
	{"{\"spec\": \"x\", \"count\": 4.5}", EINVAL, "things.a.count", "4.5", "a number"},
	{"{\"spec\": \"x\", \"count\": null}", EINVAL, "things.a.count", "null", "a number"},
	{"{\"spec\": \"x\", \"on\": \"yes\"}", EINVAL, "things.a.on", "yes", "true or false"},
	{"{\"spec\": \"x\", \"mode\": \"quick\"}", EINVAL, "things.a.mode", "quick", "fast, slow"},
	{"{\"spec\": \"x\", \"protocol\": 256}", EINVAL, "things.a.protocol", "256", "0..255"},
	{"{\"spec\": \"x\", \"cpus\": [0, 8]}", EINVAL, "things.a.cpus.1", "8", "0..7"},
	{"{\"spec\": \"x\", \"cpus\": [0, 1, 2]}", EINVAL, "things.a.cpus", "a list", "at most 2"},
	{"{\"spec\": \"x\", \"cpus\": 1}", EINVAL, "things.a.cpus", "1", "a list"},
	{"{\"spec\": \"x\", \"match\": []}", EINVAL, "things.a.match", "a list", "a map of port"},
	{"{\"spec\": \"x\", \"match\": {\"port\": \"9-1\"}}", EINVAL, "things.a.match.port", "9-1",
		"LOW-HIGH"},
	{"{\"spec\": \"x\", \"match\": {\"port\": \"1-70000\"}}", EINVAL, "things.a.match.port",
		"70000", "0..65535"},
	{"{\"spec\": \"x\", \"match\": {\"src\": \"10.0.0.0/33\"}}", EINVAL, "things.a.match.src",
		"10.0.0.0/33", "address"},
	{"{\"spec\": \"x\", \"match\": {\"src\": \"10.0.0.1/8\"}}", EINVAL, "things.a.match.src",
		"behind its prefix", "zero"},
	{"{\"spec\": \"x\", \"match\": {\"in\": \"b\"}}", ENOENT, "things.a.match.in", "\"b\"",
		"things there are: a"},
	{"[]", EINVAL, "things.a", "a list", "a map of fields"},
};

static void wrong_values_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *given = json_pack("{s{so}}", "things", "a", parse(wrong[i].fields));
		struct error error = {0};
		json_t *complete = NULL;

		assert_int_equal(
			schema_complete(sections, NULL, given, &complete, &error), -wrong[i].code);
		assert_int_equal(error.code, wrong[i].code);
		assert_string_equal(error.path, wrong[i].path);
		assert_non_null(strstr(error.message, wrong[i].message));
		assert_non_null(strstr(error.hint, wrong[i].hint));
		assert_null(complete);
		json_decref(given);
	}
}

static void names_are_checked(void **state)
{
	static const char *const good[] = {
		"a", "0", "eth0.100", "a-b_c", "A234567890123456789012345678901"};
	static const char *const bad[] = {"", "-a", ".a", "a b", "a/b", "\xc3\xa4"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(schema_check_name(good[i], NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(schema_check_name(bad[i], NULL), -EINVAL);
	assert_int_equal(
		schema_check_name("A2345678901234567890123456789012", NULL), -ENAMETOOLONG);
}

static void prefixes_are_parsed(void **state)
{
	static const struct {
		const char *text;
		uint8_t first, twelfth, bits, family;
	} cases[] = {
		{"10.0.0.0/8", 0, 10, 104, 4},
		{"192.168.1.7", 0, 192, 128, 4},
		{"0.0.0.0/0", 0, 0, 96, 4},
		{"2001:db8::/32", 0x20, 0, 32, 6},
		{"::/0", 0, 0, 0, 6},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t address[16], bits, family;

		assert_int_equal(schema_prefix(cases[i].text, address, &bits, &family, NULL), 0);
		assert_int_equal(address[0], cases[i].first);
		assert_int_equal(address[12], cases[i].twelfth);
		assert_int_equal(bits, cases[i].bits);
		assert_int_equal(family, cases[i].family);
	}
}

static void ranges_are_parsed(void **state)
{
	json_t *one = json_integer(443), *many = json_string("1000-2000");
	uint16_t low, high;

	(void)state;
	schema_range(one, &low, &high);
	assert_int_equal(low, 443);
	assert_int_equal(high, 443);
	schema_range(many, &low, &high);
	assert_int_equal(low, 1000);
	assert_int_equal(high, 2000);
	json_decref(one);
	json_decref(many);
}

static void the_export_has_everything(void **state)
{
	json_t *exported = schema_export(sections);
	json_t *fields = json_object_get(json_object_get(exported, "things"), "fields");
	json_t *count = json_object_get(fields, "count");

	(void)state;
	assert_int_equal(json_object_size(fields), 8);
	assert_int_equal(json_integer_value(json_object_get(count, "default")), 4);
	assert_int_equal(json_integer_value(json_object_get(count, "max")), 10);
	assert_string_equal(json_string_value(json_object_get(count, "unit")), "pieces");
	assert_string_equal(json_string_value(json_object_get(count, "mutability")), "live");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(fields, "spec"), "mutability")),
		"recreate");
	assert_true(
		json_is_true(json_object_get(json_object_get(fields, "label"), "default_name")));
	json_decref(exported);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(presets_are_filled_in),
		cmocka_unit_test(null_sections_are_empty),
		cmocka_unit_test(wrong_values_are_refused),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(prefixes_are_parsed),
		cmocka_unit_test(ranges_are_parsed),
		cmocka_unit_test(the_export_has_everything),
	};

	return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
