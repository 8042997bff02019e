/* The log file of one NF. See output.h. */
#include "modules/nf/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_BACK_BYTES 1024

int output_open(struct output *output, const char *run_dir, const char *name, struct error *error)
{
	char path[PATH_MAX];

	*output = (struct output){.fd = -1};
	snprintf(path, sizeof(path), "%s/nf", run_dir);
	if (mkdir(path, 0755) && errno != EEXIST)
		return error_set(error, errno, "", "", "cannot make %s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/nf/%s.log", run_dir, name);
	output->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (output->fd < 0)
		return error_set(error, errno, "", "", "cannot open %s: %s", path, strerror(errno));
	output_trim(output);
	output_resume(output);
	return 0;
}

void output_resume(struct output *output)
{
	output->start = output->fd < 0 ? 0 : lseek(output->fd, 0, SEEK_END);
}

void output_rename(const char *run_dir, const char *from, const char *to)
{
	char old[PATH_MAX], new[PATH_MAX];

	snprintf(old, sizeof(old), "%s/nf/%s.log", run_dir, from);
	snprintf(new, sizeof(new), "%s/nf/%s.log", run_dir, to ? to : "");
	(void)!(to ? rename(old, new) : unlink(old));
}

void output_close(struct output *output)
{
	if (output->fd >= 0)
		close(output->fd);
	output->fd = -1;
}

void output_trim(struct output *output)
{
	struct stat st;

	if (output->fd < 0 || fstat(output->fd, &st) || st.st_size <= OUTPUT_MAX_BYTES)
		return;
	if (ftruncate(output->fd, 0) == 0)
		output->start = 0;
}

static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void output_last_line(const struct output *output, char *line, size_t size)
{
	char text[LOOK_BACK_BYTES + 1];
	off_t end = output->fd < 0 ? 0 : lseek(output->fd, 0, SEEK_END);
	off_t from = end - LOOK_BACK_BYTES > output->start ? end - LOOK_BACK_BYTES : output->start;
	ssize_t n = from < end ? pread(output->fd, text, LOOK_BACK_BYTES, from) : 0;
	char *last;

	if (n < 0)
		n = 0;
	while (n > 0 && memchr("\r\n", text[n - 1], 3)) /* or the NUL behind them */
		n--;
	text[n] = '\0';
	last = memrchr(text, '\n', (size_t)n);
	snprintf(line, size, "%s", last ? last + 1 : text);
	make_printable(line);
}
