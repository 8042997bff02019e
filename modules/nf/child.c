/* Processes of NFs. See child.h. */
#include "modules/nf/child.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/events.h"
#include "manager/module.h"
#include "modules/nf/spawn.h"
#include "modules/nf/survivor.h"

#define LINE_BYTES 160

/* Linux 6.9; before it, only the cgroup of an adopted process ends what that one started. */
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1u << 2)
#endif

/* ---- environment ----------------------------------------------------------------------------- */

/* Of the daemon's own environment only what concerns language, time and sanitizers. */
static const char *const passed_on[] = {
	"LANG", "LC_ALL", "TZ", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};
#define PASSED_ON  (sizeof(passed_on) / sizeof(*passed_on))
#define OWN_MAX    7
#define PATH_OF_NF "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct environment {
	char *entry[OWN_MAX + PASSED_ON + 1];
	unsigned n;
	bool failed;
};

static void environment_add(struct environment *env, const char *name, const char *value)
{
	if (asprintf(&env->entry[env->n], "%s=%s", name, value) < 0) {
		env->entry[env->n] = NULL;
		env->failed = true;
		return;
	}
	env->n++;
}

static void environment_fill(
	struct environment *env, const struct manager *manager, const struct nf_settings *settings)
{
	environment_add(env, "PATH", PATH_OF_NF);
	environment_add(env, "USER", settings->user);
	environment_add(env, "LOGNAME", settings->user);
	environment_add(env, "HOME", settings->home);
	environment_add(env, "NETVM_SOCKET", manager->nf_socket);
	environment_add(env, "NETVM_NAME", settings->name);
	environment_add(env, "NETVM_SERVICE", settings->service);
	for (size_t i = 0; i < PASSED_ON; i++)
		if (getenv(passed_on[i]))
			environment_add(env, passed_on[i], getenv(passed_on[i]));
}

