/*
 * Starting DPDK's environment once per process, so that it starts anywhere: with 2 MB huge pages
 * when some are free, else without; no device is taken until a port names it.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "engine/eal.h"

#define EAL_HUGE_PAGES_MIN 64

static unsigned long free_huge_pages(void)
{
	unsigned long n = 0;
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &n) != 1)
		n = 0;
	fclose(file);
	return n;
}

/*
 * "0@(0,1,5)": EAL's one thread is ours, on all CPUs it may use. On one of them only, as is EAL's
 * habit, it would have to move there first, which takes a busy machine a while.
 */
static void name_cpus(char *text, size_t size)
{
	cpu_set_t affinity;
	size_t used = (size_t)snprintf(text, size, "0@(");

	pthread_getaffinity_np(pthread_self(), sizeof(affinity), &affinity);
	for (int cpu = 0; cpu < CPU_SETSIZE && used < size; cpu++)
		if (CPU_ISSET(cpu, &affinity))
			used += (size_t)snprintf(text + used, size - used, "%d,", cpu);
	if (used < size)
		text[used - 1] = ')';
}

int eal_start(struct error *error)
{
	static bool started;
	char lcore[CPU_SETSIZE * 5], *argv[16];
	int argc = 0;

	if (started)
		return 0;
	name_cpus(lcore, sizeof(lcore));
	argv[argc++] = "netvm";
	argv[argc++] = "--no-telemetry";
	argv[argc++] = "--iova-mode=va";
	argv[argc++] = "--log-level=*:error";
	argv[argc++] = "--lcores";
	argv[argc++] = lcore;
	if (access("/sys/bus/pci/devices", F_OK) != 0) {
		argv[argc++] = "--no-pci";
	} else {
		argv[argc++] = "-a"; /* none of the devices that are there, until asked */
		argv[argc++] = "0000:00:00.0";
	}
	if (free_huge_pages() >= EAL_HUGE_PAGES_MIN) {
		argv[argc++] = "--in-memory";
	} else {
		argv[argc++] = "--no-huge";
		argv[argc++] = "--no-shconf";
		argv[argc++] = "-m";
		argv[argc++] = "64";
	}
	argv[argc] = NULL;
	if (rte_eal_init(argc, argv) < 0)
		return error_set(error, rte_errno, "engine",
			"see the messages above; librte-bus-pci and -mempool-ring must be there",
			"DPDK's environment does not start: %s", rte_strerror(rte_errno));
	started = true;
	return 0;
}
