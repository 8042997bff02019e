/*
 * Shared by the engine's control-side files; all of it on the manager's thread.
 *
 *   engine.c   life, pools, ports          service.c   services, instances, destinations
 *   nf.c       NFs in and out, reclaim     steer.c     programs, rules, retiring
 *   books.c    counters, conservation      seats.c     who works and who stands by
 *   suspects.c flows that crash NFs        trace_control.c  beginning and ending traces
 *   replace.c  one NF takes over from another
 */
#ifndef NETVM_ENGINE_CONTROL_H
#define NETVM_ENGINE_CONTROL_H

#include "engine/datapath.h"

/*
 * Counters by chain name, as long as there are programs of that name. Afterwards they are gone: the
 * conservation line needs them not, it is the workers'.
 */
struct chain_books {
	struct chain_books *next;
	struct counters *counters; /* [worker] */
	unsigned n_programs;
	char name[NETVM_NAME_BYTES];
};

/* Returns when every worker has passed between two turns. */
void engine_grace(struct engine *engine);

/* Zeroed, one per worker; NULL without memory. */
struct counters *engine_counters_new(const struct engine *engine);

/* steer.c */
struct steering *steering_empty(void);
void steering_free_all(struct engine *engine); /* workers have stopped */
struct program *program_to_port(struct engine *engine, struct port_slot *slot);
/* Free the retired programs that no packet is on any more; waits a grace period if there are any.
 */
void steer_reap(struct engine *engine);

/* NULL without memory. */
struct program *program_compile(struct engine *engine, const struct program_options *options);
void program_free(const struct engine *engine, struct program *program);
/* In no table any more: freed by steer_reap() after its last packet. */
void program_retire(struct engine *engine, struct program *program);

/* Whether a packet under way on an old program may still leave by this port. */
bool steer_is_named(const struct engine *engine, const struct port_slot *slot);

/* suspects.c */
int suspects_create(struct engine *engine);
void suspects_destroy(struct engine *engine);
/* The NF crashed; no worker reads its rings any more, its buffers are not taken back yet. */
void suspects_note(struct engine *engine, const struct nf *nf);
/* Make the table of a steering that is not published yet. -ENOMEM: it has none. */
int suspects_prepare(struct engine *engine, struct steering *steering);
/* A grace period after it was taken out of its steering; NULL is fine. */
void suspects_retire(struct engine *engine, struct suspect_table *table);
/* Those of a service, or of a port, that goes. */
void suspects_forget(struct engine *engine, const struct service *service, unsigned in_port);

/* seats.c; both take effect with service_rebuild() */
/* A seat for it, unless somebody has its one. */
void seats_join(struct service *service, struct nf *nf);
/* Who stands by takes over its seat. */
void seats_leave(struct service *service, struct nf *nf);
/* `to` gets the seat of `from`, if that has one; `from` is parked. */
void seats_hand_over(struct nf *from, struct nf *to);

/* service.c */
/*
 * Make the instances' table anew from the NFs that have a seat; waits a grace period. Its two
 * halves are for when the switch has to happen while the workers stand still; after the second one
 * a grace period must pass.
 */
void service_make_view(struct service *service);
void service_swap_view(struct service *service);
void service_rebuild(struct engine *engine, struct service *service);
/* Copy the service's destinations into an NF's channel. */
void service_show_destinations(const struct service *service, struct nf *nf);
/* Free the destroyed services that no retired program calls any more. */
void services_reap(struct engine *engine);

/* No service is granted that port or service any more. */
void services_forget(struct engine *engine, const struct port *port, const struct service *gone);

/* A destination table in the making: what the workers use and what the channels show. */
struct destinations {
	struct destination_table *table;
	struct netvm_destination *shown; /* [NETVM_DESTINATIONS_MAX] */
};

/* Starts with the service's grants. -ENOMEM, or -ENOSPC when they do not fit. */
int destinations_begin(
	struct destinations *new, const struct engine *engine, const struct service *service);
/*
 * Returns the index, the same one as in the table in force where it stands there already; 0 when
 * the table is full.
 */
unsigned destinations_add(struct destinations *new, const struct service *service,
	const struct destination *entry, const struct netvm_destination *shown);
/* Takes ownership; new->table is the old table then, to be freed after a grace period. */
void destinations_publish(struct service *service, struct destinations *new);
void destinations_abort(struct destinations *new);

#endif
