/* Ports by name. Called by modules/chain on the manager's thread. */
#ifndef NETVM_MODULES_PORT_CONTROL_H
#define NETVM_MODULES_PORT_CONTROL_H

struct module;
struct port;
struct section;

extern const struct module port_module;
extern const struct section port_section;

/* The open port of that name in the document being prepared, else of the running one; or NULL. */
struct port *port_find(const char *name);

#endif
