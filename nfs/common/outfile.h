/*
 * Reports to a file that readers always see whole: written beside it, then renamed over it.
 * Used by monitor, firewall and speed.
 */
#ifndef NFS_COMMON_OUTFILE_H
#define NFS_COMMON_OUTFILE_H

#include <stdio.h>

/*
 * Let `print` write to `path`, or to stdout when it is NULL. Returns 0 or -errno of creating,
 * writing or renaming; then the old file is still there.
 */
int outfile_write(const char *path, void (*print)(FILE *file, void *arg), void *arg);

#endif
