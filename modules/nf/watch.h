/*
 * Hangs: packets wait for an NF, or are in its hands, and for hang_ms it neither takes nor hands
 * back one, nor turns its loop, nor falls asleep. Used by instance.c while the NF is attached.
 *
 *   idle       nothing waits: fine, whatever it does
 *   slow       something of it moves now and then: fine
 *   stopped    asleep or awake, packets wait, nothing moves: hung
 *   spinning   in its callback with packets, nothing moves: hung
 *   starving   it wants to run, and others have the CPUs: fine
 *
 * One that is slow and one that is hung differ only in time: hang_ms has to be longer than the NF
 * may work on one burst. Looks are counted, not time: when the daemon itself was stopped, or the
 * machine was, nobody is blamed for it; nor is a process for what others took from it: before it
 * is called hung, it has had a look's worth of CPU time without moving, or does not want any.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_WATCH_H
#define NETVM_MODULES_NF_WATCH_H

#include <stdint.h>
#include <sys/types.h>

#include "abi/channel.h"

struct engine;
struct event;
struct manager;
struct nf;
struct session;

struct watch {
	struct event *timer;
	struct engine *engine;
	const struct nf *nf;
	pid_t pid;
	uint64_t period_ns; /* from look to look */
	unsigned n_queues;
	uint64_t mark[NETVM_QUEUES_MAX];
	uint64_t cpu_ns[NETVM_QUEUES_MAX];  /* that the process had had when it last moved */
	unsigned n_still[NETVM_QUEUES_MAX]; /* looks at which nothing had moved */
	void (*hung)(void *arg, unsigned queue);
	void *arg;
};

/*
 * Starts anew if it runs. Calls hung() once, at the latest 1.25 * hang_ms after the last movement
 * unless it starves; 0: never, and never without memory for a timer.
 */
void watch_start(struct watch *watch, const struct manager *manager, const struct session *session,
	unsigned hang_ms, void (*hung)(void *arg, unsigned queue), void *arg);
/* Also before the NF leaves the engine. One that was not started is fine. */
void watch_stop(struct watch *watch);

#endif
