/* Tests of the spec parser: what it takes and what it says of the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "modules/port/spec.h"

struct options {
	char name[8];
	char out[16];
	uint64_t size;
	bool source;
	uint8_t mac[6];
};

static const struct spec_field fields[] = {
	{"NAME", SPEC_TEXT, SPEC_REQUIRED, offsetof(struct options, name), 8},
	{"OUT", SPEC_TEXT, SPEC_POSITIONAL, offsetof(struct options, out), 16},
	{"size", SPEC_NUMBER, SPEC_OPTION, offsetof(struct options, size), 0, 60, 9000},
	{"source", SPEC_SWITCH, SPEC_OPTION, offsetof(struct options, source)},
	{"mac", SPEC_ADDRESS, SPEC_OPTION, offsetof(struct options, mac)},
	{NULL},
};

static int parse(const char *args, struct options *options, struct error *error)
{
	*options = (struct options){.size = 64, .source = true};
	*error = (struct error){0};
	return spec_parse(args, fields, "test:NAME[,OUT]", options, error);
}

static void test_good(void **state)
{
	static const struct {
		const char *args, *name, *out;
		uint64_t size;
		bool source;
	} cases[] = {
		{"a", "a", "", 64, true},
		{"a,b", "a", "b", 64, true},
		{"a,-,size=60", "a", "", 60, true},
		{"a,,size=9000", "a", "", 9000, true},
		{"size=100,a,source=off,b", "a", "b", 100, false},
		{"a,./x=y,source=on", "a", "./x=y", 64, true},
		{"a,x1=y", "a", "x1=y", 64, true},
		{"1234567,size=0x40", "1234567", "", 64, true},
	};
	struct options options;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].args, &options, &error), 0);
		assert_string_equal(options.name, cases[i].name);
		assert_string_equal(options.out, cases[i].out);
		assert_int_equal(options.size, cases[i].size);
		assert_int_equal(options.source, cases[i].source);
	}
	assert_int_equal(parse("a,mac=02:0a:ff:00:00:01", &options, &error), 0);
	assert_memory_equal(options.mac, "\x02\x0a\xff\x00\x00\x01", 6);
}

static void test_bad(void **state)
{
	static const struct {
		const char *args, *message;
	} cases[] = {
		{"", "NAME is missing"},
		{"size=64", "NAME is missing"},
		{"12345678", "NAME cannot be '12345678': valid is a text of 1 to 7 characters"},
		{"a,size=59", "size cannot be '59': valid is 60 to 9000"},
		{"a,size=9001", "size cannot be '9001': valid is 60 to 9000"},
		{"a,size=-1", "size cannot be '-1': valid is 60 to 9000"},
		{"a,size=", "size cannot be '': valid is 60 to 9000"},
		{"a,size=64k", "size cannot be '64k': valid is 60 to 9000"},
		{"a,size=99999999999999999999", "size cannot be '99999999999999999999': valid is "
						"60 to 9000"},
		{"a,source=yes", "source cannot be 'yes': valid is on or off"},
		{"a,mac=1:2:3", "mac cannot be '1:2:3': valid is a unicast address as "
				"02:00:00:00:00:01"},
		{"a,mac=01:00:00:00:00:01", "mac cannot be '01:00:00:00:00:01': valid is a "
					    "unicast address as 02:00:00:00:00:01"},
		{"a,mac=02:00:00:00:00:01x", "mac cannot be '02:00:00:00:00:01x': valid is a "
					     "unicast address as 02:00:00:00:00:01"},
		{"a,size=64,size=65", "size is given twice"},
		{"a,sise=64", "no option is called 'sise'; did you mean 'size'? valid: size, "
			      "source, mac"},
		{"a,b,sise=64", "no option is called 'sise'; did you mean 'size'? valid: size, "
				"source, mac"},
		{"a,b,colour=1", "no option is called 'colour'; valid: size, source, mac"},
		{"a,b,c", "'c' is not name=value"},
	};
	struct options options;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_not_equal(parse(cases[i].args, &options, &error), 0);
		assert_string_equal(error.message, cases[i].message);
		assert_string_equal(error.path, "spec");
		assert_string_equal(error.hint, "test:NAME[,OUT]");
	}
}

static void test_long(void **state)
{
	struct options options;
	struct error error;
	char args[1000];

	(void)state;
	memset(args, 'x', sizeof(args) - 1);
	args[sizeof(args) - 1] = '\0';
	assert_int_not_equal(parse(args, &options, &error), 0);
	assert_non_null(strstr(error.message, "is longer than"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
