/*
 * What outlives a daemon: processes of NFs, interfaces. Whoever makes such a thing leaves a note,
 * and strikes it when the thing is gone; so a daemon that comes after one that was killed, or that
 * takes over from one, finds what there is and nothing is left for ever.
 *
 *     RUN_DIR/estate/KIND.NAME    one small JSON object each, replaced whole
 *
 * Notes of another boot are worth nothing and are removed. Only the daemon's user may write there.
 * Before estate_open(), and in tests of parts, notes go nowhere.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MANAGER_ESTATE_H
#define NETVM_MANAGER_ESTATE_H

#include <jansson.h>

#include "common/error.h"

/* Make the folder, or find it. -errno: without it nothing should be started. */
int estate_open(const char *run_dir, struct error *error);

/* Takes over the reference. What cannot be written is said in an event. */
void estate_note(const char *kind, const char *name, json_t *what);
void estate_strike(const char *kind, const char *name);

/* All notes of that kind, by name. New reference. */
json_t *estate_read(const char *kind);

/* Which boot this is, as the kernel says; "" when it does not. */
const char *estate_boot(void);

#endif
