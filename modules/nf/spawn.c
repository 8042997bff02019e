/* A child with nothing it does not need. See spawn.h. */
#include "modules/nf/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "modules/nf/spawner.h"

struct child {
	const struct spawn_options *options;
	pid_t daemon;
};

/* ---- steps of the child: async-signal-safe, 0 or -1 with errno ------------------------------ */

/*
 * Signals were blocked before the fork: the daemon's handlers write to a descriptor the child
 * shares, a signal meant for the child would stop the daemon.
 */
static int reset_signals(const struct child *child)
{
	const struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	(void)child;
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Best effort: without it the NF only lacks its own accounting. "0" is the writer itself. */
static int join_cgroup(const struct child *child)
{
	(void)!write(child->options->cgroup_fd, "0", 1);
	return 0;
}

static int own_session(const struct child *child)
{
	(void)child;
	return setsid() < 0 ? -1 : chdir("/");
}

static int connect_output(const struct child *child)
{
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
		return -1;
	if (dup2(child->options->output_fd, STDOUT_FILENO) < 0)
		return -1;
	return dup2(child->options->output_fd, STDERR_FILENO) < 0 ? -1 : 0;
}

/* The daemon's own thread may be pinned; the child must not inherit that. */
static int pin(const struct child *child)
{
	cpu_set_t all;

	if (child->options->cpus)
		return sched_setaffinity(0, sizeof(*child->options->cpus), child->options->cpus);
	memset(&all, 0xff, sizeof(all));
	return sched_setaffinity(0, sizeof(all), &all);
}

/* Not allowed means that this daemon has no privileges to hand down either. */
static int drop_bounding_set(const struct child *child)
{
	(void)child;
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
			return errno == EPERM ? 0 : -1;
	return 0;
}

/* Plain system calls: the C library's wrappers would signal threads that do not exist here. */
static int become_user(const struct child *child)
{
	if (geteuid() != 0 && geteuid() == child->options->uid)
		return 0;
	if (syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setresgid, child->options->gid,
						       child->options->gid, child->options->gid))
		return -1;
	return (int)syscall(
		SYS_setresuid, child->options->uid, child->options->uid, child->options->uid);
}

static int drop_capabilities(const struct child *child)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	(void)child;
	return (int)syscall(SYS_capset, &header, none);
}

static int forbid_privileges(const struct child *child)
{
	(void)child;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/*
 * The one right the domain handles, moving files between folders, is allowed everywhere again:
 * what remains is the border that every domain is to ptrace and, where it exists, to signals.
 */
static int confine(const struct child *child)
{
	struct {
		uint64_t handled_access_fs, handled_access_net, scoped;
	} rules = {.handled_access_fs = LANDLOCK_ACCESS_FS_REFER};
	const uint64_t scope_signal = 1 << 1;
	struct landlock_path_beneath_attr anywhere = {.allowed_access = LANDLOCK_ACCESS_FS_REFER};
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int fd;

	(void)child;
	if (version < 2)
		return 0;
	if (version >= 6)
		rules.scoped = scope_signal;
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules,
		version >= 6 ? sizeof(rules) : sizeof(rules.handled_access_fs), 0);
	anywhere.parent_fd = open("/", O_PATH | O_CLOEXEC);
	if (fd < 0 || anywhere.parent_fd < 0 ||
		syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &anywhere, 0))
		return -1;
	return (int)syscall(SYS_landlock_restrict_self, fd, 0);
}

/* After the change of user, which would clear it. */
static int die_with_daemon(const struct child *child)
{
	if (!child->options->dies_with_daemon)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return -1;
	if (getppid() == child->daemon)
		return 0;
	errno = ESRCH;
	return -1;
}

/* At exec only: the report of a failing exec needs its pipe, which lies elsewhere. */
static int close_others(const struct child *child)
{
	if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC))
		return -1;
	if (child->options->extra_fd < 0)
		return 0;
	if (child->options->extra_fd == SPAWN_EXTRA_FD)
		return fcntl(SPAWN_EXTRA_FD, F_SETFD, 0);
	return dup2(child->options->extra_fd, SPAWN_EXTRA_FD) < 0 ? -1 : 0;
}

static int execute(const struct child *child)
{
	return execve(child->options->path, child->options->argv, child->options->env);
}

