/*
 * Starting DPDK's environment once per process, so that it starts anywhere: with 2 MB huge pages
 * when some are free, else without; no device is taken until a port names it.
 */
#include <errno.h>
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

static int first_cpu(const cpu_set_t *set)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, set))
			return cpu;
	return 0;
}

int eal_start(struct error *error)
{
	static bool started;
	char lcore[16], *argv[16];
	cpu_set_t affinity;
	int argc = 0;

	if (started)
		return 0;
	/* EAL pins the calling thread to one CPU; the manager wants to stay where it may be. */
	pthread_getaffinity_np(pthread_self(), sizeof(affinity), &affinity);
	snprintf(lcore, sizeof(lcore), "0@%d", first_cpu(&affinity));
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
		return error_set(error, rte_errno, "engine", "see the messages above",
			"DPDK's environment does not start: %s", rte_strerror(rte_errno));
	pthread_setaffinity_np(pthread_self(), sizeof(affinity), &affinity);
	started = true;
	return 0;
}
