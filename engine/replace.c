/*
 * One NF takes over from another without a packet lost or overtaken. Called on the control thread;
 * see engine_nf_replace() in engine.h.
 *
 *   from ──► rx ring: what it has       parked: nothing more comes, it works off what it has
 *   to   ──► rx ring: what comes now    gated: not published before that is through
 *
 * Everything is switched in one stroke while the workers stand still between two turns, so there is
 * no moment at which a flow has two NFs, or none. The gate is looked at by border_publish() once
 * per turn, only as long as there is one; in flight is what was given minus what came back, two
 * counters that exist anyway.
 *
 * Taken back while the gate is closed, the words behind it move to the other's ring: the NF they
 * were put to has not seen them. So gates never wait for each other in a circle.
 */
#include "engine/control.h"

struct replacement {
	struct engine *engine;
	struct nf *from, *to;
	bool hold;
};

static void replace_link(struct worker *worker, struct nf_link *from, struct nf_link *to, bool hold)
{
	struct nf_link *behind = from->gated ? from->behind : from;

	from->parked = true;
	to->parked = false;
	to->gated = true;
	to->held = hold;
	to->told = false;
	to->behind = behind == to ? NULL : behind;
	for (unsigned q = 0; q < to->nf->n_queues; q++)
		to->queue[q].shown = to->queue[q].rx.own;
	border_watch(worker, to);
	if (!from->gated)
		return;
	border_move(worker, from, to);
	from->gated = from->held = false;
	from->behind = NULL;
}

static void replace(void *arg)
{
	const struct replacement *r = arg;

	service_swap_view(r->from->service);
	for (unsigned w = 0; w < r->engine->n_workers; w++)
		replace_link(r->engine->worker[w], &r->from->link[w], &r->to->link[w], r->hold);
}

void engine_nf_replace(struct engine *engine, struct nf *from, struct nf *to, bool hold)
{
	struct replacement r = {.engine = engine, .from = from, .to = to, .hold = hold};

	seats_hand_over(from, to);
	service_make_view(from->service);
	workers_halt(engine, replace, &r);
}

static void release(struct worker *worker, void *arg)
{
	struct nf *nf = arg;

	nf->link[worker->id].held = false;
}

void engine_nf_release(struct engine *engine, struct nf *to)
{
	workers_call(engine, release, to);
}
