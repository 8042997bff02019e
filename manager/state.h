/*
 * The state file: the running document, kept at each change for a daemon that is killed or handed
 * over. Called by store.c (write) and daemon.c (read).
 *
 *     STATE_DIR/running            a line about the file, then the document as JSON
 *     STATE_DIR/running.previous   the one before
 *
 * The first line holds the format, who wrote it, in which boot, and the length and sum of the rest,
 * so that a torn file is seen: then the previous one is used, and an event says so. A document that
 * waits to be confirmed is not written. A clean stop removes both: the next start uses the saved
 * document, as does the first start after a boot, one with another --config, and one that finds the
 * saved document edited.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MANAGER_STATE_H
#define NETVM_MANAGER_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "common/error.h"

#define STATE_FORMAT        1 /* what is written */
#define STATE_FORMAT_OLDEST 1 /* what is read */

/* Where, and beside which saved document. Until then, as in tests of parts, nothing is written. */
void state_open(const char *state_dir, const char *config_path);

/*
 * The document of a daemon that did not stop cleanly, new reference; NULL: there is none.
 * `edited`: the saved document is not the one that daemon knew.
 * Error: -ENOTSUP, written by a version whose format is not known here.
 */
int state_read(json_t **document, bool *edited, struct error *error);

/* Of what was read last: the file, and which version wrote it. For people, when it cannot be used.
 */
void state_origin(char *text, size_t size);

/* Keep this one, as given. What cannot be written is said in an event: the change stands. */
void state_write(const json_t *document);

/* The saved document was read or written just now. */
void state_saved(void);

/* A clean stop. */
void state_remove(void);

/* The sum of what was last read or written, for telling whether two daemons mean the same. */
const char *state_sum(void);

#endif
