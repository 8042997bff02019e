/* How what an NF runs in outlives one daemon and gets to the next. See instance_parts.h,
 * survivor.h. */
#include <errno.h>

#include "modules/nf/instance_parts.h"
#include "modules/nf/survivor.h"

/* ---- the daemon that goes -------------------------------------------------------------------- */

/* A guest that boots, or moves, is begun anew sooner than taken over. */
static bool can_go_on(const struct nf_instance *instance)
{
	return !instance->settings.guest || !instance->child.pid ||
	       (!pooled_moves(&instance->pooled) && (instance->session || instance->child.adopted));
}

void instance_leave_alive(struct nf_instance *instance)
{
	struct guest *guest = instance->guest;

	instance->after = AFTER_LEAVE;
	if (instance->state == NF_STOPPING)
		return;
	if (!can_go_on(instance)) {
		instance_stop(instance, 0); /* what it had has left already */
		child_kill(&instance->child);
		return;
	}
	pooled_stop(&instance->pooled);
	if (instance->session && instance->settings.guest)
		session_ask_move(instance->session); /* it has no connection whose end it sees */
	else if (instance->session)
		session_let_go_on(instance->session);
	instance->guest = NULL; /* it offers nothing any more, however fast the NF leaves */
	instance_drain(instance, 0);
	guest_leave(guest);
	if (instance->child.pid)
		child_leave(&instance->child);
	instance_rest(instance, true);
}

/* ---- the daemon that comes ------------------------------------------------------------------- */

static bool adopt_child(struct nf_instance *instance, struct survivor *survivor)
{
	const struct nf_settings *settings = &instance->settings;
	struct error ignored = {0}; /* then it is ended, and one is started */

	if (!survivor_take(settings->name, settings->object, survivor) ||
		child_adopt(&instance->child, instance->manager, settings, survivor,
			instance_child_exited, instance, &ignored))
		return false;
	child_pin(&instance->child, &settings->cpus); /* they may have changed meanwhile */
	return true;
}

bool instance_adopt_process(struct nf_instance *instance)
{
	struct survivor survivor;

	return adopt_child(instance, &survivor);
}

static int open_adopted(struct nf_instance *instance, const struct survivor *survivor)
{
	struct guest_options options = instance_guest_options(instance);
	struct nf_settings *settings = &instance->settings;
	struct error ignored = {0};

	options.sockets = survivor->sockets;
	if (nf_settings_set_user(settings, survivor->user, survivor->uid, settings->gid))
		return -ENOMEM;
	return guest_open(&options, &instance->guest, &ignored);
}

bool instance_adopt_guest(struct nf_instance *instance)
{
	struct survivor survivor;

	if (!adopt_child(instance, &survivor))
		return false;
	if (open_adopted(instance, &survivor)) {
		spare_bury(instance->manager, &instance->child, NULL);
		return false;
	}
	if (instance->settings.pool)
		instance_begin_pooled(instance);
	return true;
}

void instance_abandon_guest(struct nf_instance *instance, const char *why)
{
	instance_tell(instance, "guest-lost",
		"process %d, which an earlier daemon started, is ended and another one started: %s",
		instance->child.pid, why);
	spare_bury(instance->manager, &instance->child, instance->guest);
	instance->guest = NULL;
	instance->adopts = false;
	instance_start_again(instance);
}
