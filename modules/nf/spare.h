/*
 * One QEMU of a pool, from its start until an NF takes it. Called by pools.c and pooled.c.
 *
 *   boots   QEMU ──► agent READY ──► plug the devices ──┬► rehearse ──► ready()
 *                                └─► save ──► ready()   │
 *   loads   QEMU ──► loading(), load, plug, go on ──────┴► ready(), when somebody waits
 *
 * What loads comes from a template or from another QEMU that saves. A spare that failed or is not
 * wanted is killed; it is gone when its process has been reaped, which nobody has to wait for. No
 * spare serves twice: what an NF has used ends with the NF.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_SPARE_H
#define NETVM_MODULES_NF_SPARE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "modules/nf/child.h"
#include "modules/nf/guest.h"

struct spare;

struct spare_hooks {
	void (*loading)(void *arg, struct spare *spare); /* what comes now is read; may be NULL */
	void (*ready)(void *arg, struct spare *spare);
	/* It failed, or QEMU has ended. It is nobody's then. */
	void (*ended)(void *arg, struct spare *spare, const char *why);
};

struct spare_options {
	const struct manager *manager;
	json_t *settings; /* an object of section nfs that says what the guest is; borrowed */
	struct buffer_pool *pool;
	int load_fd; /* taken over, as save_fd; -1: it boots */
	int save_fd; /* when it has booted it saves itself there and is of no other use; -1: no */
	const struct spare_hooks *hooks;
	void *arg;
};

struct spare {
	TAILQ_ENTRY(spare) link; /* the owner's; when nobody's, spare.c's */
	struct spare_options options;
	struct nf_settings settings; /* name "pool:1" */
	struct child child;
	struct guest *guest;
	struct agent *agent;
	struct event *limit; /* for becoming ready */
	bool monitored, booted, saves, rehearses;
	bool ready;
	bool hurries; /* somebody waits for it */
};

/* Errors: as nf_settings_read(), guest_open() and spawn(). */
int spare_start(const struct spare_options *options, struct spare **spare, struct error *error);
/* Kill it; nobody hears of it again. NULL is fine. */
void spare_discard(struct spare *spare);
/* The same with what was a spare's once. */
void spare_bury(const struct manager *manager, struct child *child, struct guest *guest);
/* Wait for all that were killed; the loop does not turn any more. */
void spare_await_all(void);

/* Where an NF's guest has its place. */
struct spare_taker {
	struct nf_settings *settings; /* gets the spare's user */
	struct child *child;          /* filled, as *guest */
	void (*exited)(void *arg);    /* for the child */
	struct guest **guest;
	struct guest_options options; /* for the guest */
	bool runs;                    /* it need not be told what to run: it is moved */
};

/* Give a ready spare away; it is no more then. After an error it is as before. */
int spare_give(struct spare *spare, const struct spare_taker *taker, struct error *error);

/* Somebody waits for it; else it is made in the background. */
void spare_hurry(struct spare *spare, bool hurries);

#endif
