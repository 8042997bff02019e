/*
 * The host's end of one port of a guest's virtio-serial device: QEMU connects, one byte written
 * wakes whoever waits in the guest. Called by modules/nf/guest.c.
 *
 *   worker ── one byte ──► bell_fd() ──► QEMU ──► virtio-serial port ──► NF
 *             last words ◄── bell_words() ◄── QEMU ◄── port ◄── the guest's init
 *
 * Nothing here waits: a guest that does not read lets the socket fill, and a full one rings
 * already. What it writes stays in the socket's buffer, where QEMU waits for room, until somebody
 * asks for it once, at the guest's end.
 *
 * Thread-safety: the manager's thread; the descriptor may be duplicated and written to by others.
 */
#ifndef NETVM_MODULES_GUEST_BELL_H
#define NETVM_MODULES_GUEST_BELL_H

#include <stdbool.h>
#include <stddef.h>

#include "modules/guest/listener.h"

struct bell {
	struct listener listener;
	int fd; /* of the connection, non-blocking; -1: none */
	bool (*allowed)(void *arg, const struct peer *peer);
	void *arg;
};

/* Await a QEMU at this path. Errors: as listener_open(); the bell is closed after an error, too. */
int bell_open(struct bell *bell, struct event_base *base, const char *path,
	bool (*allowed)(void *arg, const struct peer *peer), void *arg, struct error *error);
/* Closed already is fine; so is zeroed memory with fd and listener.fd -1. */
void bell_close(struct bell *bell);

/* What the guest wrote first: up to size - 1 bytes as a text; bad input. Takes it out. */
void bell_words(struct bell *bell, char *text, size_t size);

#endif
