/* A guest's devices into and out of a QEMU that runs. See guest.h. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>

#include "manager/schema.h"
#include "modules/guest/hotplug.h"
#include "modules/nf/guest_parts.h"

struct script *guest_script(struct guest *guest, void (*done)(void *, const char *), void *arg)
{
	return monitor_script(guest->monitor, done, arg);
}

void guest_plug(struct guest *guest, struct script *script)
{
	char channel[PATH_BYTES], group[PATH_BYTES];
	const struct hotplug devices = {
		.channel_socket = channel,
		.group_socket = group,
		.n_vectors = guest->n_vectors,
	};

	guest_socket(channel, guest, "channel");
	guest_socket(group, guest, "group");
	hotplug_plug(script, &devices);
	if (!guest->offered && !guest->attached)
		guest_offer_again(guest);
}

void guest_run(struct guest *guest, unsigned timeout_ms)
{
	monitor_run(guest->monitor, timeout_ms);
}

bool guest_is_plugged(const struct guest *guest)
{
	return guest && value_text(guest->options.settings->object, "monitor") &&
	       monitor_is_ready(guest->monitor);
}

int guest_unplug(struct guest *guest, void (*more)(void *arg, struct script *script),
	void (*done)(void *arg, const char *failure), void *arg)
{
	struct script *script = monitor_script(guest->monitor, done, arg);

	if (!script)
		return -ENOMEM;
	hotplug_unplug(script);
	if (more)
		more(arg, script);
	guest->is_leaving = true;
	if (guest->attached)
		session_ask_move(guest->attached);
	else
		event_active(guest->pause, EV_TIMEOUT, 0); /* nobody will ring */
	return 0;
}

void guest_insist(struct guest *guest)
{
	if (!guest || !guest->is_leaving)
		return;
	guest->is_leaving = false;
	guest_run(guest, PLUG_TIMEOUT_MS);
}

static void running_plugged(void *arg, const char *failure)
{
	const struct guest *guest = arg;

	guest->options.plugged(guest->options.owner, failure);
}

/* Before the NF attaches, which is told then whether it is rung. */
static void turn_ports(const struct guest *guest, struct script *script)
{
	char path[PATH_BYTES], what[16];

	for (unsigned i = 0; i < guest->options.settings->n_queues; i++) {
		snprintf(what, sizeof(what), BELL_SOCKET, i);
		guest_socket(path, guest, what);
		hotplug_port(script, i, path);
	}
}

/* QEMU has run for a while, perhaps with the devices of an earlier daemon. */
void guest_plug_running(void *arg)
{
	struct guest *guest = arg;
	struct script *script = monitor_script(guest->monitor, running_plugged, guest);

	if (!script)
		return;
	hotplug_unplug(script);
	turn_ports(guest, script);
	guest_plug(guest, script);
	guest_run(guest, PLUG_TIMEOUT_MS);
}
