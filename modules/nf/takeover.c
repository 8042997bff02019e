/* One instance takes over from another. See takeover.h. */
#include "modules/nf/takeover.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/socket.h"
#include "common/clock.h"
#include "manager/module.h"
#include "modules/nf/instance_parts.h"
#include "modules/nf/upgrade.h"

#define LOOK_MS 1 /* from one look at a successor that warms up to the next */

static void probation_begin(struct nf_instance *instance);

static struct engine *engine_of(const struct nf_instance *instance)
{
	return instance->manager->engine;
}

static void enter(struct nf_instance *instance, enum takeover_phase phase, unsigned timeout_ms)
{
	struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	instance->takeover.phase = phase;
	if (phase == TAKEOVER_NONE)
		event_del(instance->takeover.timer);
	else
		event_add(instance->takeover.timer, &timeout);
}

/* ---- who is who ------------------------------------------------------------------------------ */

static void link_up(struct nf_instance *next, struct nf_instance *old)
{
	next->predecessor = old;
	old->successor = next;
}

static struct nf_instance *unlink_old(struct nf_instance *next)
{
	struct nf_instance *old = next->predecessor;

	next->predecessor = NULL;
	if (old)
		old->successor = NULL;
	return old;
}

static bool has_flows(const struct nf_instance *instance)
{
	return instance->session &&
	       (!instance->predecessor || instance->takeover.phase >= TAKEOVER_MOVING);
}

/* ---- state ----------------------------------------------------------------------------------- */

static void state_close(struct takeover *takeover)
{
	if (takeover->state_fd >= 0)
		close(takeover->state_fd);
	takeover->state_fd = -1;
}

