/* NFs started by the helper: they are the daemon's children, and only what they may be. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/nf/spawner.h"

static char *const env[] = {"PATH=/usr/bin:/bin", "EMPTY=", NULL};
static struct spawner_options helper;
static struct spawn_options options;

static int setup(void **state)
{
	struct passwd *user = geteuid() == 0 ? getpwnam("nobody") : getpwuid(geteuid());
	struct error error = {0};

	(void)state;
	if (!user)
		return -1;
	options = (struct spawn_options){.path = "/bin/sh",
		.env = env,
		.user = user->pw_name,
		.uid = user->pw_uid,
		.gid = user->pw_gid,
		.output_fd = STDERR_FILENO,
		.cgroup_fd = -1,
		.extra_fd = -1,
		.dies_with_daemon = true};
	return spawner_start(&helper, &error);
}

static int teardown(void **state)
{
	(void)state;
	spawner_stop();
	/* Nobody is left. */
	return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : -1;
}

/* Runs a shell line; what it printed is in `output`. Returns its exit status. */
static int run(char *line, char *output, size_t size)
{
	char *const argv[] = {"sh", "-c", line, NULL};
	int status, pidfd, memfd = memfd_create("output", MFD_CLOEXEC);
	struct error error = {0};
	ssize_t n;
	pid_t pid;

	options.argv = argv;
	options.output_fd = memfd;
	assert_int_equal(spawn(&options, &pid, &pidfd, &error), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	n = pread(memfd, output, size - 1, 0);
	output[n < 0 ? 0 : n] = '\0';
	close(memfd);
	close(pidfd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_is_a_child_of_the_daemon(void **state)
{
	char output[64], expected[64];

	(void)state;
	assert_int_equal(run("echo $PPID $(id -u); exit 7", output, sizeof(output)), 7);
	snprintf(expected, sizeof(expected), "%d %u\n", getpid(), options.uid);
	assert_string_equal(output, expected);
}

static void test_words_arrive_whole(void **state)
{
	char *const argv[] = {
		"sh", "-c", "echo \"$#:$1:$2:${EMPTY-unset}\"", "sh", "", "a b", NULL};
	int pidfd, memfd = memfd_create("output", MFD_CLOEXEC);
	struct error error = {0};
	char output[64] = "";
	pid_t pid;

	(void)state;
	options.argv = argv;
	options.output_fd = memfd;
	assert_int_equal(spawn(&options, &pid, &pidfd, &error), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(pread(memfd, output, sizeof(output) - 1, 0) > 0);
	assert_string_equal(output, "2::a b:\n");
	close(memfd);
	close(pidfd);
}

static void test_descriptors_arrive(void **state)
{
	const int cgroup[] = {-1, open("/dev/null", O_WRONLY | O_CLOEXEC)}; /* goes before it */
	char output[64], text[8];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		memset(text, 0, sizeof(text));
		options.cgroup_fd = cgroup[i];
		options.extra_fd = memfd_create("extra", MFD_CLOEXEC);
		assert_int_equal(run("printf here >&3", output, sizeof(output)), 0);
		assert_int_equal(pread(options.extra_fd, text, sizeof(text) - 1, 0), 4);
		assert_string_equal(text, "here");
		close(options.extra_fd);
	}
	close(cgroup[1]);
}

static int start(const char *path, char *first, struct error *error)
{
	char *const argv[] = {first, NULL};
	int rc, pidfd;
	pid_t pid;

	options.path = path;
	options.argv = argv;
	options.output_fd = STDERR_FILENO;
	rc = spawn(&options, &pid, &pidfd, error);
	if (rc == 0) {
		waitpid(pid, NULL, 0);
		close(pidfd);
	}
	return rc;
}

static void test_failure_is_told(void **state)
{
	struct error error = {0};

	(void)state;
	assert_int_equal(start("/nonexistent", "x", &error), -ENOENT);
	assert_non_null(strstr(error.message, "/nonexistent"));
	memset(&error, 0, sizeof(error));
	assert_int_equal(start("/bin/true", "x", &error), 0);
}

static void test_too_long_a_command(void **state)
{
	char *word = calloc(1, 70000);
	struct error error = {0};

	(void)state;
	memset(word, 'x', 69999);
	assert_int_equal(start("/bin/true", word, &error), -E2BIG);
	free(word);
	memset(&error, 0, sizeof(error));
	assert_int_equal(start("/bin/true", "x", &error), 0);
}

static int setup_others_only(void **state)
{
	helper.others_only = true;
	return setup(state);
}

static void test_others_only(void **state)
{
	struct error error = {0};

	(void)state;
	helper.others_only = false;
	if (geteuid() == 0)
		assert_int_equal(start("/bin/true", "x", &error), 0);
	options.uid = options.gid = 0;
	assert_int_equal(start("/bin/true", "x", &error), -EPERM);
	memset(&error, 0, sizeof(error));
	options.uid = geteuid();
	options.gid = 12345;
	assert_int_equal(start("/bin/true", "x", &error), -EPERM);
	memset(&error, 0, sizeof(error));
	options.uid = 12345;
	options.gid = getegid();
	assert_int_equal(start("/bin/true", "x", &error), -EPERM);
}

static int refuse(struct error *error)
{
	return error_set(error, EACCES, "", "", "cannot give it up");
}

static void test_drop_fails(void **state)
{
	const struct spawner_options refusing = {.drop = refuse};
	struct error error = {0};

	(void)state;
	assert_int_equal(spawner_start(&refusing, &error), -EACCES);
	assert_string_equal(error.message, "cannot give it up");
	assert_false(spawner_runs());
}

static void test_helper_is_gone(void **state)
{
	struct error error = {0};
	pid_t pid;

	(void)state;
	pid = spawner_pid();
	kill(pid, SIGKILL);
	assert_int_equal(start("/bin/true", "x", &error), -EPIPE);
	assert_non_null(strstr(error.message, "helper"));
}

/* The NF dies with the daemon, though the helper made it; the helper, too. */
static void test_dies_with_daemon(void **state)
{
	char *const argv[] = {"sleep", "1000", NULL};
	struct pollfd pollfd[2];
	pid_t daemon, pids[2];
	int report[2];

	(void)state;
	assert_return_code(pipe(report), errno);
	daemon = fork();
	if (daemon == 0) {
		struct error error = {0};
		int pidfd;

		setup(NULL);
		options.path = "/bin/sleep";
		options.argv = argv;
		spawn(&options, &pids[0], &pidfd, &error);
		pids[1] = spawner_pid();
		(void)!write(report[1], pids, sizeof(pids));
		pause();
	}
	close(report[1]);
	assert_int_equal(read(report[0], pids, sizeof(pids)), sizeof(pids));
	close(report[0]);
	for (int i = 0; i < 2; i++) {
		pollfd[i] = (struct pollfd){
			.fd = (int)syscall(SYS_pidfd_open, pids[i], 0), .events = POLLIN};
		assert_return_code(pollfd[i].fd, errno);
	}
	kill(daemon, SIGKILL);
	waitpid(daemon, NULL, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(poll(&pollfd[i], 1, 100000), 1);
		close(pollfd[i].fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_is_a_child_of_the_daemon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_words_arrive_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long_a_command, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_only, setup_others_only, teardown),
		cmocka_unit_test_setup_teardown(test_helper_is_gone, setup, teardown),
		cmocka_unit_test(test_drop_fails),
		cmocka_unit_test(test_dies_with_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
