/*
 * Where packets enter a worker: port queues, software RSS, classification. Runs on workers.
 *
 * A port all of whose packets take one program needs no look into the packet. Else the flow cache
 * (exact match, one line per flow, two ways) answers, and behind it the classifier, whose cost the
 * configuration bounds. A cache entry carries the version of the worker's flows, so a change of
 * steering or of the suspects empties the cache at once without touching it.
 */
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_prefetch.h>

#include "engine/datapath.h"

/*
 * Full bursts taken from one port in one turn: shares the turn's fixed costs among more packets,
 * and bounds how long the others wait.
 */
#define RECEIVE_BURSTS 4

uint32_t input_hash(struct buffer_pool *pool, uint64_t word)
{
	struct buffer_state *state = buffer_state(pool, word);

	if (!state->has_hash) {
		struct netvm_flow_key key;

		netvm_flow_extract(buffer_data(pool, word), netvm_desc_length(word), &key);
		state->flow_hash = netvm_flow_hash(&key);
		state->has_hash = 1;
	}
	return state->flow_hash;
}

static inline bool same_flow(const struct flow_id *a, const struct flow_id *b)
{
	uint64_t x[6], y[6];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) |
		       (x[5] ^ y[5])) == 0;
}

static struct flow_entry *flow_set(const struct worker *worker, uint32_t hash)
{
	return &worker->flow_cache[(hash * 2) & worker->flow_cache_mask];
}

static const struct suspect_table *suspects_of(const struct worker *worker)
{
	return __atomic_load_n(&worker->steering->suspects, __ATOMIC_ACQUIRE);
}

/* Whether what becomes of the port's packets depends on what is in them. */
static bool is_looked_into(const struct worker *worker, unsigned in_port)
{
	return worker->steering->entry[in_port].classify || unlikely(suspects_of(worker) != NULL);
}

const struct program *input_program(
	const struct worker *worker, const struct flow_id *id, uint32_t hash)
{
	const struct steering *steering = worker->steering;
	const struct suspect_table *suspects = suspects_of(worker);
	const struct program *instead = suspects ? suspect_lookup(suspects, id, hash) : NULL;

	if (unlikely(instead))
		return instead;
	if (steering->entry[id->in_port].classify)
		return classifier_lookup(steering, id);
	return steering->entry[id->in_port].only;
}

/* Two entries side by side may hold a flow; the older way is replaced. */
static const struct program *find_flow(
	struct worker *worker, const struct flow_id *id, uint32_t hash)
{
	struct flow_entry *set = flow_set(worker, hash);
	uint32_t version = worker->flow_version;

	for (int way = 0; way < 2; way++)
		if (set[way].version == version && same_flow(&set[way].id, id))
			return set[way].program;
	counter_add(&worker->flow_misses, 1);
	set[1] = set[0];
	set[0].id = *id;
	set[0].version = version;
	set[0].program = input_program(worker, id, hash);
	return set[0].program;
}

/* What the cache is asked for; its line is on its way when this returns. */
static void identify(
	const struct worker *worker, struct buffer_pool *pool, uint64_t word, struct flow_id *id)
{
	struct buffer_state *state = buffer_state(pool, word);

	netvm_flow_extract(buffer_data(pool, word), netvm_desc_length(word), &id->key);
	id->in_port = state->in_port;
	id->pad = 0;
	if (!state->has_hash) {
		state->flow_hash = netvm_flow_hash(&id->key);
		state->has_hash = 1;
	}
	rte_prefetch0(flow_set(worker, state->flow_hash));
}

/* The program of each packet of one port; NULL where no rule matches. */
static void classify(struct worker *worker, struct buffer_pool *pool, const uint64_t *words,
	unsigned n, const struct program **programs)
{
	uint16_t in_port = buffer_state(pool, words[0])->in_port;
	struct flow_id id[BURST];

	if (!is_looked_into(worker, in_port)) {
		for (unsigned i = 0; i < n; i++)
			programs[i] = worker->steering->entry[in_port].only;
		return;
	}
	counter_add(&worker->flow_lookups, n);
	for (unsigned i = 0; i < n; i++)
		identify(worker, pool, words[i], &id[i]);
	for (unsigned i = 0; i < n; i++)
		programs[i] = find_flow(worker, &id[i], buffer_state(pool, words[i])->flow_hash);
}

