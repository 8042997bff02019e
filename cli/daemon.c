/*
 * `netvm daemon restart`: a new netvmd takes over from the one that runs. See actions.h.
 *
 * The new one is started as the old one was: same arguments, folder and log. Under systemd that is
 * systemd's affair, since only it can start a process with what the unit says; it calls this
 * command in turn, inside the unit (ExecReload=).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/actions.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "common/clock.h"

#define DAEMON_WORDS_MAX 64
#define WAIT_S           60 /* as long as systemd waits for one */
#define READY_FD         3
#define READY_FD_WORDS   "3"

struct plan {
	pid_t pid; /* of the daemon that runs */
	char binary[PATH_MAX];
	char text[16384]; /* its command line */
	char *argv[DAEMON_WORDS_MAX + 4];
	int report[2]; /* the new one says here how it went */
	double wait_s; /* for that */
};

/* ---- systemd --------------------------------------------------------------------------------- */

/* The service whose cgroup a process is in: "netvm.service"; false: none. */
static bool unit_of(const char *pid, char unit[256])
{
	char path[64], line[PATH_MAX], *end, *name;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	*unit = '\0';
	while (!*unit && fgets(line, sizeof(line), file)) {
		end = strstr(line, ".service");
		if (!end)
			continue;
		end[strlen(".service")] = '\0';
		name = strrchr(line, '/');
		snprintf(unit, 256, "%.255s", name ? name + 1 : line);
	}
	fclose(file);
	return *unit != '\0';
}

static bool is_main_pid(const char *unit, pid_t pid)
{
	char command[320], answer[32] = "";
	FILE *pipe;

	snprintf(command, sizeof(command),
		"systemctl show --property=MainPID --value -- '%s' 2>/dev/null", unit);
	pipe = strchr(unit, '\'') ? NULL : popen(command, "re");
	if (!pipe)
		return false;
	if (!fgets(answer, sizeof(answer), pipe))
		answer[0] = '\0';
	pclose(pipe);
	return atoi(answer) == pid;
}

/* Does systemd supervise it, and are we not what systemd calls? */
static bool is_supervised(pid_t pid, char unit[256])
{
	char text[16], own[256];

	snprintf(text, sizeof(text), "%d", pid);
	if (!unit_of(text, unit) || (unit_of("self", own) && strcmp(own, unit) == 0))
		return false;
	return is_main_pid(unit, pid);
}

static int reload_unit(struct cli *cli, const char *unit)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		execlp("systemctl", "systemctl", "reload", "--", unit, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		return fault_other(&cli->fault, FAULT_FAILED, "systemctl status says more",
			"systemctl reload %s failed", unit);
	return 0;
}

/* ---- the new daemon -------------------------------------------------------------------------- */

/* Its program; of one that was replaced by an upgrade what lies there now. */
static int find_binary(struct cli *cli, struct plan *plan, const char *given)
{
	char link[64], *deleted;
	ssize_t n;

	if (given) {
		snprintf(plan->binary, sizeof(plan->binary), "%s", given);
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/%d/exe", plan->pid);
	n = readlink(link, plan->binary, sizeof(plan->binary) - 1);
	if (n < 0)
		return fault_other(&cli->fault, FAULT_FAILED, "run it as root, or say --binary",
			"cannot find the program of process %d: %s", plan->pid, strerror(errno));
	plan->binary[n] = '\0';
	deleted = strstr(plan->binary, " (deleted)");
	if (deleted)
		*deleted = '\0';
	return 0;
}

/* The old one's words, but for those about how it was started. */
static int take_words(struct cli *cli, struct plan *plan)
{
	char path[64], *word = plan->text;
	unsigned n = 0;
	ssize_t length = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", plan->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		length = read(fd, plan->text, sizeof(plan->text) - 1);
		close(fd);
	}
	if (length <= 0)
		return fault_other(&cli->fault, FAULT_FAILED, "",
			"cannot read the command line of process %d", plan->pid);
	for (char *end = plan->text + length; word < end && n < DAEMON_WORDS_MAX;
		word += strlen(word) + 1) {
		if (strcmp(word, "--ready-fd") == 0)
			word += strlen(word) + 1;
		else if (strcmp(word, "--replace") != 0 && strncmp(word, "--ready-fd=", 11) != 0)
			plan->argv[n++] = word;
	}
	plan->argv[n++] = "--replace";
	plan->argv[n++] = "--ready-fd";
	plan->argv[n++] = READY_FD_WORDS;
	return 0;
}

