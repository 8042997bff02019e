/* What a started child has and has not. The parts about users need root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/nf/spawn.h"

static char output[65536];
static struct spawn_options options;

/* As nobody when root, else as who we are. */
static void options_reset(void)
{
	static char *const env[] = {"PATH=/usr/bin:/bin", "NETVM_NAME=fw", NULL};
	const struct passwd *user = geteuid() == 0 ? getpwnam("nobody") : getpwuid(geteuid());

	assert_non_null(user);
	options = (struct spawn_options){.env = env,
		.user = user->pw_name,
		.uid = user->pw_uid,
		.gid = user->pw_gid,
		.cgroup_fd = -1,
		.extra_fd = -1,
		.dies_with_daemon = true};
}

/* Run a shell line to its end; what it printed is in `output`. Returns its status. */
static int run(char *line)
{
	char *const argv[] = {"sh", "-c", line, NULL};
	int status, pidfd, memfd = memfd_create("output", MFD_CLOEXEC);
	struct error error = {0};
	ssize_t n;
	pid_t pid;

	options.path = "/bin/sh";
	options.argv = argv;
	options.output_fd = memfd;
	assert_int_equal(spawn(&options, &pid, &pidfd, &error), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	n = pread(memfd, output, sizeof(output) - 1, 0);
	output[n < 0 ? 0 : n] = '\0';
	close(memfd);
	close(pidfd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The rest of the line "key: ..." of the output. */
static const char *line_of(const char *key)
{
	static char line[256];
	const char *found = strstr(output, key);

	if (!found)
		fail_msg("no line %s", key);
	found += strlen(key);
	found += strspn(found, ": \t");
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(found, "\n"), found);
	return line;
}

static void test_no_privileges(void **state)
{
	static const char *const zero[] = {"CapInh", "CapPrm", "CapEff", "CapAmb", "SigBlk"};
	char expected[64];

	(void)state;
	options_reset();
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(run("cat /proc/self/status"), 0);
	for (size_t i = 0; i < sizeof(zero) / sizeof(*zero); i++)
		assert_string_equal(line_of(zero[i]), "0000000000000000");
	/* Signals 32 and 33 are glibc's own: posix_spawn(), which make uses, leaves them ignored.
	 */
	assert_int_equal(strtoull(line_of("SigIgn"), NULL, 16) & ~0x180000000ull, 0);
	assert_string_equal(line_of("NoNewPrivs"), "1");
	snprintf(expected, sizeof(expected), "%u\t%u\t%u\t%u", options.uid, options.uid,
		options.uid, options.uid);
	assert_string_equal(line_of("Uid"), expected);
	if (geteuid() != 0)
		skip();
	assert_string_equal(line_of("CapBnd"), "0000000000000000");
	assert_string_equal(line_of("Groups"), "");
	snprintf(expected, sizeof(expected), "%u\t%u\t%u\t%u", options.gid, options.gid,
		options.gid, options.gid);
	assert_string_equal(line_of("Gid"), expected);
}

/* Also root is nothing without capabilities. */
static void test_root_without_capabilities(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	options_reset();
	options.user = "root";
	options.uid = options.gid = 0;
	assert_int_equal(run("cat /proc/self/status; chown 1 /etc/passwd"), 1);
	assert_string_equal(line_of("CapEff"), "0000000000000000");
	assert_string_equal(line_of("CapBnd"), "0000000000000000");
}

static void test_descriptors_and_session(void **state)
{
	int leak = open("/dev/null", O_RDONLY); /* on purpose without O_CLOEXEC */

	(void)state;
	options_reset();
	assert_int_equal(run("ls /proc/$$/fd; readlink /proc/$$/fd/0 /proc/$$/cwd;"
			     "echo sid $(cut -d' ' -f6 /proc/$$/stat) pid $$; env"),
		0);
	close(leak);
	assert_int_equal(strncmp(output, "0\n1\n2\n/dev/null\n/\n", 18), 0);
	assert_int_equal(atoi(line_of("sid")), atoi(strstr(output, " pid ") + 5));
	assert_non_null(strstr(output, "NETVM_NAME=fw\n"));
	assert_null(strstr(output, "HOME="));
}

/* Wherever it lies, also where it has to be already. */
static void test_extra_descriptor(void **state)
{
	int extra = memfd_create("extra", MFD_CLOEXEC);
	char text[8] = "";

	(void)state;
	options_reset();
	options.extra_fd = fcntl(extra, F_DUPFD_CLOEXEC, SPAWN_EXTRA_FD + 10);
	assert_int_equal(run("ls /proc/$$/fd; printf here >&3"), 0);
	assert_string_equal(output, "0\n1\n2\n3\n");
	assert_int_equal(pread(extra, text, sizeof(text) - 1, 0), 4);
	assert_string_equal(text, "here");
	close(options.extra_fd);
	assert_int_equal(extra, SPAWN_EXTRA_FD);
	options.extra_fd = extra;
	assert_int_equal(run("ls /proc/$$/fd"), 0);
	assert_string_equal(output, "0\n1\n2\n3\n");
	close(extra);
}

static void test_cpus(void **state)
{
	cpu_set_t first, all;
	int cpu = 0;

	(void)state;
	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all); /* those there are for us */
	sched_getaffinity(0, sizeof(all), &all);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	options_reset();
	CPU_ZERO(&first);
	CPU_SET(cpu, &first);
	options.cpus = &first;
	assert_int_equal(run("cat /proc/self/status"), 0);
	assert_int_equal(atoi(line_of("Cpus_allowed_list")), cpu);
	assert_null(strpbrk(line_of("Cpus_allowed_list"), "-,"));
	/* Where the daemon's thread is pinned is not the child's affair. */
	options.cpus = NULL;
	sched_setaffinity(0, sizeof(first), &first);
	assert_int_equal(run("nproc"), 0);
	sched_setaffinity(0, sizeof(all), &all);
	assert_int_equal(atoi(output), CPU_COUNT(&all));
}

/* ---- two NFs of one user --------------------------------------------------------------------- */

static void sleeper_start(pid_t *pid, int *pidfd)
{
	static char *const argv[] = {"sleep", "1000", NULL};
	struct error error = {0};

	options_reset();
	options.path = "/bin/sleep";
	options.argv = argv;
	options.output_fd = STDERR_FILENO;
	assert_int_equal(spawn(&options, pid, pidfd, &error), 0);
}

static void test_neighbours_are_out_of_reach(void **state)
{
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	char line[128];
	int pidfd, traced, killed;
	pid_t pid;

	(void)state;
	if (version < 2)
		skip();
	sleeper_start(&pid, &pidfd);
	snprintf(line, sizeof(line), "cat /proc/%d/environ >/dev/null", pid);
	traced = run(line);
	snprintf(line, sizeof(line), "kill -0 %d", pid);
	killed = run(line);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pidfd);
	assert_int_equal(traced, 1);
	if (version >= 6)
		assert_int_equal(killed, 1);
	/* What it may do with itself and with files is as before. */
	assert_int_equal(run("cat /proc/$$/environ >/dev/null && cd $(mktemp -d) && mkdir a b &&"
			     "touch a/x && mv a/x b/x && rm -r $PWD && kill -0 $$"),
		0);
}

