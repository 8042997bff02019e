/* The command line of a guest's QEMU, and what to paste into others'. See guest.h. */
#include <errno.h>
#include <stdio.h>

#include "abi/guest.h"
#include "manager/module.h"
#include "modules/guest/qemu.h"
#include "modules/nf/accel.h"
#include "modules/nf/guest_parts.h"

struct paths {
	char channel[PATH_BYTES], group[PATH_BYTES], agent[PATH_BYTES];
	char bell[NETVM_QUEUES_MAX][PATH_BYTES];
};

int guest_agent_path(
	const struct manager *manager, const struct nf_settings *settings, char *path, size_t size)
{
	char made[PATH_BYTES];

	guest_socket_of(made, manager, settings->name, "agent");
	return snprintf(path, size, "%s", made) < (int)size ? 0 : -ENAMETOOLONG;
}

static void describe_bells(struct qemu_guest *guest, const struct manager *manager,
	const struct nf_settings *settings, struct paths *paths)
{
	char what[16];

	for (unsigned i = 0; i < settings->n_queues; i++) {
		struct qemu_port *port = &guest->port[guest->n_ports++];

		snprintf(what, sizeof(what), BELL_SOCKET, i);
		guest_socket_of(paths->bell[i], manager, settings->name, what);
		snprintf(port->name, sizeof(port->name), NETVM_GUEST_BELL "%u", i);
		port->socket = paths->bell[i];
	}
}

static struct qemu_guest describe(
	const struct manager *manager, const struct nf_settings *settings, struct paths *paths)
{
	const json_t *fields = json_object_get(settings->object, "guest");
	struct qemu_guest guest;

	guest_socket_of(paths->channel, manager, settings->name, "channel");
	guest_socket_of(paths->group, manager, settings->name, "group");
	guest_socket_of(paths->agent, manager, settings->name, "agent");
	guest = (struct qemu_guest){
		.name = settings->name,
		.service = settings->service,
		.program = settings->program,
		.boot = value_text(fields, "boot"),
		.command = settings->command.argv,
		.accel = accel_choice(settings),
		.memory_mb = (unsigned)value_int(fields, "memory_mb"),
		.vcpus = (unsigned)value_int(fields, "vcpus"),
		.n_vectors = NETVM_GUEST_WORKER(engine_n_workers(manager->engine)),
		.channel_socket = paths->channel,
		.group_socket = paths->group,
	};
	describe_bells(&guest, manager, settings, paths);
	return guest;
}

int guest_arguments(const struct manager *manager, const struct nf_settings *settings,
	struct guest_start start, json_t **words, struct error *error)
{
	struct paths paths;
	struct qemu_guest guest = describe(manager, settings, &paths);

	if (start.agent) {
		guest.n_ports = 1; /* a template and its copies are alike, whatever NF they get */
		guest.port[guest.n_ports++] = (struct qemu_port){QEMU_AGENT, paths.agent};
	}
	guest.waits = start.agent;
	guest.loads = start.loads;
	return qemu_arguments(&guest, words, error);
}

int guest_show(const struct manager *manager, const struct nf_settings *settings, json_t **shown,
	struct error *error)
{
	struct qemu_guest guest;
	struct paths paths;
	bool is_plugged = settings->external && value_text(settings->object, "monitor");
	json_t *words;
	int rc = 0;

	if (settings->pool)
		return error_set(error, EINVAL, "name",
			"netvm pool show says how its guests are started",
			"the guest of %s comes from the pool %s", settings->name, settings->pool);
	if (!settings->guest)
		return error_set(error, EINVAL, "name",
			"one with image: guest or image: external-guest", "the NF %s is no guest",
			settings->name);
	guest = describe(manager, settings, &paths);
	if (is_plugged)
		words = qemu_slots();
	else if (settings->external)
		words = qemu_devices(&guest);
	else
		rc = qemu_arguments(&guest, &words, error);
	if (!rc)
		*shown = json_pack("{s:s, s:s, s:o, s:o}", "name", settings->name, "image",
			value_text(settings->object, "image"), "qemu", words, "libvirt",
			is_plugged ? json_null() : qemu_libvirt(&guest));
	return rc;
}
