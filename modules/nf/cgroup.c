/* Cgroups of NFs. See cgroup.h; the files are described in the kernel's cgroup-v2.rst. */
#include "modules/nf/cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/clock.h"

static bool is_cgroup2(const char *mount)
{
	struct statfs fs;

	return statfs(mount, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Where systemd runs what reloads a unit, and so a daemon that took over: NFs belong beside it. */
static void drop_control(char *path)
{
	static const char control[] = "/.control";
	size_t n = strlen(path), length = sizeof(control) - 1;

	if (n >= length && strcmp(path + n - length, control) == 0)
		path[n - length] = '\0';
}

/* The daemon's own place in the v2 hierarchy: the line "0::PATH". */
static int own_path(char *path, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];
	int rc = -ENOENT;

	if (!file)
		return -errno;
	while (rc && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, size, "%s", strcmp(line + 3, "/") == 0 ? "" : line + 3);
		drop_control(path);
		rc = 0;
	}
	fclose(file);
	return rc;
}

static uint64_t now_s(void)
{
	return clock_ns(CLOCK_BOOTTIME) / 1000000000;
}

/* By the name that cgroup_create() gives. */
static bool is_old(const char *name)
{
	const char *letters = strrchr(name, '-'), *number = letters;

	if (strncmp(name, "nf-", 3) != 0 || !letters || strlen(letters + 1) != 6)
		return false;
	while (isdigit((unsigned char)number[-1]))
		number--;
	return number < letters && number[-1] == '-' &&
	       strtoull(number, NULL, 10) + CGROUP_NEW_S < now_s();
}

/* One that somebody is in cannot be removed. */
static void remove_empty(const char *parent)
{
	DIR *folder = opendir(parent);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (is_old(entry->d_name))
			unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR);
	if (folder)
		closedir(folder);
}

int cgroup_create(struct cgroup *cgroup, const char *name, struct error *error)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	const char *mount = is_cgroup2(mounts[0]) ? mounts[0] : mounts[1];
	char own[PATH_MAX], parent[PATH_MAX], file[PATH_MAX + 16];
	int rc;

	*cgroup = (struct cgroup){.procs_fd = -1};
	if (!is_cgroup2(mount) || own_path(own, sizeof(own)))
		return error_set(error, ENOENT, "", "mount cgroup2 on /sys/fs/cgroup",
			"there is no cgroup v2 hierarchy");
	/* Unlike any other: daemons in one cgroup may have NFs of the same name, and kill only
	 * theirs. */
	if (snprintf(parent, PATH_MAX, "%s%s", mount, own) >= PATH_MAX ||
		snprintf(file, PATH_MAX, "%s/nf-%s-%" PRIu64 "-XXXXXX", parent, name, now_s()) >=
			PATH_MAX)
		return error_set(error, ENAMETOOLONG, "", "", "the cgroup's path is too long");
	remove_empty(parent);
	if (!mkdtemp(file))
		return error_set(error, errno, "", "run netvmd as a service with Delegate=yes",
			"cannot make %s: %s", file, strerror(errno));
	memcpy(cgroup->path, file, PATH_MAX);
	strcat(file, "/cgroup.procs");
	cgroup->procs_fd = open(file, O_WRONLY | O_CLOEXEC);
	if (cgroup->procs_fd >= 0)
		return 0;
	rc = error_set(error, errno, "", "", "cannot open %s: %s", file, strerror(errno));
	cgroup_destroy(cgroup);
	return rc;
}

/* SIGKILL for everything in it. */
static void cgroup_kill(const struct cgroup *cgroup)
{
	char file[PATH_MAX + 16];
	int fd;

	/* Not there before Linux 5.14: then the process group has to do. */
	snprintf(file, sizeof(file), "%s/cgroup.kill", cgroup->path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, "1", 1);
	close(fd);
}

void cgroup_destroy(struct cgroup *cgroup)
{
	if (!cgroup->path[0])
		return;
	cgroup_kill(cgroup);
	if (cgroup->procs_fd >= 0)
		close(cgroup->procs_fd);
	rmdir(cgroup->path);
	*cgroup = (struct cgroup){.procs_fd = -1};
}
