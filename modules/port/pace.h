/*
 * When a source may send its next packets: a rate, or given moments; and a timerfd that becomes
 * readable then, so that an idle worker can sleep until it. Used by the drivers null and pcap.
 *
 * Thread-safety: open and close on the control thread, the rest on the worker that owns the queue.
 */
#ifndef NETVM_MODULES_PORT_PACE_H
#define NETVM_MODULES_PORT_PACE_H

#include <stdint.h>

#define PACE_NEVER UINT64_MAX

struct pace {
	int fd;        /* readable when there is something to send */
	uint64_t rate; /* packets per second, 0: as many as are taken */
	uint64_t start_ns;
	uint64_t sent;   /* since start_ns */
	uint64_t missed; /* packets that were due while nobody asked for them; see driver.h */
	uint64_t due_ns; /* what the timer is set to */
};

/* The first packets are due, and the timer readable, in `delay_ns`. Returns 0 or -errno. */
int pace_open(struct pace *pace, uint64_t rate, uint64_t delay_ns);
void pace_close(struct pace *pace);

/*
 * How many of `max` packets the rate allows now; when none, the timer is set to when one is. The
 * caller reports what it really sent with pace_sent().
 */
unsigned pace_allow(struct pace *pace, unsigned max);
static inline void pace_sent(struct pace *pace, unsigned n)
{
	pace->sent += n;
}

/* Let the timer fire at that moment (CLOCK_MONOTONIC); a system call only when it changes. */
void pace_sleep_until(struct pace *pace, uint64_t due_ns);

#endif
