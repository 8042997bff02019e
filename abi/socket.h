/*
 * How a process or container gets its two memory objects: a Unix SOCK_SEQPACKET socket.
 *
 *   NF                                    host
 *    | ---------- connect --------------->  |  peer credentials are read here
 *    | <--------- CHANNEL + channel memfd   |  holds the header only, state OFFERED
 *    |   (maps it, fills hello, HELLO)      |
 *    | ---------- HELLO ----------------->  |
 *    |                                      |  grows the memfd to its full size, seals it
 *    | <--------- READY + fds ------------  |  or REFUSED, the reason is in channel.answer
 *    |   (maps all of it by channel.layout) |
 *    |                ...                   |
 *    | <--------- SAVE + state memfd -----  |  feature STATE only: a successor has its place
 *    | ---------- SAVED ----------------->  |
 *    |                ...                   |
 *    | ---------- close ----------------->  |  that is the end of this incarnation
 *
 * Each message is one struct netvm_message, file descriptors travel beside it (SCM_RIGHTS).
 * READY carries, in this order: the group memfd; per queue the reading end of a pipe (the NF's
 * doorbell: readable when the host rang; the NF reads up to 64 bytes to clear it); per worker an
 * eventfd (the host's doorbell: the NF rings it by writing an 8-byte 1). A pipe towards the NF,
 * because its two ends have flags of their own: whoever shares an eventfd can make it blocking and
 * fill it, and would stop the worker that rings it. Anything else from the NF ends the connection.
 * A guest does not use this socket, see guest.h.
 *
 * State. An NF with the feature STATE may be asked, when it has handed back every packet and gets
 * no more, to write what its successor needs into a file that comes along (value: the room there,
 * fixed by seals): it answers SAVED with the number of bytes, 0 for none, all ones for a failure.
 * It lives on, since its successor may fail, and may get packets again. The successor gets LOAD
 * with that file, which nobody can write any more, and the number of bytes, before its first
 * packet: it answers LOADED with 0, or with 1 when it cannot go on with that state. Both are asked
 * once at a time, and have seconds to answer.
 */
#ifndef NETVM_ABI_SOCKET_H
#define NETVM_ABI_SOCKET_H

#include <stdint.h>

#include "static_assert.h"

#define NETVM_SOCKET_DEFAULT "/run/netvm/nf.sock"
#define NETVM_SOCKET_MAGIC   UINT32_C(0x314d564e) /* "NVM1" */

#define NETVM_STATE_BYTES_MAX (UINT64_C(1) << 28)

enum netvm_message_type {
	NETVM_MESSAGE_CHANNEL = 1, /* host; value = size of the channel in bytes */
	NETVM_MESSAGE_HELLO = 2,   /* NF; value = 0 */
	NETVM_MESSAGE_READY = 3,   /* host; value = size of the group memory in bytes */
	NETVM_MESSAGE_REFUSED = 4, /* host; value = enum netvm_refusal */
	NETVM_MESSAGE_SAVE = 5,    /* host; value = bytes of room */
	NETVM_MESSAGE_SAVED = 6,   /* NF; value = bytes written, 0, or UINT64_MAX */
	NETVM_MESSAGE_LOAD = 7,    /* host; value = bytes to read */
	NETVM_MESSAGE_LOADED = 8,  /* NF; value = 0, or 1: cannot go on */
};

struct netvm_message {
	uint32_t magic;
	uint16_t type;
	uint16_t n_fds; /* descriptors travelling with this message */
	uint64_t value;
};

_Static_assert(sizeof(struct netvm_message) == 16, "message layout");

#endif
