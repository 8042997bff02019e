/*
 * Traces: the way of a few packets through the engine, step by step.
 *
 *   manager                                 workers
 *   engine_trace_start() ─ workers_call ──► worker->trace; trace_received() marks what matches
 *   engine_trace_done()  ◄─ counters ─────  every stage adds a record to packets with a mark
 *   engine_trace_stop()  ─ workers_call ──► worker->trace = NULL; the records are the caller's
 *
 * A packet's mark stands in its private state (buffers.h), where no NF can reach it, and goes with
 * it to other workers and, when it is copied, to the other group. It says which of the trace's
 * packets this is; the records lie with that packet, and whoever owns it adds the next one. So
 * there is one writer at a time, the records are in order whatever workers they come from, and
 * nobody reads them before the workers have let go of the trace. Its memory is all there before it
 * begins; a packet with more records than fit keeps the first ones and its end, and counts the
 * others.
 *
 * Without a trace the data path asks once per burst and stage whether there is one, and no packet
 * costs anything.
 *
 * Times are those of the worker's turn in which something happened: steps of one turn have the same
 * one, and what an NF took includes the time in its rings.
 */
#ifndef NETVM_ENGINE_TRACE_H
#define NETVM_ENGINE_TRACE_H

#include "engine/engine.h"

#define TRACE_PKTS_MAX    255u
#define TRACE_RECORDS_MAX 64u /* of one packet: about 30 NFs */

struct classifier;

enum trace_event {
	TRACE_RECEIVED, /* by a port */
	TRACE_STEERED,  /* on the program of a chain; `detail`: direction */
	TRACE_GIVEN,    /* to an NF */
	TRACE_RETURNED, /* by it; `detail`: enum netvm_verdict, or its first destination: to `name`
			 */
	TRACE_COPIED,   /* into the memory of `group` */
	TRACE_HELD,     /* back until the service `name` has an NF */
	TRACE_SENT,     /* handed to a port; a TRACE_DROPPED behind it: the port did not take it */
	TRACE_CONSUMED, /* by the NF that returned it */
	TRACE_DROPPED,  /* `detail`: enum drop_reason */
};

/* What `name` names. */
enum trace_object {
	TRACE_NOTHING,
	TRACE_PORT,
	TRACE_SERVICE,
	TRACE_NF,
	TRACE_CHAIN,
};

struct trace_record {
	uint64_t when;    /* TSC; from engine_trace_stop() on ns of CLOCK_MONOTONIC */
	uint64_t word;    /* handle; offset and length, as the NF says when it dropped the packet */
	uint64_t address; /* of the buffer, from the start of its group's memory */
	uint8_t event;    /* enum trace_event */
	uint8_t object;   /* enum trace_object */
	uint8_t worker;
	uint8_t pad;
	uint16_t detail;
	char name[NETVM_NAME_BYTES];
	char group[NETVM_NAME_BYTES]; /* whose memory it lies in */
};

struct trace_packet {
	struct netvm_flow_key key; /* as it was received */
	uint64_t arrival_tsc;      /* tells it from a packet that an earlier trace has marked */
	bool ended;
	uint16_t n_lost; /* records for which there was no room, in front of the last one */
	uint16_t n_records;
	struct trace_record record[TRACE_RECORDS_MAX];
};

struct trace {
	unsigned n_pkts_max;
	uint32_t n_pkts;  /* with a mark; may pass n_pkts_max while workers run */
	uint32_t n_ended; /* of these, sent, consumed or dropped */
	struct classifier *classifier;
	const char *chain; /* name as programs have it; NULL: any */
	struct trace_packet packet[];
};

struct trace_options {
	struct match match;
	const char *chain; /* only packets steered into it; NULL: any, also into none */
	unsigned n_pkts;   /* 1..TRACE_PKTS_MAX */
};

/*
 * Record the way of the next n_pkts packets that come in by a port and match. Packets that NFs make
 * are not traced. One trace at a time.
 * Errors: -EBUSY there is one; -ENOENT no such chain; -ENOMEM.
 */
int engine_trace_start(
	struct engine *engine, const struct trace_options *options, struct error *error);

/* All wanted packets were found and have ended. Only while there is a trace. */
bool engine_trace_done(const struct engine *engine);

/*
 * End the trace, whether done or not. n_pkts is how many packets it has; one without `ended` was
 * still on its way. Free it with free().
 */
struct trace *engine_trace_stop(struct engine *engine);

#endif
