/* Devices and guests into and out of a running QEMU. See hotplug.h. */
#include "modules/guest/hotplug.h"

#include <stdio.h>

#include "modules/guest/qemu.h"

#define BANDWIDTH_BYTES INT64_C(1000000000000) /* nobody else wants this way */

/* QEMU connects there. */
static json_t *chardev(const char *id, const char *socket)
{
	return json_pack("{s:s, s:{s:s, s:{s:{s:s, s:{s:s}}, s:b}}}", "id", id, "backend", "type",
		"socket", "data", "addr", "type", "unix", "data", "path", socket, "server", 0);
}

static void device_plug(struct script *script, const char *id, const char *socket,
	unsigned n_vectors, const char *port)
{
	script_add(script, "chardev-add", chardev(id, socket));
	script_add(script, "device_add",
		json_pack("{s:s, s:s, s:s, s:i, s:s}", "driver", "ivshmem-doorbell", "id", id,
			"chardev", id, "vectors", (int)n_vectors, "bus", port));
}

/* Who finds the channel finds the memory, too. */
void hotplug_plug(struct script *script, const struct hotplug *devices)
{
	device_plug(script, QEMU_GROUP, devices->group_socket, 1, QEMU_GROUP_SLOT);
	device_plug(script, QEMU_CHANNEL, devices->channel_socket, devices->n_vectors,
		QEMU_CHANNEL_SLOT);
}

void hotplug_port(struct script *script, unsigned queue, const char *socket)
{
	char id[32];

	snprintf(id, sizeof(id), QEMU_PORT, queue);
	script_add(script, "chardev-change", chardev(id, socket));
	script_optional(script);
}

static void device_unplug(struct script *script, const char *id)
{
	script_add(script, "device_del", json_pack("{s:s}", "id", id));
	script_await(script, "DEVICE_DELETED", "device", id);
	script_optional(script);
	script_add(script, "chardev-remove", json_pack("{s:s}", "id", id));
	script_optional(script);
}

void hotplug_unplug(struct script *script)
{
	device_unplug(script, QEMU_CHANNEL);
	device_unplug(script, QEMU_GROUP);
}

static void prepare(struct script *script, int fd)
{
	script_add(script, "migrate-set-capabilities",
		json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "events", "state", 1));
	script_add_fd(script, "netvm", fd);
}

static void await_the_end(struct script *script)
{
	script_await(script, "MIGRATION", "status", "completed");
	script_fails_on(script, "failed");
}

void hotplug_save(struct script *script, int fd, bool running)
{
	script_add(script, "migrate-set-parameters",
		json_pack("{s:I}", "max-bandwidth", (json_int_t)BANDWIDTH_BYTES));
	if (!running)
		script_add(script, "stop", NULL);
	prepare(script, fd);
	script_add(script, "migrate", json_pack("{s:s}", "uri", "fd:netvm"));
	await_the_end(script);
}

void hotplug_load(struct script *script, int fd)
{
	prepare(script, fd);
	script_add(script, "migrate-incoming", json_pack("{s:s}", "uri", "fd:netvm"));
	await_the_end(script);
}