/* ---- death ----------------------------------------------------------------------------------- */

static void test_dies_with_daemon(void **state)
{
	int report[2], pidfd;
	struct pollfd pollfd;
	pid_t daemon, pid;

	(void)state;
	assert_return_code(pipe(report), errno);
	daemon = fork();
	if (daemon == 0) {
		sleeper_start(&pid, &pidfd);
		(void)!write(report[1], &pid, sizeof(pid));
		pause();
	}
	close(report[1]);
	assert_int_equal(read(report[0], &pid, sizeof(pid)), sizeof(pid));
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_return_code(pidfd, errno);
	kill(daemon, SIGKILL);
	waitpid(daemon, NULL, 0);
	close(report[0]);
	pollfd = (struct pollfd){.fd = pidfd, .events = POLLIN};
	assert_int_equal(poll(&pollfd, 1, 100000), 1);
	close(pidfd);
}

/* ---- failures -------------------------------------------------------------------------------- */

static char folder[] = "/tmp/netvm-spawn-test.XXXXXX";

static int setup(void **state)
{
	char path[64];
	FILE *file;

	(void)state;
	if (!mkdtemp(folder) || chmod(folder, 0755))
		return -1;
	snprintf(path, sizeof(path), "%s/garbage", folder);
	file = fopen(path, "w");
	fputs("\001\002\003", file);
	fclose(file);
	chmod(path, 0755);
	snprintf(path, sizeof(path), "%s/private", folder);
	mkdir(path, 0700);
	return 0;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static const struct {
	const char *file;
	int code;
	const char *message;
	bool needs_root;
} failures[] = {
	{"missing", ENOENT, "cannot execute: No such file", false},
	{"garbage", ENOEXEC, "cannot execute: Exec format error", false},
	{"", EACCES, "cannot execute: Permission denied", false},
	{"private/program", EACCES, "cannot execute: Permission denied", true},
};

static void test_exec_errors(void **state)
{
	static char *const argv[] = {"x", NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(failures) / sizeof(*failures); i++) {
		struct error error = {0};
		char path[64];
		int pidfd;
		pid_t pid;

		if (failures[i].needs_root && geteuid() != 0)
			continue;
		options_reset();
		snprintf(path, sizeof(path), "%s/%s", folder, failures[i].file);
		options.path = path;
		options.argv = argv;
		options.output_fd = STDERR_FILENO;
		assert_int_equal(spawn(&options, &pid, &pidfd, &error), -failures[i].code);
		assert_non_null(strstr(error.message, path));
		assert_non_null(strstr(error.message, failures[i].message));
		/* Nobody is left. */
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
	}
}

static void test_no_such_cpu(void **state)
{
	static char *const argv[] = {"true", NULL};
	struct error error = {0};
	cpu_set_t last;
	int pidfd;
	pid_t pid;

	(void)state;
	options_reset();
	CPU_ZERO(&last);
	CPU_SET(CPU_SETSIZE - 1, &last);
	options.cpus = &last;
	options.path = "/bin/true";
	options.argv = argv;
	options.output_fd = STDERR_FILENO;
	assert_int_equal(spawn(&options, &pid, &pidfd, &error), -EINVAL);
	assert_non_null(strstr(error.message, "cannot run on the CPUs asked for"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_privileges),
		cmocka_unit_test(test_root_without_capabilities),
		cmocka_unit_test(test_descriptors_and_session),
		cmocka_unit_test(test_extra_descriptor),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_neighbours_are_out_of_reach),
		cmocka_unit_test(test_dies_with_daemon),
		cmocka_unit_test(test_exec_errors),
		cmocka_unit_test(test_no_such_cpu),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
