/*
 * The inside of the data path: what a worker owns and how a burst travels through it.
 *
 *   input.c      port rx -> software RSS -> classify -> admit
 *   program.c    admit (reserve room in every service of the program), run step by step, leave
 *   border.c     the one file that touches memory shared with NFs: put, collect, validate, stock
 *   output.c     port tx, hand-over to other workers, drops
 *   hold.c       packets that wait for a service to come back
 *   trace.c      what the stages call while there is a trace
 *   worker.c     the loop, sleeping, calls from the control side
 *
 * Everything in struct worker is private to its thread, except `call`, the counters (written by the
 * worker, read by anybody) and what is marked. The control side changes a worker's tables only by
 * workers_call(): the worker itself runs the change between two turns of its loop, when it holds no
 * packet and no pointer. That is the whole synchronisation between control and data path: a call
 * that has returned on every worker is also a grace period.
 *
 * Reservation. Before a packet is admitted to a program, room for it is reserved in every service
 * the program calls; each service's reservation is given back when its NF hands the packet back, or
 * when the packet leaves the program early. A service's limit is the size of an instance's ring, so
 * a ring cannot overflow in mid-chain and work done on a packet is never thrown away for lack of
 * room: overload is shed at the entry.
 */
#ifndef NETVM_ENGINE_DATAPATH_H
#define NETVM_ENGINE_DATAPATH_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "abi/channel.h"
#include "abi/flow.h"
#include "engine/engine.h"
#include "engine/trace.h"

#define BURST              64u
#define POOLS_MAX          255u
#define HOPS_MAX           128u /* NFs a packet visits, detours included */
#define HANDOFF_WORDS      4096u
#define SERVICE_TABLE_SIZE 509u /* places of the consistent-hash table; prime (Maglev) */

struct classifier;
struct worker;

static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- programs ------------------------------------------------------------------------------ */

struct step {
	uint8_t op;   /* enum program_op */
	uint8_t next; /* CALL: destination index that means "go on behind this step" for its NFs */
	uint16_t reason;
	struct service *service;
	struct port_slot *port;
	struct hold **hold; /* CALL: [worker] where packets wait for the service; NULL: nowhere */
};

/* Packets on a program; a line for each worker, who alone writes it. */
struct under_way {
	uint64_t n_pkts;
	uint64_t n_held; /* of them */
	uint8_t pad[48];
};

/* Packets of one worker that wait for one service in one program, oldest first. */
struct hold {
	const struct program *program;
	uint16_t step;
	bool listed;       /* among the worker's */
	struct hold *next; /* there */
	uint64_t tsc;      /* how long a packet may wait */
	uint32_t size, n;  /* in packets */
	uint32_t first;    /* where the oldest stands */
	struct held {
		uint64_t word; /* in its verdict field: of which pool */
		uint64_t since_tsc;
	} held[];
};

/* Immutable once published but for `under_way`, freed when that is 0. */
struct program {
	uint16_t chain;
	uint16_t direction;
	enum on_failure on_failure;
	uint16_t n_steps;
	const char *name;            /* of the chain, in its books */
	struct counters *counters;   /* [worker]; of the chain, shared by its programs */
	struct under_way *under_way; /* [worker] */
	/* Control side: as the options said; the next one that waits for its last packet. */
	uint32_t hold_pkts, hold_ms;
	uint32_t guard_crashes, guard_ms;
	bool guard_bypass;
	struct chain_books *books;
	struct program *retired_next;
	struct step step[];
};

/* ---- services and NFs ---------------------------------------------------------------------- */

/* Which instance a flow goes to. Immutable; replaced as a whole when instances come and go. */
struct service_view {
	uint32_t n_instances;
	uint32_t capacity; /* packets admitted at a time, per worker: the smallest ring */
	struct nf *instance[SERVICE_INSTANCES_MAX];
	uint8_t table[SERVICE_TABLE_SIZE];
};

/* What the NFs of a service may name as destination. Immutable; replaced as a whole. */
struct destination {
	enum netvm_destination_kind kind;
	struct port_slot *port;
	struct service *service;
	const struct program *program;
	uint16_t step;
};

struct destination_table {
	struct destination entry[NETVM_DESTINATIONS_MAX];
};

