/*
 * Descriptors sent over a Unix socket (SCM_RIGHTS, unix(7)). Used by who speaks with NFs
 * (modules/nf/session.c) and QEMU (modules/guest); refused by whoever listens. Any thread.
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

/*
 * Nobody may send descriptors to this socket, nor to those that are accepted from it: EPERM. Where
 * they are not wanted the kernel closes them in the receiver's name, and the end of a TCP socket
 * that lingers (SO_LINGER) takes as long as its sender likes. Kernels before Linux 6.16 cannot
 * refuse.
 */
void passing_refuse(int socket);

#endif
