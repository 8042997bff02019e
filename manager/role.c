/* Who may do what on the API: see role.h. */
#include "manager/role.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/module.h"

static const char *const names[] = {
	[ROLE_ADMIN] = "admin",
	[ROLE_OPERATE] = "operate",
	[ROLE_VIEW] = "view",
	[ROLE_NF] = "nf",
	[ROLE_NONE] = "none",
	NULL,
};

static const struct field api_fields[] = {
	{"role", FIELD_ENUM, .required = true,
		.values = (const char *const[]){"admin", "operate", "view", "nf", NULL},
		.help = "What they may do; nf: see the ports and NFs of one trust group",
		.example = "view"},
	{"user", FIELD_TEXT, .help = "User; not said, and no unix_group: the object's name"},
	{"unix_group", FIELD_TEXT, .help = "The members of this Unix group"},
	{"group", FIELD_REF, .ref = "groups", .help = "With role nf: the trust group"},
	{},
};

static const struct section api_section = {"api", "role", api_fields,
	.help = "Who may use the API, besides root (admin) and the group netvm (operate)"};

/* ---- the section ----------------------------------------------------------------------------- */

/* One object of the section, names looked up. */
struct entry {
	bool is_group;
	id_t id;
	struct role_grant grant;
	json_t *object; /* holds grant.group */
};

static struct entry *entries;
static size_t n_entries;

const char *role_name(enum role role)
{
	return names[role];
}

static enum role role_read(const char *name)
{
	enum role role = ROLE_ADMIN;

	while (role < ROLE_NONE && strcmp(names[role], name) != 0)
		role++;
	return role;
}

static int find_user(const char *name, id_t *id, struct error *error)
{
	const struct passwd *user = getpwnam(name);

	if (!user)
		return error_set(error, ENOENT, "user", "the name of a user of this machine",
			"there is no user %s", name);
	*id = user->pw_uid;
	return 0;
}

static int find_group(const char *name, id_t *id, struct error *error)
{
	const struct group *group = getgrnam(name);

	if (!group)
		return error_set(error, ENOENT, "unix_group",
			"the name of a group, see getent group", "there is no Unix group %s", name);
	*id = group->gr_gid;
	return 0;
}

static int entry_read(struct entry *entry, const char *name, json_t *object, struct error *error)
{
	const char *user = value_text(object, "user"), *group = value_text(object, "unix_group");

	*entry = (struct entry){.is_group = group != NULL, .object = object};
	entry->grant.role = role_read(value_text(object, "role"));
	entry->grant.group = value_text(object, "group");
	if (user && group)
		return error_set(error, EINVAL, "unix_group", "user or unix_group",
			"a role is for a user or for a Unix group");
	if ((entry->grant.role == ROLE_NF) != (entry->grant.group != NULL))
		return error_set(error, EINVAL, "group", "role: nf and a trust group",
			"role nf and a trust group belong together");
	return group ? find_group(group, &entry->id, error)
		     : find_user(user ? user : name, &entry->id, error);
}

static int role_check(const struct change *change, struct error *error)
{
	const char *name;
	json_t *object;

	json_object_foreach (json_object_get(change->new, "api"), name, object) {
		struct entry entry;
		int rc = entry_read(&entry, name, object, error);

		if (rc) {
			error_prefix(error, name);
			error_prefix(error, "api");
			return rc;
		}
	}
	return 0;
}

static void forget(void)
{
	while (n_entries > 0)
		json_decref(entries[--n_entries].object);
	free(entries);
	entries = NULL;
}

/* A user who is gone since the check has no role. */
static void role_finish(const struct change *change)
{
	json_t *section = json_object_get(change->new, "api"), *object;
	const char *name;

	forget();
	entries = calloc(json_object_size(section) + 1, sizeof(*entries));
	json_object_foreach (section, name, object) {
		if (!entries || entry_read(&entries[n_entries], name, object, NULL))
			continue;
		json_incref(entries[n_entries].object);
		n_entries++;
	}
}

const struct module role_module = {
	.name = "role",
	.sections = (const struct section *const[]){&api_section, NULL},
	.check = role_check,
	.finish = role_finish,
	.fini = forget,
};

/* ---- callers --------------------------------------------------------------------------------- */

int caller_read(int fd, struct caller *caller)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	socklen_t groups_size = sizeof(caller->group) - sizeof(*caller->group);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) ||
		getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, caller->group + 1, &groups_size))
		return -errno;
	caller->uid = peer.uid;
	caller->group[0] = peer.gid;
	caller->n_groups = 1 + (int)(groups_size / sizeof(*caller->group));
	return 0;
}

static bool is_member(const struct caller *caller, gid_t group)
{
	for (int i = 0; i < caller->n_groups; i++)
		if (caller->group[i] == group)
			return true;
	return false;
}

struct role_grant role_of(const struct caller *caller)
{
	struct role_grant best = {.role = ROLE_NONE};
	const struct group *group;

	if (caller->uid == 0 || caller->uid == geteuid())
		return (struct role_grant){.role = ROLE_ADMIN};
	for (size_t i = 0; i < n_entries; i++)
		if (!entries[i].is_group && entries[i].id == caller->uid)
			return entries[i].grant;
	for (size_t i = 0; i < n_entries; i++)
		if (entries[i].is_group && is_member(caller, entries[i].id) &&
			entries[i].grant.role < best.role)
			best = entries[i].grant;
	group = best.role == ROLE_NONE ? getgrnam(ROLE_GROUP) : NULL;
	if (group && is_member(caller, group->gr_gid))
		best.role = ROLE_OPERATE;
	return best;
}
