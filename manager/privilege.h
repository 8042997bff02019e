/*
 * Giving up what the daemon does not need. Called by daemon.c, before there are threads.
 *
 *   started as           runs as           with the capabilities
 *   root, user netvm     netvm             of the two lists below
 *   root, no such user   root, warns       all
 *   somebody else        the same user     of the lists, those it was given (a systemd unit)
 *
 * From then on also setuid programs and file capabilities give nothing (no_new_privs).
 */
#ifndef NETVM_MANAGER_PRIVILEGE_H
#define NETVM_MANAGER_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/error.h"

#define PRIVILEGE_USER "netvm"

struct identity {
	uid_t uid;
	gid_t gid;
	bool changes;    /* from root to uid */
	bool stays_root; /* the helper and the daemon keep everything */
};

/*
 * Whom to become: `user` (NULL: netvm when it exists). -ENOENT: there is no such user; -EPERM: only
 * root can become somebody else.
 */
int privilege_choose(const char *user, struct identity *identity, struct error *error);

/* Become it and keep the capabilities of the daemon, or of the helper that starts NFs. */
int privilege_keep_daemon(const struct identity *identity, struct error *error);
int privilege_keep_spawner(const struct identity *identity, struct error *error);

/* Whether this process may start programs as other users. */
bool privilege_can_become_others(void);

/* The effective capabilities by name, "cap_" left out, comma-separated; "all". */
void privilege_describe(char *text, size_t size);

#endif
