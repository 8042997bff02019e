/*
 * Seats: which NFs of a service work and which stand by. Called by nf.c, on the control thread.
 *
 * A seat is a share of the service's flows and bears the name of the NF it was declared for. It
 * stays when its holder dies: one that stands by takes it over, with exactly the flows of the dead
 * one, and nobody else's flows move. The dead one, started again, finds its seat taken and stands
 * by in turn; so there is one change per death, not two.
 *
 *   a dies      seat a: a -> s      s had none
 *   a is back   seat a: s           a has none, stands by
 *   s dies      seat a: s -> a      s, back again, stands by
 *
 * Whoever has not looked at its rings yet is passed over when there is one that has: it might
 * never.
 *
 * A service of which only stand-ins live is worked by one of them, in a seat of its own name: the
 * stopgap, which gets up when one comes that a seat was declared for.
 */
#include <stdio.h>
#include <string.h>

#include "engine/control.h"

static struct nf *holder(const struct service *service, const char *seat)
{
	for (struct nf *nf = service->nfs; nf; nf = nf->next)
		if (strcmp(nf->seat, seat) == 0)
			return nf;
	return NULL;
}

static bool is_worked(const struct service *service)
{
	for (const struct nf *nf = service->nfs; nf; nf = nf->next)
		if (nf->seat[0])
			return true;
	return false;
}

static void sit(struct nf *nf, const char *seat, bool stopgap)
{
	snprintf(nf->seat, sizeof(nf->seat), "%s", seat);
	nf->stopgap = stopgap;
}

static void dismiss_stopgaps(struct service *service)
{
	for (struct nf *nf = service->nfs; nf; nf = nf->next)
		if (nf->stopgap)
			sit(nf, "", false);
}

void seats_join(struct service *service, struct nf *nf)
{
	if (nf->standby) {
		if (!is_worked(service))
			sit(nf, nf->name, true);
		return;
	}
	if (holder(service, nf->name))
		return;
	dismiss_stopgaps(service);
	sit(nf, nf->name, false);
}

/* Each of its queues has looked at its rings; so it says, and hurts its own service if it lies. */
static bool is_ready(const struct nf *nf)
{
	for (unsigned q = 0; q < nf->n_queues; q++)
		if (__atomic_load_n(&nf->channel->queue[q].heartbeat, __ATOMIC_RELAXED) == 0)
			return false;
	return true;
}

/* Of those without a seat: one that is ready, and of several the one whose name the seat bears. */
static struct nf *successor(const struct service *service, const char *seat)
{
	struct nf *best = NULL;
	int best_rank = 0;

	for (struct nf *nf = service->nfs; nf; nf = nf->next) {
		int rank = 2 * is_ready(nf) + (strcmp(nf->name, seat) == 0);

		if (nf->seat[0] || nf->parked || rank < best_rank)
			continue;
		best = nf;
		best_rank = rank;
	}
	return best;
}

void seats_leave(struct service *service, struct nf *nf)
{
	char seat[NETVM_NAME_BYTES];
	struct nf *next;

	if (!nf->seat[0])
		return;
	memcpy(seat, nf->seat, sizeof(seat));
	nf->seat[0] = '\0';
	next = successor(service, seat);
	if (next)
		sit(next, seat, nf->stopgap);
}

void seats_hand_over(struct nf *from, struct nf *to)
{
	sit(to, from->seat, from->stopgap);
	sit(from, "", false);
	from->parked = true;
	to->parked = false;
}

bool engine_nf_stands_by(const struct nf *nf)
{
	return !nf->seat[0] && !nf->parked;
}

bool engine_nf_is_parked(const struct nf *nf)
{
	return nf->parked;
}
