/* The filter of system calls: see seccomp.h. */
#include "manager/seccomp.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* By purpose. */
static const char *const allowed[] = {
	/* memory */
	"brk munmap mremap madvise mlock mlock2 munlock mincore mbind get_mempolicy set_mempolicy "
	"memfd_create",
	/* time and sleep */
	"clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time timerfd_create "
	"timerfd_settime timerfd_gettime restart_syscall",
	/* threads */
	"futex set_robust_list rseq gettid getpid getppid sched_yield sched_getaffinity "
	"sched_setaffinity setpriority sched_getparam sched_getscheduler getcpu exit exit_group",
	/* signals, also to NFs */
	"rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack kill tgkill pidfd_open "
	"pidfd_send_signal waitid wait4",
	/* who am I, where am I */
	"getuid geteuid getgid getegid getgroups capget uname sysinfo getrlimit getrusage "
	"getrandom",
	/* files and folders */
	"open openat close close_range read pread64 readv write pwrite64 writev lseek fsync "
	"fdatasync ftruncate fallocate flock stat fstat lstat newfstatat statx statfs fstatfs "
	"access faccessat faccessat2 readlink readlinkat getcwd getdents64 mkdir mkdirat rmdir "
	"unlink unlinkat rename renameat renameat2 chmod fchmod fchmodat chown fchown fchownat "
	"umask fcntl ioctl preadv2",
	/* waiting and waking */
	"epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll "
	"select pselect6 eventfd2 pipe pipe2 dup dup2 dup3",
	/* sockets, of socket_families */
	"socketpair bind listen accept accept4 connect getsockname getpeername getsockopt "
	"setsockopt sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg shutdown",
	/* XDP programs */
	"bpf",
};
static const unsigned socket_families[] = {AF_UNIX, AF_NETLINK, AF_PACKET, AF_XDP};
static const unsigned prctl_requests[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_GET_DUMPABLE,
	PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS};

#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static int allow_names(scmp_filter_ctx filter, char *names)
{
	int rc = 0;

	for (char *name; rc == 0 && (name = strsep(&names, " "));)
		rc = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 0);
	return rc;
}

static int allow_calls(scmp_filter_ctx filter)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < COUNT(allowed); i++) {
		char *names = strdup(allowed[i]);

		rc = names ? allow_names(filter, names) : -ENOMEM;
		free(names);
	}
	return rc;
}

/* `call`, when its first argument is one of these. */
static int allow_first(scmp_filter_ctx filter, int call, const unsigned *values, size_t n)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, call, 1, SCMP_A0(SCMP_CMP_EQ, values[i]));
	return rc;
}

static int allow_sockets(scmp_filter_ctx filter)
{
	return allow_first(filter, SCMP_SYS(socket), socket_families, COUNT(socket_families));
}

static int allow_prctl(scmp_filter_ctx filter)
{
	return allow_first(filter, SCMP_SYS(prctl), prctl_requests, COUNT(prctl_requests));
}

/* Limits may be read, not set, and only one's own. */
static int allow_limits(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
		SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
}

/* clone3() passes its flags in memory, out of sight: ENOSYS has the C library use clone(). */
static int allow_threads(scmp_filter_ctx filter)
{
	int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));

	return rc ? rc : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int allow_memory(scmp_filter_ctx filter)
{
	int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
		SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	return rc ? rc
		  : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* Pipes with a name, no devices. */
static int allow_pipes(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mknodat), 1,
		SCMP_A2(SCMP_CMP_MASKED_EQ, S_IFMT, S_IFIFO));
}

static int allow_namespaces(scmp_filter_ctx filter)
{
	return seccomp_rule_add(
		filter, SCMP_ACT_ALLOW, SCMP_SYS(setns), 1, SCMP_A1(SCMP_CMP_EQ, CLONE_NEWNET));
}

static int (*const parts[])(scmp_filter_ctx filter) = {allow_calls, allow_sockets, allow_prctl,
	allow_limits, allow_threads, allow_memory, allow_pipes, allow_namespaces};

static int load(scmp_filter_ctx filter)
{
	int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	/*
	 * Calls of another architecture; and all calls, when libseccomp ran out of memory without
	 * noticing. By itself it would end the thread, and leave the others to nobody.
	 */
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* Logging what was refused is a kindness of newer kernels. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	/* A tree instead of a list: workers pay for the search. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; rc == 0 && i < COUNT(parts); i++)
		rc = parts[i](filter);
	return rc ? rc : seccomp_load(filter);
}

static bool is_on;

int seccomp_start(struct error *error)
{
	scmp_filter_ctx filter;
	int rc;

	if (IS_SANITIZED)
		return error_set(error, ENOTSUP, "", "", "built with a sanitizer");
	if (prctl(PR_GET_SECCOMP) < 0)
		return error_set(error, ENOTSUP, "", "", "this kernel has no filters");
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	rc = filter ? load(filter) : -ENOMEM;
	is_on = rc == 0;
	if (filter)
		seccomp_release(filter);
	return rc == 0 ? 0
		       : error_set(error, -rc, "", "", "the filter of system calls: %s",
				 strerror(-rc));
}

bool seccomp_is_on(void)
{
	return is_on;
}
