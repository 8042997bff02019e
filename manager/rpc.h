/*
 * JSON-RPC 2.0: from a text to the method and back to a text. Knows nothing of sockets: a peer is
 * whoever hands texts in and takes answers (server.c, tests).
 *
 *   rpc_input(peer, text) ─► parse ─► find method ─► check params ─► call ─► peer->send(answer)
 *                                                                     └─ RPC_LATER ─► rpc_answer()
 *
 * Errors carry the standard's codes, or -32000 for what a method refused; `data` holds
 * {code, path, message, hint} (common/error.h).
 *
 * Source: https://www.jsonrpc.org/specification (2013-01-04).
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MANAGER_RPC_H
#define NETVM_MANAGER_RPC_H

#include <sys/queue.h>

#include "manager/module.h"

#define RPC_BATCH_MAX   256             /* calls in one text */
#define RPC_BATCH_BYTES (1024u * 1024u) /* of results; after them no call of the batch is made */
#define RPC_PENDING_MAX 64              /* calls of one peer that wait to be answered */

enum rpc_code {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_REFUSED = -32000, /* by the method */
};

struct rpc_peer {
	/* One answer, without a newline. */
	void (*send)(struct rpc_peer *peer, const char *text, size_t length);
	struct role_grant grant; /* set by its owner before each rpc_input() */
	int fd;                  /* of its connection, set by its owner; -1: none */
	unsigned n_pending;
	LIST_HEAD(, rpc_request) pending;
};

/* The manager's own methods, for the table of all; ended by an entry without name. */
extern const struct rpc_method config_methods[];
extern const struct rpc_method daemon_methods[];

void rpc_peer_init(struct rpc_peer *peer, void (*send)(struct rpc_peer *, const char *, size_t));

/* Handle one text: a call or a batch of them. Answers at once, later, or (notifications) never. */
void rpc_input(struct rpc_peer *peer, const char *text, size_t length);

/* An error that belongs to no call, such as a text that is too long. */
void rpc_send_error(struct rpc_peer *peer, enum rpc_code code, const struct error *error);

/* The connection that a call came by, -1: none. Borrowed. */
int rpc_fd(const struct rpc_request *request);

/* The peer is gone: cancels what is pending. */
void rpc_hangup(struct rpc_peer *peer);

/* All methods with their parameters, for schema.get. New reference. */
json_t *rpc_export(void);

#endif
