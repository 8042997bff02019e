/* Packet traces: the method trace.run. Listed in manager/modules.c. */
#ifndef NETVM_MODULES_TRACE_H
#define NETVM_MODULES_TRACE_H

struct module;

extern const struct module trace_module;

#endif
