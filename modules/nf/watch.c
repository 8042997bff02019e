/* Looking at NFs for hangs. See watch.h. */
#include "modules/nf/watch.h"

#include <event2/event.h>
#include <stdbool.h>
#include <string.h>

#include "engine/engine.h"
#include "manager/module.h"
#include "modules/nf/attach.h"
#include "modules/nf/cpu_share.h"

#define LOOKS 8u /* in hang_ms */

static bool is_starving(const struct watch *watch, unsigned queue)
{
	return cpu_share_ns(watch->pid) - watch->cpu_ns[queue] < watch->period_ns &&
	       cpu_share_is_wanted(watch->pid);
}

static bool is_hung(struct watch *watch, unsigned queue)
{
	struct nf_pulse pulse;

	engine_nf_pulse(watch->engine, watch->nf, queue, &pulse);
	if (pulse.has_work && pulse.mark == watch->mark[queue]) {
		watch->n_still[queue]++;
	} else {
		watch->n_still[queue] = 0;
		watch->mark[queue] = pulse.mark;
		watch->cpu_ns[queue] = cpu_share_ns(watch->pid);
	}
	return watch->n_still[queue] >= LOOKS && !is_starving(watch, queue);
}

static void look(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;

	(void)fd;
	(void)what;
	for (unsigned q = 0; q < watch->n_queues; q++) {
		if (!is_hung(watch, q))
			continue;
		event_del(watch->timer);
		watch->hung(watch->arg, q);
		return;
	}
}

void watch_start(struct watch *watch, const struct manager *manager, const struct session *session,
	unsigned hang_ms, void (*hung)(void *arg, unsigned queue), void *arg)
{
	unsigned period_us = hang_ms * 1000 / LOOKS;
	struct timeval period = {period_us / 1000000, period_us % 1000000};

	watch_stop(watch);
	if (hang_ms == 0)
		return;
	*watch = (struct watch){
		.timer = event_new(manager->base, -1, EV_PERSIST, look, watch),
		.engine = manager->engine,
		.nf = session_nf(session),
		.pid = session_pid(session),
		.period_ns = UINT64_C(1000) * period_us,
		.n_queues = session_n_queues(session),
		.hung = hung,
		.arg = arg,
	};
	if (watch->timer)
		event_add(watch->timer, &period);
}

void watch_stop(struct watch *watch)
{
	if (watch->timer)
		event_free(watch->timer);
	watch->timer = NULL;
}
