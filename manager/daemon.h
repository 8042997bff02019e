/* The daemon from start to stop. Called by main.c. */
#ifndef NETVM_MANAGER_DAEMON_H
#define NETVM_MANAGER_DAEMON_H

#include <stdbool.h>

struct daemon_options {
	const char *config;     /* NULL: what was saved in state_dir, if anything */
	const char *run_dir;    /* sockets */
	const char *state_dir;  /* saved document, lock */
	const char *api_socket; /* NULL: in run_dir */
	const char *nf_socket;  /* NULL: in run_dir */
	const char *user;       /* to become when started as root; NULL: netvm if it exists */
	bool replace;           /* take over from the daemon that runs, if one does */
	int ready_fd;           /* gets "READY\n", or "FAILED " and why; -1: none */
};

/* Check the document and say what is wrong on stderr. Returns an exit status. */
int daemon_check(const struct daemon_options *options);

/* Run until SIGTERM, SIGINT or daemon.stop. Returns an exit status. */
int daemon_run(const struct daemon_options *options);

#endif
