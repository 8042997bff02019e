/*
 * One instance takes over from another of the same name: a changed command, nf.restart, nf.upgrade.
 * Called by instance.c and control.c; the steps in the engine are engine_nf_replace().
 *
 *   successor     starting ── attached ─► WARMING ─ looks at its rings ─► MOVING ─► ... ─►
 * PROBATION predecessor   has the flows ······················································
 * parked ──► told to stop
 *
 *   MOVING     flows go to the successor, which is not shown them before the predecessor has handed
 *              back what it has. One that does not for patience_ms is told to stop and taken out.
 *   SAVING     where both know how: the predecessor writes its state into a file in memory,
 *   LOADING    the successor reads it; only then it is shown packets
 *   PROBATION  the predecessor lives on, without packets, as long as the successor may fail
 *
 * The rule: whenever the successor does not work, be it that it was not started yet, crashed in its
 * first seconds, or waits to be started again, the predecessor does; from one moment to the next,
 * with the state it had. What fails in the predecessor (it hangs, it cannot save) holds nothing up;
 * what fails in the successor leads back.
 *
 * Ownership: a successor points to its predecessor, as long as that is attached, and decides about
 * its end; the predecessor points back. Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_TAKEOVER_H
#define NETVM_MODULES_NF_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>

struct event;
struct manager;
struct nf_instance;

enum takeover_phase {
	TAKEOVER_NONE, /* no predecessor, or it has the flows */
	TAKEOVER_WARMING,
	TAKEOVER_MOVING, /* this and what follows: the successor has the flows */
	TAKEOVER_SAVING,
	TAKEOVER_LOADING,
	TAKEOVER_PROBATION,
};

/* The successor's. */
struct takeover {
	enum takeover_phase phase;
	struct event *timer;
	unsigned probation_ms;
	uint32_t left;        /* packets the predecessor had when last looked at */
	unsigned waited_ms;   /* for them */
	bool held;            /* the engine shows it nothing until told */
	int state_fd;         /* -1: none */
	uint64_t state_bytes; /* handed over last */
	uint64_t moved_ns;    /* when the flows moved */
};

/* -ENOMEM. */
int takeover_init(struct nf_instance *instance);
void takeover_fini(struct nf_instance *instance);

/*
 * `next` is to take over from whoever has the flows of `old`, who leaves: `old` itself or the one
 * it never took over from. Without any, `old` leaves now. Its history goes on in `next`.
 */
void takeover_begin(struct nf_instance *next, struct nf_instance *old);

/* It has attached: parked when it has a predecessor, whose flows it gets soon. */
void takeover_attached(struct nf_instance *instance);

/* Its place in the engine is about to go, for whatever reason: whoever is left gets the flows. */
void takeover_leaving(struct nf_instance *instance);

/* The predecessor is not needed any more, nor waited for. */
void takeover_end(struct nf_instance *instance);

/*
 * The document is the predecessor's again: it gets the flows back for good. `instance` leaves. Of
 * its history only the packets count: the predecessor was not started again and did not crash.
 */
void takeover_return(struct nf_instance *instance);

/* The engine rang: is the predecessor through? */
void takeover_look(struct nf_instance *instance);

/* One of the two answered: NETVM_MESSAGE_SAVED or _LOADED. */
void takeover_said(struct nf_instance *instance, uint32_t type, uint64_t value);

#endif
