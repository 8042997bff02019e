/* daemon.* and schema.get: the daemon about itself. Listed in rpc.c. */
#include "manager/daemon_methods.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "abi/channel.h"
#include "manager/events.h"
#include "manager/handover.h"
#include "manager/modules.h"
#include "manager/privilege.h"
#include "manager/rpc.h"
#include "manager/schema_types.h"
#include "manager/seccomp.h"
#include "manager/state.h"
#include "manager/store.h"

static const struct manager *manager;
static const char *dpdk_version;
static time_t started;

void daemon_methods_init(const struct manager *the_manager, const char *dpdk)
{
	manager = the_manager;
	dpdk_version = dpdk;
	started = time(NULL);
}

static int daemon_info(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	const struct passwd *user = getpwuid(geteuid());
	char capabilities[256];

	(void)request, (void)params, (void)error;
	privilege_describe(capabilities, sizeof(capabilities));
	*result = json_pack("{ss si si ss sI ss s{ss ss} s{ss? si ss sb}}", "version",
		NETVM_VERSION, "pid", (int)getpid(), "abi", (int)NETVM_ABI_VERSION, "dpdk",
		dpdk_version, "started", (json_int_t)started, "config_path", store_save_path(),
		"sockets", "api", manager->api_socket, "nf", manager->nf_socket, "privileges",
		"user", user ? user->pw_name : NULL, "uid", (int)geteuid(), "capabilities",
		capabilities, "seccomp", seccomp_is_on());
	return 0;
}

static int daemon_stop(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	/* Time for the answer to leave. */
	const struct timeval soon = {.tv_usec = 100000};

	(void)request, (void)params, (void)error;
	events_add("daemon", "", "asked to stop");
	event_base_loopexit(manager->base, &soon);
	*result = json_object();
	return 0;
}

/* The one that asks is a daemon that would take over, see handover.h. */
static int daemon_hand_over(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	const char *state = value_text(params, "state");
	int fd;

	(void)result;
	if (store_waits())
		return error_set(error, EBUSY, "", "confirm or roll back first",
			"a change waits to be confirmed");
	if (strcmp(state ? state : "", state_sum()) != 0)
		return error_set(error, EAGAIN, "state", "try again",
			"the document has changed since it was read");
	if (getpid() == 1)
		return error_set(error, ENOTSUP, "", "restart what it is the first process of",
			"this daemon is process 1: everything ends with it");
	fd = fcntl(rpc_fd(request), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, errno, "", "", "no descriptor: %s", strerror(errno));
	handover_begin(fd);
	event_base_loopbreak(manager->base);
	return RPC_LATER;
}

static int schema_get(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	(void)request, (void)params, (void)error;
	*result = json_pack(
		"{so so}", "sections", schema_export(modules_sections()), "methods", rpc_export());
	return 0;
}

static const struct field hand_over_params[] = {
	{"state", FIELD_TEXT, .max = 64,
		.help = "Sum of the running document, as the caller has read it"},
	{},
};

const struct rpc_method daemon_methods[] = {
	{"daemon.info", NULL, "Version, process, sockets and privileges of the daemon", daemon_info,
		ROLE_NF},
	{"daemon.stop", NULL, "Stop cleanly", daemon_stop, ROLE_ADMIN},
	{"daemon.hand_over", hand_over_params,
		"Let the calling daemon take over; started with netvmd --replace", daemon_hand_over,
		ROLE_ADMIN},
	{"schema.get", NULL, "Every section, field and method there is", schema_get, ROLE_NF},
	{},
};
