/*
 * Services on the control side: which instance a flow goes to, and what their NFs may name as
 * destination. See control.h.
 *
 * Instances share a service's flows by Maglev hashing (Eisenbud et al., "Maglev: A Fast and
 * Reliable Software Network Load Balancer", NSDI'16, 3.4): when an instance comes or goes, few
 * flows move, and an NF that comes back under its name gets its flows back. What is hashed is the
 * name of the seat (seats.c), so that whoever takes over gets just the flows of the one he stands
 * in for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/control.h"

static void service_free(struct service *service)
{
	if (!service)
		return;
	free(service->view);
	free(service->spare);
	free(service->destinations);
	free(service->shown);
	free(service->grants);
	free(service);
}

int engine_service_create(struct engine *engine, const char *name, struct buffer_pool *pool,
	struct service **out, struct error *error)
{
	struct service *service = calloc(1, sizeof(*service));
	unsigned number = 1; /* 0 means none */

	while (number < ENGINE_SERVICES_MAX && engine->service[number])
		number++;
	if (number == ENGINE_SERVICES_MAX) {
		free(service);
		return error_set(error, ENOSPC, "nfs", "at most 1023 services",
			"no place for service %s", name);
	}
	if (service) {
		service->view = calloc(1, sizeof(*service->view));
		service->spare = calloc(1, sizeof(*service->spare));
		service->destinations = calloc(1, sizeof(*service->destinations));
		service->shown = calloc(NETVM_DESTINATIONS_MAX, sizeof(*service->shown));
	}
	if (!service || !service->view || !service->spare || !service->destinations ||
		!service->shown) {
		service_free(service);
		return error_set(error, ENOMEM, "nfs", "", "out of memory");
	}
	snprintf(service->name, sizeof(service->name), "%s", name);
	service->number = number;
	service->pool = pool;
	engine->service[number] = service;
	*out = service;
	return 0;
}

/* Programs that are only waiting for their last packet may still call the service. */
static bool is_called(const struct engine *engine, const struct service *service)
{
	for (const struct program *p = engine->retired; p; p = p->retired_next)
		for (unsigned i = 0; i < p->n_steps; i++)
			if (p->step[i].op == PROGRAM_CALL && p->step[i].service == service)
				return true;
	return false;
}

void services_forget(struct engine *engine, const struct port *port, const struct service *gone)
{
	for (unsigned i = 0; i < ENGINE_SERVICES_MAX; i++) {
		struct service *service = engine->service[i];
		unsigned kept = 0;

		for (unsigned g = 0; service && g < service->n_grants; g++)
			if ((!port || service->grants[g].port != port) &&
				(!gone || service->grants[g].service != gone))
				service->grants[kept++] = service->grants[g];
		if (service)
			service->n_grants = kept;
	}
}

/* It does not come back. */
static void flush_holds(struct worker *worker, void *service)
{
	hold_flush(worker, service, NULL);
}

void engine_service_destroy(struct engine *engine, struct service *service)
{
	engine->service[service->number] = NULL;
	services_forget(engine, NULL, service);
	suspects_forget(engine, service, 0);
	workers_call(engine, flush_holds, service);
	steer_reap(engine);
	if (is_called(engine, service)) {
		service->next_dead = engine->dead_services;
		engine->dead_services = service;
		return;
	}
	service_free(service);
}

void services_reap(struct engine *engine)
{
	struct service **at = &engine->dead_services;

	while (*at) {
		struct service *service = *at;

		if (is_called(engine, service)) {
			at = &service->next_dead;
			continue;
		}
		*at = service->next_dead;
		service_free(service);
	}
}

uint32_t service_number(const struct service *service)
{
	return service->number;
}

/* ---- instances ----------------------------------------------------------------------------- */

/* FNV-1a. */
static uint32_t hash_name(const char *name, uint32_t seed)
{
	uint32_t hash = 2166136261u ^ seed;

	while (*name)
		hash = (hash ^ (uint8_t)*name++) * 16777619u;
	return hash ^ hash >> 15;
}

/* Instances take turns claiming their next preferred free place until the table is full. */
static void fill_table(struct service_view *view)
{
	uint32_t at[SERVICE_INSTANCES_MAX], step[SERVICE_INSTANCES_MAX], filled = 0;
	bool taken[SERVICE_TABLE_SIZE] = {false};

	for (uint32_t i = 0; i < view->n_instances; i++) {
		const char *seat = view->instance[i]->seat;

		at[i] = hash_name(seat, 0) % SERVICE_TABLE_SIZE;
		step[i] = hash_name(seat, 0x9e3779b9u) % (SERVICE_TABLE_SIZE - 1) + 1;
	}
	for (uint32_t i = 0; filled < SERVICE_TABLE_SIZE; i = (i + 1) % view->n_instances) {
		while (taken[at[i]])
			at[i] = (at[i] + step[i]) % SERVICE_TABLE_SIZE;
		taken[at[i]] = true;
		view->table[at[i]] = (uint8_t)i;
		filled++;
	}
}

