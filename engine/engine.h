/*
 * The engine as the control side sees it: workers, ports, services and their NFs, steering, books.
 *
 *   manager thread                        worker threads (one per core)
 *   +------------------------+            +--------------------------------------+
 *   | builds immutable parts | --publish->| loop: ports, NF rings, hand-offs     |
 *   | waits a grace period   | <-quiesce- | one quiescent state per turn         |
 *   | frees the old parts    |            +--------------------------------------+
 *   +------------------------+
 *
 * Everything here is called on the manager's thread and may block for a grace period (a few
 * microseconds to a few milliseconds), never for traffic. What a packet follows once it is in, its
 * program, stays alive until the last packet on it has left: a change of chain never shows a packet
 * half of it.
 *
 * Names are for people and stay with the objects; workers never see them.
 */
#ifndef NETVM_ENGINE_ENGINE_H
#define NETVM_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/channel.h"
#include "abi/flow.h"
#include "common/error.h"
#include "engine/buffers.h"
#include "engine/drops.h"
#include "engine/port.h"

#define ENGINE_PORTS_MAX      256u
#define ENGINE_NFS_MAX        1024u
#define ENGINE_SERVICES_MAX   1024u
#define ENGINE_CHAINS_MAX     4096u
#define PROGRAM_STEPS_MAX     64u
#define SERVICE_INSTANCES_MAX 64u

struct engine;
struct service;
struct counters;
struct nf;
struct program;

/* ---- life ---------------------------------------------------------------------------------- */

struct engine_options {
	unsigned n_workers;
	int cpu[NETVM_WORKERS_MAX];  /* -1: not pinned */
	bool busy;                   /* poll; else adaptive: poll, yield, sleep */
	uint32_t flow_cache_entries; /* per worker, power of two; 0: default */
	int notify_fd; /* eventfd the workers ring when an NF must be looked at, see engine_faults
			*/
};

/* Starts EAL if it is not yet (no huge pages or devices needed) and the workers. */
int engine_create(
	const struct engine_options *options, struct engine **engine, struct error *error);
/* All ports, NFs, services must be gone. NULL is fine. */
void engine_destroy(struct engine *engine);
unsigned engine_n_workers(const struct engine *engine);

/* ---- groups -------------------------------------------------------------------------------- */

/* Lets the workers use this pool. The pool stays the caller's; detach before destroying it. */
int engine_pool_attach(struct engine *engine, struct buffer_pool *pool, struct error *error);
void engine_pool_detach(struct engine *engine, struct buffer_pool *pool);

/* ---- ports --------------------------------------------------------------------------------- */

/*
 * Take an opened port into service: its queues are spread over the workers, port->number is set. It
 * sends at once, and receives from engine_port_set_up() on, so that it can be steered before the
 * first packet; packets that no rule takes are dropped as no-flow. After detach no worker touches
 * the port and packets that still want to leave by it are dropped as port-down; then the caller
 * closes it.
 */
int engine_port_attach(struct engine *engine, struct port *port, struct error *error);
void engine_port_detach(struct engine *engine, struct port *port);
/* Administrative state: down neither receives nor sends. */
void engine_port_set_up(struct engine *engine, struct port *port, bool up);
/* It receives no more, until engine_port_set_up(), but sends on what is under way. */
void engine_port_quiet(struct engine *engine, struct port *port);

/* ---- services and NFs ---------------------------------------------------------------------- */

/* A service: a role that chains call; zero or more NFs fill it. `pool`: its trust group. */
int engine_service_create(struct engine *engine, const char *name, struct buffer_pool *pool,
	struct service **service, struct error *error);
/* No chain names it any more and no NF fills it. The handle is gone at once. */
void engine_service_destroy(struct engine *engine, struct service *service);
uint32_t service_number(const struct service *service);

/*
 * Where the NFs of a service may send packets. Takes effect with the next engine_steer(), which
 * adds the chain destinations by itself and shows all of them in the channels of the NFs. A
 * destination keeps its place (its verdict value) as long as it is granted.
 */
struct grant {
	enum netvm_destination_kind kind; /* PORT or SERVICE */
	struct port *port;
	struct service *service;
};
int engine_service_grant(struct engine *engine, struct service *service, const struct grant *grants,
	unsigned n, struct error *error);

struct nf_options {
	const char *name;
	struct service *service;
	struct netvm_channel *channel;     /* mapped writable, layout filled by nf_layout() */
	const struct netvm_layout *layout; /* the caller's private copy */
	bool standby;                      /* see engine_nf_attach() */
	uint32_t features;
	int queue_fd[NETVM_QUEUES_MAX];   /* writing ends of pipes, O_NONBLOCK: workers ring */
	int worker_fd[NETVM_WORKERS_MAX]; /* eventfds: workers wait on, and never read */
	uint32_t stock_quota;             /* buffers of the stock it may own at most, per worker */
	bool parked; /* gets nothing before engine_nf_replace() gives it another's place */
};

