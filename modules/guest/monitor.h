/*
 * The monitor of one guest, wherever its QEMU comes from, and the script that runs there. Called by
 * modules/nf/guest.c.
 *
 * QEMU listens at `path`: the daemon connects, and again every second when it is not or no longer
 * there. So the monitor of a QEMU that outlives the daemon is there for the next one.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_GUEST_MONITOR_H
#define NETVM_MODULES_GUEST_MONITOR_H

#include <stdbool.h>

#include "common/error.h"
#include "modules/guest/script.h"

struct monitor;

struct monitor_options {
	struct event_base *base;
	const char *path; /* copied */
	void (*event)(void *arg, const char *name, const json_t *data);
	void (*refused)(void *arg, const char *text); /* a command, or the connection */
	void (*ready)(void *arg);                     /* QEMU takes commands */
	void *arg;
};

/* Errors: -ENAMETOOLONG, -ENOMEM. */
int monitor_open(
	const struct monitor_options *options, struct monitor **monitor, struct error *error);
/* A script that runs is left. NULL is fine. */
void monitor_close(struct monitor *monitor);

/*
 * A QEMU is at the other end and takes commands. One that does not yet is told all by ready(),
 * which would take the place of a script begun before.
 */
bool monitor_is_ready(const struct monitor *monitor);

/* Errors as qmp_execute(). NULL is -ENOTCONN. */
int monitor_execute(struct monitor *monitor, const char *command);

/* Act now on what QEMU said before it ended. NULL is fine. */
void monitor_hear_out(struct monitor *monitor);

/*
 * A script for this monitor, as script_create(); one that ran before is left. It is the monitor's:
 * add steps, then run it.
 */
struct script *monitor_script(
	struct monitor *monitor, void (*done)(void *arg, const char *failure), void *arg);
void monitor_run(struct monitor *monitor, unsigned timeout_ms);

#endif
