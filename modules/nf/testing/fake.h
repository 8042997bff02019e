/* What the tests of this folder put in the place of the engine, the groups and the event log. */
#ifndef NETVM_MODULES_NF_FAKE_H
#define NETVM_MODULES_NF_FAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"

#define FAKE_WORKERS 2

struct client;
struct event_base;

/* What the engine was asked for. */
struct fake {
	unsigned attached; /* calls, not those that failed */
	unsigned detached;
	unsigned services;       /* that exist */
	int attach_error;        /* what the next attach returns instead of working */
	unsigned lost;           /* what detach returns */
	unsigned drained;        /* what came back meanwhile */
	enum drop_reason reason; /* of the last detach */
	uint64_t drain_ns;
	struct nf_options options; /* of the last attach; name and layout copied */
	struct netvm_layout layout;
	char name[NETVM_NAME_BYTES];
	struct nf *last;               /* made by the last attach */
	unsigned replaced;             /* calls of engine_nf_replace() */
	struct nf *from, *to;          /* of the last one */
	bool held;                     /* `to` is, still */
	uint32_t in_flight;            /* of `from` */
	bool hangs;                    /* nothing of an NF moves any more ... */
	unsigned hung_queue;           /* ... and this queue has packets */
	uint64_t n_pulses;             /* looks at NFs that moved */
	bool stands_by;                /* every NF */
	const struct suspect *suspect; /* the only one; NULL: none. A refresh ends it */
	bool suspect_is_new;
	struct nf *faulty; /* what engine_faults() reports, once */
};
extern struct fake fake;

/* A group's memory, 64 KB in a real memfd. */
struct buffer_pool *fake_pool(const char *name);

void fake_reset(void);

/* Events so far whose kind is `kind` and whose text contains `part`. */
unsigned fake_events(const char *kind, const char *part);

/* Turn the loop until `done` says so; the test fails after ten seconds. */
void fake_loop_until(struct event_base *base, bool (*done)(void *arg), void *arg);

/* Can the descriptor at `fd` (an int) be read without waiting? For fake_loop_until(). */
bool fake_is_readable(void *fd);

/* Let the daemon's side work until it has said something to a client of this process. */
int fake_hear(struct event_base *base, struct client *client);

/* Open descriptors of this process. */
unsigned fake_open_fds(void);

#endif
