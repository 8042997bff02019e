/*
 * While the daemon is away: wait for its socket to appear. Called by run.c.
 *
 * A daemon that comes puts its socket into place whole, with a rename, so that the first look after
 * it succeeds. Where the socket is nothing that can be watched (the folder is gone or is another
 * one meanwhile, a guest's devices) the pauses between two tries decide.
 *
 * Thread-safety: one thread at a time.
 */
#ifndef NETVM_NETLIB_ABSENCE_H
#define NETVM_NETLIB_ABSENCE_H

#include <stdbool.h>

struct absence {
	int fd; /* inotify; -1: not waiting, or nothing to be watched */
	int pause_ms;
};

#define ABSENCE_NONE ((struct absence){.fd = -1})

/* Begin, or go on, to watch for `path`; before a try, so that nothing is missed between the two. */
void absence_watch(struct absence *absence, const char *path);

/* After a try that failed: until there may be something new. False: the stop came. */
bool absence_wait(struct absence *absence);

/* It is back, or not waited for any more. */
void absence_end(struct absence *absence);

#endif
