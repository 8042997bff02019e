/*
 * Descriptors sent over a Unix socket (SCM_RIGHTS, unix(7)). Used by who speaks with NFs
 * (modules/nf/session.c) and QEMU (modules/guest). Any thread.
 */
#ifndef NETVM_COMMON_PASSING_H
#define NETVM_COMMON_PASSING_H

#include <stddef.h>

#define PASSING_FDS_MAX 32

/*
 * Send bytes and n_fds descriptors (0: none) that the caller keeps, without waiting. 0, or -errno:
 * of sendmsg(2); -EAGAIN also when only a part was taken.
 */
int passing_send(int socket, const void *bytes, size_t n_bytes, const int *fds, unsigned n_fds);

#endif
