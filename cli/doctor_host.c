/* Checks of memory and CPUs. See doctor.h. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/doctor.h"

/* ---- memory ---------------------------------------------------------------------------------- */

#define HUGE_2M "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static long read_number(const struct host *host, const char *path)
{
	char text[64];

	return host_read(host, path, text, sizeof(text)) ? -1 : strtol(text, NULL, 10);
}

static void check_huge_pages(const struct host *host, struct finding *finding)
{
	long total = read_number(host, HUGE_2M "nr_hugepages");
	long free = read_number(host, HUGE_2M "free_hugepages");

	if (total < 0)
		finding_set(finding, LEVEL_WARN, "a kernel with CONFIG_HUGETLBFS",
			"the kernel has no 2 MB pages; plain pages are used, slower");
	else if (free <= 0)
		finding_set(finding, LEVEL_WARN, "sysctl -w vm.nr_hugepages=256",
			"%ld of %ld 2 MB pages free; plain pages are used, slower", free, total);
	else
		finding_set(finding, LEVEL_OK, NULL, "%ld of %ld 2 MB pages free", free, total);
}

/* A node without pages of its own makes its NFs reach across to another. */
static void check_numa(const struct host *host, struct finding *finding)
{
	unsigned n_nodes = host_count(host, "/sys/devices/system/node/node[0-9]*");

	for (unsigned i = 0; i < n_nodes && n_nodes > 1; i++) {
		char path[128], fix[160];

		snprintf(path, sizeof(path),
			"/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/nr_hugepages",
			i);
		if (read_number(host, path) > 0)
			continue;
		snprintf(fix, sizeof(fix), "echo 256 > %s", path);
		finding_set(
			finding, LEVEL_WARN, fix, "node %u of %u has no huge pages", i, n_nodes);
		return;
	}
	finding_set(finding, LEVEL_OK, NULL, "%u node%s", n_nodes ? n_nodes : 1,
		n_nodes > 1 ? "s, all with huge pages" : "");
}

/* CAP_IPC_LOCK lifts the limit: a daemon that root or its unit started has it. */
static bool may_lock_all(const struct host *host)
{
	const json_t *privileges = json_object_get(host->info, "privileges");
	const char *has = json_string_value(json_object_get(privileges, "capabilities"));

	if (!host->info)
		return geteuid() == 0;
	return has && (strstr(has, "ipc_lock") || strcmp(has, "all") == 0);
}

/* AF_XDP pins a group's memory. Without a daemon: what one started from here would have. */
static void check_memlock(const struct host *host, struct finding *finding)
{
	pid_t pid = (pid_t)json_integer_value(json_object_get(host->info, "pid"));
	struct rlimit limit;

	if (may_lock_all(host))
		finding_set(finding, LEVEL_OK, NULL, "no limit for the daemon (ipc_lock)");
	else if (prlimit(pid, RLIMIT_MEMLOCK, NULL, &limit))
		finding_set(finding, LEVEL_WARN, "run this as root",
			"the limit of process %d cannot be seen: %s", pid, strerror(errno));
	else if (limit.rlim_cur == RLIM_INFINITY)
		finding_set(finding, LEVEL_OK, NULL, "no limit");
	else if (limit.rlim_cur >= 64u << 20)
		finding_set(finding, LEVEL_OK, NULL, "%llu MB may be locked",
			(unsigned long long)limit.rlim_cur >> 20);
	else
		finding_set(finding, LEVEL_WARN, "ulimit -l unlimited (LimitMEMLOCK= in a unit)",
			"only %llu kB may be locked; af_xdp: ports need more",
			(unsigned long long)limit.rlim_cur >> 10);
}

const struct check checks_memory[] = {
	{"huge pages", check_huge_pages},
	{"NUMA", check_numa},
	{"locked memory", check_memlock},
	{},
};

/* ---- CPUs ------------------------------------------------------------------------------------ */

static void check_cpus(const struct host *host, struct finding *finding)
{
	unsigned n = host_count(host, "/sys/devices/system/cpu/cpu[0-9]*");

	if (n >= 2)
		finding_set(finding, LEVEL_OK, NULL, "%u CPUs", n);
	else
		finding_set(finding, LEVEL_WARN, "give this machine two CPUs or more",
			"one CPU: engine and NFs take turns");
}

static void check_isolation(const struct host *host, struct finding *finding)
{
	char isolated[128] = "";

	host_read(host, "/sys/devices/system/cpu/isolated", isolated, sizeof(isolated));
	if (isolated[0])
		finding_set(finding, LEVEL_OK, NULL, "CPUs %s are isolated", isolated);
	else
		finding_set(finding, LEVEL_WARN,
			"kernel parameters isolcpus=1-N nohz_full=1-N rcu_nocbs=1-N",
			"no CPU is kept free of other work; latency has a tail");
}

static void check_governor(const struct host *host, struct finding *finding)
{
	char governor[64];

	if (host_read(host, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor,
		    sizeof(governor)))
		finding_set(finding, LEVEL_OK, NULL, "the kernel does not scale the frequency");
	else if (strcmp(governor, "performance") == 0)
		finding_set(finding, LEVEL_OK, NULL, "governor performance");
	else
		finding_set(finding, LEVEL_WARN, "cpupower frequency-set -g performance",
			"governor %s: CPUs slow down between bursts", governor);
}

/* Each NF is a session of its own, so that it cannot reach the daemon's terminal. */
static void check_autogroups(const struct host *host, struct finding *finding)
{
	if (read_number(host, "/proc/sys/kernel/sched_autogroup_enabled") <= 0)
		finding_set(finding, LEVEL_OK, NULL, "CPUs are shared thread by thread");
	else
		finding_set(finding, LEVEL_WARN, "sysctl kernel.sched_autogroup_enabled=0",
			"autogroups: an NF that shares a CPU with a worker waits long for its "
			"turn");
}

const struct check checks_cpu[] = {
	{"CPUs", check_cpus},
	{"isolated CPUs", check_isolation},
	{"CPU sharing", check_autogroups},
	{"CPU frequency", check_governor},
	{},
};
