/*
 * Events about those who are turned away, at a bounded rate: a stranger must not be able to flush
 * the events about others out. Used by attach.c for all processes, by guest.c for each guest.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_COMPLAINTS_H
#define NETVM_MODULES_NF_COMPLAINTS_H

#include <time.h>

/* All zero at first. */
struct complaints {
	struct timespec second; /* in which `n` were made */
	unsigned n, untold;
};

/* An event "nf-refused" about `object`, or one more that the next one tells of. */
void complain(struct complaints *complaints, const char *object, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
