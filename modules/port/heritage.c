/* What ports leave behind: see heritage.h. */
#include "modules/port/heritage.h"

#include <string.h>

#include "manager/estate.h"
#include "manager/schema_types.h"

#define KIND "port"

static json_t *noted; /* which port it was, by name */
static json_t *found; /* notes of an earlier daemon; NULL: not looked, or forgotten */

void heritage_note(const struct port *port, const json_t *settings)
{
	if (!port->made)
		return;
	if (!noted)
		noted = json_object();
	json_object_set_new(noted, port->name, json_integer(port->number));
	estate_note(KIND, port->name,
		json_pack("{s:s s:I}", "spec", value_text(settings, "spec"), "queues",
			value_int(settings, "queues")));
}

/* Of two of one name, the one that takes over is noted already when the other one goes. */
void heritage_strike(const struct port *port)
{
	const json_t *number = json_object_get(noted, port->name);

	if (port->stays || !number || json_integer_value(number) != port->number)
		return;
	json_object_del(noted, port->name);
	estate_strike(KIND, port->name);
}

static bool is_same(const json_t *note, const json_t *settings)
{
	return json_equal(json_object_get(note, "spec"), json_object_get(settings, "spec")) &&
	       json_equal(json_object_get(note, "queues"), json_object_get(settings, "queues"));
}

const struct port_driver *port_driver_of(const char *spec)
{
	size_t length = strcspn(spec, ":");

	for (const struct port_driver *const *d = port_drivers; *d; d++)
		if (strlen((*d)->kind) == length && memcmp((*d)->kind, spec, length) == 0)
			return *d;
	return NULL;
}

static void remove_device(const char *spec)
{
	const struct port_driver *driver = spec ? port_driver_of(spec) : NULL;

	if (driver && driver->remove)
		driver->remove(strchr(spec, ':') + 1);
}

/* `name` may be the key itself, which goes with the note. */
static void remove_found(const char *name)
{
	remove_device(json_string_value(json_object_get(json_object_get(found, name), "spec")));
	estate_strike(KIND, name);
	json_object_del(found, name);
}

/* Those of other settings would be in the way. */
void heritage_find(const json_t *ports)
{
	const char *name;
	json_t *note;
	void *next;

	json_decref(found);
	found = estate_read(KIND);
	json_object_foreach_safe (found, next, name, note) {
		const json_t *settings = json_object_get(ports, name);

		if (settings && !is_same(note, settings))
			remove_found(name);
	}
}

bool heritage_has(const json_t *settings)
{
	const char *name;
	json_t *note;

	json_object_foreach (found, name, note)
		if (is_same(note, settings))
			return true;
	return false;
}

void heritage_end(const json_t *ports)
{
	const char *name;
	json_t *note;
	void *next;

	json_object_foreach_safe (found, next, name, note)
		if (!json_object_get(ports, name))
			remove_found(name);
	json_decref(found);
	found = NULL;
}
