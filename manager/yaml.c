/* YAML text to JSON values, over libyaml's events. Called by the document store and the CLI. */
#include "manager/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <yaml.h>

#include "manager/yaml_scalar.h"

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the current one */
	unsigned depth;
	struct error *error;
};

static int fail_at(struct reader *reader, yaml_mark_t mark, int code, const char *hint,
	const char *what, const char *detail)
{
	char path[48];

	snprintf(path, sizeof(path), "%zu:%zu", mark.line + 1, mark.column + 1);
	return error_set(reader->error, code, path, hint, "%s%.60s", what, detail);
}

static int fail_here(
	struct reader *reader, int code, const char *hint, const char *what, const char *detail)
{
	return fail_at(reader, reader->event.start_mark, code, hint, what, detail);
}

static int syntax_error(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *hint = parser->context ? parser->context : "the text must be YAML";

	if (parser->problem && strstr(parser->problem, "cannot start any token"))
		hint = "indent with spaces, not tabs, and quote values that start with @ or `";
	return fail_at(reader, parser->problem_mark, EINVAL, hint,
		"not YAML: ", parser->problem ? parser->problem : "unreadable");
}

static int next_event(struct reader *reader)
{
	yaml_event_delete(&reader->event);
	memset(&reader->event, 0, sizeof(reader->event));
	return yaml_parser_parse(&reader->parser, &reader->event) ? 0 : syntax_error(reader);
}

/* Anchors and tags would give a value a meaning that the text does not show. */
static int check_plain(struct reader *reader)
{
	const yaml_event_t *event = &reader->event;
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (event->type == YAML_ALIAS_EVENT) {
		anchor = event->data.alias.anchor;
	} else if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	}
	if (anchor)
		return fail_here(reader, EINVAL, "write the value out",
			"no anchors or aliases: ", (const char *)anchor);
	if (tag)
		return fail_here(reader, EINVAL, "leave it out", "no tags: ", (const char *)tag);
	return 0;
}

static int read_value(struct reader *reader, json_t **value);

static int read_scalar(struct reader *reader, json_t **value)
{
	const char *text = (const char *)reader->event.data.scalar.value;
	size_t length = reader->event.data.scalar.length;

	if (strlen(text) != length)
		return fail_here(reader, EINVAL, "leave it out", "a NUL byte in a text", "");
	if (reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		*value = yaml_scalar(text);
	else
		*value = json_string(text);
	return *value ? 0 : fail_here(reader, EINVAL, "a 64-bit number", "out of range: ", text);
}

static int read_sequence(struct reader *reader, json_t **value)
{
	json_t *list = json_array(), *item;
	int rc = next_event(reader);

	while (rc == 0 && reader->event.type != YAML_SEQUENCE_END_EVENT) {
		rc = read_value(reader, &item);
		if (rc == 0)
			json_array_append_new(list, item);
		if (rc == 0)
			rc = next_event(reader);
	}
	if (rc)
		json_decref(list);
	else
		*value = list;
	return rc;
}

/* The current event is a key; reads it and its value into `map`. */
static int read_pair(struct reader *reader, json_t *map)
{
	char *key;
	json_t *value;
	int rc = check_plain(reader);

	if (rc)
		return rc;
	if (reader->event.type != YAML_SCALAR_EVENT)
		return fail_here(reader, EINVAL, "a name", "a key must be one word", "");
	key = (char *)reader->event.data.scalar.value;
	if (strlen(key) != reader->event.data.scalar.length)
		return fail_here(reader, EINVAL, "leave it out", "a NUL byte in a key", "");
	if (json_object_get(map, key))
		return fail_here(
			reader, EEXIST, "remove or rename one of the two", "given twice: ", key);
	key = strdup(key);
	rc = key ? next_event(reader) : -ENOMEM;
	if (rc == 0)
		rc = read_value(reader, &value);
	if (rc == 0)
		json_object_set_new(map, key, value);
	free(key);
	return rc;
}

static int read_mapping(struct reader *reader, json_t **value)
{
	json_t *map = json_object();
	int rc = next_event(reader);

	while (rc == 0 && reader->event.type != YAML_MAPPING_END_EVENT) {
		rc = read_pair(reader, map);
		if (rc == 0)
			rc = next_event(reader);
	}
	if (rc)
		json_decref(map);
	else
		*value = map;
	return rc;
}

/* The current event starts a value; afterwards it is the one that ended it. */
static int read_value(struct reader *reader, json_t **value)
{
	int rc = check_plain(reader);

	if (rc)
		return rc;
	if (reader->event.type == YAML_SCALAR_EVENT)
		return read_scalar(reader, value);
	if (++reader->depth > YAML_DEPTH_MAX)
		return fail_here(reader, EINVAL, "at most 16 levels", "nested too deep", "");
	rc = reader->event.type == YAML_MAPPING_START_EVENT ? read_mapping(reader, value)
							    : read_sequence(reader, value);
	reader->depth--;
	return rc;
}

static int read_end(struct reader *reader)
{
	int rc = next_event(reader); /* the end of the document */

	if (rc == 0)
		rc = next_event(reader);
	if (rc == 0 && reader->event.type != YAML_STREAM_END_EVENT)
		rc = fail_here(reader, EINVAL, "one document in a file", "a second document", "");
	return rc;
}

static int read_stream(struct reader *reader, json_t **value)
{
	int rc = next_event(reader); /* the start of the stream */

	if (rc == 0)
		rc = next_event(reader);
	if (rc)
		return rc;
	if (reader->event.type == YAML_STREAM_END_EVENT) {
		*value = json_null();
		return 0;
	}
	rc = next_event(reader); /* behind the start of the document */
	if (rc == 0)
		rc = read_value(reader, value);
	if (rc)
		return rc;
	rc = read_end(reader);
	if (rc) {
		json_decref(*value);
		*value = NULL;
	}
	return rc;
}

int yaml_parse(const char *text, size_t length, json_t **value, struct error *error)
{
	struct reader reader = {.error = error};
	int rc;

	if (length > YAML_BYTES_MAX)
		return error_set(
			error, E2BIG, "", "at most 1 MiB", "the document has %zu bytes", length);
	if (!yaml_parser_initialize(&reader.parser))
		return error_set(error, ENOMEM, "", "", "no memory");
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
	rc = read_stream(&reader, value);
	yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	return rc;
}

/* ---- files ----------------------------------------------------------------------------------- */

static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t got = read(fd, text + n, size - n);

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

int yaml_read_file(const char *path, char **text, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* One byte more than a document may have, so that yaml_parse() sees that it is too long. */
	*text = malloc(YAML_BYTES_MAX + 2);
	n = *text ? read_all(fd, *text, YAML_BYTES_MAX + 1) : -ENOMEM;
	close(fd);
	if (n < 0) {
		free(*text);
		return (int)n;
	}
	(*text)[n] = '\0';
	*length = (size_t)n;
	return 0;
}

static void put_file_in_front(struct error *error, const char *file)
{
	char place[ERROR_PATH_BYTES];

	snprintf(place, sizeof(place), "%.100s%s%.40s", file, error->path[0] ? ":" : "",
		error->path);
	memcpy(error->path, place, sizeof(place));
}

int yaml_load(const char *path, json_t **value, struct error *error)
{
	size_t length;
	char *text;
	int rc = yaml_read_file(path, &text, &length);

	if (rc)
		return error_set(error, -rc, path, "", "cannot read it: %s", strerror(-rc));
	rc = yaml_parse(text, length, value, error);
	free(text);
	if (rc && error)
		put_file_in_front(error, path);
	return rc;
}
