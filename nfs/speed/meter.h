/*
 * What one queue of netvm-speed has sent and received, and the report on all of them.
 *
 * Thread-safety: meter_* functions lock; the queue's thread counts, the background thread reports.
 */
#ifndef NFS_SPEED_METER_H
#define NFS_SPEED_METER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "speed/frame.h"
#include "speed/latency.h"

struct meter_counts {
	uint64_t sent_pkts;
	uint64_t sent_bytes;
	uint64_t received_pkts;
	uint64_t received_bytes;
	uint64_t missed_pkts;    /* not sent in time for want of empty buffers */
	uint64_t malformed_pkts; /* received */
	uint64_t lost_pkts;      /* gaps in the sequences of flows (stamped packets) */
	uint64_t late_pkts;      /* came behind a later one of their flow */
};

struct meter {
	pthread_mutex_t lock;
	struct meter_counts counts;
	struct latency latency;
	uint32_t next_sequence[FRAME_FLOWS_MAX];
};

/* -ENOMEM. */
int meter_create(struct meter **meter);
void meter_destroy(struct meter *meter);

void meter_sent(struct meter *meter, uint64_t n_pkts, uint64_t n_bytes);
void meter_missed(struct meter *meter, uint64_t n_pkts);

/* Count a received burst; stamps are looked for in UDP packets. */
void meter_received(
	struct meter *meter, const struct netvm *nf, const struct netvm_packet *pkts, unsigned n);

/* Sums since the start, and the rates since the report before. */
struct meter_report {
	uint64_t start_ns, now_ns, before_ns;
	struct meter_counts counts, before;
	struct latency latency;
};

/* Move `report` on to now. `report` was zeroed but for start_ns and now_ns before the first. */
void meter_report(struct meter_report *report, struct meter *const *meters, unsigned n);

void meter_print_line(const struct meter_report *report, FILE *file);
void meter_print_json(const struct meter_report *report, FILE *file); /* one line */

#endif