/* In this order. */
static const struct step {
	int (*run)(const struct child *child);
	const char *what;
} steps[] = {
	{reset_signals, "reset its signals"},
	{join_cgroup, "join its cgroup"},
	{own_session, "make its own session"},
	{connect_output, "connect its output"},
	{pin, "run on the CPUs asked for"},
	{drop_bounding_set, "empty the capability bounding set"},
	{become_user, "become the user"},
	{drop_capabilities, "drop its capabilities"},
	{forbid_privileges, "forbid new privileges"},
	{confine, "make its own Landlock domain"},
	{die_with_daemon, "be tied to the daemon's life"},
	{close_others, "close the daemon's descriptors"},
	{execute, "execute"},
};
#define STEPS (sizeof(steps) / sizeof(*steps))

/* What the child writes to the pipe that closes by itself when exec succeeds. */
struct failure {
	uint32_t step;
	int32_t code;
};

static _Noreturn void child_run(const struct child *child, int report_fd)
{
	struct failure failure = {0};

	if (report_fd == SPAWN_EXTRA_FD)
		report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC, SPAWN_EXTRA_FD + 1);
	while (failure.step < STEPS && steps[failure.step].run(child) == 0)
		failure.step++;
	failure.code = errno;
	(void)!write(report_fd, &failure, sizeof(failure));
	_exit(127);
}

/* ---- the daemon's side ---------------------------------------------------------------------- */

static const char *failure_hint(const struct failure *failure)
{
	if (steps[failure->step].run == execute && failure->code == EACCES)
		return "the user must be able to reach and execute the file";
	if (steps[failure->step].run == execute && failure->code == ENOEXEC)
		return "the file is neither a program of this machine nor a script that starts "
		       "with #!";
	if (steps[failure->step].run == become_user && failure->code == EPERM)
		return "only a daemon started by root can start NFs under another user";
	return "";
}

static int fail(
	const struct spawn_options *options, const struct failure *failure, struct error *error)
{
	return error_set(error, failure->code, "", failure_hint(failure),
		"%s as user %s: cannot %s: %s", options->path, options->user,
		steps[failure->step].what, strerror(failure->code));
}

/* The C library's fork() knows no flags; without threads the plain system call will do. */
static pid_t fork_flags(unsigned long flags)
{
	return flags ? (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0) : fork();
}

static pid_t fork_blocked(const struct child *child, unsigned long flags, const int report[2])
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = fork_flags(flags);
	if (pid == 0)
		child_run(child, report[1]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid;
}

/* Waits until the child runs its program or says why it cannot. */
static int await_exec(const struct spawn_options *options, int report_fd, struct error *error)
{
	struct failure failure;
	ssize_t n;

	do
		n = read(report_fd, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	if (n != sizeof(failure) || failure.step >= STEPS)
		return error_set(error, EPROTO, "", "", "%s: the child failed without a report",
			options->path);
	return fail(options, &failure, error);
}

int spawn_child(const struct spawn_options *options, unsigned long flags, pid_t daemon, pid_t *pid,
	struct error *error)
{
	const struct child child = {.options = options, .daemon = daemon};
	int report[2];
	int rc = 0;

	*pid = 0;
	if (pipe2(report, O_CLOEXEC))
		return error_set(error, errno, "", "", "no pipe for a child: %s", strerror(errno));
	*pid = fork_blocked(&child, flags, report);
	if (*pid < 0) {
		rc = error_set(error, errno, "", "", "cannot fork: %s", strerror(errno));
		*pid = 0;
	}
	close(report[1]);
	if (!rc)
		rc = await_exec(options, report[0], error);
	close(report[0]);
	return rc;
}

static int start_child(const struct spawn_options *options, pid_t *pid, struct error *error)
{
	int rc;

	if (spawner_runs())
		return spawner_spawn(options, pid, error);
	rc = spawn_child(options, 0, getpid(), pid, error);
	if (rc && *pid)
		waitpid(*pid, NULL, 0);
	return rc;
}

int spawn(const struct spawn_options *options, pid_t *pid, int *pidfd, struct error *error)
{
	int rc = start_child(options, pid, error);

	if (rc)
		return rc;
	/* Not reaped yet, so the number is still its own. */
	*pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
	if (*pidfd >= 0)
		return 0;
	rc = error_set(error, errno, "", "", "no pidfd for a child: %s", strerror(errno));
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	return rc;
}
