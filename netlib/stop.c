/*
 * The request to stop: a flag for those who run and an eventfd for those who sleep. Called by
 * run.c and attachment.c on any thread; netvm_stop() also in signal handlers, so it must not lock.
 */
#include "stop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <netvm.h>

#include "failure.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of n_users and of making the fd */
static unsigned n_users;
static int fd = -1; /* made once, kept: a handler may be about to write to it */
static int requested;

int stop_enter(void)
{
	int result = 0;

	pthread_mutex_lock(&lock);
	if (fd < 0) {
		int made = eventfd(requested != 0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (made < 0)
			result = failure_set(errno, "eventfd: %m");
		__atomic_store_n(&fd, made, __ATOMIC_SEQ_CST);
	}
	if (result == 0)
		n_users++;
	pthread_mutex_unlock(&lock);
	return result;
}

void stop_leave(void)
{
	uint64_t count;

	pthread_mutex_lock(&lock);
	if (--n_users == 0) {
		__atomic_store_n(&requested, 0, __ATOMIC_SEQ_CST);
		(void)!read(fd, &count, sizeof(count));
	}
	pthread_mutex_unlock(&lock);
}

bool stop_requested(void)
{
	return __atomic_load_n(&requested, __ATOMIC_RELAXED) != 0;
}

int stop_fd(void)
{
	return fd;
}

void netvm_stop(void)
{
	const uint64_t one = 1;
	int saved_errno = errno;
	int target;

	__atomic_store_n(&requested, 1, __ATOMIC_SEQ_CST);
	target = __atomic_load_n(&fd, __ATOMIC_SEQ_CST);
	if (target >= 0)
		(void)!write(target, &one, sizeof(one));
	errno = saved_errno;
}
