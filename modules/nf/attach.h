/*
 * The NF socket: strangers connect, prove who they are, and get their two memory objects.
 * abi/socket.h and abi/channel.h are the protocol; this is its host side. Called by control.c.
 *
 *   accept ─► OFFERED ─ HELLO ─► admit() ─► READY ─► attached() ──── the owner's session
 *                │                  │                                    │
 *                │ deadline,        └─► REFUSED + sentence, closed       └─► gone() at the end of
 *                │ bad message                                               the connection
 *                └─► closed
 *
 * A session is one connection with its channel, its doorbells and its place in the engine. Until
 * attached() it belongs to the listener, after that to the owner named by admit(), who ends it with
 * session_close().
 *
 * The channel is shared with a stranger. What he wrote is copied once and only the copy is looked
 * at; what was written for him is never read back. The memory is sealed so that it cannot shrink
 * under the daemon's feet. No descriptor of his ever gets into the daemon.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_ATTACH_H
#define NETVM_MODULES_NF_ATTACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/channel.h"
#include "engine/engine.h"

struct attach;
struct event_base;
struct guest;
struct session;

#define ATTACH_PENDING_MAX 64 /* connections that have not said who they are */

/* Who asks. The hello is a private copy, well-formed. */
struct attach_request {
	struct netvm_hello hello;
	pid_t pid; /* of who connected; 0 when that process is gone or in another PID namespace */
	uid_t uid;
	const struct guest *guest; /* whose channel it is; pid is its QEMU. NULL: a process */
};

/* What an admitted NF gets. */
struct attach_grant {
	void *owner; /* handed to attached() and gone() */
	struct service *service;
	struct buffer_pool *pool;
	const char *service_name;
	uint32_t instance;
	uint32_t ring_words;
	uint32_t stock_words; /* 0: no stock */
	bool standby;
	bool parked;    /* another one has its place for now, see engine_nf_replace() */
	bool rehearses; /* it gets everything but a place in the engine, and is told to stop */
};

/* 0 with *grant filled, or an enum netvm_refusal with `text` saying what would be valid. */
typedef uint32_t attach_admit(const struct attach_request *request, struct attach_grant *grant,
	char text[NETVM_TEXT_BYTES]);

struct attach_hooks {
	attach_admit *admit;
	void (*attached)(void *owner, struct session *session);
	/* The connection ended, or the NF said what it must not: `why`. Call session_close(). */
	void (*gone)(void *owner, struct session *session, const char *why);
	/* The NF answered session_ask(): NETVM_MESSAGE_SAVED or _LOADED, and its value. */
	void (*said)(void *owner, uint32_t type, uint64_t value);
};

/*
 * Listen at `path`; anybody may connect, credentials decide. deadline_ms: from connection to HELLO.
 * Errors: -ENAMETOOLONG, -EADDRINUSE (a daemon listens there), errno of socket, bind.
 */
int attach_open(struct event_base *base, struct engine *engine, const char *path,
	unsigned deadline_ms, const struct attach_hooks *hooks, struct attach **attach,
	struct error *error);
/* Pending connections are closed; sessions that have owners must be closed already. */
void attach_close(struct attach *attach);

/* Connections that wait for their HELLO, for tests. */
unsigned attach_pending(const struct attach *attach);

/* Its NF shall attach again, to what is offered next: to be called before session_close(). */
void session_ask_move(struct session *session);

/*
 * End a session: out of the engine (see engine_nf_detach), NF told to stop, connection closed,
 * memory unmapped. Returns the number of packets lost; `counters` (may be NULL)
 * gets what was counted of it.
 */
unsigned session_close(struct session *session, enum drop_reason reason, uint64_t drain_ns,
	struct counters *counters);

/* Whether the NF said that it goes: GONE in its channel. What it says harms only itself. */
bool session_took_leave(const struct session *session);

/* The NF knows how to hand over state. */
bool session_has_state(const struct session *session);

/*
 * Ask it to save or load (NETVM_MESSAGE_SAVE, _LOAD), with the descriptor of the file; the answer
 * is hooks.said(). Never blocks. -EBUSY: it has not answered the last one; -errno: it does not
 * listen.
 */
int session_ask(struct session *session, uint32_t type, uint64_t value, int fd);

/* Each of its queues has looked at its rings: it is ready to work. */
bool session_beats(const struct session *session);

/* Before session_close(): the NF shall only lose its host, and look for the next. */
void session_let_go_on(struct session *session);

struct nf *session_nf(const struct session *session);
pid_t session_pid(const struct session *session);
uint32_t session_n_queues(const struct session *session);

#endif
