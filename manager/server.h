/*
 * The API socket: a Unix stream socket on which each line is a JSON text (rpc.h), both ways.
 *
 * Who may call what: role.h. The socket is open to root and the group `netvm` (0660); who is at the
 * other end is read when it connects, and which role that gives for each line.
 *
 * What a caller can do wrong ends its connection, after an error that says why: a line longer than
 * SERVER_LINE_MAX, a line not finished in time, too many connections. One that does not read its
 * answers is cut off after the same time.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MANAGER_SERVER_H
#define NETVM_MANAGER_SERVER_H

#include <stddef.h>

#include "common/error.h"

struct event_base;
struct server;

#define SERVER_LINE_MAX          (1024u * 1024u)
#define SERVER_CONNECTIONS_MAX   64u
#define SERVER_CONNECTIONS_ADMIN 8u /* more, for admins only */
#define SERVER_TIMEOUT_MS        10000u

struct server_options {
	const char *path;         /* of the socket; NULL: none, see server_adopt() */
	unsigned connections_max; /* 0: SERVER_CONNECTIONS_MAX */
	unsigned timeout_ms;      /* to finish a line or to read answers; 0: SERVER_TIMEOUT_MS */
};

/* -EADDRINUSE: a daemon answers there; -ENAMETOOLONG; -errno. */
int server_open(struct event_base *base, const struct server_options *options,
	struct server **server, struct error *error);

/* Hang up on everybody and remove the socket. NULL is fine. */
void server_close(struct server *server);

/* Serve a connected stream socket; it is the server's from then on. */
void server_adopt(struct server *server, int fd);

#endif