struct service {
	char name[NETVM_NAME_BYTES];
	uint32_t number;
	struct buffer_pool *pool;
	struct service_view *view;              /* swapped by control, read by workers */
	struct destination_table *destinations; /* likewise */
	/* control side */
	struct service_view *spare;      /* the next view: making one anew cannot fail */
	struct netvm_destination *shown; /* [DESTINATIONS_MAX] what the channels show */
	struct grant *grants;
	unsigned n_grants;
	struct nf *nfs;
	struct service *next_dead; /* a retired program still calls it */
};

/* To be loaded once per use: control may swap it at any moment. */
static inline const struct service_view *view_of(const struct service *service)
{
	return __atomic_load_n(&service->view, __ATOMIC_ACQUIRE);
}

/* One queue of an NF as one worker sees it. */
struct nf_queue {
	struct netvm_ring_end rx; /* we produce */
	struct netvm_ring_end tx; /* we consume */
	struct netvm_ring_end stock;
	uint32_t *sleep_ticket; /* in the channel */
	uint32_t rung;          /* the ticket we rang for last */
	int fd;
	bool staged;
	uint32_t shown; /* while the link is gated: rx words before this one have been published */
};

/* One NF as one worker sees it. */
struct nf_link {
	struct nf *nf;
	uint16_t owner;                          /* of the buffers the NF has through this worker */
	uint32_t n_stock;                        /* empties the NF owns through this worker */
	bool faulty;                             /* broke the ring's law: not read any more */
	bool dirty;                              /* on the worker's list of links to publish */
	bool parked;                             /* gets no packets, so no stock either */
	bool gated;                              /* takes over: what it gets is not shown yet */
	bool held;                               /* and is not before control lets it go */
	bool told;                               /* control was told that `behind` is through */
	struct nf_link *behind;                  /* whose packets must be back first; or NULL */
	struct netvm_worker_state *worker_state; /* in the channel */
	struct counters counters;
	struct nf_queue queue[NETVM_QUEUES_MAX];
};

struct nf {
	char name[NETVM_NAME_BYTES];
	uint16_t number;
	uint32_t n_workers;
	uint32_t n_queues;
	uint32_t features;
	uint32_t rx_words;
	uint32_t stock_quota;
	struct service *service;
	struct buffer_pool *pool;
	struct nf_link *link; /* [worker] */
	struct netvm_channel *channel;
	struct nf *next; /* of the service */
	/* Control side, see seats.c. */
	char seat[NETVM_NAME_BYTES]; /* whose share of the flows it has; "": none, it stands by */
	bool standby;
	bool stopgap;
	uint32_t destination_version;
	bool parked; /* gets no packets: another has its place, or it is on its way out */
	bool fault_told;
	int worker_fd[NETVM_WORKERS_MAX];
};

/* Packets that the NF has through this worker, in its hands or in its rings. */
static inline uint64_t link_in_flight(const struct nf_link *link)
{
	return counter_get(&link->counters.tx_pkts) - counter_get(&link->counters.rx_pkts);
}

/* ---- ports --------------------------------------------------------------------------------- */

struct port_slot {
	struct port *port; /* NULL: gone */
	struct buffer_pool *pool;
	uint16_t number;
	bool up;
	bool waits;
	struct counters *counters; /* [worker] */
	struct program *out;       /* the one-step program "out of this port" */
	struct tx_batch *batch[NETVM_WORKERS_MAX];
};

/* Packets of one worker waiting for one port. */
struct tx_batch {
	uint16_t n;
	uint64_t words[BURST];
};

struct rx_slot {
	struct port_slot *slot;
	struct port_queue *queue;
	int fd;
	bool spread; /* software RSS over the workers */
};

/* ---- steering ------------------------------------------------------------------------------ */

/* A packet's identity for steering; one cache entry's key. */
struct flow_id {
	struct netvm_flow_key key;
	uint16_t in_port;
	uint16_t pad;
};
_Static_assert(sizeof(struct flow_id) == 48, "compared as three vectors");

/* The few flows that crash NFs, and what becomes of them, see suspects.c. Immutable. */
#define SUSPECT_PLACES (2 * SUSPECTS_MAX)

