/* A QEMU's side of a Unix socket. Used by the tests of modules/guest and modules/nf. */
#ifndef NETVM_MODULES_GUEST_TESTING_QEMU_H
#define NETVM_MODULES_GUEST_TESTING_QEMU_H

#include <sys/types.h>

struct event_base;

/* Connect, and let the other side take note of it. The socket; the test fails without. */
int fake_qemu_dial(struct event_base *base, const char *path);

/*
 * What has come, and the descriptor with it, which the caller closes; -1: none. Bytes, 0 at the end
 * of the connection, -1 when there is nothing.
 */
ssize_t fake_qemu_hear(int socket, void *bytes, size_t n_bytes, int *fd);

#endif
