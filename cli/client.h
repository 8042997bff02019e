/*
 * The daemon's API from the caller's side: JSON-RPC 2.0 over a Unix stream socket, one JSON text
 * per line each way. One question at a time.
 */
#ifndef NETVM_CLI_CLIENT_H
#define NETVM_CLI_CLIENT_H

#include <sys/types.h>

#include <jansson.h>

#include "cli/fault.h"

#define CLIENT_SOCKET_DEFAULT "/run/netvm/api.sock"

struct client;

/* Connect. On failure NULL and a fault that says how to start the daemon. */
struct client *client_open(const char *path, struct fault *fault);

/* NULL is fine. */
void client_close(struct client *client);

/* The daemon's process; 0 when it is in another PID namespace. */
pid_t client_pid(const struct client *client);

/*
 * Ask and wait for the answer, at most timeout_ms. Takes over `params` (NULL: none). Returns a new
 * reference, or NULL and a fault: the daemon's own error, or that it went away or stays silent.
 * After the latter the client is of no more use.
 */
json_t *client_ask(struct client *client, const char *method, json_t *params, int timeout_ms,
	struct fault *fault);

#endif
