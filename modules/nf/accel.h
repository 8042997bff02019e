/*
 * Which accelerator a guest with `accel: auto` gets: KVM where it works, which only a try can tell
 * (modules/guest/probe.h), else QEMU's emulation. Called by instance.c and guest.c.
 *
 *   instance_start ──► unknown? ── accel_arguments() ──► QEMU with the probe, as the guest's user
 *                         ▲                                     │ its end, or ACCEL_TRY_MS
 *                         └────── known now: the guest itself ◄─┴─ accel_tried(): event
 *
 * The answer holds for a QEMU and a user until the daemon ends. Without a /dev/kvm nothing is
 * tried.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_ACCEL_H
#define NETVM_MODULES_NF_ACCEL_H

#include <stdbool.h>

#include <jansson.h>

#include "modules/nf/child.h"

#define ACCEL_TRY_MS 2000 /* works: 50 to 300 ms with the start of QEMU */

extern const char *accel_device; /* /dev/kvm; a variable for tests only */

/* "kvm", "tcg", or, before it is known or of no concern: "auto". */
const char *accel_choice(const struct nf_settings *settings);

/* Start what accel_arguments() says before the guest. */
bool accel_is_unknown(const struct nf_settings *settings);

/* The command line of the try. New reference in *words. Errors: the probe cannot be written. */
int accel_arguments(const struct manager *manager, const struct nf_settings *settings,
	json_t **words, struct error *error);

/* How the try ended. */
void accel_tried(const struct nf_settings *settings, const struct child_end *end);

#endif
