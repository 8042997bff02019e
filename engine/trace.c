/*
 * Traces, the workers' part: marking packets and recording what happens to those with a mark.
 * Called by every stage of the data path while there is a trace, see trace.h.
 */
#include <string.h>

#include "engine/classifier.h"
#include "engine/datapath.h"

/* ---- records ------------------------------------------------------------------------------- */

/*
 * The trace's packet that lies in this buffer, or NULL. With the mark of an earlier trace it is not
 * ours; then another worker may be about to give that number to a packet of its own.
 */
static struct trace_packet *traced(
	const struct worker *worker, const struct buffer_pool *pool, uint64_t word)
{
	const struct buffer_state *state = buffer_state(pool, word);
	struct trace *trace = worker->trace;
	struct trace_packet *packet;

	if (state->trace_mark == 0 || state->trace_mark > trace->n_pkts_max)
		return NULL;
	packet = &trace->packet[state->trace_mark - 1];
	return __atomic_load_n(&packet->arrival_tsc, __ATOMIC_RELAXED) == state->arrival_tsc
		       ? packet
		       : NULL;
}

/* A packet without room for more keeps its newest record in the last place. */
static struct trace_record *add_record(const struct worker *worker, struct trace_packet *packet,
	enum trace_event event, const struct buffer_pool *pool, uint64_t word)
{
	struct trace_record *record;

	if (packet->n_records < TRACE_RECORDS_MAX)
		packet->n_records++;
	else
		packet->n_lost++;
	record = &packet->record[packet->n_records - 1];
	*record = (struct trace_record){
		.when = worker->now_tsc,
		.word = word,
		.address = (uint64_t)netvm_desc_index(word) * pool->stride,
		.event = (uint8_t)event,
		.worker = (uint8_t)worker->id,
	};
	memcpy(record->group, pool->name, sizeof(record->group));
	return record;
}

static void set_object(
	struct trace_record *record, enum trace_object object, const char name[NETVM_NAME_BYTES])
{
	record->object = (uint8_t)object;
	memcpy(record->name, name, sizeof(record->name));
}

static void end(struct trace *trace, struct trace_packet *packet)
{
	if (packet->ended)
		return;
	packet->ended = true;
	__atomic_fetch_add(&trace->n_ended, 1, __ATOMIC_RELAXED);
}

/* The same event for all of a burst that have a mark. */
static void record_all(const struct worker *worker, enum trace_event event, unsigned detail,
	enum trace_object object, const char *name, const struct buffer_pool *pool,
	const uint64_t *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct trace_packet *packet = traced(worker, pool, words[i]);
		struct trace_record *record;

		if (!packet)
			continue;
		record = add_record(worker, packet, event, pool, words[i]);
		record->detail = (uint16_t)detail;
		if (name)
			set_object(record, object, name);
		if (event == TRACE_SENT || event == TRACE_CONSUMED)
			end(worker->trace, packet);
	}
}

/* ---- names ---------------------------------------------------------------------------------- */

/* NULL: it is gone. */
static const char *port_name(const struct port_slot *slot)
{
	const struct port *port = __atomic_load_n(&slot->port, __ATOMIC_ACQUIRE);

	return port ? port->name : NULL;
}

static const char *destination_name(const struct destination *to, enum trace_object *object)
{
	switch (to->kind) {
	case NETVM_DESTINATION_PORT:
		*object = TRACE_PORT;
		return port_name(to->port);
	case NETVM_DESTINATION_SERVICE:
		*object = TRACE_SERVICE;
		return to->service->name;
	case NETVM_DESTINATION_CHAIN:
		*object = TRACE_CHAIN;
		return to->program->name;
	case NETVM_DESTINATION_NONE:
		break;
	}
	return NULL;
}

/* Of the services a packet has before it, the one that has the least room: none if it is down. */
static const char *narrowest(const struct worker *worker, const struct buffer_state *state)
{
	const struct program *program = state->program;
	const struct service *found = NULL;
	int64_t least = INT64_MAX;

	for (unsigned i = state->step; program && i < program->n_steps; i++) {
		const struct service *service = program->step[i].service;
		const struct service_view *view;
		int64_t room;

		if (program->step[i].op != PROGRAM_CALL)
			continue;
		view = view_of(service);
		room = (int64_t)view->capacity - worker->reserved[service->number];
		if (view->n_instances == 0)
			room = INT64_MIN;
		if (room < least) {
			least = room;
			found = service;
		}
	}
	return found ? found->name : NULL;
}

/* Whose counters these are. */
static const char *blamed_name(
	const struct worker *worker, const struct counters *blame, enum trace_object *object)
{
	*object = TRACE_PORT;
	for (unsigned i = 0; i < ENGINE_PORTS_MAX; i++) {
		const struct port_slot *slot = &worker->engine->port[i];
		const struct counters *counters =
			__atomic_load_n(&slot->counters, __ATOMIC_RELAXED);

		if (counters && blame == &counters[worker->id])
			return port_name(slot);
	}
	*object = TRACE_NF;
	for (unsigned i = 0; i < worker->n_links; i++)
		if (blame == &worker->link[i]->counters)
			return worker->link[i]->nf->name;
	return NULL;
}

/* ---- coming in ----------------------------------------------------------------------------- */

static bool is_wanted(const struct worker *worker, const struct flow_id *id)
{
	const struct trace *trace = worker->trace;
	const struct program *program;

	if (classifier_match(trace->classifier, id) == CLASSIFIER_NO_MATCH)
		return false;
	if (!trace->chain)
		return true;
	program = input_program(worker, id, netvm_flow_hash(&id->key));
	return program && program->name == trace->chain; /* names are unique objects */
}

