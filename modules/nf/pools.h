/*
 * Pools: guests that have booted and wait for an NF. Called by control.c (the section `pools`) and
 * pooled.c (NFs that take one).
 *
 *            boots once            copies of it, one at a time, at low priority
 *   image ─────────────► template ───────────────────────────► idle ──► given to an NF
 *                        (a sealed memfd)                         ▲        (never comes back)
 *                                          NFs that wait: claims ─┘
 *
 * An NF gets an idle guest, or waits for the next one: then a copy is made at once and for it. A
 * pool has one trust group: its guests have that group's memory from the start, so a guest that
 * served one group cannot get to another, and what an NF has used ends with it.
 *
 * A pool that cannot make guests says so, to the NFs that wait, too, and tries again after 1 s, 2 s
 * and so on up to 30 s. Without `template`, or when saving failed, each guest boots.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_POOLS_H
#define NETVM_MODULES_NF_POOLS_H

#include <sys/queue.h>

#include <jansson.h>

#include "modules/nf/spare.h"

struct change;
struct manager;

/* An NF that waits for a guest. Its memory is the caller's, who fills the second part. */
struct claim {
	TAILQ_ENTRY(claim) link;
	struct guest_pool *pool; /* NULL: does not wait */

	const struct nf_settings *settings;
	/* Never called within pool_claim(); the claim waits no more then. */
	void (*given)(void *arg, struct spare *spare);
	void (*failed)(void *arg, const char *why);
	void *arg;
};

/* Join the queue of the pool that the settings name. Error: -ENOENT. */
int pool_claim(struct claim *claim, struct error *error);
/* Does not wait: fine. */
void pool_withdraw(struct claim *claim);

/*
 * A guest like those of this pool that loads from `load_fd` (taken over), for an NF that is moved.
 * Errors: -ENOENT, as spare_start().
 */
int pool_load(const char *name, const struct nf_settings *settings, int load_fd,
	const struct spare_hooks *hooks, void *arg, struct spare **spare, struct error *error);

/* ---- the document: as the hooks of a module, see manager/module.h ------------------------------
 */

/* An object of section nfs that says what such a guest is. New reference. */
json_t *pool_settings(const char *name, const json_t *object);

int pools_check(const struct change *change, const struct manager *manager, struct error *error);
int pools_prepare(const struct change *change, const struct manager *manager, struct error *error);
void pools_finish(const struct change *change);
void pools_abort(void);
void pools_fini(void);

/* The object of stats.get. New reference. */
json_t *pools_stats(void);

#endif
