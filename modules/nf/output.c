/* From the pipe of one NF to its log. See output.h. */
#include "modules/nf/output.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_BACK_BYTES 1024
#define PIPE_MAX_BYTES  (1 << 20) /* fs.pipe-max-size: the NF may enlarge it so far */

struct output {
	int pipe_fd;
	int log_fd;
	off_t start;            /* where this incarnation's part of the log begins */
	struct event *readable; /* once */
	struct event *pause;    /* until the next look */
	char pipe[PATH_MAX];
};

static const struct timeval look_after = {.tv_usec = OUTPUT_LOOK_MS * 1000};

/* ---- from the pipe to the log ---------------------------------------------------------------- */

/* A full disk loses it. */
static void append(struct output *output, const char *text, size_t n_bytes)
{
	off_t end = lseek(output->log_fd, 0, SEEK_END);

	if (end + (off_t)n_bytes > OUTPUT_MAX_BYTES) {
		if (ftruncate(output->log_fd, 0))
			return;
		output->start = 0;
	}
	(void)!write(output->log_fd, text, n_bytes);
}

/* False: there was nothing. */
static bool look(struct output *output)
{
	static char text[OUTPUT_LOOK_BYTES];
	ssize_t n = read(output->pipe_fd, text, sizeof(text));

	if (n > 0)
		append(output, text, (size_t)n);
	return n > 0;
}

static void readable_event(evutil_socket_t fd, short what, void *arg)
{
	struct output *output = arg;

	(void)fd, (void)what;
	look(output);
	evtimer_add(output->pause, &look_after);
}

static void pause_event(evutil_socket_t fd, short what, void *arg)
{
	struct output *output = arg;

	(void)fd, (void)what;
	if (event_add(output->readable, NULL))
		evtimer_add(output->pause, &look_after);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int open_files(struct output *output, const char *run_dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/nf", run_dir);
	if (mkdir(path, 0755) && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/nf/%s.log", run_dir, name);
	output->log_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (output->log_fd < 0)
		return -errno;
	snprintf(output->pipe, sizeof(output->pipe), "%s/nf/%s.pipe", run_dir, name);
	if (mkfifo(output->pipe, 0600) && errno != EEXIST)
		return -errno;
	output->pipe_fd = open(output->pipe, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	return output->pipe_fd < 0 ? -errno : 0;
}

static int listen_to(struct output *output, struct event_base *base)
{
	output->readable = event_new(base, output->pipe_fd, EV_READ, readable_event, output);
	output->pause = evtimer_new(base, pause_event, output);
	return output->readable && output->pause && event_add(output->readable, NULL) == 0
		       ? 0
		       : -ENOMEM;
}

int output_open(struct event_base *base, const char *run_dir, const char *name,
	struct output **output, struct error *error)
{
	struct output *made = calloc(1, sizeof(*made));
	int rc;

	if (!made)
		return error_set(error, ENOMEM, "", "", "no memory for the output of an NF");
	made->pipe_fd = made->log_fd = -1;
	rc = open_files(made, run_dir, name);
	if (rc == 0)
		rc = listen_to(made, base);
	if (rc) {
		output_close(made);
		return error_set(error, -rc, "", "", "the log %s/nf/%s.log: %s", run_dir, name,
			strerror(-rc));
	}
	output_resume(made);
	*output = made;
	return 0;
}

void output_close(struct output *output)
{
	if (!output)
		return;
	if (output->readable)
		event_free(output->readable);
	if (output->pause)
		event_free(output->pause);
	if (output->pipe_fd >= 0)
		close(output->pipe_fd);
	if (output->log_fd >= 0)
		close(output->log_fd);
	free(output);
}

int output_writer(const struct output *output)
{
	int fd = open(output->pipe, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void output_resume(struct output *output)
{
	if (output)
		output->start = lseek(output->log_fd, 0, SEEK_END);
}

static void rename_file(const char *run_dir, const char *from, const char *to, const char *kind)
{
	char old[PATH_MAX], new[PATH_MAX];

	snprintf(old, sizeof(old), "%s/nf/%s.%s", run_dir, from, kind);
	snprintf(new, sizeof(new), "%s/nf/%s.%s", run_dir, to ? to : "", kind);
	(void)!(to ? rename(old, new) : unlink(old));
}

void output_rename(const char *run_dir, const char *from, const char *to)
{
	rename_file(run_dir, from, to, "log");
	rename_file(run_dir, from, to, "pipe");
}

/* ---- last words ------------------------------------------------------------------------------ */

static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void output_last_line(struct output *output, char *line, size_t size)
{
	char text[LOOK_BACK_BYTES + 1];
	off_t end, from;
	ssize_t n;
	char *last;

	line[0] = '\0';
	if (!output)
		return;
	for (unsigned i = 0; i < PIPE_MAX_BYTES / OUTPUT_LOOK_BYTES && look(output);)
		i++;
	end = lseek(output->log_fd, 0, SEEK_END);
	from = end - LOOK_BACK_BYTES > output->start ? end - LOOK_BACK_BYTES : output->start;
	n = from < end ? pread(output->log_fd, text, LOOK_BACK_BYTES, from) : 0;
	if (n < 0)
		n = 0;
	while (n > 0 && memchr("\r\n", text[n - 1], 3)) /* or the NUL behind them */
		n--;
	text[n] = '\0';
	last = memrchr(text, '\n', (size_t)n);
	snprintf(line, size, "%s", last ? last + 1 : text);
	make_printable(line);
}