/* Where the old one works and logs; whoever may not look there keeps what he has. */
static void be_like(pid_t pid)
{
	char path[64];
	int fd = open("/dev/null", O_RDONLY);

	dup2(fd, STDIN_FILENO);
	snprintf(path, sizeof(path), "/proc/%d/fd/2", pid);
	fd = open(path, O_WRONLY | O_APPEND | O_NOCTTY);
	if (fd >= 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
	}
	snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
	(void)!chdir(path);
	setsid();
}

static _Noreturn void become_daemon(struct plan *plan)
{
	be_like(plan->pid);
	dup2(plan->report[1], READY_FD);
	close_range(READY_FD + 1, ~0U, 0);
	execv(plan->binary, plan->argv);
	dprintf(READY_FD, "FAILED cannot execute %s: %s\n", plan->binary, strerror(errno));
	_exit(127);
}

static int left_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	uint64_t left_ns = now_ns < deadline_ns ? deadline_ns - now_ns : 0;

	return left_ns / 1000000 < INT_MAX ? (int)(left_ns / 1000000) : INT_MAX;
}

/* Within that time. */
static bool is_readable(int fd, uint64_t deadline_ns)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&pollfd, 1, left_ms(deadline_ns));
	while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Its one line, "" when it ends or closes the pipe without one. False: neither came in time. */
static bool hear_report(int fd, uint64_t deadline_ns, char *line, size_t size)
{
	size_t length = 0;
	ssize_t n = 1;

	while (n > 0 && length < size - 1 && !memchr(line, '\n', length)) {
		if (!is_readable(fd, deadline_ns))
			return false;
		n = read(fd, line + length, size - 1 - length);
		length += n > 0 ? (size_t)n : 0;
	}
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

/* "exited with status 1", for one that ended without a word. False: it has not ended in time. */
static bool describe_end(pid_t pid, uint64_t deadline_ns, char *text, size_t size)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;
	bool ended = is_readable(pidfd, deadline_ns);

	close(pidfd);
	if (!ended)
		return false;
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		snprintf(text, size, "killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "exited with status %d", WEXITSTATUS(status));
	return true;
}

/* READY, or FAILED and why, or nothing when it ends without a word. */
static int await_report(struct cli *cli, const struct plan *plan, pid_t pid)
{
	uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(plan->wait_s * 1e9);
	char line[4096];
	bool heard = hear_report(plan->report[0], deadline_ns, line, sizeof(line));

	close(plan->report[0]);
	if (heard && strcmp(line, "READY") == 0)
		return 0;
	if (!heard || (!*line && !describe_end(pid, deadline_ns, line, sizeof(line))))
		return fault_other(&cli->fault, FAULT_FAILED,
			"netvm version says which one serves; end the other, or wait longer: "
			"--wait",
			"process %d (%s) runs and has not said in %g s whether it took over", pid,
			plan->binary, plan->wait_s);
	return fault_other(&cli->fault, FAULT_FAILED, "the one that runs goes on",
		"the new daemon did not start: %s",
		strncmp(line, "FAILED ", 7) == 0 ? line + 7 : line);
}

static int start_daemon(struct cli *cli, struct plan *plan)
{
	pid_t pid;
	int rc;

	if (pipe2(plan->report, O_CLOEXEC))
		return fault_other(&cli->fault, FAULT_FAILED, "", "no pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0)
		become_daemon(plan);
	close(plan->report[1]);
	rc = await_report(cli, plan, pid);
	if (rc == 0 && !cli->json)
		fprintf(cli->out, "process %d has taken over from process %d\n", pid, plan->pid);
	return rc;
}

int run_daemon_restart(struct cli *cli, const struct call *call)
{
	struct plan plan = {0};
	char unit[256];
	json_t *info;

	if (call_option_number(cli, call, "--wait", 0, WAIT_S, &plan.wait_s))
		return -EINVAL;
	info = cli_ask(cli, "daemon.info", NULL);
	if (!info)
		return -EIO;
	json_decref(info);
	plan.pid = client_pid(cli->client);
	if (plan.pid <= 0)
		return fault_other(&cli->fault, FAULT_FAILED,
			"run this command there, or restart the container",
			"the daemon runs in a container: its process cannot be seen from here");
	if (is_supervised(plan.pid, unit))
		return reload_unit(cli, unit);
	if (find_binary(cli, &plan, call_option(call, "--binary")) || take_words(cli, &plan))
		return -EIO;
	return start_daemon(cli, &plan);
}
