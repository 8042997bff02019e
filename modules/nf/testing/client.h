/* An NF's side of the attach protocol, step by step, so that tests can do each step wrong. */
#ifndef NETVM_MODULES_NF_CLIENT_H
#define NETVM_MODULES_NF_CLIENT_H

#include <stdbool.h>

#include "abi/channel.h"
#include "abi/socket.h"

#define CLIENT_FDS_MAX 32

struct client {
	int fd;
	int channel_fd;
	struct netvm_channel *channel; /* the header */
	struct netvm_message message;  /* the last one received */
	int fds[CLIENT_FDS_MAX];       /* that came with it */
	unsigned n_fds;
};

/* All return 0 or -errno; they block, except where said. */
int client_open(struct client *client); /* a socket only */
int client_dial(struct client *client, const char *path);
int client_connect(struct client *client, const char *path); /* both */
/* -ECONNRESET at the end of the connection. */
int client_receive(struct client *client, bool wait);
/* Take the channel that came with CHANNEL. */
int client_map(struct client *client);
/* A good hello into the channel, state HELLO. */
void client_fill(struct client *client, const char *name, const char *service);
int client_send(struct client *client, const struct netvm_message *message, size_t size, int fd);
int client_hello(struct client *client);
/* All of it, until READY or REFUSED. */
int client_attach(struct client *client, const char *path, const char *name);
void client_close(struct client *client);

#endif
