/* Values of the configuration as people read and write them. Used by show.c and change.c. */
#ifndef NETVM_CLI_VALUE_H
#define NETVM_CLI_VALUE_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "cli/schema.h"

/* The value at "match.in_port" within an object, or NULL. */
const json_t *value_at(const json_t *object, const char *path);

/* Does the object, of that name, say something else than the field's default? */
bool value_is_notable(const struct schema_field *field, const char *name, const json_t *object);

/*
 * The bare text of texts, "a, b" of lists (`tight`: "a,b", as it is typed), "-" of nothing, else
 * JSON. The caller frees.
 */
char *value_words(const json_t *value, bool tight);

/* As a shell reads it back: plain, or in single quotes. */
void value_print_quoted(FILE *out, const char *word);

#endif
