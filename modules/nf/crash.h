/*
 * Crashes of one NF: ends of an incarnation that nobody asked for and that were not clean. Written
 * by instance.c as the end unfolds, kept over incarnations, shown by stats.c.
 *
 * The first sign of an end (the connection, the pidfd, a fault, a hang) comes before the last one
 * (the exit status), so what is known gathers in `now` until it is clear that it was a crash.
 */
#ifndef NETVM_MODULES_NF_CRASH_H
#define NETVM_MODULES_NF_CRASH_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "modules/nf/child.h"

#define CRASH_CAUSE_BYTES 96

struct crash_record {
	uint64_t time_ns;    /* CLOCK_REALTIME at the first sign; 0: none */
	uint64_t began_ns;   /* the same by CLOCK_MONOTONIC, which nobody sets */
	uint64_t reclaim_ns; /* from then until its flows and its buffers were taken from it */
	unsigned lost_pkts;
	char cause[CRASH_CAUSE_BYTES]; /* why the daemon ended it; "": it ended by itself */
	char reason[CRASH_CAUSE_BYTES + CHILD_END_BYTES];
};

struct crash {
	unsigned count;
	struct crash_record now, last;
};

/* The first sign; later ones do not count. */
void crash_begin(struct crash *crash);
void crash_reclaimed(struct crash *crash, unsigned lost_pkts);
/* The daemon ends it, since `cause`. */
void crash_cause(struct crash *crash, const char *cause);
/* All is known: `clean`, it was no crash; `end`: the exit status in words, or "". */
void crash_end(struct crash *crash, bool clean, const char *end);

/* {count, reason, time_ns, reclaim_ns, lost_pkts}; only the count when it is 0. New reference. */
json_t *crash_value(const struct crash *crash);

#endif
