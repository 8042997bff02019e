/*
 * What a busy machine gives to a process: one that wants to run and is not let is not hung. Used by
 * watch.c.
 *
 * Thread-safety: any thread.
 */
#ifndef NETVM_MODULES_NF_CPU_SHARE_H
#define NETVM_MODULES_NF_CPU_SHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* CPU time that all its threads have had so far; 0: no such process. */
uint64_t cpu_share_ns(pid_t pid);

/* Whether a thread of it runs or waits for a CPU; false: none does, or nothing can be seen of it.
 */
bool cpu_share_is_wanted(pid_t pid);

#endif
