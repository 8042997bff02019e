/*
 * Reading the schema that the daemon gives out (schema.get): sections, their fields with dotted
 * names ("match.in_port"), and what a field's value may be. Nothing about a section is known to
 * the command line itself.
 */
#ifndef NETVM_CLI_SCHEMA_H
#define NETVM_CLI_SCHEMA_H

#include <stdbool.h>

#include <jansson.h>

#include "cli/choices.h"

struct cli;

/* The section of that name ("ports"), or NULL. `schema` may be NULL. */
const json_t *schema_section(const json_t *schema, const char *name);

/* The section whose objects are called `noun` ("port"), or NULL; its name is put in *name. */
const json_t *schema_section_of(const json_t *schema, const char *noun, const char **name);

/* What one object of a section is called: "port". */
const char *schema_noun(const json_t *section);

/* `single`: a section that is one object, without names. */
bool schema_is_single(const json_t *section);

/*
 * A text of a section or field: "help"; "valid", which says what a value may be; "unit". NULL when
 * it has none.
 */
const char *schema_text(const json_t *entry, const char *key);

/* A field and where it lies within an object. */
struct schema_field {
	char path[64]; /* "mtu", "match.in_port" */
	const json_t *entry;
};

struct schema_fields {
	struct schema_field *at;
	unsigned n;
};

/* The fields of a section, those of maps by their dotted names. Free .at when done. */
struct schema_fields schema_fields(const json_t *section);

/* What may stand as a value: for enums, booleans and references; else nothing is added. */
void schema_values(struct cli *cli, const json_t *field, struct choices *values);

/* The field's default in words: "1500", "none", "required". */
void schema_preset(const json_t *field, char *text, size_t size);

/*
 * The JSON value that `text` stands for in this field, the elements of lists between commas.
 * NULL with a fault about `spot` when it cannot be one; ranges are for the daemon to judge.
 */
json_t *schema_value(const json_t *field, const char *text, struct spot spot, struct fault *fault);

#endif