/* Sorted by seat, so that the table does not depend on who attached first. */
static void add_instance(struct service_view *view, struct nf *nf)
{
	uint32_t i = view->n_instances++;

	for (; i > 0 && strcmp(view->instance[i - 1]->seat, nf->seat) > 0; i--)
		view->instance[i] = view->instance[i - 1];
	view->instance[i] = nf;
	if (view->n_instances == 1 || nf->rx_words < view->capacity)
		view->capacity = nf->rx_words;
}

void service_make_view(struct service *service)
{
	struct service_view *view = service->spare;

	memset(view, 0, sizeof(*view));
	for (struct nf *nf = service->nfs; nf; nf = nf->next)
		if (nf->seat[0])
			add_instance(view, nf);
	if (view->n_instances > 0)
		fill_table(view);
}

void service_swap_view(struct service *service)
{
	struct service_view *view = service->spare;

	service->spare = service->view;
	__atomic_store_n(&service->view, view, __ATOMIC_RELEASE);
}

void service_rebuild(struct engine *engine, struct service *service)
{
	service_make_view(service);
	service_swap_view(service);
	engine_grace(engine);
}

/* ---- destinations -------------------------------------------------------------------------- */

void service_show_destinations(const struct service *service, struct nf *nf)
{
	struct netvm_channel *channel = nf->channel;

	/* A sequence lock whose writer never waits; what the NF does to its copy is its problem. */
	nf->destination_version |= 1;
	__atomic_store_n(&channel->destination_version, nf->destination_version, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy(channel->destination, service->shown, sizeof(channel->destination));
	__atomic_store_n(
		&channel->destination_version, ++nf->destination_version, __ATOMIC_RELEASE);
}

static bool same_destination(const struct netvm_destination *a, const struct netvm_destination *b)
{
	return a->kind == b->kind && a->direction == b->direction && strcmp(a->name, b->name) == 0;
}

unsigned destinations_add(struct destinations *new, const struct service *service,
	const struct destination *entry, const struct netvm_destination *shown)
{
	unsigned place = 0;

	/* Where it was before, so that verdicts on their way keep their meaning. */
	for (unsigned i = NETVM_VERDICT_FIRST_DESTINATION; i < NETVM_DESTINATIONS_MAX; i++) {
		if (same_destination(&service->shown[i], shown) &&
			new->shown[i].kind == NETVM_DESTINATION_NONE) {
			place = i;
			break;
		}
	}
	/* Else a place that was free before as well. */
	for (unsigned i = NETVM_VERDICT_FIRST_DESTINATION; i < NETVM_DESTINATIONS_MAX && !place;
		i++)
		if (new->shown[i].kind == NETVM_DESTINATION_NONE &&
			service->shown[i].kind == NETVM_DESTINATION_NONE)
			place = i;
	if (!place)
		return 0;
	new->table->entry[place] = *entry;
	new->shown[place] = *shown;
	return place;
}

static int add_grant(struct destinations *new, const struct service *service,
	const struct engine *engine, const struct grant *grant)
{
	struct destination entry = {.kind = grant->kind, .service = grant->service};
	struct netvm_destination shown = {.kind = (uint16_t)grant->kind};

	if (grant->kind == NETVM_DESTINATION_PORT) {
		entry.port = (struct port_slot *)&engine->port[grant->port->number];
		shown.id = grant->port->number;
		snprintf(shown.name, sizeof(shown.name), "%s", grant->port->name);
	} else {
		shown.id = grant->service->number;
		snprintf(shown.name, sizeof(shown.name), "%s", grant->service->name);
	}
	return destinations_add(new, service, &entry, &shown) ? 0 : -ENOSPC;
}

int destinations_begin(
	struct destinations *new, const struct engine *engine, const struct service *service)
{
	new->table = calloc(1, sizeof(*new->table));
	new->shown = calloc(NETVM_DESTINATIONS_MAX, sizeof(*new->shown));
	if (!new->table || !new->shown) {
		destinations_abort(new);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < service->n_grants; i++) {
		if (add_grant(new, service, engine, &service->grants[i])) {
			destinations_abort(new);
			return -ENOSPC;
		}
	}
	return 0;
}

void destinations_abort(struct destinations *new)
{
	free(new->table);
	free(new->shown);
}

void destinations_publish(struct service *service, struct destinations *new)
{
	struct destination_table *old = service->destinations;

	__atomic_store_n(&service->destinations, new->table, __ATOMIC_RELEASE);
	free(service->shown);
	service->shown = new->shown;
	for (struct nf *nf = service->nfs; nf; nf = nf->next)
		service_show_destinations(service, nf);
	new->table = old;
}

int engine_service_grant(struct engine *engine, struct service *service, const struct grant *grants,
	unsigned n, struct error *error)
{
	struct grant *copy = n ? calloc(n, sizeof(*copy)) : NULL;

	(void)engine;
	if (n > NETVM_DESTINATIONS_MAX - NETVM_VERDICT_FIRST_DESTINATION)
		return error_set(error, ENOSPC, "chains",
			"fewer ports and services in the chains of this service",
			"service %s would have %u destinations, 253 is the limit", service->name,
			n);
	if (n && !copy)
		return error_set(error, ENOMEM, "chains", "", "out of memory");
	if (n)
		memcpy(copy, grants, n * sizeof(*copy));
	free(service->grants);
	service->grants = copy;
	service->n_grants = n;
	return 0;
}
