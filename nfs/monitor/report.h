/*
 * The monitor's report: collected from the tallies of all queues, printed as a table or as JSON.
 * Called by monitor.c in the background thread and once at the end.
 *
 * Collecting locks a tally for short stretches only, so that packets do not wait for a report;
 * the totals are exact for one moment per queue, and each flow is consistent in itself.
 */
#ifndef NFS_MONITOR_REPORT_H
#define NFS_MONITOR_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "monitor/tally.h"

#define REPORT_TOP_MAX 100

struct report {
	uint64_t now_ns;
	uint64_t elapsed_ns; /* since start */
	uint64_t n_flows;    /* in the tables now */
	uint64_t n_evicted;
	struct tally_count total;
	struct tally_count protocol[TALLY_PROTOCOLS];
	unsigned n_top;
	struct tally_flow top[REPORT_TOP_MAX]; /* the largest first */
};

/*
 * Collect from n tallies (NULL ones are skipped) the totals and the `n_top` largest flows, by
 * bytes or by packets, both directions together.
 */
void report_collect(struct report *report, struct tally *const *tallies, unsigned n, unsigned n_top,
	bool by_packets);

void report_print_table(const struct report *report, FILE *file);
void report_print_json(const struct report *report, FILE *file); /* one line */

#endif
