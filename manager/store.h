/*
 * The document store: what the daemon runs, as given and completed, and the way from one document
 * to the next. Loop-owned; called by the config methods and main.
 *
 *            apply(confirm 60 s)                confirm
 *   running ────────────────────► tried out ──────────────► running
 *      ▲                              │
 *      └──────── rollback, or time up ┘
 *
 * One state before the last apply is kept for rollback; what was only tried out does not count.
 * When going back fails, it is tried again, and the change waits to be confirmed all that time.
 */
#ifndef NETVM_MANAGER_STORE_H
#define NETVM_MANAGER_STORE_H

#include "manager/module.h"

/* Start with the empty document. `save_path`: where save goes when it is not told where. */
void store_init(struct event_base *base, const char *save_path);
/*
 * The end: apply the empty document; `phase`: PHASE_STOP or PHASE_HAND_OVER. -errno: all is as it
 * was. Then, or when nothing was applied yet, forget everything.
 */
int store_fini(enum change_phase phase, struct error *error);
void store_free(void);

/* The running document as it was given, and completed. Borrowed, until the next apply. */
const json_t *store_given(void);
const json_t *store_complete(void);
const char *store_save_path(void);

/* Where store_rollback() would go, as given; NULL: there is no earlier state. Borrowed. */
const json_t *store_previous(void);

/* All checks, no side effects. `changes` (may be NULL): document_diff() to it, new reference. */
int store_check(const json_t *given, json_t **changes, struct error *error);

/*
 * Make `given` the running document. confirm_s > 0: unless store_confirm() comes in time, the
 * document before comes back. Errors: of the checks and of the modules; -EBUSY while an earlier one
 * waits to be confirmed.
 */
int store_apply(const json_t *given, unsigned confirm_s, json_t **changes, struct error *error);

/* The same by a list of changes, see document_patch(). */
int store_patch(const json_t *patch, unsigned confirm_s, json_t **changes, struct error *error);

/* Does an apply wait to be confirmed? */
bool store_waits(void);

/* -ENOENT: nothing waits. */
int store_confirm(struct error *error);

/* Keep no earlier state: what a daemon starts with has none. */
void store_forget_past(void);

/*
 * -ENOENT: there is no earlier state. Else errors of the modules; what waits to be confirmed is
 * then undone by itself some seconds later.
 */
int store_rollback(json_t **changes, struct error *error);

/*
 * Write the running document as YAML: whole or not at all (temporary file, fsync, rename).
 * `path` NULL: to save_path. -EBUSY while an apply waits to be confirmed; -errno of the file.
 */
int store_save(const char *path, struct error *error);

#endif
