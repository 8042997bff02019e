/*
 * The helper that starts NFs for the daemon. Started by manager/daemon.c, used by spawn.c.
 *
 *     netvmd (no way to become anybody else, seccomp filter)
 *        │ ▲ request: program, arguments, user, CPUs, descriptors of output and cgroup
 *        ▼ │ answer: pid, or why not
 *     helper (CAP_SETUID and CAP_SETGID only) ──clone(CLONE_PARENT)──► NF, a child of netvmd
 *
 * The helper is forked before the daemon has threads, and before it gives its privileges up and
 * takes its filter on. So a daemon that was taken over cannot execute anything itself, and what it
 * has the helper execute is always what spawn.h describes: another user, without capabilities or a
 * way to get one. Nor can that be root or the daemon's own user, when the helper is told so.
 *
 * Both end together: the helper when its socket closes or the daemon's thread ends; without the
 * helper spawn() fails with -EPIPE.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_SPAWNER_H
#define NETVM_MODULES_NF_SPAWNER_H

#include <stdbool.h>

#include "modules/nf/spawn.h"

struct spawner_options {
	/* Called in the helper, first of all, to give up what it does not need. NULL: nothing. */
	int (*drop)(struct error *error);
	/* Start nothing as root or as the user the helper runs as. */
	bool others_only;
};

/* Fork the helper; the caller must have no threads yet. After it spawn() goes through it. */
int spawner_start(const struct spawner_options *options, struct error *error);
void spawner_stop(void);

bool spawner_runs(void);
pid_t spawner_pid(void); /* 0: none runs */

/* spawn() without the pidfd, by the helper. After a failure no child is left. */
int spawner_spawn(const struct spawn_options *options, pid_t *pid, struct error *error);

#endif
