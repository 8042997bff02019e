/*
 * A cgroup (v2) for each started NF, below the daemon's own. It counts what the NF uses and ends
 * all of its processes at once. Best effort: without cgroups an NF is ended by its process group.
 * Called by instance.c.
 */
#ifndef NETVM_MODULES_NF_CGROUP_H
#define NETVM_MODULES_NF_CGROUP_H

#include <limits.h>

#include "common/error.h"

struct cgroup {
	char path[PATH_MAX]; /* empty: none */
	int procs_fd;        /* its cgroup.procs, open for writing; -1 */
};

/*
 * Make a new one, "nf-NAME-SECONDS-" and six letters; the seconds are those since the machine
 * started. Empty ones that are older than CGROUP_NEW_S are nobody's and go: those of NFs that
 * outlived their daemon and ended when none ran, or whose last process took its time to die.
 * Returns 0 or -errno with error set; then `cgroup` is none.
 */
int cgroup_create(struct cgroup *cgroup, const char *name, struct error *error);
#define CGROUP_NEW_S 60 /* another daemon may not have put its NF there yet */

/* End what is left in it and remove it; becomes none. */
void cgroup_destroy(struct cgroup *cgroup);

#endif
