/*
 * Test doubles: an engine that only remembers, port drivers without devices, and an NF module that
 * starts nothing. With them the control side runs without root, threads or packets.
 *
 * Drivers: "fake:DEVICE". A device can be open once (-EBUSY); one whose name starts with "no" does
 * not exist (-ENODEV).
 */
#ifndef NETVM_MANAGER_TESTING_FAKE_H
#define NETVM_MANAGER_TESTING_FAKE_H

#include "engine/engine.h"
#include "engine/trace.h"

struct fake {
	int n_pools;    /* created and not destroyed */
	int n_attached; /* pools lent to the engine */
	int n_ports;    /* open */
	int n_services;
	int n_opened;  /* ports opened ever */
	int n_steered; /* engine_steer() calls that succeeded */
	bool steer_fails;
	unsigned steer_ms; /* how long it takes */
	bool mtu_fails;
	bool link_down;
	/* the last steering */
	struct program_options *programs;
	unsigned n_programs;
	struct rule *rules;
	unsigned n_rules;
	/* the last grants of each service, by number */
	struct grant grants[16][32];
	unsigned n_grants[16];
	/* the trace that is on, and what ends it */
	bool trace_on, trace_done;
	struct trace_options trace_options;
	void (*trace_fill)(struct trace *trace); /* records what engine_trace_stop() returns */
};

extern struct fake fake;
extern const struct module fake_nf_module;

/* Nothing fails any more, and no trace ends by itself. */
void fake_obey(void);

/* Forget the last steering. */
void fake_reset(void);

/* The last steering's rule for a port (by name) with this priority, or NULL. */
const struct rule *fake_rule(const char *in_port, int32_t priority);

/* "firewall monitor >wan" or "!policy": the steps of a program, in a static text. */
const char *fake_steps(unsigned program);

#endif
