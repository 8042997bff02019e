/*
 * The process of an NF that the daemon starts: its environment, output and cgroup around spawn().
 * Called by instance.c.
 */
#ifndef NETVM_MODULES_NF_CHILD_H
#define NETVM_MODULES_NF_CHILD_H

#include <stdbool.h>

#include "modules/nf/cgroup.h"
#include "modules/nf/output.h"
#include "modules/nf/settings.h"

struct event;
struct manager;
struct survivor;

#define CHILD_END_BYTES 256

struct child {
	pid_t pid; /* 0: none */
	int pidfd;
	bool adopted; /* an earlier daemon started it */
	struct event *event;
	struct output *output;
	struct cgroup cgroup;
	void (*exited)(void *arg);
	void *arg;
};

/* How a process ended. */
struct child_end {
	bool clean;                 /* status 0, and no fault */
	int status;                 /* -1: killed by a signal */
	char text[CHILD_END_BYTES]; /* "exited with status 2: its last line" */
};

/* Start the program of the settings with these words; exited(arg) is called once when it has ended,
 * then call child_reap(). */
int child_start(struct child *child, const struct manager *manager,
	const struct nf_settings *settings, char *const *argv, void (*exited)(void *), void *arg,
	struct error *error);

/*
 * The same for a QEMU, with a JSON array of texts. `monitor_fd`, taken over, is where its monitor
 * listens; -1: it has none, and ends with the daemon, for which it is lost then.
 */
int child_start_qemu(struct child *child, const struct manager *manager,
	const struct nf_settings *settings, const json_t *words, int monitor_fd,
	void (*exited)(void *), void *arg, struct error *error);

/* It gets another owner, and the struct another place; `from` is none then. Error: -ENOMEM. */
int child_move(struct child *to, struct child *from, void (*exited)(void *), void *arg);

/* All its threads, also later ones: 0 as everybody, 19 what others leave. */
void child_nice(const struct child *child, int nice);

/*
 * The same for one that an earlier daemon started: it is watched from now on. Takes over the
 * survivor's descriptor.
 */
int child_adopt(struct child *child, const struct manager *manager,
	const struct nf_settings *settings, const struct survivor *survivor, void (*exited)(void *),
	void *arg, struct error *error);

/* It goes on, for the next daemon; there is no child then. */
void child_leave(struct child *child);

/* Only the process itself, never a later one of the same number. */
void child_signal(const struct child *child, int number);

/* For good: no later daemon looks for it. */
void child_kill(const struct child *child);

/* Move all its threads; an empty set means any CPU. */
void child_pin(const struct child *child, const cpu_set_t *cpus);

/* Wait until it has ended, at most so long (-1: for ever). Does not reap. */
bool child_await(const struct child *child, int timeout_ms);

/*
 * After its end: whatever it started is killed, what was kept for it is given back; there is no
 * child then. `end` is filled; `fault`, if it is not "", tells why it was not a clean one.
 */
void child_reap(struct child *child, const char *fault, struct child_end *end);

#endif
