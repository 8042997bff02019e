/* What a busy machine gives to a process. See cpu_share.h. */
#include "modules/nf/cpu_share.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t cpu_share_ns(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	if (pid <= 0 || clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
		return 0;
	return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

/* "PID (NAME) STATE ...": NAME may hold anything, STATE of who runs or could is R; see proc(5). */
static bool is_runnable(pid_t pid, const char *thread)
{
	char path[64], line[128] = "", *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stat", pid, thread);
	file = fopen(path, "re");
	if (!file)
		return false;
	(void)!fgets(line, sizeof(line), file);
	fclose(file);
	state = strrchr(line, ')');
	return state && strncmp(state, ") R", 3) == 0;
}

bool cpu_share_is_wanted(pid_t pid)
{
	const struct dirent *thread;
	bool wanted = false;
	char path[32];
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	threads = pid > 0 ? opendir(path) : NULL;
	while (threads && !wanted && (thread = readdir(threads)))
		wanted = thread->d_name[0] != '.' && is_runnable(pid, thread->d_name);
	if (threads)
		closedir(threads);
	return wanted;
}
