/* The section `ports` of the document. Read by the manager's schema. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/port.h"
#include "manager/schema.h"
#include "modules/port/control.h"

/* "tap:NAME..., pcap:IN[,OUT], ...": how each driver is spelled. */
static void join_usages(char *text, size_t size)
{
	size_t at = 0;

	for (const struct port_driver *const *d = port_drivers; *d && at < size; d++)
		at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "", (*d)->usage);
}

/* What is behind the colon is the driver's, when it opens the port. */
static int check_spec(const json_t *value, struct error *error)
{
	const char *spec = json_string_value(value);
	size_t length = strcspn(spec, ":");
	char hint[ERROR_HINT_BYTES];

	for (const struct port_driver *const *d = port_drivers; *d; d++)
		if (spec[length] && strlen((*d)->kind) == length &&
			memcmp((*d)->kind, spec, length) == 0)
			return 0;
	join_usages(hint, sizeof(hint));
	if (!spec[length])
		return error_set(error, EINVAL, "", hint,
			"\"%.60s\" names no driver: a colon is missing", spec);
	return error_set(error, EINVAL, "", hint, "there is no driver \"%.*s\"", (int)length, spec);
}

#define KINDS_MAX 16

/* "tap:", "pcap:" ... */
static const char *const *spec_starts(void)
{
	static char text[KINDS_MAX][16];
	static const char *starts[KINDS_MAX + 1];

	for (unsigned i = 0; i < KINDS_MAX && port_drivers[i]; i++) {
		snprintf(text[i], sizeof(text[i]), "%s:", port_drivers[i]->kind);
		starts[i] = text[i];
	}
	return starts;
}

static const struct field port_fields[] = {
	{"spec", FIELD_TEXT, .required = true, .effect = EFFECT_RECREATE, .check = check_spec,
		.help = "Driver and device", .example = "tap:lan0", .starts = spec_starts},
	{"group", FIELD_REF, .ref = "groups", .preset = "\"default\"", .effect = EFFECT_RECREATE,
		.help = "Trust group whose buffers packets come into"},
	{"mtu", FIELD_INT, .min = 68, .max = 15000, .preset = "1500", .unit = "bytes",
		.help = "Longest payload of a frame"},
	{"promiscuous", FIELD_BOOL, .preset = "false",
		.help = "Also take frames for other addresses than the port's own"},
	{"up", FIELD_BOOL, .preset = "true", .help = "Administrative state"},
	{"queues", FIELD_INT, .min = 1, .max = PORT_QUEUES_MAX, .preset = "1",
		.effect = EFFECT_RECREATE,
		.help = "Receive queues wanted, spread over the workers"},
	{"force", FIELD_BOOL, .preset = "false", .effect = EFFECT_RECREATE,
		.help = "Take an interface even when it carries an address or the default route"},
	{},
};

const struct section port_section = {
	"ports", "port", port_fields, .help = "Ports: where packets enter or leave the host"};
