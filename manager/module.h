/*
 * A module: one feature of the daemon, seen by the manager. manager/modules.c lists them all, in
 * dependency order; they are initialised in that order and torn down in reverse.
 *
 * A change of the document goes through all modules as one transaction:
 *
 *   schema ─► check ─► prepare ─► commit ─────────► finish ─► the document is the running one
 *               │         │          │
 *               └─────────┴──────────┴─► abort ─► commit of the old document; nothing changed
 *
 *   check    whole-document rules the schema cannot say; no side effects
 *   prepare  make everything that is new and turn live settings over; may fail
 *   commit   switch the data path; may fail too, but then as if it had not been called.
 *            modules/chain's is a single engine_steer(); before it modules/port's stops what
 *            ports that go would still receive
 *   finish   take down what is no longer used; cannot fail. Reverse order
 *   abort    undo this module's prepare, also a half-done one; cannot fail. Reverse order; called
 *            for every module whose prepare was called, whether that one failed or not
 *
 * Starting is the transaction from the empty document, stopping the one to the empty document.
 * A hook that is NULL is passed over.
 *
 * Thread-safety: everything here runs on the manager's thread, so a module's state needs no locks.
 */
#ifndef NETVM_MANAGER_MODULE_H
#define NETVM_MANAGER_MODULE_H

#include <jansson.h>

#include "common/error.h"
#include "manager/schema.h"

struct engine;
struct event_base;
struct rpc_request;

/* What the daemon is made of; constant while modules exist. */
struct manager {
	struct event_base *base;
	struct engine *engine;
	const char *run_dir;
	const char *state_dir;
	const char *api_socket;
	const char *nf_socket;
	const char *binary_dir; /* where netvmd lies: NF commands are looked for there, too */
	int notify_fd; /* eventfd of engine_options; modules/nf reads it, see engine_faults */
};

/* Which part of a daemon's life a transaction is: see estate.h. */
enum change_phase {
	PHASE_RUN,
	PHASE_START,    /* from the empty document: adopt what an earlier daemon left; an abort
			   leaves it as it was */
	PHASE_STOP,     /* to the empty document: nothing remains */
	PHASE_HAND_OVER /* to the empty document: what can outlive this daemon stays for the next */
};

/* A transaction: complete documents before and after. Borrowed references. */
struct change {
	const json_t *old;
	const json_t *new;
	const struct section *const *sections;
	enum change_phase phase;
};

enum change_kind {
	CHANGE_NONE,
	CHANGE_ADD,
	CHANGE_LIVE,     /* only fields with EFFECT_LIVE (or EFFECT_RESTART) differ */
	CHANGE_RECREATE, /* a field with EFFECT_RECREATE differs, or an object it refers to by a
			    field with EFFECT_RECREATE is itself made again */
	CHANGE_DEL,
};

/* What happens to one object. Works for names in the old, the new or both documents. */
enum change_kind change_kind(const struct change *change, const char *section, const char *name);

/* ---- remote calls ---------------------------------------------------------------------------- */

#define RPC_LATER 1 /* returned by a method that will call rpc_answer() */

struct rpc_method {
	const char *name;           /* "nf.restart" */
	const struct field *params; /* ended by an entry without name; NULL: none */
	const char *help;
	/*
	 * `params` is checked and complete. Returns 0 with a new reference in *result, -errno with
	 * error set, or RPC_LATER.
	 */
	int (*call)(struct rpc_request *request, const json_t *params, json_t **result,
		struct error *error);
	enum role role; /* that a call takes; ROLE_NF: must heed rpc_group() */
};

/* For methods of which a part takes more: 0, or -EACCES and an error about `path`. */
int rpc_need(
	const struct rpc_request *request, enum role role, const char *path, struct error *error);

/* The trust group the caller is confined to; NULL: none. */
const char *rpc_group(const struct rpc_request *request);

/* Answer a request kept with RPC_LATER; takes over the reference. The request is gone then. */
void rpc_answer(struct rpc_request *request, json_t *result);
/* The same with an error. */
void rpc_refuse(struct rpc_request *request, const struct error *error);
/* `cancel` is called instead when the caller hangs up first; the request is gone afterwards. */
void rpc_on_cancel(
	struct rpc_request *request, void (*cancel)(struct rpc_request *, void *), void *arg);

/* ---- the module ------------------------------------------------------------------------------ */

struct module {
	const char *name;
	const char *const *after; /* NULL-terminated names of modules it uses; NULL: none */
	const struct section *const *sections; /* NULL-terminated; NULL: none */
	const struct rpc_method *methods;      /* ended by an entry without name; NULL: none */

	int (*init)(struct manager *manager, struct error *error);
	void (*fini)(void);

	int (*check)(const struct change *change, struct error *error);
	int (*prepare)(const struct change *change, struct error *error);
	int (*commit)(const struct change *change, struct error *error);
	void (*finish)(const struct change *change);
	void (*abort)(const struct change *change);

	/* Add to the object that stats.get returns: json_object_set_new(stats, "ports", ...). */
	void (*stats)(json_t *stats);

	/*
	 * Whether what the running document asks for is up, or has failed for good. Asked again
	 * after each event (events_add()); the daemon reports READY when all modules say yes.
	 */
	bool (*ready)(void);

	/*
	 * The start is over: all modules are ready, or some take longer than others should wait.
	 * Packets may come in; until now they wait where they come from.
	 */
	void (*go)(void);
};

extern const struct module *const modules[]; /* NULL-terminated */

#endif
