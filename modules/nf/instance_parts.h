/* Inside of an instance, between instance.c (its life) and instance_guest.c (that of its guest). */
#ifndef NETVM_MODULES_NF_INSTANCE_PARTS_H
#define NETVM_MODULES_NF_INSTANCE_PARTS_H

#include "modules/nf/instance.h"
#include "modules/nf/tell.h"

#define instance_tell(instance, ...) nf_tell((instance)->settings.name, __VA_ARGS__)

/* ---- instance_guest.c ------------------------------------------------------------------------ */

/*
 * Devices for the guest it will start, or that comes by itself; or wait for one of its pool, in
 * state starting. Errors: as guest_open(); -ENOENT no such pool.
 */
int instance_open_guest(struct nf_instance *instance, struct error *error);

/*
 * Start its QEMU, with `exited` for struct child; or first a try of KVM, with `tried`: then
 * instance->tries_kvm is set. Not for one of a pool. Errors: as guest_arguments(), child_start().
 */
int instance_start_guest(struct nf_instance *instance, void (*exited)(void *),
	void (*tried)(void *), struct error *error);

/* No guest came, or it was lost on its way: a bad end. */
void instance_give_up_guest(struct nf_instance *instance, const char *why);

/*
 * Out of a guest that goes on running: drained, its devices unplugged, then instance_rest(). False:
 * there is nothing to unplug.
 */
bool instance_unplug(struct nf_instance *instance);

/* What guest_open() is told. */
struct guest_options instance_guest_options(struct nf_instance *instance);
/* instance->pooled, which neither waits nor moves yet. */
void instance_begin_pooled(struct nf_instance *instance);

/* ---- instance_survive.c ----------------------------------------------------------------------
 */

/* Take over what an earlier daemon started for this NF and what waits for this one. False: there is
 * nothing, or nothing that works: start it. */
bool instance_adopt_process(struct nf_instance *instance);
bool instance_adopt_guest(struct nf_instance *instance);

/* The guest that was taken over does not work: another one is started. */
void instance_abandon_guest(struct nf_instance *instance, const char *why);

/* ---- instance.c ------------------------------------------------------------------------------ */

/* A new state, with its timeout; 0: none. */
void instance_enter(struct nf_instance *instance, enum nf_state state, unsigned timeout_ms);
/* Another incarnation. */
void instance_start_again(struct nf_instance *instance);
/* State starting: each time it has as long to attach as the first time. */
void instance_begin(struct nf_instance *instance);
/* Nothing of it runs any more. */
void instance_rest(struct nf_instance *instance, bool clean);
/* End its session after a drain; returns the packets lost. */
unsigned instance_drain(struct nf_instance *instance, unsigned drain_ms);
/* The same, and see to it that its process ends. */
void instance_stop(struct nf_instance *instance, unsigned drain_ms);
/* For struct child. */
void instance_child_exited(void *arg);

#endif
