/*
 * The text behind "kind:" of a port's spec: some values by position, then name=value, separated by
 * commas. Each driver describes its own in a table; one parser fills its struct and makes the
 * errors. Called by the drivers' open, on the control thread.
 *
 *     tap:lan0,queues=2,netns=red        af_packet:eth0        null:size=128,rate=1000000
 *
 * A value by position may hold "=", but not behind a mere word: ./x=y is a path, x=y a mistyped
 * option. A value of kind ADDRESS is an Ethernet address (6 bytes); the field behind the table's
 * offset is char[size] for TEXT, uint64_t for NUMBER, bool for SWITCH, uint8_t[6] for ADDRESS. What
 * the spec does not name keeps the value the caller put there.
 */
#ifndef NETVM_MODULES_PORT_SPEC_H
#define NETVM_MODULES_PORT_SPEC_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum spec_type { SPEC_TEXT, SPEC_NUMBER, SPEC_SWITCH, SPEC_ADDRESS };

enum spec_place {
	SPEC_OPTION,     /* name=value, anywhere */
	SPEC_POSITIONAL, /* by its place, may be empty or "-" */
	SPEC_REQUIRED,   /* by its place, must be there */
};

struct spec_field {
	const char *name; /* as in errors and before "=" */
	enum spec_type type;
	enum spec_place place;
	size_t offset;
	size_t size;       /* TEXT: bytes of the field with its NUL */
	uint64_t min, max; /* NUMBER */
};

#define SPEC_FIELDS_MAX 12

/* Fields end with one without a name. `usage` becomes the hint of every error, path is "spec". */
int spec_parse(const char *args, const struct spec_field *fields, const char *usage, void *options,
	struct error *error);

#endif