static void admit(struct worker *worker, const struct program *program, struct buffer_pool *pool,
	uint64_t *words, unsigned n)
{
	if (likely(program))
		program_admit(worker, program, pool, words, n);
	else
		output_drop(worker, DROP_NO_FLOW,
			&worker->engine->port[buffer_state(pool, words[0])->in_port]
				 .counters[worker->id],
			pool, words, n);
}

void input_classify(struct worker *worker, struct buffer_pool *pool, uint64_t *words, unsigned n)
{
	const struct program *programs[BURST];
	unsigned first = 0;

	classify(worker, pool, words, n, programs);
	for (unsigned i = 1; i <= n; i++) {
		if (i < n && programs[i] == programs[first])
			continue;
		admit(worker, programs[first], pool, words + first, i - first);
		first = i;
	}
}

/* Software RSS: keep what hashes to this worker, hand the others over. */
static void spread(struct worker *worker, struct rx_slot *rx, uint64_t *words, unsigned n)
{
	struct buffer_pool *pool = rx->slot->pool;
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned to =
			(uint32_t)(((uint64_t)input_hash(pool, words[i]) * worker->n_workers) >>
				   32);

		if (to == worker->id)
			words[kept++] = words[i];
		else if (!output_handoff(worker, to, pool, words[i]))
			output_drop(worker, DROP_HANDOFF_FULL, &rx->slot->counters[worker->id],
				pool, &words[i], 1);
	}
	if (kept)
		input_classify(worker, pool, words, kept);
}

/* A burst from a driver becomes packets: from here on they are accounted for. */
static void receive(struct worker *worker, struct rx_slot *rx, const uint64_t *words, unsigned n)
{
	struct buffer_pool *pool = rx->slot->pool;
	struct counters *books = &rx->slot->counters[worker->id];
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		struct buffer_state *state = buffer_state(pool, words[i]);

		state->head =
			OWNER_ENGINE | BUFFER_HEAD_PACKET | (state->head & BUFFER_HEAD_GENERATION);
		state->origin = buffer_origin(rx->slot->number);
		state->program = NULL;
		state->arrival_tsc = worker->now_tsc;
		bytes += netvm_desc_length(words[i]);
	}
	counter_add(&worker->received, n);
	counter_add(&books->rx_pkts, n);
	counter_add(&books->rx_bytes, bytes);
	counter_add(&books->rx_bursts, 1);
	if (unlikely(worker->trace))
		trace_received(worker, rx->slot, words, n);
}

/* Whether a source that can wait may give a burst now, wherever its packets go. */
static bool may_give(const struct worker *worker, const struct rx_slot *rx)
{
	const struct program *const *reach = worker->steering->entry[rx->slot->number].reach;

	if (!reach)
		return false;
	for (; *reach; reach++)
		if (program_room(worker, *reach, 0) < BURST)
			return false;
	return true;
}

static unsigned poll_port(struct worker *worker, struct rx_slot *rx)
{
	struct port *port = rx->slot->port;
	uint64_t words[BURST];
	unsigned n;

	if (rx->slot->waits && !may_give(worker, rx))
		return 0;
	n = port->ops->rx(rx->queue, words, BURST);
	if (n == 0)
		return 0;
	receive(worker, rx, words, n);
	if (rx->spread)
		spread(worker, rx, words, n);
	else if (!is_looked_into(worker, rx->slot->number))
		admit(worker, worker->steering->entry[rx->slot->number].only, rx->slot->pool, words,
			n);
	else
		input_classify(worker, rx->slot->pool, words, n);
	return n;
}

unsigned input_turn(struct worker *worker)
{
	unsigned moved = 0;

	for (unsigned i = 0; i < worker->n_rx; i++) {
		unsigned bursts = RECEIVE_BURSTS, n;

		do {
			n = poll_port(worker, &worker->rx[i]);
			moved += n;
		} while (n == BURST && --bursts > 0);
	}
	worker->tx_waits = false;
	for (unsigned i = 0; i < worker->n_tx_complete; i++) {
		struct port *port = worker->tx_complete[i]->port;

		worker->tx_waits |= port->ops->complete(&port->tx[worker->id]);
	}
	return moved;
}
