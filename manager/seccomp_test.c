/* What the filter refuses and what must still work behind it. Each in a process of its own. */
#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/seccomp.h"

/* Each returns what the system call returned. */

static long execute(void)
{
	return execl("/bin/true", "true", (char *)NULL);
}

static long make_process(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long make_executable(void)
{
	return mprotect((void *)((uintptr_t)make_executable & ~4095ul), 4096,
		PROT_READ | PROT_WRITE | PROT_EXEC);
}

static long map_executable(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? -1 : 0;
}

static long trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long enter_mount_namespace(void)
{
	return setns(-1, CLONE_NEWNS);
}

static long enter_any_namespace(void)
{
	return setns(-1, 0);
}

static long leave_namespaces(void)
{
	return unshare(CLONE_FILES);
}

static long mount_something(void)
{
	return mount("none", "/", NULL, MS_REMOUNT, NULL);
}

static long become_root(void)
{
	return syscall(SYS_setresuid, 0, 0, 0);
}

static long ip_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long odd_socket(void)
{
	return socket(AF_ALG, SOCK_SEQPACKET, 0);
}

static long dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long raise_limit(void)
{
	const struct rlimit limit = {100, 100};

	return setrlimit(RLIMIT_NOFILE, &limit);
}

static long load_keys(void)
{
	return syscall(SYS_add_key, "user", "netvm", "y", 1, -1);
}

static long make_device(void)
{
	return mknod("/nowhere/device", S_IFBLK | 0600, 0);
}

static const struct {
	const char *name;
	long (*call)(void);
} refused[] = {
	{"execve", execute},
	{"fork", make_process},
	{"mprotect executable", make_executable},
	{"mmap executable", map_executable},
	{"ptrace", trace},
	{"setns of mounts", enter_mount_namespace},
	{"setns of anything", enter_any_namespace},
	{"unshare", leave_namespaces},
	{"mount", mount_something},
	{"setresuid", become_root},
	{"IP socket", ip_socket},
	{"socket of an odd family", odd_socket},
	{"prctl", dumpable},
	{"setrlimit", raise_limit},
	{"add_key", load_keys},
	{"mknod", make_device},
};

static void *thread_run(void *arg)
{
	return arg;
}

static bool thread_starts(void)
{
	static char token;
	pthread_t thread;
	void *result = NULL;

	return pthread_create(&thread, NULL, thread_run, &token) == 0 &&
	       pthread_join(thread, &result) == 0 && result == &token;
}

static bool sockets_open(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) >= 0 && socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool memory_is_shared(void)
{
	int fd = memfd_create("x", MFD_CLOEXEC);

	return fd >= 0 && ftruncate(fd, 4096) == 0 &&
	       mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
}

/* EBADF, of the call itself: the filter let it through. */
static bool network_namespaces_are_entered(void)
{
	return setns(-1, CLONE_NEWNET) < 0 && errno == EBADF;
}

static bool pipes_are_named(void)
{
	return mkfifo("/nowhere/pipe", 0600) < 0 && errno == ENOENT;
}

static bool names_are_looked_up(void)
{
	return getpwnam("root") && !getpwnam("nobody-knows-me");
}

static const struct {
	const char *name;
	bool (*works)(void);
} working[] = {
	{"threads", thread_starts},
	{"sockets", sockets_open},
	{"shared memory", memory_is_shared},
	{"network namespaces", network_namespaces_are_entered},
	{"named pipes", pipes_are_named},
	{"names of users", names_are_looked_up},
};

/* In a child with the filter; prints what is wrong there. Returns the number of faults. */
static int try_all(void)
{
	struct error error = {0};
	int faults = 0;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (seccomp_start(&error) || !seccomp_is_on()) {
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	for (size_t i = 0; i < sizeof(working) / sizeof(*working); i++)
		if (!working[i].works()) {
			fprintf(stderr, "does not work: %s\n", working[i].name);
			faults++;
		}
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		long result;

		errno = 0;
		result = refused[i].call();
		if (result == -1 && errno == EPERM)
			continue;
		fprintf(stderr, "not refused: %s (%ld, errno %d)\n", refused[i].name, result,
			errno);
		faults++;
	}
	return faults;
}

static void test_filter(void **state)
{
	struct error error = {0};
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0)
		_exit(seccomp_start(&error) == -ENOTSUP ? 77 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(try_all());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void *wait_for_news(void *arg)
{
	uint64_t count;

	(void)!read(*(int *)arg, &count, sizeof(count));
	return (void *)(intptr_t)prctl(PR_GET_SECCOMP);
}

/* A thread from before the filter has it, too. */
static int try_threads(void)
{
	int fd = eventfd(0, 0);
	const uint64_t one = 1;
	struct error error = {0};
	pthread_t thread;
	void *mode = NULL;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	pthread_create(&thread, NULL, wait_for_news, &fd);
	if (seccomp_start(&error) == -ENOTSUP)
		return 77;
	(void)!write(fd, &one, sizeof(one));
	pthread_join(thread, &mode);
	return (intptr_t)mode == 2 ? 0 : 1;
}

static void test_threads(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (pid == 0)
		_exit(try_threads());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
