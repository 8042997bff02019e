/* JSON values to YAML text, over libyaml's emitter. Called by the document store and the CLI. */
#include "manager/yaml.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "manager/yaml_scalar.h"

struct writer {
	yaml_emitter_t emitter;
	char *text;
	size_t length;
};

static int append(void *arg, unsigned char *bytes, size_t n)
{
	struct writer *writer = arg;
	char *text = realloc(writer->text, writer->length + n + 1);

	if (!text)
		return 0;
	memcpy(text + writer->length, bytes, n);
	writer->text = text;
	writer->length += n;
	text[writer->length] = '\0';
	return 1;
}

static bool emit_scalar(struct writer *writer, const char *text, yaml_scalar_style_t style)
{
	yaml_event_t event;

	return yaml_scalar_event_initialize(
		       &event, NULL, NULL, (const yaml_char_t *)text, -1, 1, 1, style) &&
	       yaml_emitter_emit(&writer->emitter, &event);
}

/* Quoted where the bare text would be read as something else. */
static bool emit_text(struct writer *writer, const char *text)
{
	json_t *bare = yaml_scalar(text);
	bool same = json_is_string(bare);

	json_decref(bare);
	return emit_scalar(
		writer, text, same ? YAML_ANY_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static bool emit_value(struct writer *writer, const json_t *value, unsigned depth);

static bool emit_list(struct writer *writer, const json_t *list, unsigned depth)
{
	yaml_event_t event;
	bool good;

	yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_FLOW_SEQUENCE_STYLE);
	good = yaml_emitter_emit(&writer->emitter, &event);
	for (size_t i = 0; good && i < json_array_size(list); i++)
		good = emit_value(writer, json_array_get(list, i), depth + 1);
	yaml_sequence_end_event_initialize(&event);
	return good && yaml_emitter_emit(&writer->emitter, &event);
}

/* Sections and objects as blocks; what is inside an object's fields, on one line. */
static bool emit_map(struct writer *writer, const json_t *map, unsigned depth)
{
	yaml_event_t event;
	const char *key;
	json_t *value;
	bool good;

	yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
		depth < 3 ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE);
	good = yaml_emitter_emit(&writer->emitter, &event);
	json_object_foreach ((json_t *)map, key, value)
		good = good && emit_text(writer, key) && emit_value(writer, value, depth + 1);
	yaml_mapping_end_event_initialize(&event);
	return good && yaml_emitter_emit(&writer->emitter, &event);
}

static bool emit_value(struct writer *writer, const json_t *value, unsigned depth)
{
	char text[64]; /* a number, true, false, null */
	size_t length;

	if (json_is_object(value))
		return emit_map(writer, value, depth);
	if (json_is_array(value))
		return emit_list(writer, value, depth);
	if (json_is_string(value))
		return emit_text(writer, json_string_value(value));
	length = json_dumpb(value, text, sizeof(text) - 1, JSON_ENCODE_ANY);
	if (length >= sizeof(text))
		return false;
	text[length] = '\0';
	return emit_scalar(writer, text, YAML_PLAIN_SCALAR_STYLE);
}

static bool emit_document(struct writer *writer, const json_t *value)
{
	yaml_event_t event;
	bool good;

	yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
	good = yaml_emitter_emit(&writer->emitter, &event);
	yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
	good = good && yaml_emitter_emit(&writer->emitter, &event) && emit_value(writer, value, 0);
	yaml_document_end_event_initialize(&event, 1);
	good = good && yaml_emitter_emit(&writer->emitter, &event);
	yaml_stream_end_event_initialize(&event);
	return good && yaml_emitter_emit(&writer->emitter, &event);
}

char *yaml_dump(const json_t *value)
{
	struct writer writer = {0};
	bool good;

	if (!yaml_emitter_initialize(&writer.emitter))
		return NULL;
	yaml_emitter_set_output(&writer.emitter, append, &writer);
	yaml_emitter_set_unicode(&writer.emitter, 1);
	yaml_emitter_set_width(&writer.emitter, 100);
	good = emit_document(&writer, value);
	yaml_emitter_delete(&writer.emitter);
	if (!good) {
		free(writer.text);
		writer.text = NULL;
	}
	return writer.text;
}
