/*
 * YAML texts (manager/yaml.c, yaml_scalar.c, yaml_dump.c, yaml_find.c).
 *
 * Properties: what was parsed, printed and parsed again is equal; an error names a place within
 * the text; a place that yaml_find() names lies within the text.
 */
#include "manager/yaml.h"
#include "tests/fuzz/fuzz.h"

/* libyaml counts the end of the text as a line of its own. */
static unsigned count_lines(const char *text, size_t length)
{
	unsigned n = 2;

	for (size_t i = 0; i < length; i++)
		n += text[i] == '\n' || text[i] == '\r' || (uint8_t)text[i] == 0x85 ||
		     (uint8_t)text[i] == 0xa8 || (uint8_t)text[i] == 0xa9; /* NEL, LS, PS */
	return n;
}

static void prints_and_parses_to_itself(const json_t *value)
{
	char *text = yaml_dump(value);
	json_t *again = NULL;
	struct error error = {0};

	require(text);
	if (strlen(text) <= YAML_BYTES_MAX) {
		require(yaml_parse(text, strlen(text), &again, &error) == 0);
		require(json_equal(value, again));
	}
	json_decref(again);
	free(text);
}

static void keys_are_found(const char *text, size_t length, const json_t *value)
{
	unsigned line, column;
	const char *key;
	json_t *member;

	json_object_foreach ((json_t *)value, key, member) {
		yaml_find(text, length, key, &line, &column);
		require(line <= count_lines(text, length));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	char *text = feed_text(&feed);
	struct error error = {0};
	json_t *value = NULL;
	unsigned line = 0;

	if (yaml_parse(text, size, &value, &error) == 0) {
		require(value);
		prints_and_parses_to_itself(value);
		keys_are_found(text, size, value);
	} else {
		require(!value);
		require(error.message[0]);
		require(sscanf(error.path, "%u:", &line) == 0 || line <= count_lines(text, size));
	}
	json_decref(value);
	free(text);
	return 0;
}