/* A sparse file of the largest size there may be, which is then all an NF can make of it. */
static int state_create(void)
{
	int fd = memfd_create("netvm-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, NETVM_STATE_BYTES_MAX) ||
			       fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void release(struct nf_instance *instance)
{
	struct takeover *takeover = &instance->takeover;

	state_close(takeover);
	if (takeover->held)
		engine_nf_release(engine_of(instance), session_nf(instance->session));
	takeover->held = false;
}

static void go_on_without(struct nf_instance *instance, const char *why)
{
	instance_tell(instance, "nf-state", "goes on without its predecessor's state: %s", why);
	instance->takeover.state_bytes = 0;
	release(instance);
	probation_begin(instance);
}

static void save(struct nf_instance *instance)
{
	struct takeover *takeover = &instance->takeover;

	takeover->state_fd = state_create();
	if (takeover->state_fd < 0)
		go_on_without(instance, strerror(errno));
	else if (session_ask(instance->predecessor->session, NETVM_MESSAGE_SAVE,
			 NETVM_STATE_BYTES_MAX, takeover->state_fd))
		go_on_without(instance, "it cannot be asked for, or did not answer the last time");
	else
		enter(instance, TAKEOVER_SAVING, instance_times.state_ms);
}

/* After the seal nobody can change it while it is read; not even by a mapping left over. */
static void saved(struct nf_instance *instance, uint64_t n_bytes)
{
	struct takeover *takeover = &instance->takeover;

	takeover->state_bytes = n_bytes;
	if (n_bytes > NETVM_STATE_BYTES_MAX)
		go_on_without(instance, "it could not save it");
	else if (n_bytes == 0)
		go_on_without(instance, "it has none");
	else if (fcntl(takeover->state_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL))
		go_on_without(instance, "it keeps the file mapped");
	else if (session_ask(instance->session, NETVM_MESSAGE_LOAD, n_bytes, takeover->state_fd))
		instance_gone(instance, "it cannot be given the state");
	else
		enter(instance, TAKEOVER_LOADING, instance_times.state_ms);
}

static void loaded(struct nf_instance *instance, uint64_t refused)
{
	if (refused) {
		instance_gone(instance, "it cannot go on with its predecessor's state");
		return;
	}
	instance_tell(instance, "nf-state",
		"%llu bytes of state handed over; its packets waited %.1f ms",
		(unsigned long long)instance->takeover.state_bytes,
		(double)(clock_ns(CLOCK_MONOTONIC) - instance->takeover.moved_ns) / 1e6);
	release(instance);
	probation_begin(instance);
}

void takeover_said(struct nf_instance *instance, uint32_t type, uint64_t value)
{
	struct nf_instance *next = instance->successor;

	if (type == NETVM_MESSAGE_SAVED && next && next->takeover.phase == TAKEOVER_SAVING)
		saved(next, value);
	else if (type == NETVM_MESSAGE_LOADED && instance->takeover.phase == TAKEOVER_LOADING)
		loaded(instance, value);
}

/* ---- phases ---------------------------------------------------------------------------------- */

/* The predecessor goes, told to stop; what it does not hand back in time is lost. */
static void dismiss(struct nf_instance *instance)
{
	struct nf_instance *old = unlink_old(instance);

	if (old)
		instance_leave(old);
}

static void probation_over(struct nf_instance *instance)
{
	enter(instance, TAKEOVER_NONE, 0);
	dismiss(instance);
	upgrade_over(instance, NULL);
}

static void probation_begin(struct nf_instance *instance)
{
	enter(instance, TAKEOVER_PROBATION, instance->takeover.probation_ms);
	if (instance->takeover.probation_ms == 0)
		probation_over(instance);
}

static uint32_t left(const struct nf_instance *instance)
{
	struct nf_load load;

	engine_nf_load(engine_of(instance), session_nf(instance->predecessor->session), &load);
	return load.owned_pkts;
}

/* The timer's turn, since the caller may be on a walk over all instances. */
void takeover_look(struct nf_instance *instance)
{
	if (instance->takeover.phase == TAKEOVER_MOVING && left(instance) == 0)
		event_active(instance->takeover.timer, EV_TIMEOUT, 0);
}

static void move(struct nf_instance *instance)
{
	const struct nf_instance *old = instance->predecessor;
	struct takeover *takeover = &instance->takeover;

	takeover->held = session_has_state(old->session) && session_has_state(instance->session);
	if (instance->settings.guest || old->settings.guest)
		instance_tell(instance, "nf-state",
			"begins without its predecessor's state: a guest cannot hand it over");
	engine_nf_replace(engine_of(instance), session_nf(old->session),
		session_nf(instance->session), takeover->held);
	takeover->moved_ns = clock_ns(CLOCK_MONOTONIC);
	takeover->left = UINT32_MAX;
	takeover->waited_ms = 0;
	enter(instance, TAKEOVER_MOVING, instance_times.patience_ms);
	instance_works(instance);
	takeover_look(instance);
}

/* One that has much to do may finish it; one that does nothing is told to stop. */
static void moved(struct nf_instance *instance)
{
	struct takeover *takeover = &instance->takeover;
	uint32_t before = takeover->left;

	takeover->left = left(instance);
	takeover->waited_ms += instance_times.patience_ms;
	if (takeover->left == 0) {
		if (takeover->held)
			save(instance);
		else
			probation_begin(instance);
		return;
	}
	if (takeover->left < before && takeover->waited_ms < instance_times.state_ms) {
		enter(instance, TAKEOVER_MOVING, instance_times.patience_ms);
		return;
	}
	instance_tell(instance->predecessor, "nf-slow",
		"does not hand back its last %u packets, for its successor to go on",
		takeover->left);
	dismiss(instance);
	if (instance->takeover.held)
		go_on_without(instance, "it was still busy");
	else
		probation_begin(instance);
}

static void timer_event(evutil_socket_t fd, short what, void *arg)
{
	struct nf_instance *instance = arg;

	(void)fd, (void)what;
	switch (instance->takeover.phase) {
	case TAKEOVER_NONE:
		break;
	case TAKEOVER_WARMING:
		if (session_beats(instance->session))
			move(instance);
		else
			enter(instance, TAKEOVER_WARMING, LOOK_MS);
		break;
	case TAKEOVER_MOVING:
		moved(instance);
		break;
	case TAKEOVER_SAVING:
		go_on_without(instance, "it did not save it in time");
		break;
	case TAKEOVER_LOADING:
		instance_gone(instance, "it did not load its predecessor's state in time");
		break;
	case TAKEOVER_PROBATION:
		probation_over(instance);
		break;
	}
}

/* ---- what happens to the two ----------------------------------------------------------------- */

int takeover_init(struct nf_instance *instance)
{
	instance->takeover.state_fd = -1;
	instance->takeover.probation_ms = instance_times.probation_ms;
	instance->takeover.timer = evtimer_new(instance->manager->base, timer_event, instance);
	return instance->takeover.timer ? 0 : -ENOMEM;
}

void takeover_fini(struct nf_instance *instance)
{
	unlink_old(instance);
	if (instance->successor)
		unlink_old(instance->successor);
	state_close(&instance->takeover);
	if (instance->takeover.timer)
		event_free(instance->takeover.timer);
}

void takeover_begin(struct nf_instance *next, struct nf_instance *old)
{
	struct nf_instance *has = has_flows(old) ? old : old->predecessor;

	next->restarts = old->restarts;
	memcpy(next->last_exit, old->last_exit, sizeof(old->last_exit));
	next->crash = old->crash;
	next->past = *old->book;
	old->book = &next->past;
	old->after = AFTER_LEAVE; /* should it end before its time, that is that */
	if (has == old) {
		takeover_end(old);
		link_up(next, old);
		return;
	}
	if (has) {
		unlink_old(old);
		link_up(next, has);
		has->book = &next->past;
	}
	instance_leave(old);
}

void takeover_attached(struct nf_instance *instance)
{
	if (instance->predecessor) {
		enter(instance, TAKEOVER_WARMING, LOOK_MS);
		return;
	}
	instance_works(instance);
	probation_begin(instance);
}

/* The predecessor has an accident: its successor must not wait for it. */
static void predecessor_leaving(struct nf_instance *instance, struct nf_instance *next)
{
	enum takeover_phase phase = next->takeover.phase;

	unlink_old(next);
	if (phase == TAKEOVER_WARMING) {
		engine_nf_replace(engine_of(next), session_nf(instance->session),
			session_nf(next->session), false);
		instance_works(next);
	}
	if (next->takeover.held && phase != TAKEOVER_LOADING)
		go_on_without(next, "it ended");
	else if (phase == TAKEOVER_WARMING || phase == TAKEOVER_MOVING)
		probation_begin(next);
}

static void successor_leaving(struct nf_instance *instance)
{
	struct nf_instance *old = instance->predecessor;
	bool back = has_flows(instance) && old && old->session;

	enter(instance, TAKEOVER_NONE, 0);
	state_close(&instance->takeover);
	instance->takeover.held = false;
	if (!back)
		return;
	engine_nf_replace(engine_of(instance), session_nf(instance->session),
		session_nf(old->session), false);
	instance_tell(old, "nf-returned",
		"process %d, which was there before, has its packets again",
		session_pid(old->session));
}

void takeover_leaving(struct nf_instance *instance)
{
	if (instance->successor)
		predecessor_leaving(instance, instance->successor);
	successor_leaving(instance);
}

void takeover_end(struct nf_instance *instance)
{
	upgrade_left(instance);
	dismiss(instance);
	if (!instance->session || instance->takeover.phase == TAKEOVER_NONE)
		return;
	release(instance);
	enter(instance, TAKEOVER_NONE, 0);
}

void takeover_return(struct nf_instance *instance)
{
	struct nf_instance *old = instance->predecessor;

	if (instance->session)
		successor_leaving(instance);
	unlink_old(instance);
	old->past = instance->past;
	old->book = &old->past;
	instance->book = &old->past;
	old->after = AFTER_POLICY;
	output_resume(old->child.output);
	instance_leave(instance);
}
