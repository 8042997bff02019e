/* Statistics: stats.get, drops.get and events.get. Listed in manager/modules.c. */
#ifndef NETVM_MODULES_STATS_H
#define NETVM_MODULES_STATS_H

struct module;

extern const struct module stats_module;

#endif
