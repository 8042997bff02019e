/* Files and folders of the daemon. Called by the document store and main. */
#ifndef NETVM_MANAGER_FILE_H
#define NETVM_MANAGER_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* Replace `path` by these bytes so that after a crash it is the old or the new. 0 or -errno. */
int file_replace(const char *path, const void *bytes, size_t n);

/* The same for what need not outlive the machine: without waiting for the disk. */
int file_put(const char *path, const void *bytes, size_t n);

/* Make a folder and the missing ones above it. 0, also when it is there, or -errno. */
int file_make_dirs(const char *path, mode_t mode);

/* The file `dir`/lock, for flock(); made if need be. A descriptor or -errno. */
int file_open_lock(const char *dir);

#endif
