/* The checks of `doctor` on made-up hosts: a folder with some of /proc, /sys and /dev in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/doctor.h"

#define HUGE      "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define CPU       "/sys/devices/system/cpu/"
#define AUTOGROUP "/proc/sys/kernel/sched_autogroup_enabled"

struct file {
	const char *path;
	const char *text;
};

static const struct {
	const char *check;
	struct file files[6];
	enum level level;
	const char *found; /* a part of the line */
} cases[] = {
	{"huge pages", {{HUGE "nr_hugepages", "16\n"}, {HUGE "free_hugepages", "3\n"}}, LEVEL_OK,
		"3 of 16"},
	{"huge pages", {{HUGE "nr_hugepages", "16\n"}, {HUGE "free_hugepages", "0\n"}}, LEVEL_WARN,
		"0 of 16"},
	{"huge pages", {}, LEVEL_WARN, "no 2 MB pages"},
	{"NUMA", {}, LEVEL_OK, "1 node"},
	{"NUMA",
		{{"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "8"},
			{"/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
				"0"}},
		LEVEL_WARN, "node 1 of 2 has no huge pages"},
	{"NUMA",
		{{"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "8"},
			{"/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
				"8"}},
		LEVEL_OK, "2 nodes"},
	{"CPUs", {{CPU "cpu0/online", ""}, {CPU "cpufreq/x", ""}}, LEVEL_WARN, "one CPU"},
	{"CPUs", {{CPU "cpu0/x", ""}, {CPU "cpu1/x", ""}}, LEVEL_OK, "2 CPUs"},
	{"isolated CPUs", {{CPU "isolated", "\n"}}, LEVEL_WARN, "no CPU is kept free"},
	{"isolated CPUs", {{CPU "isolated", "1-3\n"}}, LEVEL_OK, "CPUs 1-3"},
	{"CPU sharing", {}, LEVEL_OK, "thread by thread"},
	{"CPU sharing", {{AUTOGROUP, "0\n"}}, LEVEL_OK, "thread by thread"},
	{"CPU sharing", {{AUTOGROUP, "1\n"}}, LEVEL_WARN, "autogroups"},
	{"CPU frequency", {}, LEVEL_OK, "does not scale"},
	{"CPU frequency", {{CPU "cpu0/cpufreq/scaling_governor", "powersave\n"}}, LEVEL_WARN,
		"powersave"},
	{"CPU frequency", {{CPU "cpu0/cpufreq/scaling_governor", "performance\n"}}, LEVEL_OK,
		"performance"},
	{"KVM", {}, LEVEL_WARN, "no /dev/kvm"},
	{"KVM", {{"/dev/kvm", ""}}, LEVEL_OK, "can be used"},
	{"TAP", {}, LEVEL_WARN, "no /dev/net/tun"},
	{"TAP", {{"/dev/net/tun", ""}}, LEVEL_OK, "can be used"},
	{"NIC drivers", {}, LEVEL_WARN, "no device with vfio-pci"},
	{"NIC drivers", {{"/sys/bus/pci/drivers/vfio-pci/0000:01:00.0", ""}}, LEVEL_WARN,
		"no IOMMU"},
	{"NIC drivers",
		{{"/sys/bus/pci/drivers/vfio-pci/0000:01:00.0", ""},
			{"/sys/kernel/iommu_groups/0/x", ""}},
		LEVEL_OK, "1 devices"},
	{"NIC drivers", {{"/sys/bus/pci/drivers/uio_pci_generic/0000:01:00.0", ""}}, LEVEL_WARN,
		"uio driver"},
	{"cgroup v2", {}, LEVEL_WARN, "no cgroup v2"},
	{"cgroup v2", {{"/sys/fs/cgroup/cgroup.controllers", "cpu memory\n"}}, LEVEL_OK,
		"cpu memory"},
	{"sealed memory", {}, LEVEL_OK, "sealed"},
	{"pidfd", {}, LEVEL_OK, "seen at once"},
	{"daemon", {}, LEVEL_WARN, "does not run"},
	{"API socket", {}, LEVEL_OK, "no socket yet"},
};

static void make_file(const char *root, const struct file *file)
{
	char path[400];
	FILE *out;

	snprintf(path, sizeof(path), "%s%s", root, file->path);
	for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
		slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(file->text, out);
	fclose(out);
}

static const struct check *find_check(const char *name)
{
	const struct check *const all[] = {checks_memory, checks_cpu, checks_kernel, checks_daemon};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		for (const struct check *check = all[i]; check->name; check++) {
			if (strcmp(check->name, name) == 0)
				return check;
		}
	}
	fail_msg("no check %s", name);
	return NULL;
}

static void expect(const struct host *host, const char *name, enum level level, const char *found)
{
	struct finding finding = {0};

	find_check(name)->run(host, &finding);
	if (finding.level != level || !strstr(finding.found, found))
		fail_msg("%s: level %d, \"%s\"; should be %d, \"%s\"", name, (int)finding.level,
			finding.found, (int)level, found);
	assert_int_equal(finding.fix[0] == '\0', level == LEVEL_OK);
}

static void test_hosts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char root[] = "/tmp/netvm-doctor-XXXXXX", command[64];
		struct host host = {.root = root, .socket = "/nonexistent"};

		assert_non_null(mkdtemp(root));
		for (const struct file *file = cases[i].files; file->path; file++)
			make_file(root, file);
		expect(&host, cases[i].check, cases[i].level, cases[i].found);
		snprintf(command, sizeof(command), "rm -r %s", root);
		assert_int_equal(system(command), 0);
	}
}