/* The next free number, from 1; 0 when all are taken. */
static uint8_t take_mark(struct trace *trace)
{
	uint32_t n = __atomic_fetch_add(&trace->n_pkts, 1, __ATOMIC_RELAXED);

	return n < trace->n_pkts_max ? (uint8_t)(n + 1) : 0;
}

static void mark(struct worker *worker, const struct flow_id *id, const struct port_slot *slot,
	uint64_t word)
{
	struct buffer_state *state = buffer_state(slot->pool, word);
	struct trace_packet *packet;

	state->trace_mark = take_mark(worker->trace);
	if (state->trace_mark == 0)
		return;
	packet = &worker->trace->packet[state->trace_mark - 1];
	packet->key = id->key;
	__atomic_store_n(&packet->arrival_tsc, state->arrival_tsc, __ATOMIC_RELAXED);
	set_object(add_record(worker, packet, TRACE_RECEIVED, slot->pool, word), TRACE_PORT,
		slot->port->name);
}

void trace_received(
	struct worker *worker, const struct port_slot *slot, const uint64_t *words, unsigned n)
{
	const struct trace *trace = worker->trace;

	for (unsigned i = 0; i < n; i++) {
		struct flow_id id = {.in_port = slot->number};

		if (__atomic_load_n(&trace->n_pkts, __ATOMIC_RELAXED) >= trace->n_pkts_max)
			return;
		netvm_flow_extract(
			buffer_data(slot->pool, words[i]), netvm_desc_length(words[i]), &id.key);
		if (is_wanted(worker, &id))
			mark(worker, &id, slot, words[i]);
	}
}

void trace_steered(struct worker *worker, const struct program *program,
	const struct buffer_pool *pool, const uint64_t *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (traced(worker, pool, words[i])) /* for trace_dropped() */
			buffer_state(pool, words[i])->program = program;
	record_all(worker, TRACE_STEERED, program->direction, TRACE_CHAIN, program->name, pool,
		words, n);
}

/* ---- on the way ---------------------------------------------------------------------------- */

void trace_given(struct worker *worker, const struct nf *nf, const struct buffer_pool *pool,
	const uint64_t *words, unsigned n)
{
	record_all(worker, TRACE_GIVEN, 0, TRACE_NF, nf->name, pool, words, n);
}

void trace_returned(struct worker *worker, unsigned verdict, const struct destination *to,
	const struct buffer_pool *pool, const uint64_t *words, unsigned n)
{
	enum trace_object object = TRACE_NOTHING;
	const char *name = NULL;

	if (verdict >= NETVM_VERDICT_FIRST_DESTINATION) {
		verdict = NETVM_VERDICT_FIRST_DESTINATION;
		name = destination_name(to, &object);
	}
	record_all(worker, TRACE_RETURNED, verdict, object, name, pool, words, n);
}

void trace_copied(
	struct worker *worker, const struct buffer_pool *to, const uint64_t *words, unsigned n)
{
	record_all(worker, TRACE_COPIED, 0, TRACE_NOTHING, NULL, to, words, n);
}

void trace_held(struct worker *worker, const struct service *service,
	const struct buffer_pool *pool, const uint64_t *words, unsigned n)
{
	record_all(worker, TRACE_HELD, 0, TRACE_SERVICE, service->name, pool, words, n);
}

/* ---- the end ------------------------------------------------------------------------------- */

void trace_sent(
	struct worker *worker, const struct port_slot *slot, const uint64_t *words, unsigned n)
{
	record_all(worker, TRACE_SENT, 0, TRACE_PORT, port_name(slot), slot->pool, words, n);
}

void trace_consumed(
	struct worker *worker, const struct buffer_pool *pool, const uint64_t *words, unsigned n)
{
	record_all(worker, TRACE_CONSUMED, 0, TRACE_NOTHING, NULL, pool, words, n);
}

/* Drops for want of a service. */
static bool is_at_service(unsigned reason)
{
	return reason == DROP_CHAIN_OVERLOAD || reason == DROP_SERVICE_OVERLOAD ||
	       reason == DROP_SERVICE_DOWN || reason == DROP_HOLD_FULL ||
	       reason == DROP_HOLD_EXPIRED || reason == DROP_HOLD_FLUSHED;
}

/* The service it was held for, or an NF has just asked for; NULL: none. */
static const char *awaited(const struct trace_packet *packet)
{
	const struct trace_record *before;

	if (packet->n_records < 2 || packet->n_lost > 0)
		return NULL;
	before = &packet->record[packet->n_records - 2];
	return before->object == TRACE_SERVICE ? before->name : NULL;
}

/* Where: at the service that was wanted, else at who is to blame. */
static void set_place(const struct worker *worker, const struct trace_packet *packet,
	struct trace_record *record, const struct counters *blame, const struct buffer_state *state)
{
	enum trace_object object = TRACE_SERVICE;
	const char *name = NULL;

	if (is_at_service(record->detail))
		name = awaited(packet);
	if (!name && is_at_service(record->detail) && record->detail != DROP_SERVICE_OVERLOAD)
		name = narrowest(worker, state);
	if (!name)
		name = blamed_name(worker, blame, &object);
	if (name)
		set_object(record, object, name);
}

void trace_dropped(struct worker *worker, enum drop_reason reason, const struct counters *blame,
	const struct buffer_pool *pool, const uint64_t *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct trace_packet *packet = traced(worker, pool, words[i]);
		struct trace_record *record;

		if (!packet)
			continue;
		record = add_record(worker, packet, TRACE_DROPPED, pool, words[i]);
		record->detail = (uint16_t)reason;
		set_place(worker, packet, record, blame, buffer_state(pool, words[i]));
		end(worker->trace, packet);
	}
}
