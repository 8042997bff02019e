/*
 * The channel: one NF's private shared memory, fresh for each incarnation of the NF.
 *
 *   offset 0      struct netvm_channel       header, handshake, control, destinations
 *   queue_offset  queue pair (worker 0, queue 0):  rx ring | tx ring | stock ring
 *                 queue pair (worker 0, queue 1)
 *                 ...             pair number = worker * n_queues + queue
 *
 * rx     host to NF   packets to work on
 * tx     NF to host   packets with verdicts, and buffers given back
 * stock  host to NF   empty buffers the NF may fill, clone into, or hold
 *
 * The group memory, the second object, holds nothing but buffers:
 *
 *   buffer_offset + index * buffer_stride
 *   +----------+--------------------+---------------------------------------+
 *   | metadata |      headroom      |  packet ...                           |
 *   | 64 bytes |                    |                                       |
 *   +----------+--------------------+---------------------------------------+
 *   0          64                   descriptor offset         buffer_stride
 *
 * The handshake happens in the header and is the same for a process, a container and a guest
 * (only the way the memory gets there differs, see socket.h and guest.h):
 *
 *   host: fills the constant part, state = OFFERED
 *   NF:   checks magic and version range, fills `hello`, state = HELLO
 *   host: copies hello, validates the copy; fills `answer` and the layout;
 *         state = READY, or REFUSED with a code and a sentence
 *   NF:   state = GONE when it detaches by itself
 *
 * Ownership law: a buffer belongs to exactly one side. Putting its word on a ring gives it
 * away; taking a word makes it yours. The host's private table says the same and is the judge.
 *
 * Sleeping. A side about to sleep stores a fresh non-zero ticket (the last one plus one, skipping
 * 0), issues a full fence, looks at its rings once more, and only then blocks on its doorbell;
 * awake again it stores 0. The other side, after publishing, issues a full fence and reads the
 * ticket: not 0 and not the one it rang for last, it rings. Tickets, not a flag: a flag seen set
 * twice cannot tell one long sleep from two, and the second would be missed.
 *
 * Tags: H written by the host, N written by the NF; each field has one writer, and each line
 * too, so that nobody's store can tear another's. Everything the NF wrote is bad input to the
 * host, and everything in the header but the constant part may change under the NF.
 */
#ifndef NETVM_ABI_CHANNEL_H
#define NETVM_ABI_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "descriptor.h"
#include "ring.h"

#define NETVM_CHANNEL_MAGIC UINT64_C(0x4e4e41484356544e) /* "NTVCHANN" */
#define NETVM_ABI_VERSION   1u

#define NETVM_NAME_BYTES  32u /* names with their terminating NUL */
#define NETVM_TEXT_BYTES  192u
#define NETVM_WORKERS_MAX 16u
#define NETVM_QUEUES_MAX  8u
#define NETVM_META_BYTES  64u /* the metadata line at the start of each buffer */

enum netvm_state {
	NETVM_STATE_OFFERED = 1, /* H */
	NETVM_STATE_HELLO = 2,   /* N */
	NETVM_STATE_READY = 3,   /* H */
	NETVM_STATE_REFUSED = 4, /* H */
	NETVM_STATE_GONE = 5,    /* N */
};

/* What an NF may ask for in hello.features; the host grants a subset in answer.features. */
enum netvm_feature {
	NETVM_FEATURE_META = 1u << 0,  /* fill the metadata line of each packet */
	NETVM_FEATURE_STOCK = 1u << 1, /* keep me supplied with empty buffers */
	NETVM_FEATURE_STATE = 1u << 2, /* I can hand over state, see socket.h; not in a guest */
	NETVM_FEATURE_BELL = 1u << 3,  /* guest: ring at my ports, see guest.h; else I look again */
};

enum netvm_refusal {
	NETVM_REFUSED_VERSION = 1,    /* no common ABI version */
	NETVM_REFUSED_NAME = 2,       /* malformed name or service */
	NETVM_REFUSED_UNKNOWN = 3,    /* no NF of that name is declared */
	NETVM_REFUSED_BUSY = 4,       /* that NF is running already */
	NETVM_REFUSED_SERVICE = 5,    /* declared with another service */
	NETVM_REFUSED_CREDENTIAL = 6, /* declared for another user */
	NETVM_REFUSED_FEATURE = 7,    /* unknown feature bits or number of queues */
	NETVM_REFUSED_RESOURCE = 8,   /* the host has no room left */
};

struct netvm_hello {
	uint32_t abi_version;
	uint32_t features;
	uint32_t n_queues; /* threads that will each run one queue; 1..NETVM_QUEUES_MAX */
	uint32_t pid;      /* for humans; never trusted */
	char name[NETVM_NAME_BYTES];
	char service[NETVM_NAME_BYTES]; /* empty: as declared */
};

struct netvm_answer {
	uint32_t abi_version;
	uint32_t features;
	uint32_t refusal; /* enum netvm_refusal when state is REFUSED */
	uint32_t instance;
	char name[NETVM_NAME_BYTES];
	char service[NETVM_NAME_BYTES];
	char group[NETVM_NAME_BYTES];
	char text[NETVM_TEXT_BYTES]; /* the refusal in one sentence */
};