static void test_daemons(void **state)
{
	json_t *info = json_pack(
		"{s:s, s:i, s:{s:i}}", "version", "0.0.1", "pid", 7, "privileges", "uid", 0);
	json_t *stats = json_pack("{s:{s:b}, s:{s:{s:s}}, s:{s:{s:s}}}", "books", "balanced", 0,
		"nfs", "fw", "state", "failed", "ports", "lan", "link", "down");
	struct host host = {"", "/nonexistent", info, stats, ""};

	(void)state;
	expect(&host, "daemon", LEVEL_OK, "pid 7");
	expect(&host, "version", LEVEL_WARN, "the daemon is 0.0.1");
	expect(&host, "privileges", LEVEL_WARN, "runs as root");
	expect(&host, "books", LEVEL_FAIL, "missing from the books");
	expect(&host, "NFs", LEVEL_WARN, "fw is in state failed");
	expect(&host, "port links", LEVEL_WARN, "port lan is down");
	host = (struct host){"", "/dev/null", NULL, NULL, "it is silent"};
	expect(&host, "daemon", LEVEL_FAIL, "it is silent");
	expect(&host, "API socket", LEVEL_FAIL, "not a socket");
	expect(&host, "version", LEVEL_OK, "no daemon");
	expect(&host, "books", LEVEL_OK, "no daemon");
	json_decref(info);
	json_decref(stats);
}

static void expect_memlock(const char *capabilities, enum level level, const char *found)
{
	json_t *info = json_pack(
		"{s:i, s:{s:s}}", "pid", getpid(), "privileges", "capabilities", capabilities);
	struct host host = {"", "/nonexistent", info, NULL, ""};

	expect(&host, "locked memory", level, found);
	json_decref(info);
}

/* What counts is what the daemon may, here with this process as the daemon. */
static void test_locked_memory(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	limit.rlim_cur = 64 << 10;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	expect_memlock("net_admin,ipc_lock,bpf", LEVEL_OK, "no limit");
	expect_memlock("all", LEVEL_OK, "no limit");
	expect_memlock("net_admin", LEVEL_WARN, "only 64 kB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_daemons),
		cmocka_unit_test(test_locked_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