/*
 * Sizes of a channel for this engine and pool: fills `layout` (rx, tx, stock words from the given
 * ring size, a power of two). tx is large enough for everything the NF can own, so it never fills.
 */
void nf_layout(const struct engine *engine, const struct buffer_pool *pool, uint32_t ring_words,
	uint32_t stock_words, uint32_t n_queues, struct netvm_layout *layout);

/*
 * From now on packets may go to this NF, unless it is parked. With `standby` only while no other
 * one of the service works; an NF whose place a stand-in has stands by as well. The one that stands
 * by takes over the flows of one that is detached, in the same step.
 */
int engine_nf_attach(struct engine *engine, const struct nf_options *options, struct nf **nf,
	struct error *error);

/*
 * Take an NF out: no new packets go to it, then nobody reads its rings, then every buffer it owned
 * is taken back and counted under `reason` (DROP_NF_DIED, DROP_NF_REMOVED). With drain_ns > 0 the
 * NF is first told to stop and given that long to hand back what it has. Returns the number of
 * packets lost; `counters` (may be NULL) gets its last figures, these losses among them. The
 * channel may be unmapped afterwards.
 */
unsigned engine_nf_detach(struct engine *engine, struct nf *nf, enum drop_reason reason,
	uint64_t drain_ns, struct counters *counters);

/*
 * One queue of an NF at one moment, as the workers and the NF itself show it; one that lies here
 * only hides its own hang.
 */
struct nf_pulse {
	uint64_t mark; /* changes when it takes or hands back packets, turns, or falls asleep */
	/* Packets wait for the queue, or it is awake and the NF has some in hand; and its
	 * predecessor is not waited for. */
	bool has_work;
};
void engine_nf_pulse(
	struct engine *engine, const struct nf *nf, unsigned queue, struct nf_pulse *pulse);

/* Whether it is attached, and waits for the end of another one; one that is parked does not. */
bool engine_nf_stands_by(const struct nf *nf);
/* Whether it waits for engine_nf_replace() to give it a place, or its place back. */
bool engine_nf_is_parked(const struct nf *nf);

/*
 * `to`, which is parked, gets the place of `from` in their service: the same flows, all at once,
 * between two turns of all workers. `from` is parked, with what it has in its hands. What comes for
 * `to` waits in its rings, unseen, until `from` has handed back all it had through the same worker,
 * so that no packet overtakes another of its flow; and, with `hold`, until engine_nf_release().
 * When the first is done (engine_nf_load() knows) workers ring notify_fd. The other way round takes
 * it back: what `to` has not been shown goes to `from` then, nothing is lost.
 */
void engine_nf_replace(struct engine *engine, struct nf *from, struct nf *to, bool hold);
void engine_nf_release(struct engine *engine, struct nf *to);

/*
 * NFs that broke the contract since the last call: a corrupt ring index or junk without end, then
 * workers have stopped reading their rings; or their group's memory has a hole (guard.h), and
 * nobody can tell which of them made it. The caller detaches them and says so.
 */
unsigned engine_faults(struct engine *engine, struct nf **nfs, unsigned max);

/* ---- steering ------------------------------------------------------------------------------ */

enum program_op {
	PROGRAM_CALL,   /* through a service, then on */
	PROGRAM_OUTPUT, /* out of a port; the end */
	PROGRAM_DROP,   /* the end */
};

struct program_step {
	enum program_op op;
	struct service *service;
	struct port *port;
	enum drop_reason reason;
};

/* What becomes of packets that come to a service without a live NF. */
enum on_failure {
	ON_FAILURE_CLOSED, /* dropped, service-down; none is let into the program */
	ON_FAILURE_OPEN,   /* they pass it over */
	ON_FAILURE_HOLD,   /* kept in order until it is back, or full (hold-full) or too old
			      (hold-expired) */
};

struct program_options {
	const char *name;   /* the chain's, for books: programs of one name share counters */
	uint16_t chain;     /* number shown to NFs; 0 none */
	uint16_t direction; /* 0 forward, 1 reverse */
	enum on_failure on_failure;
	uint32_t hold_pkts;     /* ON_FAILURE_HOLD: kept for one service by one worker at most */
	uint32_t hold_ms;       /* and for so long */
	uint32_t guard_crashes; /* of a service, then a flow is kept from it; 0: never */
	uint32_t guard_ms;      /* and forgotten so long after the last one */
	bool guard_bypass;      /* it passes the service over; else its packets are dropped */
	bool cross_groups;      /* copies at group borders are wanted */
	unsigned n_steps;
	struct program_step step[PROGRAM_STEPS_MAX];
};

