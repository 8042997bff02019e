/*
 * Interfaces that ports made and that outlive the daemon (manager/estate.h). Called by control.c.
 *
 * A daemon that starts finds the notes of the last one, which was killed or handed over; ports of
 * the same settings take their interface over with everything set on it, the others are removed.
 */
#ifndef NETVM_MODULES_PORT_HERITAGE_H
#define NETVM_MODULES_PORT_HERITAGE_H

#include <stdbool.h>

#include <jansson.h>

#include "engine/port.h"

/* `port` is open and attached; nothing happens when it made nothing. */
void heritage_note(const struct port *port, const json_t *settings);
/* It is about to be closed. */
void heritage_strike(const struct port *port);

/* At the start: read the notes; what ports of other settings left is removed. */
void heritage_find(const json_t *ports);
/* Until heritage_end(): did an earlier daemon have a port of these settings? */
bool heritage_has(const json_t *settings);
/* The start has succeeded: remove what no port took over. */
void heritage_end(const json_t *ports);

/* The driver that a spec names, or NULL. */
const struct port_driver *port_driver_of(const char *spec);

#endif
