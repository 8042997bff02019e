/* Reports to a file, replaced as a whole. See outfile.h. */
#include "common/outfile.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Returns -errno of the first write that failed, also of those that were buffered. */
static int file_finish(FILE *file)
{
	int failed = ferror(file) ? -EIO : 0;

	if (fclose(file) && !failed)
		failed = -errno;
	return failed;
}

int outfile_write(const char *path, void (*print)(FILE *file, void *arg), void *arg)
{
	char *beside;
	FILE *file;
	int error;

	if (!path) {
		print(stdout, arg);
		return fflush(stdout) ? -errno : 0;
	}
	if (asprintf(&beside, "%s.new", path) < 0)
		return -ENOMEM;
	file = fopen(beside, "we");
	if (!file) {
		error = -errno;
		goto out;
	}
	print(file, arg);
	error = file_finish(file);
	if (!error && rename(beside, path))
		error = -errno;
	if (error)
		unlink(beside);
out:
	free(beside);
	return error;
}
