/* Errors for callers of the daemon: filling, prefixing, "did you mean". See error.h. */
#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int error_set(
	struct error *error, int code, const char *path, const char *hint, const char *format, ...)
{
	va_list args;

	if (!error || error->code)
		return -code;
	error->code = code;
	snprintf(error->path, sizeof(error->path), "%s", path ? path : "");
	snprintf(error->hint, sizeof(error->hint), "%s", hint ? hint : "");
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return -code;
}

void error_prefix(struct error *error, const char *prefix)
{
	char path[ERROR_PATH_BYTES];

	if (!error || !error->code)
		return;
	snprintf(path, sizeof(path), "%s%s%.*s", prefix, error->path[0] ? "." : "",
		(int)(sizeof(path) / 2), error->path);
	memcpy(error->path, path, sizeof(path));
}

const char *error_code_name(int code)
{
	const char *name = strerrorname_np(code);

	return name ? name : "EUNKNOWN";
}

/* Levenshtein distance with one row; names are short. */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t n = strlen(b);

	if (n >= 64)
		return UINT32_MAX;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned above = row[j];
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[n];
}

const char *error_nearest(const char *name, const char *const *names)
{
	const char *best = NULL;
	unsigned limit = (unsigned)strnlen(name, 64) / 3 + 1;

	for (; *names; names++) {
		unsigned distance = edit_distance(name, *names);

		if (distance <= limit) {
			best = *names;
			limit = distance ? distance - 1 : 0;
			if (distance == 0)
				break;
		}
	}
	return best;
}
