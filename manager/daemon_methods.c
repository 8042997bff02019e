/* daemon.* and schema.get: the daemon about itself. Listed in rpc.c. */
#include "manager/daemon_methods.h"

#include <pwd.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "abi/channel.h"
#include "manager/events.h"
#include "manager/modules.h"
#include "manager/privilege.h"
#include "manager/rpc.h"
#include "manager/seccomp.h"
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

static int schema_get(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	(void)request, (void)params, (void)error;
	*result = json_pack(
		"{so so}", "sections", schema_export(modules_sections()), "methods", rpc_export());
	return 0;
}

const struct rpc_method daemon_methods[] = {
	{"daemon.info", NULL, "Version, process, sockets and privileges of the daemon", daemon_info,
		ROLE_NF},
	{"daemon.stop", NULL, "Stop cleanly", daemon_stop, ROLE_ADMIN},
	{"schema.get", NULL, "Every section, field and method there is", schema_get, ROLE_NF},
	{},
};
