/*
 * An NF's guest that comes from a pool: waited for, and moved to another QEMU while it runs. Called
 * by instance.c, whose hooks it calls.
 *
 *   pooled_take ──► claim ──► taken()
 *   pooled_move ──► a second QEMU waits ──► leaving(): the session ends, the NF leaves
 *                   ──► unplug, save ═══► load, plug ──► taken(), and the first QEMU is killed
 *
 * Without a session the NF holds no packet, so a move loses none; what comes meanwhile is up to the
 * chain. A move that fails before leaving() changes nothing; after it the guest is given up and
 * failed() is called.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_POOLED_H
#define NETVM_MODULES_NF_POOLED_H

#include <stdint.h>

#include "modules/nf/pools.h"

struct pooled_hooks {
	void (*taken)(void *owner);   /* child and guest of the taker are there */
	void (*leaving)(void *owner); /* end the session now */
	void (*failed)(void *owner, const char *why);
	/* A move did not come off; the NF runs as before. */
	void (*stayed)(void *owner, const char *why);
};

struct pooled {
	struct spare_taker taker; /* the owner is taker.options.owner */
	const struct pooled_hooks *hooks;
	struct claim claim;
	struct spare *next; /* loads; NULL: no move */
	int save_fd;        /* to the QEMU that loads; -1: QEMU has it, or no move */
	bool left;          /* leaving() was called */
	uint64_t left_ns;
};

/* Wait for a guest. `pooled` is filled in but for what is begun here. Error: as pool_claim(). */
int pooled_take(struct pooled *pooled, struct error *error);

/* Move to another QEMU. Errors: -EBUSY it is moving, as pool_load(). */
int pooled_move(struct pooled *pooled, struct error *error);

/* It is on its way to another QEMU. */
bool pooled_moves(const struct pooled *pooled);

/* And its session has ended for that. */
bool pooled_left(const struct pooled *pooled);

/* Neither wait nor move any longer. */
void pooled_stop(struct pooled *pooled);

/* How long the NF has been without its guest by now. */
unsigned pooled_pause_ms(const struct pooled *pooled);

#endif
