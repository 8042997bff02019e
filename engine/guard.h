/*
 * The guard against holes in a group's memory.
 *
 * Who has a memfd for writing may punch holes into it, no seal forbids that without forbidding to
 * map it. In plain pages a hole reads as zeros. In huge pages the hole's page goes back to the
 * machine, anybody may take it, and when none is left whoever touches the hole gets SIGBUS: an NF
 * could end the daemon. The guard puts private zero pages there instead; the group has `torn` set,
 * its NFs can be taken out, nobody else notices.
 *
 * Thread-safety: add and remove on the control thread, while no worker uses the pool; the handler
 * runs on whatever thread touched the hole.
 */
#ifndef NETVM_ENGINE_GUARD_H
#define NETVM_ENGINE_GUARD_H

#include "engine/buffers.h"

/* Before the first pool; notify_fd: an eventfd that is written when a pool is torn. */
void guard_install(int notify_fd);
/* -ENOSPC: there are as many groups as there can be. */
int guard_add(struct buffer_pool *pool);
void guard_remove(struct buffer_pool *pool);

#endif
