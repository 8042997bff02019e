/* Rates and moments of sources. See pace.h. */
#include "modules/port/pace.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "modules/port/driver.h"

#define SECOND_NS UINT64_C(1000000000)

/* A source that was not asked for so long does not make up for it with a storm. */
#define PACE_CATCH_UP_DIVISOR 100

int pace_open(struct pace *pace, uint64_t rate, uint64_t delay_ns)
{
	*pace = (struct pace){.rate = rate,
		.start_ns = clock_ns(CLOCK_MONOTONIC) + delay_ns,
		.due_ns = PACE_NEVER};
	pace->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (pace->fd < 0)
		return -errno;
	pace_sleep_until(pace, delay_ns ? pace->start_ns : 1);
	return 0;
}

void pace_close(struct pace *pace)
{
	if (pace->fd >= 0)
		close(pace->fd);
	pace->fd = -1;
}

void pace_sleep_until(struct pace *pace, uint64_t due_ns)
{
	struct itimerspec at = {0};

	if (due_ns == pace->due_ns)
		return;
	pace->due_ns = due_ns;
	if (due_ns != PACE_NEVER) { /* all zero stops it */
		at.it_value.tv_sec = (time_t)(due_ns / SECOND_NS);
		at.it_value.tv_nsec = (long)(due_ns % SECOND_NS);
	}
	timerfd_settime(pace->fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Packets due by now; whole seconds are taken off both sides so that nothing overflows. */
static uint64_t credit(struct pace *pace, uint64_t now_ns)
{
	uint64_t elapsed_ns = now_ns - pace->start_ns;
	uint64_t seconds = elapsed_ns / SECOND_NS;
	uint64_t whole = pace->sent / pace->rate;

	if (seconds > whole)
		seconds = whole;
	pace->start_ns += seconds * SECOND_NS;
	pace->sent -= seconds * pace->rate;
	elapsed_ns -= seconds * SECOND_NS;
	return (uint64_t)((unsigned __int128)elapsed_ns * pace->rate / SECOND_NS) - pace->sent;
}

unsigned pace_allow(struct pace *pace, unsigned max)
{
	uint64_t due, limit, now_ns;

	if (pace->rate == 0 && pace->start_ns == 0)
		return max;
	now_ns = clock_ns(CLOCK_MONOTONIC);
	if (now_ns < pace->start_ns)
		return 0;
	if (pace->rate == 0) {
		pace->start_ns = 0; /* no more need to know the time */
		return max;
	}
	due = credit(pace, now_ns);
	limit = max + pace->rate / PACE_CATCH_UP_DIVISOR;
	if (due > limit) {
		driver_count(&pace->missed, due - limit);
		pace->sent += due - limit;
		due = limit;
	}
	if (due == 0)
		pace_sleep_until(pace, pace->start_ns +
					       (uint64_t)((unsigned __int128)(pace->sent + 1) *
							  SECOND_NS / pace->rate) +
					       1);
	return due < max ? (unsigned)due : max;
}
