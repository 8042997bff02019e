/* What daemon.* and schema.get need to know. Called by daemon.c. */
#ifndef NETVM_MANAGER_DAEMON_METHODS_H
#define NETVM_MANAGER_DAEMON_METHODS_H

struct manager;

/* `dpdk`: version text. Both are borrowed while methods may be called. */
void daemon_methods_init(const struct manager *manager, const char *dpdk);

#endif
