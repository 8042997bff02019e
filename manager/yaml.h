/*
 * YAML text to JSON values and back, for documents. The subset: maps, lists and plain or quoted
 * scalars (YAML 1.2 core schema: null, true, false, whole numbers, fractions; else text). Anchors,
 * aliases, tags, duplicate keys, several documents in one file are errors: a configuration needs
 * none of them, and aliases can be made to explode.
 *
 * Uses libyaml and jansson only, so that the command line can link it, too.
 * Thread-safety: pure functions.
 */
#ifndef NETVM_MANAGER_YAML_H
#define NETVM_MANAGER_YAML_H

#include <stddef.h>

#include <jansson.h>

#include "common/error.h"

#define YAML_BYTES_MAX (1024u * 1024u)
#define YAML_DEPTH_MAX 16

/*
 * Parse a text. One without a value is null. Returns 0 with a new reference in *value, or -E2BIG
 * (longer than YAML_BYTES_MAX), -EINVAL, -EEXIST (duplicate key); error->path is "LINE:COLUMN".
 */
int yaml_parse(const char *text, size_t length, json_t **value, struct error *error);

/* The whole file, NUL-terminated, at most YAML_BYTES_MAX + 1 bytes of it. 0 or -errno. */
int yaml_read_file(const char *path, char **text, size_t *length);

/* Read and parse a file; error->path is "FILE:LINE:COLUMN", or FILE when it cannot be read. */
int yaml_load(const char *path, json_t **value, struct error *error);

/* As YAML text, which yaml_parse() turns into an equal value. The caller frees it; NULL: no memory.
 */
char *yaml_dump(const json_t *value);

/*
 * Where the value with that path ("ports.lan.mtu", as in errors) stands in a text that parses: the
 * key of its deepest part that is there. Lines and columns count from 1; both 0 when nothing is.
 */
void yaml_find(const char *text, size_t length, const char *path, unsigned *line, unsigned *column);

/* The line in a file; 0 when it is not there. */
unsigned yaml_find_in_file(const char *file, const char *path);

#endif
