/* Checks of the daemon, and of what it says about itself. See doctor.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor.h"

static void check_reachable(const struct host *host, struct finding *finding)
{
	if (host->info)
		finding_set(finding, LEVEL_OK, NULL, "netvmd answers at %s, pid %lld", host->socket,
			(long long)json_integer_value(json_object_get(host->info, "pid")));
	else if (access(host->socket, F_OK) != 0 && errno == ENOENT)
		finding_set(finding, LEVEL_WARN, "systemctl start netvm, or: netvmd --config FILE",
			"netvmd does not run: there is no %s", host->socket);
	else
		finding_set(finding, LEVEL_FAIL, "systemctl restart netvm", "%s", host->silence);
}

/* Who may open the API socket may operate, unless a role says otherwise: not for everybody. */
static void check_socket(const struct host *host, struct finding *finding)
{
	char fix[160];
	struct stat status;

	snprintf(fix, sizeof(fix), "chmod 660 %.140s", host->socket);
	if (stat(host->socket, &status) != 0)
		finding_set(finding, LEVEL_OK, NULL, "there is no socket yet");
	else if (!S_ISSOCK(status.st_mode))
		finding_set(finding, LEVEL_FAIL, "remove it and restart netvmd",
			"%s is not a socket", host->socket);
	else if (status.st_mode & S_IRWXO)
		finding_set(finding, LEVEL_FAIL, fix, "everybody may steer NetVM: %s is %04o",
			host->socket, status.st_mode & 07777);
	else if (access(host->socket, R_OK | W_OK) != 0)
		finding_set(finding, LEVEL_WARN, "run this as root or join the socket's group",
			"you may not use %s (%04o)", host->socket, status.st_mode & 07777);
	else
		finding_set(finding, LEVEL_OK, NULL, "%s is %04o", host->socket,
			status.st_mode & 07777);
}

static void check_version(const struct host *host, struct finding *finding)
{
	const char *version = json_string_value(json_object_get(host->info, "version"));

	if (!version)
		finding_set(finding, LEVEL_OK, NULL, "this command is %s; no daemon to compare",
			NETVM_VERSION);
	else if (strcmp(version, NETVM_VERSION) == 0)
		finding_set(finding, LEVEL_OK, NULL, "command and daemon are %s", version);
	else
		finding_set(finding, LEVEL_WARN, "netvm daemon restart",
			"the daemon is %s, this command is %s", version, NETVM_VERSION);
}

static void check_privileges(const struct host *host, struct finding *finding)
{
	const json_t *info = json_object_get(host->info, "privileges");
	const char *user = json_string_value(json_object_get(info, "user"));

	if (!info)
		finding_set(finding, LEVEL_OK, NULL, "no daemon to ask");
	else if (json_integer_value(json_object_get(info, "uid")) == 0)
		finding_set(finding, LEVEL_WARN, "make the user netvm, restart netvmd",
			"netvmd runs as root");
	else
		finding_set(finding, LEVEL_OK, NULL, "netvmd runs as %s, %s seccomp filter; %s",
			user ? user : "a user without a name",
			json_is_true(json_object_get(info, "seccomp")) ? "with a" : "without a",
			json_string_value(json_object_get(info, "capabilities")));
}

static void check_books(const struct host *host, struct finding *finding)
{
	const json_t *balanced = json_object_get(json_object_get(host->stats, "books"), "balanced");

	if (!balanced)
		finding_set(finding, LEVEL_OK, NULL, "no daemon to ask");
	else if (json_is_true(balanced))
		finding_set(finding, LEVEL_OK, NULL, "every packet is accounted for");
	else
		finding_set(finding, LEVEL_FAIL, "report it, with the output of netvm -j stats",
			"packets are missing from the books");
}

/* Name of the first object whose `key` has one of two values, or NULL. */
static const char *find_state(
	const json_t *objects, const char *key, const char *one, const char *other)
{
	const char *name;
	json_t *object;

	json_object_foreach ((json_t *)objects, name, object) {
		const char *is = json_string_value(json_object_get(object, key));

		if (is && (strcmp(is, one) == 0 || strcmp(is, other) == 0))
			return name;
	}
	return NULL;
}

static void check_nfs(const struct host *host, struct finding *finding)
{
	const json_t *nfs = json_object_get(host->stats, "nfs");
	const char *name = find_state(nfs, "state", "failed", "backoff");
	const json_t *nf = name ? json_object_get(nfs, name) : NULL;
	size_t n = json_object_size(nfs);
	char fix[160];

	if (!name) {
		finding_set(finding, LEVEL_OK, NULL, "%zu NF%s, none failed", n, n == 1 ? "" : "s");
		return;
	}
	snprintf(fix, sizeof(fix), "see netvm events, then netvm nf restart %.60s", name);
	finding_set(finding, LEVEL_WARN, fix, "%s is in state %s", name,
		json_string_value(json_object_get(nf, "state")));
}

static void check_links(const struct host *host, struct finding *finding)
{
	const json_t *ports = json_object_get(host->stats, "ports");
	const char *name = find_state(ports, "link", "down", "down");
	size_t n = json_object_size(ports);
	char fix[160];

	if (!name) {
		finding_set(
			finding, LEVEL_OK, NULL, "%zu port%s, all links up", n, n == 1 ? "" : "s");
		return;
	}
	snprintf(fix, sizeof(fix), "netvm port set %.60s up=true; check the other end", name);
	finding_set(finding, LEVEL_WARN, fix, "the link of port %s is down", name);
}

const struct check checks_daemon[] = {
	{"daemon", check_reachable},
	{"API socket", check_socket},
	{"version", check_version},
	{"privileges", check_privileges},
	{"books", check_books},
	{"NFs", check_nfs},
	{"port links", check_links},
	{},
};