static void environment_free(struct environment *env)
{
	while (env->n)
		free(env->entry[--env->n]);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Missing cgroups are worth one event, not one per NF. */
static void child_make_cgroup(struct child *child, const struct nf_settings *settings)
{
	static bool told;
	struct error error = {0};

	if (cgroup_create(&child->cgroup, settings->name, &error) == 0 || told)
		return;
	told = true;
	events_add("nf-cgroup", "", "NFs run without cgroups of their own: %s%s%s", error.message,
		error.hint[0] ? ": " : "", error.hint);
}

void child_leave(struct child *child)
{
	if (child->event)
		event_free(child->event);
	if (child->pidfd >= 0)
		close(child->pidfd);
	if (child->cgroup.procs_fd >= 0)
		close(child->cgroup.procs_fd);
	output_close(child->output);
	*child = (struct child){.pidfd = -1, .cgroup.procs_fd = -1};
}

static void child_release(struct child *child)
{
	survivor_strike(child->pid);
	cgroup_destroy(&child->cgroup);
	child_leave(child);
}

static int child_spawn(struct child *child, const struct manager *manager,
	const struct nf_settings *settings, char *const *argv, int extra_fd, struct error *error)
{
	struct environment env = {0};
	struct spawn_options options = {
		.path = settings->program,
		.argv = argv,
		.env = env.entry,
		.user = settings->user,
		.uid = settings->uid,
		.gid = settings->gid,
		.cpus = CPU_COUNT(&settings->cpus) ? &settings->cpus : NULL,
		.output_fd = output_writer(child->output),
		.cgroup_fd = child->cgroup.procs_fd,
		.extra_fd = extra_fd,
		.dies_with_daemon = settings->guest && extra_fd < 0,
	};
	int rc;

	environment_fill(&env, manager, settings);
	if (env.failed)
		rc = error_set(error, ENOMEM, "", "", "no memory for the environment");
	else if (options.output_fd < 0)
		rc = error_set(error, -options.output_fd, "", "", "cannot open its output: %s",
			strerror(-options.output_fd));
	else
		rc = spawn(&options, &child->pid, &child->pidfd, error);
	environment_free(&env);
	if (options.output_fd >= 0)
		close(options.output_fd);
	if (rc)
		child->pid = 0;
	else
		survivor_note(child->pid, settings, settings->name, child->cgroup.path);
	return rc;
}

static void child_event(evutil_socket_t fd, short what, void *arg)
{
	struct child *child = arg;

	(void)fd;
	(void)what;
	/* A pidfd stays readable: once is enough. */
	event_del(child->event);
	child->exited(child->arg);
}

static int child_watch(struct child *child, const struct manager *manager)
{
	child->event =
		event_new(manager->base, child->pidfd, EV_READ | EV_PERSIST, child_event, child);
	return child->event && event_add(child->event, NULL) == 0 ? 0 : -ENOMEM;
}

static int start(struct child *child, const struct manager *manager,
	const struct nf_settings *settings, char *const *argv, int extra_fd, void (*exited)(void *),
	void *arg, struct error *error)
{
	struct child_end end;
	int rc;

	*child = (struct child){.pidfd = -1, .cgroup.procs_fd = -1, .exited = exited, .arg = arg};
	rc = output_open(manager->base, manager->run_dir, settings->name, &child->output, error);
	if (!rc) {
		child_make_cgroup(child, settings);
		rc = child_spawn(child, manager, settings, argv, extra_fd, error);
	}
	if (rc) {
		child_release(child);
		return rc;
	}
	if (child_watch(child, manager) == 0)
		return 0;
	child_signal(child, SIGKILL);
	child_await(child, -1);
	child_reap(child, "", &end);
	return error_set(error, ENOMEM, "", "", "no memory to watch a process");
}

int child_start(struct child *child, const struct manager *manager,
	const struct nf_settings *settings, char *const *argv, void (*exited)(void *), void *arg,
	struct error *error)
{
	return start(child, manager, settings, argv, -1, exited, arg, error);
}

int child_start_qemu(struct child *child, const struct manager *manager,
	const struct nf_settings *settings, const json_t *words, int monitor_fd,
	void (*exited)(void *), void *arg, struct error *error)
{
	char **argv = calloc(json_array_size(words) + 1, sizeof(*argv));
	int rc;

	for (size_t i = 0; argv && i < json_array_size(words); i++)
		argv[i] = (char *)json_string_value(json_array_get(words, i));
	rc = argv ? start(child, manager, settings, argv, monitor_fd, exited, arg, error)
		  : error_set(error, ENOMEM, "", "", "no memory for a command line");
	free(argv);
	if (monitor_fd >= 0)
		close(monitor_fd);
	return rc;
}

int child_move(struct child *to, struct child *from, void (*exited)(void *), void *arg)
{
	struct event *event = event_new(
		event_get_base(from->event), from->pidfd, EV_READ | EV_PERSIST, child_event, to);

	if (!event || event_add(event, NULL)) {
		if (event)
			event_free(event);
		return -ENOMEM;
	}
	event_free(from->event);
	*to = *from;
	to->event = event;
	to->exited = exited;
	to->arg = arg;
	*from = (struct child){.pidfd = -1, .cgroup.procs_fd = -1};
	return 0;
}

/* spawn() made it the leader of a process group of its own. */
void child_nice(const struct child *child, int nice)
{
	if (child->pid)
		setpriority(PRIO_PGRP, (id_t)child->pid, nice);
}

int child_adopt(struct child *child, const struct manager *manager,
	const struct nf_settings *settings, const struct survivor *survivor, void (*exited)(void *),
	void *arg, struct error *error)
{
	int rc;

	*child = (struct child){.pid = survivor->pid,
		.pidfd = survivor->pidfd,
		.adopted = true,
		.cgroup.procs_fd = -1,
		.exited = exited,
		.arg = arg};
	memcpy(child->cgroup.path, survivor->cgroup, sizeof(child->cgroup.path));
	rc = output_open(manager->base, manager->run_dir, settings->name, &child->output, error);
	if (!rc && child_watch(child, manager))
		rc = error_set(error, ENOMEM, "", "", "no memory to watch a process");
	if (rc) {
		child_signal(child, SIGKILL);
		child_await(child, -1);
		child_release(child);
	}
	return rc;
}

void child_signal(const struct child *child, int number)
{
	if (child->pid)
		syscall(SYS_pidfd_send_signal, child->pidfd, number, NULL, 0);
}

void child_kill(const struct child *child)
{
	child_signal(child, SIGKILL);
	survivor_strike(child->pid);
}

void child_pin(const struct child *child, const cpu_set_t *cpus)
{
	struct dirent *entry;
	char path[64];
	cpu_set_t all;
	DIR *tasks;

	memset(&all, 0xff, sizeof(all));
	snprintf(path, sizeof(path), "/proc/%d/task", child->pid);
	tasks = child->pid ? opendir(path) : NULL;
	if (!tasks)
		return;
	while ((entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			sched_setaffinity(
				atoi(entry->d_name), sizeof(*cpus), CPU_COUNT(cpus) ? cpus : &all);
	closedir(tasks);
}

bool child_await(const struct child *child, int timeout_ms)
{
	struct pollfd pollfd = {.fd = child->pidfd, .events = POLLIN};
	int n;

	do
		n = poll(&pollfd, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Only its parent is told how a process ended. */
static void end_describe(
	struct child_end *end, const siginfo_t *info, const char *fault, const struct child *child)
{
	char line[LINE_BYTES];
	int n;

	end->clean = info->si_code == CLD_EXITED && info->si_status == 0 && !*fault;
	end->status = info->si_code == CLD_EXITED ? info->si_status : -1;
	if (*fault)
		n = snprintf(end->text, sizeof(end->text), "%.*s", LINE_BYTES / 2, fault);
	else if (info->si_pid == 0)
		n = snprintf(end->text, sizeof(end->text),
			"ended; how is not known, since an earlier daemon started it");
	else if (info->si_code == CLD_EXITED)
		n = snprintf(
			end->text, sizeof(end->text), "exited with status %d", info->si_status);
	else
		n = snprintf(end->text, sizeof(end->text), "killed by signal %d (%s)",
			info->si_status, strsignal(info->si_status));
	output_last_line(child->output, line, sizeof(line));
	if (!end->clean && line[0])
		snprintf(end->text + n, sizeof(end->text) - (size_t)n, ": %s", line);
}

/*
 * Before the number can be given to another process: its session is its process group. Of one that
 * is not our child the number may be free already, so that only its descriptor will do.
 */
static void kill_group(const struct child *child)
{
	if (child->adopted)
		syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL,
			PIDFD_SIGNAL_PROCESS_GROUP);
	else
		kill(-child->pid, SIGKILL);
}

void child_reap(struct child *child, const char *fault, struct child_end *end)
{
	siginfo_t info = {0};

	kill_group(child);
	waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED); /* fails for one that is not ours */
	end_describe(end, &info, fault, child);
	child_release(child);
}