/* Sizes and places; final once state is READY. */
struct netvm_layout {
	uint64_t channel_bytes;
	uint64_t queue_offset;
	uint64_t queue_stride; /* from one queue pair to the next */
	uint32_t rx_words;     /* each a power of two */
	uint32_t tx_words;
	uint32_t stock_words;
	uint32_t n_workers;
	uint32_t n_queues;
	uint32_t pad;
	uint64_t group_bytes;
	uint64_t buffer_offset;
	uint32_t buffer_stride;
	uint32_t n_buffers;
	uint32_t headroom; /* where the host puts packets at least: bytes from the slot's start */
	uint32_t pad2;
};

enum netvm_destination_kind {
	NETVM_DESTINATION_NONE = 0,
	NETVM_DESTINATION_PORT = 1,    /* out of that port; ends the chain */
	NETVM_DESTINATION_SERVICE = 2, /* a detour through that service, then the chain goes on */
	NETVM_DESTINATION_CHAIN = 3,   /* go on in that chain behind this NF's service */
};

struct netvm_destination {
	uint16_t kind;
	uint16_t direction; /* of a chain: 0 forward, 1 reverse */
	uint32_t id;        /* port number, service number or chain number */
	char name[NETVM_NAME_BYTES];
	char pad[24];
};

/* One per queue, NF side. */
struct netvm_nf_queue_state {
	uint32_t sleep_ticket; /* N: 0 awake; else ring my doorbell once for this ticket */
	uint32_t pad0;
	uint64_t heartbeat; /* N: grows with every turn of the loop */
	uint64_t rx_pkts;   /* N */
	uint64_t tx_pkts;   /* N */
	uint64_t busy_ns;   /* N: time spent in the callback, sampled */
	uint8_t pad[24];
};

/* One per worker, host side. */
struct netvm_worker_state {
	uint32_t sleep_ticket; /* H: 0 awake; else ring my doorbell once for this ticket */
	uint8_t pad[60];
};

enum netvm_control {
	NETVM_CONTROL_STOP = 1u << 0, /* finish what you hold, detach, exit */
	NETVM_CONTROL_BUSY = 1u << 1, /* poll, never sleep */
	NETVM_CONTROL_MOVE = 1u << 2, /* with STOP: do not exit, attach to what is offered next */
};

struct netvm_channel {
	/* constant part, H before OFFERED */
	uint64_t magic;
	uint32_t abi_min; /* the versions this host speaks */
	uint32_t abi_max;
	uint64_t header_bytes;
	uint8_t pad0[40];

	/* handshake; who writes depends on the value, see above */
	uint32_t state;
	uint8_t pad1[60];

	struct netvm_hello hello; /* N */
	uint8_t pad2[48];

	struct netvm_answer answer; /* H */
	uint8_t pad3[16];

	struct netvm_layout layout; /* H */
	uint8_t pad4[48];

	/* control, H */
	uint32_t control;             /* enum netvm_control, may change at any time */
	uint32_t destination_version; /* odd while the table is being changed */
	uint8_t pad5[56];

	struct netvm_worker_state worker[NETVM_WORKERS_MAX];          /* H */
	struct netvm_nf_queue_state queue[NETVM_QUEUES_MAX];          /* N */
	struct netvm_destination destination[NETVM_DESTINATIONS_MAX]; /* H */
};

/*
 * The metadata line in front of a packet, written by the host when hello.features asked for it.
 * `user` belongs to the NFs of the group: it is kept as it is from one NF to the next.
 */
struct netvm_meta {
	uint64_t arrival_ns; /* CLOCK_MONOTONIC at the burst's arrival */
	uint32_t flow_hash;  /* same for both directions of a connection */
	uint16_t in_port;    /* port number, as in the destination table */
	uint16_t chain;      /* chain number, 0 when in none */
	uint16_t direction;  /* 0 forward, 1 reverse */
	uint16_t vlan_tci;   /* of the outer tag, 0 when untagged */
	uint32_t flags;
	uint8_t reserved[8];
	uint64_t user[4];
};

_Static_assert(sizeof(struct netvm_meta) == NETVM_META_BYTES, "metadata is one line");
_Static_assert(sizeof(struct netvm_hello) == 80, "hello layout");
_Static_assert(sizeof(struct netvm_answer) == 304, "answer layout");
_Static_assert(sizeof(struct netvm_layout) == 80, "layout layout");
_Static_assert(sizeof(struct netvm_destination) == 64, "destination layout");
_Static_assert(sizeof(struct netvm_nf_queue_state) == 64, "queue state layout");
_Static_assert(sizeof(struct netvm_worker_state) == 64, "worker state layout");
_Static_assert(offsetof(struct netvm_channel, state) == 64, "channel layout");
_Static_assert(offsetof(struct netvm_channel, hello) == 128, "channel layout");
_Static_assert(offsetof(struct netvm_channel, answer) == 256, "channel layout");
_Static_assert(offsetof(struct netvm_channel, layout) == 576, "channel layout");
_Static_assert(offsetof(struct netvm_channel, control) == 704, "channel layout");
_Static_assert(offsetof(struct netvm_channel, worker) == 768, "channel layout");
_Static_assert(offsetof(struct netvm_channel, queue) == 1792, "channel layout");
_Static_assert(offsetof(struct netvm_channel, destination) == 2304, "channel layout");
_Static_assert(sizeof(struct netvm_channel) == 18688, "channel layout");

#endif
