/*
 * The filter of system calls. Called by daemon.c when the modules are there and before the first
 * port is opened, so ports and NFs of the first document meet the same filter as later ones.
 *
 * Allowed is what the manager, the workers, DPDK and the port drivers call (seccomp.c lists them by
 * purpose), in that use only: threads but no processes, no program executed, no memory made
 * executable, no namespace entered but network namespaces, sockets of the families ports need. All
 * else gets EPERM and, where the kernel audits, a line in its log. Not a kill: the call is just as
 * impossible, and a corner of a library that nobody thought of costs one function and not all
 * traffic.
 *
 * NFs are started by a helper without this filter (modules/nf/spawner.h).
 */
#ifndef NETVM_MANAGER_SECCOMP_H
#define NETVM_MANAGER_SECCOMP_H

#include <stdbool.h>

#include "common/error.h"

/*
 * All threads there are and will be. 0; or -ENOTSUP: a sanitizer is built in, which needs calls
 * that the filter is there to refuse, or the kernel has no filters: then there is none; or -errno.
 */
int seccomp_start(struct error *error);

/* Whether it is in force; others, such as a service manager's, do not count. */
bool seccomp_is_on(void);

#endif
