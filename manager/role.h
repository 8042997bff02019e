/*
 * Who may do what on the API. A method (module.h) and a section of the document (schema.h) name the
 * role it takes; one that names none takes an admin.
 *
 *   view      see everything
 *   operate   restart NFs, change sections that say so (chains, flows), save
 *   admin     everything: also which programs run, as whom, and who has which role
 *   nf        see the ports and NFs of one trust group
 *
 * A caller is who the kernel says is at the other end of the socket:
 *   1. root and the daemon's own user are admins
 *   2. a user named in the section `api` has the role given there
 *   3. a member of Unix groups named there has the mightiest of their roles
 *   4. members of the group netvm operate
 *   5. everybody else is refused
 * The socket's own mode (0660, group netvm) comes first: who is not in that group does not get
 * here.
 */
#ifndef NETVM_MANAGER_ROLE_H
#define NETVM_MANAGER_ROLE_H

#include <sys/types.h>

/* The mightiest first: each may what those behind it may. */
enum role {
	ROLE_ADMIN,
	ROLE_OPERATE,
	ROLE_VIEW,
	ROLE_NF, /* confined to a trust group; its methods ask rpc_group() which */
	ROLE_NONE,
};

const char *role_name(enum role role);

#define ROLE_GROUP      "netvm"
#define ROLE_GROUPS_MAX 256

/* Who calls. */
struct caller {
	uid_t uid;
	int n_groups;
	gid_t group[ROLE_GROUPS_MAX];
};

struct role_grant {
	enum role role;
	const char *group; /* ROLE_NF: the trust group. Borrowed until the next change */
};

/* The caller at the other end of a connected Unix socket. 0 or -errno. */
int caller_read(int fd, struct caller *caller);

/* By the rules above and the running document. */
struct role_grant role_of(const struct caller *caller);

extern const struct module role_module; /* the section `api` */

#endif
