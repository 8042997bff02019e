/*
 * The table of destinations the manager granted this NF. The host may change it at any time and
 * says so by destination_version, odd while it writes: a sequence lock whose only writer is the
 * host. Called by NFs on the queue's thread, seldom.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "attachment.h"
#include "failure.h"

#define TRIES 1000 /* a host that died while writing must not hang us */

uint32_t netvm_destination_version(const struct netvm *nf)
{
	return __atomic_load_n(
		&nf->private_->attachment->channel->destination_version, __ATOMIC_ACQUIRE);
}

static void entry_read(
	const struct netvm_channel *channel, unsigned verdict, struct netvm_destination *entry)
{
	memcpy(entry, &channel->destination[verdict], sizeof(*entry));
	entry->name[NETVM_NAME_BYTES - 1] = '\0';
}

/* A wanted entry: by name, or by id where name is NULL. */
struct wanted {
	enum netvm_destination_kind kind;
	const char *name;
	uint32_t id;
};

static int table_scan(const struct netvm_channel *channel, const struct wanted *wanted)
{
	for (unsigned i = NETVM_VERDICT_FIRST_DESTINATION; i < NETVM_DESTINATIONS_MAX; i++) {
		struct netvm_destination entry;

		entry_read(channel, i, &entry);
		if (entry.kind != wanted->kind)
			continue;
		if (wanted->name ? strcmp(entry.name, wanted->name) == 0 : entry.id == wanted->id)
			return (int)i;
	}
	return -ENOENT;
}

/* True when the table stood still since `before` was read. */
static bool still(const struct netvm *nf, uint32_t before)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return before % 2 == 0 && netvm_destination_version(nf) == before;
}

static int table_find(struct netvm *nf, const struct wanted *wanted)
{
	const struct netvm_channel *channel = nf->private_->attachment->channel;

	for (int i = 0; i < TRIES; i++) {
		uint32_t before = netvm_destination_version(nf);
		int found = table_scan(channel, wanted);

		if (still(nf, before))
			return found;
		sched_yield();
	}
	return failure_set(EAGAIN, "the host does not finish changing the table of destinations");
}

int netvm_destination(struct netvm *nf, enum netvm_destination_kind kind, const char *name)
{
	struct transport *transport = &nf->private_->attachment->transport;
	const struct wanted wanted = {.kind = kind, .name = name};
	int found = table_find(nf, &wanted);

	if (found == -ENOENT && transport->ops->grant) {
		transport->ops->grant(transport, kind, name);
		found = table_find(nf, &wanted);
	}
	if (found == -ENOENT)
		return failure_set(ENOENT,
			"no destination '%s' was granted to %s: it is in no chain of this NF", name,
			netvm_name(nf));
	return found;
}

int netvm_destination_by_id(struct netvm *nf, enum netvm_destination_kind kind, uint32_t id)
{
	const struct wanted wanted = {.kind = kind, .id = id};
	int found = table_find(nf, &wanted);

	if (found == -ENOENT)
		return failure_set(
			ENOENT, "no destination number %u was granted to %s", id, netvm_name(nf));
	return found;
}

int netvm_destination_get(struct netvm *nf, unsigned verdict, struct netvm_destination *entry)
{
	const struct netvm_channel *channel = nf->private_->attachment->channel;

	if (verdict < NETVM_VERDICT_FIRST_DESTINATION || verdict >= NETVM_DESTINATIONS_MAX)
		return -ENOENT;
	for (int i = 0; i < TRIES; i++) {
		uint32_t before = netvm_destination_version(nf);

		entry_read(channel, verdict, entry);
		if (still(nf, before))
			return entry->kind == NETVM_DESTINATION_NONE ? -ENOENT : 0;
		sched_yield();
	}
	return -EAGAIN;
}
