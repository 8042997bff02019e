/* What is particular to an NF in a guest. See instance_parts.h; called by instance.c. */
#include "modules/nf/instance_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "modules/guest/listener.h"
#include "modules/nf/accel.h"

/* Is this its QEMU? The user alone would not do: other NFs may run as nobody, too. */
static bool guest_allowed(void *owner, const struct peer *peer)
{
	const struct nf_instance *instance = owner;
	const struct nf_settings *settings = &instance->settings;

	if (settings->external)
		return peer->uid == 0 || peer->uid == settings->uid;
	return instance->child.pid && peer->pid == instance->child.pid &&
	       peer->uid == settings->uid;
}

static void guest_plugged(void *owner, const char *failure)
{
	struct nf_instance *instance = owner;

	if (failure && instance->adopts)
		instance_abandon_guest(instance, failure);
	else if (failure)
		instance_tell(instance, "guest-plug-failed", "%s", failure);
	else
		instance_tell(instance, "guest-plugged", "its devices are plugged in");
}

struct guest_options instance_guest_options(struct nf_instance *instance)
{
	return (struct guest_options){
		.manager = instance->manager,
		.settings = &instance->settings,
		.pool = instance->pool,
		.hooks = &nf_attach_hooks,
		.allowed = guest_allowed,
		.plugged = guest_plugged,
		.owner = instance,
	};
}

static int open_guest(struct nf_instance *instance, struct error *error)
{
	const struct guest_options options = instance_guest_options(instance);

	return guest_open(&options, &instance->guest, error);
}

int instance_start_guest(struct nf_instance *instance, void (*exited)(void *),
	void (*tried)(void *), struct error *error)
{
	const struct nf_settings *settings = &instance->settings;
	json_t *words;
	int rc;

	instance->tries_kvm = accel_is_unknown(settings);
	rc = instance->tries_kvm ? accel_arguments(instance->manager, settings, &words, error)
				 : guest_arguments(instance->manager, settings,
					   (struct guest_start){false, false}, &words, error);
	if (rc)
		return rc;
	rc = child_start_qemu(&instance->child, instance->manager, settings, words,
		instance->tries_kvm ? -1 : guest_take_monitor(instance->guest),
		instance->tries_kvm ? tried : exited, instance, error);
	json_decref(words);
	return rc;
}

/* ---- guests of a pool ------------------------------------------------------------------------ */

void instance_give_up_guest(struct nf_instance *instance, const char *why)
{
	pooled_stop(&instance->pooled);
	instance->faulty = true;
	snprintf(instance->last_exit, sizeof(instance->last_exit), "%s", why);
	instance_tell(instance, "nf-failed", "%s", why);
	if (instance->child.pid) {
		child_signal(&instance->child, SIGKILL);
		instance_enter(instance, NF_STOPPING, instance_times.stop_ms);
	} else {
		instance_rest(instance, false);
	}
}

static void guest_failed(void *owner, const char *why)
{
	instance_give_up_guest(owner, why);
}

static void guest_taken(void *owner)
{
	struct nf_instance *instance = owner;

	if (instance->pooled.taker.runs)
		instance_tell(instance, "guest-moved",
			"its guest runs in process %d now, after %u ms", instance->child.pid,
			pooled_pause_ms(&instance->pooled));
	else
		instance_tell(instance, "nf-starting", "process %d is a guest of pool %s",
			instance->child.pid, instance->settings.pool);
}

static void guest_leaving(void *owner)
{
	struct nf_instance *instance = owner;
	unsigned lost = instance_drain(instance, instance_times.drain_ms);

	instance_enter(instance, NF_STARTING, instance_times.attach_ms);
	instance_tell(instance, "guest-moving", "to another QEMU; %u packets lost", lost);
}

static void guest_stayed(void *owner, const char *why)
{
	const struct nf_instance *instance = owner;

	instance_tell(instance, "guest-stayed", "%s", why);
}

static const struct pooled_hooks pooled_hooks = {
	guest_taken, guest_leaving, guest_failed, guest_stayed};

void instance_begin_pooled(struct nf_instance *instance)
{
	instance->pooled = (struct pooled){
		.taker =
			{
				.settings = &instance->settings,
				.child = &instance->child,
				.exited = instance_child_exited,
				.guest = &instance->guest,
				.options = instance_guest_options(instance),
			},
		.hooks = &pooled_hooks,
		.save_fd = -1,
	};
}

static int take_guest(struct nf_instance *instance, struct error *error)
{
	instance_begin_pooled(instance);
	instance->faulty = false;
	instance->n_signals = 0;
	if (pooled_take(&instance->pooled, error))
		return -ENOENT;
	instance_begin(instance);
	return 0;
}

int instance_open_guest(struct nf_instance *instance, struct error *error)
{
	return instance->settings.pool ? take_guest(instance, error) : open_guest(instance, error);
}

int instance_move(struct nf_instance *instance, struct error *error)
{
	if (!instance->settings.pool)
		return error_set(error, EINVAL, "name", "take it from a pool",
			"the guest of %s cannot be moved", instance->settings.name);
	if (!instance->session)
		return error_set(
			error, ENOTCONN, "name", "", "%s is not running", instance->settings.name);
	return pooled_move(&instance->pooled, error);
}

/* ---- guests of somebody else ------------------------------------------------------------------
 */

static void unplugged(void *arg, const char *failure)
{
	struct nf_instance *instance = arg;

	instance_tell(instance, failure ? "guest-unplug-failed" : "guest-unplugged", "%s",
		failure ? failure : "its devices are unplugged");
	instance_rest(instance, true);
}

bool instance_unplug(struct nf_instance *instance)
{
	if (!guest_is_plugged(instance->guest))
		return false;
	if (guest_unplug(instance->guest, NULL, unplugged, instance))
		return false;
	instance_enter(instance, NF_STOPPING, instance_times.stop_ms);
	instance_drain(instance, instance_times.drain_ms);
	return true;
}
