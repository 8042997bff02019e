/* Inside of a session, between attach.c (the protocol) and session.c (memory and engine). */
#ifndef NETVM_MODULES_NF_SESSION_H
#define NETVM_MODULES_NF_SESSION_H

#include <sys/queue.h>

#include "abi/socket.h"
#include "modules/nf/attach.h"

struct event;

struct session {
	TAILQ_ENTRY(session) link; /* while pending */
	struct attach *attach;
	int fd;
	struct event *event;
	pid_t peer_pid;
	uid_t peer_uid;
	uint32_t features; /* granted */
	uint32_t awaited;  /* the message that may come: HELLO, an answer to session_ask(), or 0 */
	int peer_pidfd;    /* -1: unknown */

	int channel_fd;
	bool complete; /* the channel has its full size and doorbells from the start: a guest's */
	bool goes_on;  /* the end is the daemon's, the NF is not told to stop */
	struct netvm_channel *channel;
	size_t mapped_bytes;
	struct netvm_layout layout; /* private copy; the one in the channel is for the NF */

	/* Pipes; both ends are kept, so that neither side breaks. A guest's ports are [1] only. */
	int bell[NETVM_QUEUES_MAX][2];
	int worker_fd[NETVM_WORKERS_MAX];
	struct engine *engine;
	struct nf *nf; /* attached */
	bool moves;    /* its NF shall attach again, to what is offered next */
	void *owner;
};

/* A session for an accepted connection, with its channel in state OFFERED. Takes over `fd`. */
int session_create(int fd, struct session **session);

/*
 * A session over memory and doorbells that a guest has already and that outlive it: a sealed memfd
 * of `size` bytes, an eventfd for each worker. Cleared, state OFFERED; the descriptors are
 * duplicated. `peer` is the guest's QEMU.
 */
int session_create_over(int channel_fd, size_t size, const int *worker_fd, unsigned n_workers,
	struct session **session);
/* Ports that ring in the guest, one per queue, -1 where there is none; they are duplicated. */
int session_lend_bells(struct session *session, const int *fd, unsigned n);
/* Without a place in the engine. NULL is fine. */
void session_destroy(struct session *session);

/*
 * Full size, sealed, doorbells made (a guest has all that), attached to the engine, state READY.
 * Errors: -EPROTO the NF tampered with the channel; others: no room.
 */
int session_ready(struct session *session, struct engine *engine, const struct netvm_hello *hello,
	const struct attach_grant *grant, struct error *error);

/* The answer "no": code and sentence in the channel, state REFUSED. */
void session_refuse(struct session *session, uint32_t refusal, const char *text);

/* One message with the descriptors that go with READY or CHANNEL. Never blocks. */
int session_send(const struct session *session, enum netvm_message_type type, uint64_t value,
	const int *fds, unsigned n_fds);
int session_send_ready(const struct session *session, const struct buffer_pool *pool);

#endif
