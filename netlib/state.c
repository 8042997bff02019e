/*
 * Handing over state: what the host may say after READY (abi/socket.h), and the two callbacks it
 * leads to. Called by wait.c when the host's descriptor is readable, on the queue's thread; queue 0
 * speaks for all. The host asks only while this NF has no packets, so nothing waits but the next
 * turn of the loop.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attachment.h"

/* The room is the file's; what does not fit fails to be written. Takes over `fd`. */
static uint64_t save(struct netvm_private *queue, int fd)
{
	const struct netvm_options *hooks = &queue->attachment->hooks;
	FILE *file = fdopen(fd, "w");
	long n_bytes = -1;

	if (!file) {
		close(fd);
		return UINT64_MAX;
	}
	if (hooks->save(&queue->nf, file, hooks->arg) == 0 && fflush(file) == 0 && !ferror(file))
		n_bytes = ftell(file);
	(void)fclose(file);
	return n_bytes < 0 ? UINT64_MAX : (uint64_t)n_bytes;
}

/* Takes over `fd`. */
static uint64_t load(struct netvm_private *queue, int fd, uint64_t n_bytes)
{
	const struct netvm_options *hooks = &queue->attachment->hooks;
	struct stat status;
	void *state = MAP_FAILED;
	uint64_t refused = 1;

	if (fstat(fd, &status) == 0 && n_bytes <= (uint64_t)status.st_size)
		state = mmap(NULL, n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (state == MAP_FAILED)
		return refused;
	refused = hooks->load(&queue->nf, state, n_bytes, hooks->arg) != 0;
	munmap(state, n_bytes);
	return refused;
}

static bool answer(struct netvm_private *queue)
{
	struct transport *transport = &queue->attachment->transport;
	const struct netvm_options *hooks = &queue->attachment->hooks;
	uint64_t value = 0;
	uint32_t type;
	int fd;

	if (transport->ops->hear(transport, &type, &value, &fd) < 0)
		return false;
	if (type == NETVM_MESSAGE_SAVE && hooks->save) {
		value = save(queue, fd);
	} else if (type == NETVM_MESSAGE_LOAD && hooks->load) {
		value = load(queue, fd, value);
	} else {
		close(fd);
		value = 0;
	}
	type = type == NETVM_MESSAGE_SAVE ? NETVM_MESSAGE_SAVED : NETVM_MESSAGE_LOADED;
	return transport->ops->say(transport, type, value) == 0;
}

bool state_host_is_there(struct netvm_private *queue)
{
	struct attachment *attachment = queue->attachment;
	int waits = attachment->transport.ops->waits
			    ? attachment->transport.ops->waits(&attachment->transport)
			    : -1;

	if (waits <= 0 || queue->queue != 0)
		return waits >= 0;
	return attachment->hooks.save || attachment->hooks.load ? answer(queue) : false;
}