struct suspect_table {
	unsigned n;
	struct suspect_entry {
		struct flow_id id;
		const struct program *program; /* NULL: a free place */
	} entry[SUSPECT_PLACES];               /* open addressing, at most half full */
	unsigned n_variants;
	struct suspect_variant { /* control side */
		const struct program *of;
		uint64_t skip; /* without these steps */
		struct program *program;
	} variant[SUSPECTS_MAX];
};

/* Immutable but for `suspects`. */
struct steering {
	struct suspect_table *suspects; /* NULL: none; control may swap it at any moment */
	uint32_t n_programs;
	struct program **program;
	struct classifier *classifier; /* NULL: no rule needs a look into the packet */
	struct {
		const struct program *only; /* takes every packet of the port */
		const struct program *const
			*reach; /* all it can lead to, ended by NULL; NULL: none */
		bool classify;
	} entry[ENGINE_PORTS_MAX];
};

struct flow_entry {
	struct flow_id id;
	uint32_t version; /* of the worker's flows; 0 never */
	uint32_t pad;
	const struct program *program; /* NULL: no rule matches */
};
_Static_assert(sizeof(struct flow_entry) == 64, "one flow to a cache line");

/* ---- the worker ---------------------------------------------------------------------------- */

struct worker_call {
	void (*function)(struct worker *worker, void *arg);
	void *arg;
	sem_t done; /* control's, who waits for it asleep */
};

struct worker {
	struct engine *engine;
	uint32_t id;
	uint32_t n_workers;
	struct worker_call *call; /* set by control, cleared by the worker */
	uint32_t sleeping;        /* read by control and other workers */
	int cpu;
	int wake_fd;
	int epoll_fd;
	pthread_t thread;
	bool stop;
	bool busy;

	struct rx_slot rx[ENGINE_PORTS_MAX * PORT_QUEUES_MAX];
	uint32_t n_rx;
	struct nf_link *link[ENGINE_NFS_MAX];
	uint32_t n_links;
	struct nf_link *dirty[ENGINE_NFS_MAX];
	uint32_t n_dirty;
	struct port_slot *tx_dirty[ENGINE_PORTS_MAX];
	uint32_t n_tx_dirty;
	struct tx_batch *tx[ENGINE_PORTS_MAX];
	struct port_slot
		*tx_complete[ENGINE_PORTS_MAX]; /* ports with packets outstanding in a device */
	uint32_t n_tx_complete;
	bool tx_waits; /* one of them has to be asked again soon */
	struct buffer_cache *cache[POOLS_MAX];
	struct netvm_ring_end handoff_to[NETVM_WORKERS_MAX];
	struct netvm_ring_end handoff_from[NETVM_WORKERS_MAX];

	struct hold *holds; /* those with packets, in the order in which they began */

	const struct steering *steering;
	uint32_t flow_version; /* of the entries that are valid; never 0 */
	struct flow_entry *flow_cache;
	uint32_t flow_cache_mask;
	uint32_t reserved[ENGINE_SERVICES_MAX];

	uint32_t sleep_ticket;
	uint32_t handed_to; /* workers with unpublished words, a bit each */
	uint64_t now_tsc;
	struct trace *trace; /* NULL: none, the usual case */

	/* counters */
	uint64_t received, injected, sent, consumed, copied;
	uint64_t drops[DROP_REASONS];
	uint64_t turns, busy_turns, sleeps;
	uint64_t flow_lookups, flow_misses;
};

struct engine {
	struct engine_options options;
	unsigned n_workers;
	struct worker *worker[NETVM_WORKERS_MAX];
	void *handoff_memory;
	struct port_slot port[ENGINE_PORTS_MAX];
	struct nf *nf[ENGINE_NFS_MAX];
	struct service *service[ENGINE_SERVICES_MAX];
	struct buffer_pool *pool[POOLS_MAX];
	struct steering *steering;
	struct suspects *suspects;
	struct program *retired;       /* wait for their last packet */
	struct service *dead_services; /* wait for retired programs */
	struct chain_books *chains;
	struct trace *trace;
	/* clock: tsc -> CLOCK_MONOTONIC */
	uint64_t tsc_base, ns_base;
	double ns_per_tsc;
};

