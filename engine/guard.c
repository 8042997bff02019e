/* Private zero pages in the place of holes. See guard.h. */
#include "engine/guard.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)
#define GUARDED_MAX     255

static struct buffer_pool *guarded[GUARDED_MAX];
static int guard_notify_fd = -1;

static struct buffer_pool *pool_of(const uint8_t *at)
{
	for (unsigned i = 0; i < GUARDED_MAX; i++) {
		struct buffer_pool *pool = __atomic_load_n(&guarded[i], __ATOMIC_ACQUIRE);

		if (pool && at >= pool->base && at < pool->base + pool->size_bytes)
			return pool;
	}
	return NULL;
}

/* Only calls that a signal handler may make; the instruction is tried again when it returns. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	struct buffer_pool *pool = pool_of(info->si_addr);
	uint64_t one = 1, hole = (uintptr_t)info->si_addr & ~(HUGE_PAGE_BYTES - 1);
	int err = errno;

	(void)context;
	if (info->si_code != BUS_ADRERR || !pool ||
		mmap((void *)(uintptr_t)hole, HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
		signal(number, SIG_DFL); /* not ours: it comes again, and ends us as it should */
		return;
	}
	__atomic_store_n(&pool->torn, true, __ATOMIC_RELEASE);
	(void)!write(guard_notify_fd, &one, sizeof(one));
	errno = err;
}

void guard_install(int notify_fd)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_RESTART};

	guard_notify_fd = notify_fd;
	sigaction(SIGBUS, &action, NULL);
}

int guard_add(struct buffer_pool *pool)
{
	for (unsigned i = 0; i < GUARDED_MAX; i++) {
		if (!guarded[i]) {
			__atomic_store_n(&guarded[i], pool, __ATOMIC_RELEASE);
			return 0;
		}
	}
	return -ENOSPC;
}

void guard_remove(struct buffer_pool *pool)
{
	for (unsigned i = 0; i < GUARDED_MAX; i++)
		if (guarded[i] == pool)
			__atomic_store_n(&guarded[i], NULL, __ATOMIC_RELEASE);
}
