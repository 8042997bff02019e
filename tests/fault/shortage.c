/*
 * shortage.so: makes the machine refuse what a program asks for. Loaded into netvmd by LD_PRELOAD,
 * with NETVM_SHORTAGE naming the page by which the test `shortage` steers it (shortage.h).
 *
 * Each function here stands in front of the C library's of the same name, decides whether this call
 * is the one to fail, and else passes it on.
 */
#undef _FILE_OFFSET_BITS /* would turn each name below into the one with 64 */
#include "tests/fault/shortage.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static struct shortage *page;
static __thread bool inside;  /* what we call ourselves does not count */
static uint64_t credit_bytes; /* freed since memory ran out */
static uint64_t credit_fds;   /* closed since descriptors ran out */

/* The C library's function of this name. */
#define NEXT(name)                                                                                 \
	({                                                                                         \
		static typeof(&name) next_;                                                        \
		if (!next_)                                                                        \
			next_ = (typeof(&name))(uintptr_t)dlsym(RTLD_NEXT, #name);                 \
		next_;                                                                             \
	})

/* The program itself comes first. */
static int note_base(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	((struct shortage *)arg)->base = info->dlpi_addr;
	return 1;
}

static __attribute__((constructor)) void open_page(void)
{
	const char *path = getenv("NETVM_SHORTAGE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at = MAP_FAILED;

	if (fd >= 0)
		at = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (at == MAP_FAILED)
		return;
	/* The first call loads a library. */
	backtrace((void *[1]){NULL}, 1);
	dl_iterate_phdr(note_base, at);
	page = at;
}

static int calls_that_led_here(void *stack[SHORTAGE_STACK])
{
	int n;

	inside = true;
	n = backtrace(stack, SHORTAGE_STACK);
	inside = false;
	return n;
}

/* FNV-1a of all who called. */
static void note_place(uint64_t call)
{
	void *stack[SHORTAGE_STACK];
	int n = calls_that_led_here(stack);
	uint64_t place = 0xcbf29ce484222325;

	for (int i = 0; i < n; i++)
		place = (place ^ (uintptr_t)stack[i]) * 0x100000001b3;
	if (call <= SHORTAGE_PLACES)
		page->places[call - 1] = place;
}

static void note(const char *name)
{
	void *stack[SHORTAGE_STACK];
	int n = calls_that_led_here(stack);

	for (int i = 0; i < n; i++)
		page->stack[i] = (uintptr_t)stack[i];
	snprintf(page->name, sizeof(page->name), "%s", name);
	credit_bytes = 0;
	credit_fds = 0;
}

/* Whether this call is one that must fail. */
static bool fails(enum shortage_kind kind, const char *name, size_t bytes)
{
	uint64_t call;

	if (!page || inside || !(page->kinds & kind) || page->pid != (uint64_t)getpid() ||
		gettid() != getpid())
		return false;
	call = ++page->calls;
	if (page->nth == SHORTAGE_NEVER)
		note_place(call);
	if (call < page->nth || (call > page->nth && !page->lasting))
		return false;
	if (call == page->nth)
		note(name);
	if (call > page->nth && bytes > 0 && credit_bytes >= bytes) {
		credit_bytes -= bytes;
		return false;
	}
	if (call > page->nth && kind == SHORTAGE_FD && credit_fds > 0) {
		credit_fds--;
		return false;
	}
	page->failed++;
	return true;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/*
 * The real ones: AddressSanitizer's if that is there, else the C library's. By these names, since
 * dlsym() would ask for memory itself, and a sanitizer does so before it is ready.
 */
#define REAL(type, name, ...)                                                                      \
	extern type __libc_##name(__VA_ARGS__);                                                    \
	extern type __interceptor_##name(__VA_ARGS__) __attribute__((weak))
REAL(void *, malloc, size_t);
REAL(void *, calloc, size_t, size_t);
REAL(void *, realloc, void *, size_t);
REAL(void *, memalign, size_t, size_t);
REAL(void, free, void *);
#define CALL(name, ...)                                                                            \
	(__interceptor_##name ? __interceptor_##name(__VA_ARGS__) : __libc_##name(__VA_ARGS__))

static void *count(void *at)
{
	if (at && page && page->owner == (uint64_t)getpid())
		__atomic_add_fetch(&page->blocks, 1, __ATOMIC_RELAXED);
	return at;
}

static void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

PUBLIC void *malloc(size_t size)
{
	return fails(SHORTAGE_MEMORY, "malloc", size) ? no_memory() : count(CALL(malloc, size));
}

PUBLIC void *calloc(size_t n, size_t size)
{
	return fails(SHORTAGE_MEMORY, "calloc", n * size) ? no_memory()
							  : count(CALL(calloc, n, size));
}

PUBLIC void *realloc(void *at, size_t size)
{
	if (fails(SHORTAGE_MEMORY, "realloc", size))
		return no_memory();
	return at ? CALL(realloc, at, size) : count(CALL(malloc, size));
}

PUBLIC void *aligned_alloc(size_t align, size_t size)
{
	return fails(SHORTAGE_MEMORY, "aligned_alloc", size) ? no_memory()
							     : count(CALL(memalign, align, size));
}

PUBLIC int posix_memalign(void **at, size_t align, size_t size)
{
	void *made = aligned_alloc(align, size);

	if (!made)
		return ENOMEM;
	*at = made;
	return 0;
}

PUBLIC void free(void *at)
{
	if (at && page && page->owner == (uint64_t)getpid()) {
		__atomic_sub_fetch(&page->blocks, 1, __ATOMIC_RELAXED);
		if (page->failed && gettid() == getpid())
			credit_bytes += malloc_usable_size(at);
	}
	CALL(free, at);
}

/* ---- all others ------------------------------------------------------------------------------ */

/* A function that returns `bad` with errno when it fails. */
#define FAILS(kind, name, type, bad, code, parameters, ...)                                        \
	PUBLIC type name parameters                                                                \
	{                                                                                          \
		if (fails(kind, #name, 0)) {                                                       \
			errno = code;                                                              \
			return bad;                                                                \
		}                                                                                  \
		return NEXT(name)(__VA_ARGS__);                                                    \
	}

FAILS(SHORTAGE_MAP, mmap, void *, MAP_FAILED, ENOMEM,
	(void *at, size_t size, int protection, int flags, int fd, off_t offset), at, size,
	protection, flags, fd, offset)
FAILS(SHORTAGE_MAP, mmap64, void *, MAP_FAILED, ENOMEM,
	(void *at, size_t size, int protection, int flags, int fd, off64_t offset), at, size,
	protection, flags, fd, offset)

FAILS(SHORTAGE_FD, socket, int, -1, EMFILE, (int domain, int type, int protocol), domain, type,
	protocol)
FAILS(SHORTAGE_FD, socketpair, int, -1, EMFILE, (int domain, int type, int protocol, int fds[2]),
	domain, type, protocol, fds)
FAILS(SHORTAGE_FD, accept, int, -1, EMFILE, (int fd, struct sockaddr *address, socklen_t *length),
	fd, address, length)
FAILS(SHORTAGE_FD, accept4, int, -1, EMFILE,
	(int fd, struct sockaddr *address, socklen_t *length, int flags), fd, address, length,
	flags)
FAILS(SHORTAGE_FD, pipe, int, -1, EMFILE, (int fds[2]), fds)
FAILS(SHORTAGE_FD, pipe2, int, -1, EMFILE, (int fds[2], int flags), fds, flags)
FAILS(SHORTAGE_FD, eventfd, int, -1, EMFILE, (unsigned initial, int flags), initial, flags)
FAILS(SHORTAGE_FD, timerfd_create, int, -1, EMFILE, (int clock, int flags), clock, flags)
FAILS(SHORTAGE_FD, epoll_create1, int, -1, EMFILE, (int flags), flags)
FAILS(SHORTAGE_FD, memfd_create, int, -1, EMFILE, (const char *name, unsigned flags), name, flags)
FAILS(SHORTAGE_FD, dup, int, -1, EMFILE, (int fd), fd)
FAILS(SHORTAGE_FD, mkostemp, int, -1, EMFILE, (char *path, int flags), path, flags)
FAILS(SHORTAGE_FD, mkostemp64, int, -1, EMFILE, (char *path, int flags), path, flags)
FAILS(SHORTAGE_FD, fopen, FILE *, NULL, EMFILE, (const char *path, const char *mode), path, mode)
FAILS(SHORTAGE_FD, fopen64, FILE *, NULL, EMFILE, (const char *path, const char *mode), path, mode)
FAILS(SHORTAGE_FD, opendir, DIR *, NULL, EMFILE, (const char *path), path)

FAILS(SHORTAGE_DISK, fsync, int, -1, EIO, (int fd), fd)
FAILS(SHORTAGE_DISK, ftruncate, int, -1, ENOSPC, (int fd, off_t size), fd, size)
FAILS(SHORTAGE_DISK, ftruncate64, int, -1, ENOSPC, (int fd, off64_t size), fd, size)
FAILS(SHORTAGE_DISK, rename, int, -1, ENOSPC, (const char *from, const char *to), from, to)
FAILS(SHORTAGE_DISK, mkdir, int, -1, ENOSPC, (const char *path, mode_t mode), path, mode)
FAILS(SHORTAGE_DISK, mkfifo, int, -1, ENOSPC, (const char *path, mode_t mode), path, mode)

FAILS(SHORTAGE_TASK, fork, pid_t, -1, EAGAIN, (void))

FAILS(SHORTAGE_KERNEL, bind, int, -1, ENOMEM,
	(int fd, const struct sockaddr *address, socklen_t length), fd, address, length)
FAILS(SHORTAGE_KERNEL, listen, int, -1, ENOMEM, (int fd, int backlog), fd, backlog)
FAILS(SHORTAGE_KERNEL, sendmsg, ssize_t, -1, ENOBUFS,
	(int fd, const struct msghdr *message, int flags), fd, message, flags)
FAILS(SHORTAGE_KERNEL, setsockopt, int, -1, ENOMEM,
	(int fd, int level, int name, const void *value, socklen_t size), fd, level, name, value,
	size)

PUBLIC int close(int fd)
{
	if (page && page->failed && page->pid == (uint64_t)getpid() && gettid() == getpid())
		credit_fds++;
	return NEXT(close)(fd);
}

static bool is_file(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

PUBLIC ssize_t write(int fd, const void *bytes, size_t n)
{
	if (page && page->kinds & SHORTAGE_DISK && is_file(fd) &&
		fails(SHORTAGE_DISK, "write", 0)) {
		errno = ENOSPC;
		return -1;
	}
	return NEXT(write)(fd, bytes, n);
}

PUBLIC int epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event)
{
	if (what == EPOLL_CTL_ADD && fails(SHORTAGE_KERNEL, "epoll_ctl", 0)) {
		errno = ENOMEM;
		return -1;
	}
	return NEXT(epoll_ctl)(epoll_fd, what, fd, event);
}

static int open_next(int (*next)(const char *, int, ...), const char *path, int flags, va_list args)
{
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;

	if (fails(SHORTAGE_FD, "open", 0)) {
		errno = EMFILE;
		return -1;
	}
	return next(path, flags, mode);
}

PUBLIC int open(const char *path, int flags, ...)
{
	va_list args;
	int fd;

	va_start(args, flags);
	fd = open_next(NEXT(open), path, flags, args);
	va_end(args);
	return fd;
}

PUBLIC int open64(const char *path, int flags, ...)
{
	va_list args;
	int fd;

	va_start(args, flags);
	fd = open_next(NEXT(open64), path, flags, args);
	va_end(args);
	return fd;
}

PUBLIC int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	if (fails(SHORTAGE_KERNEL, "ioctl", 0)) {
		errno = ENOMEM;
		return -1;
	}
	return NEXT(ioctl)(fd, request, argument);
}

/* Those that have no wrapper: descriptors of processes and BPF maps, and children with flags. */
PUBLIC long syscall(long number, ...)
{
	bool is_fd = number == SYS_pidfd_open || number == SYS_bpf;
	bool is_task = number == SYS_clone;
	long a[6];
	va_list args;

	va_start(args, number);
	for (unsigned i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if ((is_fd && fails(SHORTAGE_FD, "syscall", 0)) ||
		(is_task && fails(SHORTAGE_TASK, "clone", 0))) {
		errno = is_fd ? EMFILE : EAGAIN;
		return -1;
	}
	return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

PUBLIC int pthread_create(
	pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
	if (fails(SHORTAGE_TASK, "pthread_create", 0))
		return EAGAIN;
	return NEXT(pthread_create)(thread, attributes, run, arg);
}