/* One line of the classifier. All given fields must match; addresses of IPv4 are mapped. */
struct match {
	struct port *in_port; /* NULL: any */
	uint16_t eth_type;    /* 0: any */
	bool has_vlan;        /* vlan is looked at; 0 means untagged */
	uint16_t vlan;        /* id, 0..4095 */
	uint8_t family;       /* 0 any, 4, 6 */
	bool has_protocol;
	uint8_t protocol;
	uint8_t src[16], dst[16];
	uint8_t src_prefix, dst_prefix;      /* bits of the mapped address, 0..128; 0: any */
	uint16_t src_port_min, src_port_max; /* 0..65535: any */
	uint16_t dst_port_min, dst_port_max;
};

struct rule {
	struct match match;
	int32_t priority; /* the highest matching wins; ties: the earlier rule */
	unsigned program; /* index into the programs of this call */
};

/*
 * Replace the whole steering at once. Packets that come in from now on follow the new rules;
 * packets under way finish on their old program, which is freed after the last one left.
 * Errors: -EINVAL a program crosses groups without cross_groups, is too long, or ends without
 * output or drop; -E2BIG the classifier would exceed its memory; nothing changed then.
 */
int engine_steer(struct engine *engine, const struct program_options *programs, unsigned n_programs,
	const struct rule *rules, unsigned n_rules, struct error *error);

/* ---- flows that crash NFs ------------------------------------------------------------------ */

#define SUSPECTS_MAX 256u

/* A flow that was in an NF's hands when it crashed. */
struct suspect {
	struct netvm_flow_key key;
	const char *in_port; /* names: until the next change of the engine */
	const char *service;
	unsigned n_crashes; /* of the service's NFs */
	uint64_t age_ms;    /* of the last one */
	bool guarded;       /* kept from the service: */
	bool bypassed;      /* passes it over; else dropped */
};

/* Fills up to `max` and returns how many. */
unsigned engine_suspects(const struct engine *engine, struct suspect *list, unsigned max);
/* One that is guarded since the last call; false: no more. */
bool engine_suspect_news(struct engine *engine, struct suspect *news);
/* Let go those whose time is over; call it now and then while there are any. */
void engine_suspects_refresh(struct engine *engine);
/* Forget all. */
void engine_suspects_clear(struct engine *engine);

/* ---- books --------------------------------------------------------------------------------- */

/* One object's counters, summed over workers; each is read atomically, the set is not. */
struct counters {
	uint64_t rx_pkts; /* port: received; NF: handed back; chain: admitted */
	uint64_t rx_bytes;
	uint64_t tx_pkts; /* port: sent; NF: given to it; chain: left it by a port */
	uint64_t tx_bytes;
	uint64_t rx_bursts; /* turns that brought at least one packet: mean batch = pkts / bursts */
	uint64_t tx_bursts;
	uint64_t injected;   /* NF: packets it made itself */
	uint64_t consumed;   /* NF: packets it was the end point of */
	uint64_t wakeups;    /* NF: doorbells rung */
	uint64_t violations; /* NF: words refused because their handle is not its own */
	uint64_t copied;     /* chain: packets copied from one group into another, at each border */
	uint64_t drops[DROP_REASONS];
};

void engine_port_counters(
	struct engine *engine, const struct port *port, struct counters *counters);
void engine_nf_counters(struct engine *engine, const struct nf *nf, struct counters *counters);
/*
 * Of all programs with that name, also those before them as long as there was one at each moment;
 * all zero for an unknown name.
 */
void engine_chain_counters(struct engine *engine, const char *name, struct counters *counters);

struct nf_load {
	uint32_t rx_ring_depth; /* packets waiting for the NF, all rings */
	uint32_t rx_ring_words; /* of how many places */
	uint32_t owned_pkts;    /* packets in the NF's hands or rings */
	uint32_t stock;         /* empty buffers it owns */
};
void engine_nf_load(struct engine *engine, const struct nf *nf, struct nf_load *load);

/*
 * The conservation line: received + injected = sent + consumed + dropped + in_flight.
 * The workers stand still between two turns while one of them takes it, so it is exact: in_flight
 * is counted from the ownership table, not computed from the other numbers.
 */
struct books {
	uint64_t received;
	uint64_t injected;
	uint64_t sent;
	uint64_t consumed;
	uint64_t drops[DROP_REASONS];
	uint64_t dropped; /* sum of drops */
	uint64_t in_flight;
	uint64_t copied; /* packets copied at group borders */
	uint64_t buffers_free;
	uint64_t buffers_stock; /* empty, owned by NFs */
	uint64_t buffers_port;  /* lent to drivers */
	uint64_t buffers_total;
	bool balanced;
};
void engine_books(struct engine *engine, struct books *books);

struct worker_info {
	int cpu;
	bool sleeping;
	uint64_t turns;      /* of the loop */
	uint64_t busy_turns; /* that moved at least one packet */
	uint64_t sleeps;
	uint64_t flow_cache_hits;
	uint64_t flow_cache_misses;
};
void engine_worker_info(struct engine *engine, unsigned worker, struct worker_info *info);

#endif
