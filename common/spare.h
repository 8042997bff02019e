/*
 * A descriptor kept for when there are no more. A connection that cannot be accepted stays, and the
 * loop would be told of it without an end; the spare one is given up to accept it and hang up.
 * Used by whoever listens: manager/server.c, modules/nf/attach.c. The manager's thread.
 */
#ifndef NETVM_COMMON_SPARE_H
#define NETVM_COMMON_SPARE_H

/* A descriptor of nothing, or -1. Close it at the end. */
int spare_open(void);

/* Once there are some again: after accept() has succeeded. */
void spare_keep(int *spare_fd);

/* After accept() failed with EMFILE or ENFILE. */
void spare_hang_up(int *spare_fd, int listener);

#endif
