/* Giving up what the daemon does not need: see privilege.h. */
#include "manager/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What the daemon does with each. */
static const unsigned daemon_capabilities[] = {
	CAP_NET_ADMIN, /* makes and sets interfaces; XDP programs */
	CAP_NET_RAW,   /* AF_PACKET and AF_XDP sockets */
	CAP_BPF,       /* the XDP program and its map */
	CAP_SYS_ADMIN, /* ports in other network namespaces; the filter leaves it setns() only */
	CAP_IPC_LOCK,  /* AF_XDP pins a group's memory; the unit has a limit instead */
	CAP_SYS_NICE,  /* moves NFs of other users to their CPUs */
	CAP_KILL,      /* stops NFs of other users */
};
static const unsigned spawner_capabilities[] = {CAP_SETUID, CAP_SETGID};
#define N_DAEMON  (sizeof(daemon_capabilities) / sizeof(*daemon_capabilities))
#define N_SPAWNER (sizeof(spawner_capabilities) / sizeof(*spawner_capabilities))

int privilege_choose(const char *user, struct identity *identity, struct error *error)
{
	const struct passwd *entry = getpwnam(user ? user : PRIVILEGE_USER);

	*identity = (struct identity){.uid = geteuid(), .gid = getegid()};
	if (user && !entry)
		return error_set(error, ENOENT, "--user",
			"make it (packaging/netvm.sysusers), or --user root", "there is no user %s",
			user);
	if (user && entry->pw_uid != identity->uid && identity->uid != 0)
		return error_set(error, EPERM, "--user", "leave it out, or start netvmd as root",
			"only root can become %s", user);
	identity->changes = identity->uid == 0 && entry && entry->pw_uid != 0;
	identity->stays_root = identity->uid == 0 && !identity->changes;
	if (identity->changes) {
		identity->uid = entry->pw_uid;
		identity->gid = entry->pw_gid;
	}
	return 0;
}

/* Selects, of the list, what this process has. */
static void select_capabilities(const unsigned *list, size_t n)
{
	bool have[CAP_LAST_CAP + 1];

	capng_get_caps_process();
	for (size_t i = 0; i < n; i++)
		have[list[i]] = capng_have_capability(CAPNG_PERMITTED, list[i]);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < n; i++)
		if (have[list[i]])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, list[i]);
}

static int keep(
	const struct identity *identity, const unsigned *list, size_t n, struct error *error)
{
	int rc;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_set(error, errno, "", "", "cannot forbid new privileges");
	if (identity->stays_root)
		return 0;
	select_capabilities(list, n);
	if (identity->changes)
		rc = capng_change_id((int)identity->uid, (int)identity->gid,
			CAPNG_INIT_SUPP_GRP | CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
	else
		rc = capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT);
	return rc == 0 ? 0
		       : error_set(error, EPERM, "", "",
				 "cannot become user %u with %zu capabilities (libcap-ng: %d)",
				 identity->uid, n, rc);
}

int privilege_keep_daemon(const struct identity *identity, struct error *error)
{
	int rc = keep(identity, daemon_capabilities, N_DAEMON, error);

#ifdef __SANITIZE_ADDRESS__
	/* The leak checker traces its own process, which one that changed its user forbids. */
	prctl(PR_SET_DUMPABLE, 1);
#endif
	return rc;
}

int privilege_keep_spawner(const struct identity *identity, struct error *error)
{
	return keep(identity, spawner_capabilities, N_SPAWNER, error);
}

bool privilege_can_become_others(void)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID);
}

void privilege_describe(char *text, size_t size)
{
	size_t used = 0;

	capng_get_caps_process();
	snprintf(text, size, "%s",
		capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_FULL ? "all" : "");
	if (text[0])
		return;
	for (unsigned i = 0; i <= CAP_LAST_CAP && used < size; i++)
		if (capng_have_capability(CAPNG_EFFECTIVE, i))
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "," : "",
				capng_capability_to_name(i));
}
