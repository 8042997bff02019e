/* Values as people read and write them. See value.h. */
#include "cli/value.h"

#include <string.h>

const json_t *value_at(const json_t *object, const char *path)
{
	size_t length = strcspn(path, ".");
	char key[64];

	snprintf(key, sizeof(key), "%.*s", (int)length, path);
	object = json_object_get(object, key);
	return path[length] ? value_at(object, path + length + 1) : object;
}

bool value_is_notable(const struct schema_field *field, const char *name, const json_t *object)
{
	const json_t *value = value_at(object, field->path);
	const json_t *preset = json_object_get(field->entry, "default");

	if (!value || json_is_null(value))
		return false;
	if (json_is_true(json_object_get(field->entry, "default_name")))
		return strcmp(json_string_value(value) ? json_string_value(value) : "", name) != 0;
	return !preset || !json_equal(value, preset);
}

char *value_words(const json_t *value, bool tight)
{
	char *text, *end;

	if (!value || json_is_null(value) || (json_is_array(value) && !json_array_size(value)))
		return strdup("-");
	if (json_is_string(value))
		return strdup(json_string_length(value) ? json_string_value(value) : "-");
	text = json_dumps(value, JSON_ENCODE_ANY | (tight ? JSON_COMPACT : 0));
	if (!text || !json_is_array(value))
		return text;
	end = text;
	for (const char *at = text; *at; at++) {
		if (!strchr("[]\"", *at))
			*end++ = *at;
	}
	*end = '\0';
	return text;
}

void value_print_quoted(FILE *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "%+,-./:=@_";

	if (*word && word[strspn(word, plain)] == '\0') {
		fputs(word, out);
		return;
	}
	fputc('\'', out);
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", out);
		else
			fputc(*word, out);
	}
	fputc('\'', out);
}