/* What a worker's clock read, as CLOCK_MONOTONIC. */
static inline uint64_t engine_ns(const struct engine *engine, uint64_t tsc)
{
	return engine->ns_base + (uint64_t)((double)(tsc - engine->tsc_base) * engine->ns_per_tsc);
}

/* ---- between the files --------------------------------------------------------------------- */

/* worker.c */
int worker_start(struct worker *worker, struct error *error);
void worker_stop(struct worker *worker);
/* Run `function` on each worker between two of its turns; returns when all have. Control thread. */
void workers_call(
	struct engine *engine, void (*function)(struct worker *worker, void *arg), void *arg);
/* Run `function` once, on one of the workers, while all of them stand still between two turns. */
void workers_halt(struct engine *engine, void (*function)(void *arg), void *arg);
void worker_wake(struct worker *worker);

/* input.c: all return the number of packets moved */
unsigned input_turn(struct worker *worker);
/* Fresh packets of one port, at most BURST. */
void input_classify(struct worker *worker, struct buffer_pool *pool, uint64_t *words, unsigned n);
uint32_t input_hash(struct buffer_pool *pool, uint64_t word);
/* What rules and suspects say of a flow, past the cache; NULL: nothing. */
const struct program *input_program(
	const struct worker *worker, const struct flow_id *id, uint32_t hash);

/* program.c */
void program_admit(struct worker *worker, const struct program *program, struct buffer_pool *pool,
	uint64_t *words, unsigned n);
/* Reserve from `step` on; returns how many of n fit. */
unsigned program_reserve(
	struct worker *worker, const struct program *program, unsigned step, unsigned n);
/* Give back what n packets had reserved from `step` on. */
void program_leave(struct worker *worker, const struct program *program, unsigned step, unsigned n);
/* Packets are owned by the engine and reserved from `step` on. */
void program_run(struct worker *worker, const struct program *program, unsigned step,
	struct buffer_pool *pool, uint64_t *words, unsigned n);
/* How many packets could be reserved for now. */
unsigned program_room(const struct worker *worker, const struct program *program, unsigned step);
/* Why program_room() was too small: a service is full or down, or what it holds is. */
enum drop_reason program_refusal(const struct worker *worker, const struct program *program);
/* To the service of this CALL, past its hold. `view` has instances. */
void program_call(struct worker *worker, const struct program *program, unsigned step,
	const struct service_view *view, struct buffer_pool *pool, uint64_t *words, unsigned n);
/* Packets that are held: they keep their program, but nothing is reserved for them. */
void program_pause(struct worker *worker, const struct program *program, unsigned step, unsigned n);
/* The other way; returns how many of n there is room for. */
unsigned program_resume(
	struct worker *worker, const struct program *program, unsigned step, unsigned n);
/* Packets that were held have left the program. */
void program_forget(struct worker *worker, const struct program *program, unsigned n);
/* Drop what has been to HOPS_MAX NFs; returns how many stay, moved to the front. */
unsigned program_end_loops(struct worker *worker, const struct program *program, unsigned step,
	struct counters *blame, struct buffer_pool *pool, uint64_t *words, unsigned n);
/* Through a service outside the program, then on at `step` (program may be NULL: nowhere). */
void program_detour(struct worker *worker, struct service *service, const struct program *program,
	unsigned step, struct buffer_pool *pool, uint64_t *words, unsigned n);

/* hold.c */
/* Whether packets that come to the service now have to wait. */
bool hold_is_due(const struct hold *hold, const struct service_view *view);
/* How many more packets the first hold in use from `step` on takes; UINT32_MAX: none is. */
uint32_t hold_room(const struct worker *worker, const struct program *program, unsigned step);
/* What does not fit is dropped. */
void hold_put(struct worker *worker, struct hold *hold, struct buffer_pool *pool,
	const uint64_t *words, unsigned n);
/* Let go what may go on or has waited too long; returns the number of packets. */
unsigned hold_turn(struct worker *worker);
/* Drop what waits for this service, or lies in this pool; the other is NULL. */
void hold_flush(
	struct worker *worker, const struct service *service, const struct buffer_pool *pool);

/* border.c */
/* Hand over to an NF; returns how many its ring took. */
unsigned border_put(struct worker *worker, struct nf *nf, unsigned queue,
	const struct program *program, unsigned step, unsigned next, struct buffer_pool *pool,
	const uint64_t *words, unsigned n);
