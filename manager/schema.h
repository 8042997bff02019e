/*
 * The schema: one descriptor table per section says what the document may hold. Validation,
 * defaults, the CLI's grammar and completion, schema.get and the manual all come from it.
 *
 * A section is a map of named objects (`ports: {lan: {...}}`) or, with `single`, one object
 * (`engine: {...}`). A module writes its tables as constants:
 *
 *	static const struct field port_fields[] = {
 *		{"spec", FIELD_TEXT, .required = true, .effect = EFFECT_RECREATE,
 *			.check = spec_check, .help = "Driver and device", .example = "tap:lan0"},
 *		{"mtu", FIELD_INT, .min = 68, .max = 15000, .preset = "1500", .unit = "bytes",
 *			.help = "Longest payload of a frame"},
 *		{},
 *	};
 *	const struct section port_section = {"ports", "port", port_fields, .help = "..."};
 *
 * Modules get documents that are checked and complete: every field with a preset is there, a field
 * without one is there only when it was given.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MANAGER_SCHEMA_H
#define NETVM_MANAGER_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"
#include "manager/role.h"

#define SCHEMA_NAME_MAX 31 /* bytes of an object's name: [A-Za-z0-9][A-Za-z0-9_.-]* */

enum field_type {
	FIELD_BOOL,
	FIELD_INT,    /* min..max */
	FIELD_TEXT,   /* any text of 1..max bytes (max 0: 255) without control characters */
	FIELD_NAME,   /* syntax of an object's name */
	FIELD_REF,    /* the name of an object of section `ref`, which must exist */
	FIELD_ENUM,   /* one of `values`; when max > 0 also a number min..max */
	FIELD_RANGE,  /* a number or "LOW-HIGH", within min..max */
	FIELD_PREFIX, /* IPv4 or IPv6 address or prefix */
	FIELD_LIST,   /* of `element`, at most max of them (max 0: 64) */
	FIELD_MAP,    /* an object with `fields` */
	FIELD_ANY,    /* any JSON value; parameters of methods only */
};

/* What a change of this field costs. */
enum effect {
	EFFECT_LIVE,     /* nothing */
	EFFECT_RECREATE, /* the object is taken down and made again */
	EFFECT_RESTART,  /* takes effect when the daemon is started again */
};

struct field {
	const char *name;
	enum field_type type;
	bool required;
	bool preset_name; /* the preset is the object's own name */
	enum effect effect;
	int64_t min, max;
	const char *preset; /* JSON text such as "1500", "\"default\"", "[]"; NULL: none */
	const char *unit;
	const char *help; /* one line, no full stop */
	const char *example;
	const char *ref;           /* FIELD_REF: section; others, for completion: section.field */
	const char *const *values; /* FIELD_ENUM: NULL-terminated */
	/* FIELD_TEXT, for completion: how values begin, NULL-terminated, such as "tap:" */
	const char *const *(*starts)(void);
	const struct field *element; /* FIELD_LIST: one field, its name is not used */
	const struct field *fields;  /* FIELD_MAP: ended by an entry without name */
	/*
	 * Further syntax the table cannot say, run after the type is right. Sets message and hint;
	 * the path is put in front by the caller.
	 */
	int (*check)(const json_t *value, struct error *error);
};

struct section {
	const char *name;   /* in the document: "ports" */
	const char *object; /* one of them, the CLI's word: "port" */
	const struct field *fields;
	bool single;
	const char *always; /* name of an object that exists even when not given */
	const char *help;
	enum role role; /* that a change of it takes */
};

/*
 * Check `given` against the sections (NULL-terminated) and build the complete document: presets
 * filled in, references checked. Returns 0 and a new reference in *complete, or -EINVAL (type,
 * range, unknown key, missing field), -ENAMETOOLONG, -ENOENT (dangling reference), -EBUSY
 * (dangling, but not in `old`, the complete document before, which may be NULL: it is still used).
 */
int schema_complete(const struct section *const *sections, const json_t *old, const json_t *given,
	json_t **complete, struct error *error);

/* The same for one flat object, such as a method's parameters. */
int schema_complete_object(
	const struct field *fields, const json_t *given, json_t **complete, struct error *error);

/* All sections, or the fields of one object, as JSON: see schema.get in README.md. New reference.
 */
json_t *schema_export(const struct section *const *sections);
json_t *schema_export_fields(const struct field *fields);

/* The one of that name, or NULL. */
const struct section *schema_section(const struct section *const *sections, const char *name);

/* "live", "recreate" or "restart". */
const char *schema_effect_name(enum effect effect);

/* 0 or -EINVAL / -ENAMETOOLONG with message and hint. */
int schema_check_name(const char *name, struct error *error);

/* A FIELD_RANGE or FIELD_PREFIX value taken apart. The value must have passed the check. */
void schema_range(const json_t *value, uint16_t *low, uint16_t *high);
int schema_prefix(
	const char *text, uint8_t address[16], uint8_t *bits, uint8_t *family, struct error *error);

/* ---- reading a checked document -------------------------------------------------------------- */

/* NULL when there is none of that name. Borrowed. */
static inline json_t *document_object(const json_t *document, const char *section, const char *name)
{
	return json_object_get(json_object_get(document, section), name);
}

static inline bool value_bool(const json_t *object, const char *field)
{
	return json_is_true(json_object_get(object, field));
}

/* 0 when it is not there. */
static inline int64_t value_int(const json_t *object, const char *field)
{
	return json_integer_value(json_object_get(object, field));
}

/* NULL when it is not there. Lives as long as the document. */
static inline const char *value_text(const json_t *object, const char *field)
{
	return json_string_value(json_object_get(object, field));
}

#endif
