/*
 * A client of QEMU's monitor: hears what happens to a guest, asks for few things. Called by
 * modules/nf/guest.c and spare.c; script.h has one command follow the other.
 *
 *   QEMU ── greeting ──► qmp_capabilities ──► ready(), answers and events, one JSON object a line
 *
 * What QEMU says is bad input: lines are bounded, everything but an object of the kinds known here
 * ends the connection. Nothing waits: a command that does not fit into the socket is an error.
 *
 * Source: QEMU, docs/interop/qmp-spec.txt.
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_GUEST_QMP_H
#define NETVM_MODULES_GUEST_QMP_H

#include <jansson.h>

struct event_base;
struct qmp;

#define QMP_LINE_MAX 16384 /* the greeting and the events have a few hundred bytes */

/* Any of them may close the monitor; all but `event` may be NULL. */
struct qmp_hooks {
	/* `data` may be NULL. */
	void (*event)(void *arg, const char *name, const json_t *data);
	/* It refused a command of qmp_execute(): QEMU's sentence. */
	void (*refused)(void *arg, const char *text);
	/* It takes commands from now on. */
	void (*ready)(void *arg);
	/* To the command of qmp_send() with this id; `refusal` is QEMU's sentence, or NULL. */
	void (*answered)(void *arg, json_int_t id, const char *refusal);
	/* The connection has ended. */
	void (*gone)(void *arg);
};

/* Takes over the connected, non-blocking `fd`, also when it fails: -ENOMEM. */
int qmp_open(struct event_base *base, int fd, const struct qmp_hooks *hooks, void *arg,
	struct qmp **qmp);
/* Take what it has said so far, as after the end of QEMU; not for ever. NULL is fine. */
void qmp_hear_out(struct qmp *qmp);
/* NULL is fine. */
void qmp_close(struct qmp *qmp);

/* A command without arguments. Errors: -ENOTCONN no greeting yet, or gone; errno of send. */
int qmp_execute(struct qmp *qmp, const char *command);

/*
 * A command with arguments (NULL: none) and a descriptor (-1: none), which is QEMU's then, too.
 * `id`, not 0, comes back with the answer. Errors as qmp_execute(); -ENOMEM.
 */
int qmp_send(struct qmp *qmp, json_int_t id, const char *command, const json_t *arguments, int fd);

#endif
