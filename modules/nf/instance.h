/*
 * One NF of the document through all its incarnations: started, attached, watched, ended, started
 * again. Called by control.c; attach.c's hooks lead here.
 *
 *                    ┌────────── timer ───────────┐
 *                    ▼                            │
 *   declared ──► starting ── attached ──► running │
 *      │             │                      │     │
 *      │             │  exit, no HELLO      │ exit, end of connection, fault, stop
 *      │ attached    ▼                      ▼     │
 *      │          stopping ── exit ──► by the policy: backoff, failed (badly ended) or
 *      │         (STOP, SIGTERM,                      detached (ended well; external: left)
 *      ▼          SIGKILL)
 *   running  (external: nobody is started or killed; a faulty one may come back after backoff)
 *
 * An end is seen by the pidfd and by the connection, whichever is first; the packets the NF had are
 * taken back at once, its process may take a moment longer.
 *
 * Replacing (a changed command, nf.restart): the successor is started beside the old one, which
 * works on until the successor has attached or failed its first try; then it is drained and
 * stopped. No packet is lost, no second is without the NF.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_INSTANCE_H
#define NETVM_MODULES_NF_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <jansson.h>

#include "engine/engine.h"
#include "modules/nf/attach.h"
#include "modules/nf/child.h"
#include "modules/nf/crash.h"
#include "modules/nf/guest.h"
#include "modules/nf/pooled.h"
#include "modules/nf/settings.h"
#include "modules/nf/takeover.h"
#include "modules/nf/watch.h"

enum nf_state {
	NF_DECLARED,
	NF_STARTING,
	NF_RUNNING,
	NF_STOPPING,
	NF_BACKOFF,
	NF_FAILED,
	NF_DETACHED,
};

/* What comes after the process has ended. */
enum nf_after {
	AFTER_POLICY,
	AFTER_LEAVE, /* the object is not wanted any more */
};

/* Which document an instance belongs to. */
enum nf_place {
	PLACE_NEW, /* the one being prepared */
	PLACE_CURRENT,
	PLACE_LEAVING, /* none: only its end is waited for */
};

struct nf_instance;

struct nf_instance {
	TAILQ_ENTRY(nf_instance) link; /* control.c's */
	enum nf_place place;           /* control.c's */

	const struct manager *manager;
	/* A leaving instance has ended: nothing refers to it but the caller; destroy it. */
	void (*ended)(struct nf_instance *instance);
	struct nf_settings settings;
	struct service *service;
	struct buffer_pool *pool;

	enum nf_state state;
	enum nf_after after;
	bool settled;        /* its first try is over, well or badly, or took too long */
	bool faulty;         /* this incarnation did what it must not: its end is not a good one */
	unsigned n_signals;  /* sent while stopping */
	struct event *timer; /* what for depends on the state */
	struct child child;
	struct guest *guest;  /* its devices; NULL: it is a process, or waits for its guest */
	struct pooled pooled; /* when the guest comes from a pool */
	bool tries_kvm;       /* the child only finds out whether KVM works; see accel.h */
	bool adopts;          /* the guest is an earlier daemon's, and has not attached here yet */
	struct session *session;
	struct watch watch; /* while there is a session */
	bool stands_by;     /* as was told last; control.c's */
	unsigned backoff_ms;
	struct nf_instance *predecessor; /* works whenever this one does not, see takeover.h */
	struct nf_instance *successor;
	struct takeover takeover;

	unsigned restarts;
	char last_exit[CHILD_END_BYTES];
	struct crash crash;
	struct counters past;  /* of earlier incarnations */
	struct counters *book; /* where the next one's are added: `past`, or the successor's */
};

/* Times; variables for tests only. */
struct instance_times {
	unsigned settle_ms;      /* how long others wait for its first try */
	unsigned attach_ms;      /* after that, before it is killed */
	unsigned adopt_ms;       /* for a guest that an earlier daemon started, to attach again */
	unsigned stop_ms;        /* before SIGTERM, and again before SIGKILL */
	unsigned drain_ms;       /* to hand back packets before being taken out */
	unsigned backoff_min_ms; /* doubled each time ... */
	unsigned backoff_max_ms; /* ... up to this */
	unsigned steady_ms;      /* running so long resets the back-off */
	unsigned patience_ms;    /* handing back nothing to a successor before being told to stop */
	unsigned state_ms;       /* to hand back all, to save its state, to load it: each */
	unsigned probation_ms;   /* works so long before its predecessor is told to stop */
};
extern struct instance_times instance_times;

const char *nf_state_name(enum nf_state state);

/* In state declared. Takes over the settings, also when it fails with -ENOMEM. */
int instance_create(const struct manager *manager, void (*ended)(struct nf_instance *),
	struct nf_settings *settings, struct service *service, struct buffer_pool *pool,
	struct nf_instance **instance);
/* Has no process and no session any more. NULL is fine. */
void instance_destroy(struct nf_instance *instance);

/* Start the process, or adopt one that an earlier daemon started; an external guest is waited for,
 * an external process comes by itself. Error: as spawn(); state as before. */
int instance_start(struct nf_instance *instance, struct error *error);

/*
 * Out of the engine now, with a drain; the process ends soon; then ended(), perhaps before
 * this returns.
 */
void instance_leave(struct nf_instance *instance);

/*
 * Out of the engine now; the process goes on, for another daemon to adopt. One that cannot (it is
 * being stopped, or is a guest that boots or moves) leaves as by instance_leave().
 */
void instance_leave_alive(struct nf_instance *instance);

/* Ask an attached external NF to go; it may attach again. -ENOTCONN: it is not attached. */
int instance_dismiss(struct nf_instance *instance, struct error *error);

/* Move its guest to another QEMU. Errors: -EINVAL its guest is of no pool; as pooled_move(). */
int instance_move(struct nf_instance *instance, struct error *error);

/* Wait for the end of its process at most so long, without the loop; see ended(). */
void instance_await(struct nf_instance *instance, int timeout_ms);

/* It has the flows now: state running. */
void instance_works(struct nf_instance *instance);

/* The document's live fields have changed. */
void instance_update(struct nf_instance *instance, json_t *object);

/* ---- what happened --------------------------------------------------------------------------- */

/* control.c's: from a name to the instance, and then the functions below. */
extern const struct attach_hooks nf_attach_hooks;

/* control.c's, too: an NF came or went, which others may have noticed. */
void nf_changed(void);

/* See struct attach_hooks; `text` has NETVM_TEXT_BYTES. */
uint32_t instance_admit(struct nf_instance *instance, const struct attach_request *request,
	struct attach_grant *grant, char *text);
void instance_attached(struct nf_instance *instance, struct session *session);
void instance_gone(struct nf_instance *instance, const char *why);
/* The engine stopped reading its rings. */
void instance_fault(struct nf_instance *instance);

/* ---- figures --------------------------------------------------------------------------------- */

void counters_add(struct counters *sum, const struct counters *more);

/* Attached, and waits for the end of another one, whatever the document says. */
bool instance_stands_by(const struct nf_instance *instance);

/* The object of nf.show: its settings, and how it is `now`. New reference. */
json_t *instance_shown(const struct nf_instance *instance);

/* The object of stats.get. New reference. */
json_t *instance_stats(const struct nf_instance *instance);

#endif
