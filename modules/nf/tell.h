/*
 * Events about NFs. What happens to one is told as it is; who is turned away and what strangers say
 * at a bounded rate, for they must not be able to flush the events about others out: attach.c
 * complains of all processes together, guest.c of each guest and its QEMU.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_TELL_H
#define NETVM_MODULES_NF_TELL_H

#include <time.h>

/* An event about the NF of that name. */
void nf_tell(const char *name, const char *kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* All zero at first. */
struct complaints {
	struct timespec second; /* in which `n` were made */
	unsigned n, untold;
};

/* The same, or one more that the next event tells of; name "": about nobody known. */
void complain_as(struct complaints *complaints, const char *kind, const char *name,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

#define complain(complaints, name, ...) complain_as(complaints, "nf-refused", name, __VA_ARGS__)

#endif
