/*
 * Where in a text a value stands, so that an error about `ports.lan.mtu` can point at the line. The
 * text is read a second time, only when there is an error. Called by main and the CLI.
 */
#include "manager/yaml.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

/* The node of `path`'s next part below `node`; its place goes to *mark. NULL: there is none. */
static yaml_node_t *descend(yaml_document_t *document, yaml_node_t *node, const char *part,
	size_t length, yaml_mark_t *mark)
{
	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
		pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *key = yaml_document_get_node(document, pair->key);

		if (key->type != YAML_SCALAR_NODE || key->data.scalar.length != length ||
			memcmp(key->data.scalar.value, part, length) != 0)
			continue;
		*mark = key->start_mark;
		return yaml_document_get_node(document, pair->value);
	}
	return NULL;
}

/* Names may hold dots: of the parts a path can begin with, the longest that exists is taken. */
static yaml_node_t *descend_longest(
	yaml_document_t *document, yaml_node_t *node, const char **path, yaml_mark_t *mark)
{
	size_t length = strlen(*path);

	while (length > 0) {
		yaml_node_t *below = descend(document, node, *path, length, mark);

		if (below) {
			*path += length + ((*path)[length] == '.');
			return below;
		}
		while (--length > 0 && (*path)[length] != '.')
			;
	}
	return NULL;
}

static bool find(yaml_document_t *document, const char *path, yaml_mark_t *mark)
{
	yaml_node_t *node = yaml_document_get_root_node(document);
	bool found = false;

	while (node && *path) {
		node = descend_longest(document, node, &path, mark);
		found |= node != NULL;
	}
	return found;
}

void yaml_find(const char *text, size_t length, const char *path, unsigned *line, unsigned *column)
{
	yaml_parser_t parser;
	yaml_document_t document;
	yaml_mark_t mark = {0};

	*line = *column = 0;
	if (!yaml_parser_initialize(&parser))
		return;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
	if (yaml_parser_load(&parser, &document)) {
		if (find(&document, path, &mark)) {
			*line = (unsigned)mark.line + 1;
			*column = (unsigned)mark.column + 1;
		}
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
}

unsigned yaml_find_in_file(const char *file, const char *path)
{
	unsigned line, column;
	size_t length;
	char *text;

	if (!path[0] || yaml_read_file(file, &text, &length))
		return 0;
	yaml_find(text, length, path, &line, &column);
	free(text);
	return line;
}
