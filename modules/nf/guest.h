/*
 * The devices of one guest and the session over them. Called by instance.c, spare.c and
 * control.c.
 *
 *      daemon                              QEMU                     guest
 *   NAME.channel ◄── ivshmem ── channel ── BAR 2 ──────────────────► NF: hello, rings
 *   NAME.group   ◄── ivshmem ── group's memory ── BAR 2 ───────────► NF: packets
 *   NAME.bell0   ── one byte ──► virtio-serial port netvm.bell.0 ──► NF: queue 0, wake up
 *   NAME.qmp     ── monitor ──► QEMU, which listens: events, system_powerdown
 *
 * The sockets lie in RUN_DIR/guest. A guest may be told from where its QEMU comes from: `image:
 * guest` is started by the daemon and only that process may connect; `image: external-guest` waits
 * for one that somebody else starts, of the declared user, and again for the next when it ends.
 *
 * What a connection is to a process, the channel's state is to a guest. Its doorbell of vector 0
 * says: look at it. At most 200 times a second this is done, so a guest that rings for ever costs
 * nothing much.
 *
 *   OFFERED ── hello ──► READY ── the NF leaves: GONE, QEMU ends ──► gone() ──► OFFERED again
 *                   └──► REFUSED ── the NF leaves ────────────────────────────► OFFERED again
 *
 * A QEMU that the daemon started outlives it, as a process does. The next daemon finds its monitor
 * where it was, takes out the devices that lead to nobody, turns the ports to itself and plugs in
 * devices of its own; then the NF, which has lost its host, finds those and attaches again.
 *
 * QEMU shares the eventfds and could make them blocking: the workers only wait on them, and the
 * one of vector 0 is read with RWF_NOWAIT. Nothing is ever written to what it shares.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_GUEST_H
#define NETVM_MODULES_NF_GUEST_H

#include <stdbool.h>

#include <jansson.h>

#include "modules/nf/attach.h"
#include "modules/nf/settings.h"

struct agent;
struct guest;
struct manager;
struct peer;
struct script;

struct guest_options {
	const struct manager *manager;
	const struct nf_settings *settings; /* borrowed */
	struct buffer_pool *pool;
	const struct attach_hooks *hooks; /* as for the NF socket; admit() gets request->guest */
	bool (*allowed)(void *owner, const struct peer *peer); /* to be this guest's QEMU */
	/* QEMU takes commands. Then the devices are the owner's to plug. NULL: they are there. */
	void (*monitored)(void *owner);
	/* A QEMU that ran before us has got its devices, or `failure` tells why not. */
	void (*plugged)(void *owner, const char *failure);
	/* An earlier daemon started its QEMU, which knows its sockets by this name. NULL: it did
	 * not. */
	const char *sockets;
	void *owner; /* for these, and for gone() */
};

/* Memory and sockets, ready for a QEMU. Errors: no room; the group's memory cannot be a BAR. */
int guest_open(const struct guest_options *options, struct guest **guest, struct error *error);
/* Its session is closed already. NULL is fine. */
void guest_close(struct guest *guest);
/* The same, but its QEMU goes on and waits for the next daemon. */
void guest_leave(struct guest *guest);

/* Where the monitor of the QEMU listens that the caller starts, who takes it over. */
int guest_take_monitor(struct guest *guest);

/*
 * From now on it is this owner's, who knows the NF in it by these settings. Takes over the agent
 * that told the guest, NULL: none.
 */
void guest_give(struct guest *guest, const struct guest_options *options, struct agent *agent);

/* Bytes of a channel for these settings: what a guest_give() must find. */
size_t guest_channel_bytes(const struct guest *guest);
size_t guest_channel_need(const struct manager *manager, const struct nf_settings *settings,
	struct buffer_pool *pool);

/* The owner has closed the session it got by attached(). NULL is fine. */
void guest_session_closed(struct guest *guest);

/*
 * Let its NF move: call before its session is closed, which tells the NF. When it has left, and the
 * devices are unplugged, done(), never before this returns. `more`, NULL: nothing, adds steps to be
 * taken after that. Error: -ENOMEM.
 */
int guest_unplug(struct guest *guest, void (*more)(void *arg, struct script *script),
	void (*done)(void *arg, const char *failure), void *arg);

/* Do not wait for the NF any longer: it loses its devices, and its life when it goes on using them.
 */
void guest_insist(struct guest *guest);

/* It is somebody else's, runs, and has got its devices by its monitor. NULL is not. */
bool guest_is_plugged(const struct guest *guest);

/* A script for its QEMU, see script.h, with room for guest_plug(); begin it by guest_run(). */
struct script *guest_script(
	struct guest *guest, void (*done)(void *arg, const char *failure), void *arg);
void guest_plug(struct guest *guest, struct script *script);
void guest_run(struct guest *guest, unsigned timeout_ms);

/* Press the guest's power button, if its monitor listens. NULL is fine. */
void guest_power_down(struct guest *guest);

/*
 * After the end of its QEMU: what went wrong inside, by the last words of the guest (abi/guest.h)
 * and of its monitor: the NF's exit status, a panic, a reset. Else "". NULL is fine.
 */
const char *guest_fault(struct guest *guest);

/* How a guest of a pool is started. */
struct guest_start {
	bool agent; /* its init waits for what to run */
	bool loads; /* its state comes from another guest */
};

/* Where the agent of such a guest is awaited. */
int guest_agent_path(
	const struct manager *manager, const struct nf_settings *settings, char *path, size_t size);

/* The command line that starts it: see qemu_arguments(). New reference in *words. */
int guest_arguments(const struct manager *manager, const struct nf_settings *settings,
	struct guest_start start, json_t **words, struct error *error);

/* What guest.show answers. New reference in *shown. */
int guest_show(const struct manager *manager, const struct nf_settings *settings, json_t **shown,
	struct error *error);

#endif
