/*
 * Events about those who are turned away, and of what strangers say, at a bounded rate: they must
 * not be able to flush the events about others out. Used by attach.c for all processes, by guest.c
 * for each guest and its QEMU.
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

/* An event about `object`, or one more that the next one tells of. */
void complain_as(struct complaints *complaints, const char *kind, const char *object,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

#define complain(complaints, object, ...) complain_as(complaints, "nf-refused", object, __VA_ARGS__)

#endif
