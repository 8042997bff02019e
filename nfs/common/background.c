/* The thread for reports and reloads. See background.h. */
#include "common/background.h"

#include <errno.h>
#include <time.h>

#define STOP_SIGNAL SIGRTMIN /* sent to the background thread only */

uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The next signal of the set, or 0 at the deadline. */
static int signal_wait(const struct background *background, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now_ns = monotonic_ns();
		uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		struct timespec timeout = {
			.tv_sec = (time_t)(left_ns / 1000000000),
			.tv_nsec = (long)(left_ns % 1000000000),
		};
		int signal = sigtimedwait(
			&background->set, NULL, background->interval_ns ? &timeout : NULL);

		if (signal > 0)
			return signal;
		if (errno == EAGAIN)
			return 0;
	}
}

static void *background_run(void *arg)
{
	struct background *background = arg;
	uint64_t deadline_ns = monotonic_ns() + background->interval_ns;

	for (;;) {
		int signal = signal_wait(background, deadline_ns);

		if (signal == STOP_SIGNAL)
			return NULL;
		if (signal == 0)
			deadline_ns = monotonic_ns() + background->interval_ns;
		background->wake(signal, background->arg);
	}
}

int background_start(struct background *background)
{
	sigemptyset(&background->set);
	sigaddset(&background->set, STOP_SIGNAL);
	for (unsigned i = 0; background->signals[i]; i++)
		sigaddset(&background->set, background->signals[i]);
	pthread_sigmask(SIG_BLOCK, &background->set, NULL);
	return -pthread_create(&background->thread, NULL, background_run, background);
}

void background_stop(struct background *background)
{
	pthread_kill(background->thread, STOP_SIGNAL);
	pthread_join(background->thread, NULL);
}
