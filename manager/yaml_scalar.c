/* Plain scalars by the core schema of YAML 1.2 (section 10.3.2). Called by yaml.c, yaml_dump.c. */
#include "manager/yaml_scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

/* Decimal (base 10, sign allowed), 0o octal or 0x hexadecimal; 0 when it is none of them. */
static int number_base(const char *text, const char **digits)
{
	bool prefixed = text[0] == '0' && (text[1] == 'x' || text[1] == 'o');
	int base = !prefixed ? 10 : text[1] == 'x' ? 16 : 8;

	*digits = prefixed ? text + 2 : text;
	if (!prefixed && (*text == '-' || *text == '+'))
		text++;
	else
		text = *digits;
	if (!*text)
		return 0;
	for (; *text; text++) {
		if (base == 16 ? !isxdigit((unsigned char)*text)
			       : *text < '0' || *text >= '0' + base)
			return 0;
	}
	return base;
}

static json_t *whole_number(const char *digits, int base)
{
	long long number;

	errno = 0;
	number = strtoll(digits, NULL, base);
	return errno ? NULL : json_integer(number);
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_fraction(const char *text)
{
	size_t before, after = 0;

	text += *text == '-' || *text == '+';
	before = strspn(text, "0123456789");
	text += before;
	if (*text == '.') {
		after = strspn(++text, "0123456789");
		text += after;
	}
	if (before + after == 0)
		return false;
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		before = strspn(text, "0123456789");
		return before > 0 && text[before] == '\0';
	}
	return *text == '\0';
}

json_t *yaml_scalar(const char *text)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	const char *digits;
	int base;

	if (is_one_of(text, nulls))
		return json_null();
	if (is_one_of(text, trues))
		return json_true();
	if (is_one_of(text, falses))
		return json_false();
	base = number_base(text, &digits);
	if (base)
		return whole_number(digits, base);
	return is_fraction(text) && isfinite(strtod(text, NULL)) ? json_real(strtod(text, NULL))
								 : json_string(text);
}
