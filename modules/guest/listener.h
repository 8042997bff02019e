/*
 * A Unix stream socket at which a QEMU is awaited. Called by ivshmem.c and modules/nf/guest.c.
 *
 * As with the NF socket anybody may connect; the kernel's credentials, which come with each
 * connection, let the caller decide who stays. Another
 * listener may take the path over while this one still has connections; the end of this one then
 * leaves the other's file alone.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_GUEST_LISTENER_H
#define NETVM_MODULES_GUEST_LISTENER_H

#include <sys/types.h>
#include <sys/un.h>

#include "common/error.h"

struct event;
struct event_base;

/* Who connected: the process as it was then. */
struct peer {
	pid_t pid;
	uid_t uid;
};

struct listener {
	int fd;              /* -1: not open */
	struct event *event; /* NULL: does not accept */
	struct event *turn;  /* for the next connection, when others have had theirs */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	ino_t inode;
	/* Takes over the non-blocking connection. May close the listener. */
	void (*accepted)(void *arg, int fd, const struct peer *peer);
	void *arg;
};

/*
 * Listen at that path, which is made free for it, in this mode; who accepts there is another one.
 * Errors: -ENAMETOOLONG, errno of socket and bind. The listener is closed after an error, too.
 */
int listener_bind(struct listener *listener, const char *path, mode_t mode, struct error *error);

/* One that an earlier daemon has bound. Errors: -ENAMETOOLONG, errno of stat. */
int listener_find(struct listener *listener, const char *path, struct error *error);

/* The same as listener_bind(), and accept. Errors: as listener_bind(), -ENOMEM. */
int listener_open(struct listener *listener, struct event_base *base, const char *path,
	void (*accepted)(void *, int, const struct peer *), void *arg, struct error *error);
/* Closed already is fine. */
void listener_close(struct listener *listener);

#endif
