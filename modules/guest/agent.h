/*
 * The agent in an idle guest: its init, which waits at a port of its virtio-serial device to be
 * told what to run. Called by modules/nf/spare.c.
 *
 *   guest                  daemon
 *     -- READY --------->  ready()
 *     <- order ----------  agent_rehearse(): the NF of the image, under a name that may not attach
 *     -- READY --------->  ready(): it has ended
 *     <- order ----------  agent_run(): whenever an NF takes this guest
 *
 * An order is a line each for the NF's name, its service and the words of its command, and an empty
 * one; without words it is the command of the image, and without a service a rehearsal. What the
 * guest says is bad input: nothing but the one word is taken, and nothing is read after it unless
 * asked for, so a guest that talks on fills a socket and then waits.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_GUEST_AGENT_H
#define NETVM_MODULES_GUEST_AGENT_H

#include <stdbool.h>

#include "modules/guest/listener.h"

struct agent;

struct agent_options {
	struct event_base *base;
	const char *path;                                    /* QEMU's end of the port */
	bool (*allowed)(void *arg, const struct peer *peer); /* to be its QEMU */
	void (*ready)(void *arg);
	void (*broken)(void *arg); /* it said something else */
	void *arg;
};

/* Errors: as listener_open(). */
int agent_open(const struct agent_options *options, struct agent **agent, struct error *error);
/* What was said and not yet read is lost. NULL is fine. */
void agent_close(struct agent *agent);

/* Try once, so that what an NF needs to start has been loaded and translated. Errors as
 * agent_run(). */
int agent_rehearse(struct agent *agent);

/*
 * Run this, NULL: what the image is for; qemu_check_command() has seen it. The agent is not heard
 * any more, but is to be kept: a guest reads a port at its leisure. Errors: -ENOTCONN nobody
 * there, -ENOMEM, errno of send.
 */
int agent_run(struct agent *agent, const char *name, const char *service, char *const *argv);

#endif
