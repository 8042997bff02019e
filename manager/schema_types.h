/*
 * Values of one field, and the words of errors about names: for schema*.c and for whoever reports
 * an unknown name.
 */
#ifndef NETVM_MANAGER_SCHEMA_TYPES_H
#define NETVM_MANAGER_SCHEMA_TYPES_H

#include <stddef.h>

#include "manager/schema.h"

#define SCHEMA_LIST_MAX 64
#define SCHEMA_TEXT_MAX 255

/* The type's name in schema.get. */
const char *schema_type_name(enum field_type type);

/* What would be valid, such as "a number 68..15000 (bytes)". */
void schema_describe(const struct field *field, char *text, size_t size);

/* Is this a valid value, members of lists and maps aside? */
int schema_check_value(const struct field *field, const json_t *value, struct error *error);

/* "X is wanted, not Y", with the description as hint. */
int schema_wrong(const struct field *field, const json_t *value, struct error *error);

/* "a number", "a list": what a value is, for messages. */
const char *schema_type_of(const json_t *value);

/* "a, b, c", or "a, b, ..." where more do not fit. */
void schema_join(const char *const *names, char *text, size_t size);

/* Error "unknown WHAT NAME", naming the nearest of `known` and all of them. Path: the name. */
int schema_unknown(int code, const char *what, const char *name, const char *const *known,
	struct error *error);

/* The same for a section, and (-ENOENT) for an object of a section. */
int schema_unknown_section(
	int code, const struct section *const *sections, const char *name, struct error *error);
int schema_unknown_object(const struct section *section, const json_t *objects, const char *name,
	struct error *error);

/* The keys of a map, at most SCHEMA_LIST_MAX - 1 of them, NULL-terminated; returns how many. */
unsigned schema_keys(const json_t *map, const char *keys[SCHEMA_LIST_MAX]);

#endif
