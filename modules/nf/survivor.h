/*
 * Processes of NFs, QEMUs among them, that outlive the daemon. Each is noted (manager/estate.h)
 * with what tells it from any other process, its number and when it started; the next daemon takes
 * over those that its document declares the same way, and ends the others.
 *
 *   child_start() ─► note ─────── daemon ends ───────► survivors_find() ─► survivor_take()
 *   child_reap()  ─► strike                                           └──► survivors_end()
 *
 * Called by child.c, instance.c and control.c on the manager's thread.
 */
#ifndef NETVM_MODULES_NF_SURVIVOR_H
#define NETVM_MODULES_NF_SURVIVOR_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include <jansson.h>

#include "abi/channel.h"

struct nf_settings;

struct survivor {
	pid_t pid;
	int pidfd;             /* owned */
	char cgroup[PATH_MAX]; /* "": none */
	char sockets[NETVM_NAME_BYTES];
	char user[64]; /* as whom it runs */
	uid_t uid;
};

/*
 * The settings are those of the NF it works for; noted again when that changes. `sockets`: the name
 * by which a guest's QEMU knows its sockets. `cgroup`: its folder, or "".
 */
void survivor_note(
	pid_t pid, const struct nf_settings *settings, const char *sockets, const char *cgroup);
void survivor_strike(pid_t pid);

/* Does one of them have sockets of this name? */
bool survivor_has(const char *sockets);

/* Look which of the noted processes still run; once, before the first document is applied. */
void survivors_find(void);

/* The one that was started as this object says, but for what may change while it runs. */
bool survivor_take(const char *name, const json_t *object, struct survivor *survivor);

/* End those that nobody took. */
void survivors_end(void);

#endif