/* Give to `to` what was put to `from` and never shown: `from` is gated. Order stays. */
void border_move(struct worker *worker, struct nf_link *from, struct nf_link *to);
/* Look at this NF's gate at the end of each turn until it opens. */
void border_watch(struct worker *worker, struct nf_link *link);
unsigned border_turn(struct worker *worker);
/*
 * Of the last burst the NF took from this queue, what it has not handed back: private copies,
 * checked. Control thread, when no worker reads the NF's rings any more.
 */
unsigned border_last_burst(
	const struct nf_link *link, const struct nf_queue *queue, uint64_t words[BURST]);
void border_publish(struct worker *worker);
/* Before sleeping: show the ticket (0: awake) to every NF; true when some ring has words. */
bool border_sleep(struct worker *worker, uint32_t ticket);

/* output.c */
void output_send(struct worker *worker, struct port_slot *slot, struct counters *chain,
	struct buffer_pool *pool, uint64_t *words, unsigned n);
unsigned output_handoff(
	struct worker *worker, unsigned to, const struct buffer_pool *pool, uint64_t word);
unsigned output_turn(struct worker *worker);
void output_flush(struct worker *worker);
void output_publish(struct worker *worker);
/*
 * Copy a burst into another pool; words are replaced, packets that find no buffer are dropped.
 * `chain` counts the copies, `blame` the drops; both may be NULL.
 */
unsigned output_copy(struct worker *worker, struct buffer_pool *from, struct buffer_pool *to,
	struct counters *chain, struct counters *blame, uint64_t *words, unsigned n);
/* The only way to end a packet other than sending or consuming it. `blame` may be NULL. */
void output_drop(struct worker *worker, enum drop_reason reason, struct counters *blame,
	struct buffer_pool *pool, const uint64_t *words, unsigned n);
void output_consume(
	struct worker *worker, struct buffer_pool *pool, const uint64_t *words, unsigned n);

/* input.c, for control: what the cache knows is old. */
static inline void worker_forget_flows(struct worker *worker)
{
	if (++worker->flow_version == 0)
		worker->flow_version = 1;
}

/* What becomes of the flow instead of what the rules say; NULL: nothing else. */
static inline const struct program *suspect_lookup(
	const struct suspect_table *table, const struct flow_id *id, uint32_t hash)
{
	for (uint32_t at = hash;; at++) {
		const struct suspect_entry *entry = &table->entry[at % SUSPECT_PLACES];

		if (!entry->program || memcmp(&entry->id, id, sizeof(*id)) == 0)
			return entry->program;
	}
}

/*
 * trace.c: each stage calls its function when worker->trace is set; words without a mark are passed
 * over.
 */
/* Fresh packets of one port, before anything else happens to them: marks those that match. */
void trace_received(
	struct worker *worker, const struct port_slot *slot, const uint64_t *words, unsigned n);
/* Whether there is room for them or not. */
void trace_steered(struct worker *worker, const struct program *program,
	const struct buffer_pool *pool, const uint64_t *words, unsigned n);
void trace_given(struct worker *worker, const struct nf *nf, const struct buffer_pool *pool,
	const uint64_t *words, unsigned n);
/* `to` counts when the verdict is a destination. */
void trace_returned(struct worker *worker, unsigned verdict, const struct destination *to,
	const struct buffer_pool *pool, const uint64_t *words, unsigned n);
/* `words` are the copies. */
void trace_copied(
	struct worker *worker, const struct buffer_pool *to, const uint64_t *words, unsigned n);
void trace_held(struct worker *worker, const struct service *service,
	const struct buffer_pool *pool, const uint64_t *words, unsigned n);
/* Before the port gets them: afterwards they are not ours to look at. */
void trace_sent(
	struct worker *worker, const struct port_slot *slot, const uint64_t *words, unsigned n);
void trace_consumed(
	struct worker *worker, const struct buffer_pool *pool, const uint64_t *words, unsigned n);
void trace_dropped(struct worker *worker, enum drop_reason reason, const struct counters *blame,
	const struct buffer_pool *pool, const uint64_t *words, unsigned n);

/* classifier.c */
const struct program *classifier_lookup(const struct steering *steering, const struct flow_id *id);

#endif
