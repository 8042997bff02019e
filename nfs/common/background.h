/*
 * A thread beside the packet threads that waits for signals and for an interval to pass, so that
 * reports and reloads neither delay packets nor run inside a signal handler. Used by the NFs that
 * report (forward, monitor, firewall, speed).
 *
 * Thread-safety: start before netvm_main(), since threads started later inherit the blocked
 * signals; stop from the same thread. `wake` runs in the background thread only.
 */
#ifndef NFS_COMMON_BACKGROUND_H
#define NFS_COMMON_BACKGROUND_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct background {
	void (*wake)(int signal, void *arg); /* signal 0: the interval has passed */
	void *arg;
	uint64_t interval_ns; /* 0: signals only */
	int signals[4];       /* ends with 0 */

	/* private */
	pthread_t thread;
	sigset_t set;
};

/* Returns 0 or -errno of creating the thread. The struct must live until background_stop(). */
int background_start(struct background *background);

/* Waits for a running `wake` to return. */
void background_stop(struct background *background);

/* CLOCK_MONOTONIC. */
uint64_t monotonic_ns(void);

#endif
