/*
 * What shortage.so, loaded into a netvmd by LD_PRELOAD, shares with the test that started it: a
 * file. The test says which call shall fail; the daemon's side counts and says what did.
 *
 * Only calls of the manager's thread of the process `pid` count: set-up paths are all there, and
 * the workers are what must not notice. All fields are native words: the test reads them by offset
 * (see the class Shortage in the script shortage).
 */
#ifndef NETVM_TESTS_FAULT_SHORTAGE_H
#define NETVM_TESTS_FAULT_SHORTAGE_H

#include <stdint.h>

#define SHORTAGE_STACK  24u
#define SHORTAGE_PLACES 32768u
#define SHORTAGE_NEVER  UINT64_MAX

enum shortage_kind {
	SHORTAGE_MEMORY = 1, /* malloc() and its like: ENOMEM */
	SHORTAGE_MAP = 2,    /* mmap(), mremap(): ENOMEM */
	SHORTAGE_FD = 4,     /* whatever makes a descriptor: EMFILE */
	SHORTAGE_DISK = 8,   /* what writes to files: ENOSPC */
	SHORTAGE_TASK = 16,  /* fork(), clone(), threads: EAGAIN */
	SHORTAGE_KERNEL = 32 /* what the kernel needs memory for: ENOMEM, ENOBUFS */
};

struct shortage {
	uint64_t pid;   /* 0: nothing fails, nothing is counted */
	uint64_t kinds; /* mask of enum shortage_kind */
	uint64_t nth;   /* which of these calls fails, from 1; SHORTAGE_NEVER: see `places` */
	/*
	 * 0: only that one. 1: all from there on; memory that is freed and descriptors that are
	 * closed meanwhile can be had again, as on a machine that has run out of them.
	 */
	uint64_t lasting;
	uint64_t calls;  /* made since `calls` was set to 0 */
	uint64_t failed; /* of these */
	uint64_t blocks; /* of memory in use in process `owner`, by all its threads */
	uint64_t owner;
	uint64_t base; /* where the program lies: as far as its addresses are from those in its file
			*/
	/* Where the first one failed, innermost first; 0 ends it. */
	uint64_t stack[SHORTAGE_STACK];
	char name[32]; /* of that function */
	/* If none shall fail: from where each of the first calls came, the same number for the
	 * same. */
	uint64_t places[SHORTAGE_PLACES];
};

#endif
