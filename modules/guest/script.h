/*
 * Commands for QEMU's monitor, one after the other: a step is over when QEMU has answered and,
 * where one is awaited, its event has come. Called by modules/nf/guest.c and spare.c.
 *
 *   script_add(s, "device_del", {"id": "x"});
 *   script_await(s, "DEVICE_DELETED", "device", "x");
 *   script_run(s, qmp, 5000);              ──► done(arg, NULL), or done(arg, "QEMU: no device x")
 *
 * Everything the daemon does to a running QEMU is one: plugging, unplugging, saving, restoring,
 * moving. The owner hands on what his monitor hears, script_event() and script_answered().
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_GUEST_SCRIPT_H
#define NETVM_MODULES_GUEST_SCRIPT_H

#include <jansson.h>

#include "modules/guest/qmp.h"

struct event_base;
struct script;

/*
 * `done` is called once, when all is done or a step has failed; it may free the script. NULL: no
 * memory.
 */
struct script *script_create(
	struct event_base *base, void (*done)(void *arg, const char *failure), void *arg);
/* Steps that are left are not taken. NULL is fine. */
void script_free(struct script *script);

/* A further step, of at most 16. Takes over `arguments`; NULL: none. */
void script_add(struct script *script, const char *command, json_t *arguments);
/* "getfd": QEMU knows the descriptor, which stays the caller's, by this name. Takes over `fd`. */
void script_add_fd(struct script *script, const char *name, int fd);
/* Of the last step: it is over when this event has come with this text in its data. */
void script_await(struct script *script, const char *event, const char *key, const char *value);
/* ... and has failed when it comes with this text instead. */
void script_fails_on(struct script *script, const char *value);
/* Of the last step: QEMU may refuse it, then there was nothing to do. */
void script_optional(struct script *script);

/* Begin. All of it must be over in `timeout_ms`. A failure to begin is said by done(), too. */
void script_run(struct script *script, struct qmp *qmp, unsigned timeout_ms);

/* ---- what the monitor hears; a script that does not run, or NULL, is fine ---------------------
 */

void script_event(struct script *script, const char *name, const json_t *data);
void script_answered(struct script *script, json_int_t id, const char *refusal);
void script_gone(struct script *script);

#endif
