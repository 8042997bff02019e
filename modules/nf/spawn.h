/*
 * Start a program as an unprivileged child. Called by instance.c.
 *
 * The child is another user, in a session, a cgroup and a Landlock domain of its own, without any
 * capability and without a way to get one (empty bounding set, no_new_privs); it inherits standard
 * input (/dev/null), output and error, where asked for SPAWN_EXTRA_FD, and no other descriptor.
 *
 * The Landlock domain allows everything the user may do except to trace processes outside of it
 * or (Linux 6.12) to send them signals: two NFs of one user cannot reach into each other. Kernels
 * before 5.19 go without.
 *
 * The daemon has threads, so between fork() and exec only async-signal-safe calls are made: all
 * lookups and allocations are the caller's, before. fork(), not vfork(): a child that changed its
 * user must not share memory with the daemon, not even for a moment.
 */
#ifndef NETVM_MODULES_NF_SPAWN_H
#define NETVM_MODULES_NF_SPAWN_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

#define SPAWN_EXTRA_FD 3

struct spawn_options {
	const char *path;  /* absolute */
	char *const *argv; /* NULL-terminated, as env */
	char *const *env;
	const char *user; /* for messages */
	uid_t uid;
	gid_t gid;             /* the only group */
	const cpu_set_t *cpus; /* NULL: wherever there is room */
	int output_fd;         /* becomes standard output and error */
	int cgroup_fd;         /* a cgroup's cgroup.procs, open for writing; -1: none */
	int extra_fd;          /* becomes SPAWN_EXTRA_FD; -1: none */
	bool dies_with_daemon; /* else it outlives it, see survivor.h */
};

/*
 * Returns when the child runs the program: 0, its pid and a pidfd the caller closes after reaping
 * it. Otherwise -errno of the step that failed, named in `error`; no child is left.
 */
int spawn(const struct spawn_options *options, pid_t *pid, int *pidfd, struct error *error);

/*
 * What spawn() is made of, for the helper that starts NFs (spawner.h): the same without the pidfd.
 * With CLONE_PARENT in `flags` the child is the caller's parent's, which `daemon` names; then the
 * caller has no threads. After an error a child that is left, *pid not 0, is still to be reaped.
 */
int spawn_child(const struct spawn_options *options, unsigned long flags, pid_t daemon, pid_t *pid,
	struct error *error);

#endif
