/* The life of an NF. See instance.h. */
#include "modules/nf/instance.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/module.h"
#include "modules/nf/accel.h"
#include "modules/nf/instance_parts.h"
#include "modules/nf/upgrade.h"

#define NS_PER_MS UINT64_C(1000000)

struct instance_times instance_times = {
	.settle_ms = 10000,
	.attach_ms = 50000,
	.adopt_ms = 20000,
	.stop_ms = 1000,
	.drain_ms = 200,
	.backoff_min_ms = 100,
	.backoff_max_ms = 10000,
	.steady_ms = 10000,
	.patience_ms = 50,
	.state_ms = 3000,
	.probation_ms = 5000,
};

const char *nf_state_name(enum nf_state state)
{
	static const char *const names[] = {
		[NF_DECLARED] = "declared",
		[NF_STARTING] = "starting",
		[NF_RUNNING] = "running",
		[NF_STOPPING] = "stopping",
		[NF_BACKOFF] = "backoff",
		[NF_FAILED] = "failed",
		[NF_DETACHED] = "detached",
	};

	return names[state];
}

/* ---- states ---------------------------------------------------------------------------------- */

/* A new state ends the wait of the old one; timeout_ms 0: no end of this one is planned. */
static void enter(struct nf_instance *instance, enum nf_state state, unsigned timeout_ms)
{
	struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	instance->state = state;
	if (state != NF_STARTING && state != NF_STOPPING)
		instance->settled = true;
	if (timeout_ms)
		event_add(instance->timer, &timeout);
	else
		event_del(instance->timer);
}

static void back_off(struct nf_instance *instance)
{
	unsigned wait_ms = instance->backoff_ms;

	instance->backoff_ms *= 2;
	if (instance->backoff_ms > instance_times.backoff_max_ms)
		instance->backoff_ms = instance_times.backoff_max_ms;
	enter(instance, NF_BACKOFF, wait_ms);
	instance_tell(instance, "nf-backoff",
		instance->settings.external ? "may attach again in %u ms"
					    : "is started again in %u ms",
		wait_ms);
}

static bool comes_back(const struct nf_instance *instance, bool clean)
{
	if (instance->settings.external)
		return !clean;
	return instance->settings.restart == RESTART_ALWAYS ||
	       (instance->settings.restart == RESTART_ON_FAILURE && !clean);
}

/* Nothing of it runs any more: what next? */
static void rest(struct nf_instance *instance, bool clean)
{
	if (instance->after == AFTER_LEAVE) {
		event_del(instance->timer);
		instance->ended(instance);
		return;
	}
	if (upgrade_ended(instance, clean)) {
		enter(instance, NF_FAILED, 0);
		return;
	}
	if (comes_back(instance, clean)) {
		back_off(instance);
	} else {
		enter(instance, clean ? NF_DETACHED : NF_FAILED, 0);
		if (!instance->settings.external)
			instance_tell(instance, clean ? "nf-detached" : "nf-failed",
				"is not started again (restart: %s)",
				value_text(instance->settings.object, "restart"));
	}
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* Takes the NF's packets back; returns how many. Without a session nothing is lost. */
static unsigned end_session(
	struct nf_instance *instance, enum drop_reason reason, uint64_t drain_ns)
{
	struct session *session = instance->session;
	struct counters counters = {0};
	unsigned lost;

	crash_begin(&instance->crash);
	watch_stop(&instance->watch);
	if (!session)
		return 0;
	takeover_leaving(instance);
	lost = session_close(session, reason, drain_ns, &counters);
	counters_add(instance->book, &counters);
	crash_reclaimed(&instance->crash, lost);
	guest_session_closed(instance->guest);
	instance->session = NULL;
	nf_changed();
	return lost;
}

unsigned instance_drain(struct nf_instance *instance, unsigned drain_ms)
{
	return end_session(instance, DROP_NF_REMOVED, drain_ms * NS_PER_MS);
}

/* ---- processes ------------------------------------------------------------------------------- */

static void end_guest(struct nf_instance *instance)
{
	guest_close(instance->guest);
	instance->guest = NULL;
	instance->adopts = false;
}

static void child_exited(void *arg)
{
	struct nf_instance *instance = arg;
	enum drop_reason reason = instance->after == AFTER_LEAVE ? DROP_NF_REMOVED : DROP_NF_DIED;
	const char *fault = guest_fault(instance->guest);
	struct child_end end;
	unsigned lost = end_session(instance, reason, 0);
	const pid_t pid = instance->child.pid;
	bool clean;

	pooled_stop(&instance->pooled);
	child_reap(&instance->child, fault, &end);
	clean = end.clean && !instance->faulty;
	memcpy(instance->last_exit, end.text, sizeof(instance->last_exit));
	crash_end(&instance->crash, clean || instance->after == AFTER_LEAVE, instance->last_exit);
	if (lost)
		instance_tell(instance, "nf-exit", "process %d: %s; %u packets lost", pid,
			instance->last_exit, lost);
	else
		instance_tell(instance, "nf-exit", "process %d: %s", pid, instance->last_exit);
	end_guest(instance);
	rest(instance, clean);
}

static void kvm_tried(void *arg);

static int start_process(struct nf_instance *instance, struct error *error)
{
	const struct nf_settings *settings = &instance->settings;

	if (settings->guest)
		return instance_start_guest(instance, child_exited, kvm_tried, error);
	if (instance_adopt_process(instance))
		return 0;
	return child_start(&instance->child, instance->manager, settings, settings->command.argv,
		child_exited, instance, error);
}

static void started(struct nf_instance *instance)
{
	if (instance->tries_kvm) {
		enter(instance, NF_STARTING, ACCEL_TRY_MS);
		return;
	}
	if (instance->adopts)
		enter(instance, NF_STARTING, instance_times.adopt_ms);
	else
		instance_begin(instance);
	instance_tell(instance, "nf-starting",
		instance->child.adopted
			? "process %d still runs %s as user %s and will attach again"
			: "process %d runs %s as user %s",
		instance->child.pid, instance->settings.program, instance->settings.user);
}

static void start_failed(struct nf_instance *instance, const struct error *error)
{
	snprintf(instance->last_exit, sizeof(instance->last_exit), "%.*s",
		(int)sizeof(instance->last_exit) - 1, error->message);
	instance_tell(instance, "nf-failed", "%s%s%s", error->message, error->hint[0] ? ": " : "",
		error->hint);
	rest(instance, false);
}

/* Now the guest itself, unless it is to stop meanwhile. */
static void kvm_tried(void *arg)
{
	struct nf_instance *instance = arg;
	struct error error = {0};
	struct child_end end;

	instance->tries_kvm = false;
	if (instance->state != NF_STARTING) {
		child_exited(instance);
		return;
	}
	child_reap(&instance->child, "", &end);
	accel_tried(&instance->settings, &end);
	if (start_process(instance, &error) == 0) {
		started(instance);
		return;
	}
	end_guest(instance);
	start_failed(instance, &error);
}

static int start_new(struct nf_instance *instance, struct error *error)
{
	const struct nf_settings *settings = &instance->settings;
	int rc = settings->guest ? instance_open_guest(instance, error) : 0;

	if (rc || settings->pool || settings->external)
		return rc;
	rc = start_process(instance, error);
	if (rc)
		end_guest(instance);
	return rc;
}

int instance_start(struct nf_instance *instance, struct error *error)
{
	const struct nf_settings *settings = &instance->settings;
	int rc = 0;

	instance->adopts = settings->guest && !settings->external && instance_adopt_guest(instance);
	if (!instance->adopts)
		rc = start_new(instance, error);
	if (rc || !instance->child.pid)
		return rc;
	instance->faulty = false;
	instance->n_signals = 0;
	started(instance);
	return 0;
}

void instance_start_again(struct nf_instance *instance)
{
	struct error error = {0};

	instance->restarts++;
	if (instance_start(instance, &error))
		start_failed(instance, &error);
}

/* Take it out and see to it that its process ends. */
void instance_stop(struct nf_instance *instance, unsigned drain_ms)
{
	bool was_attached = instance->session != NULL;
	const pid_t pid = was_attached ? session_pid(instance->session) : instance->child.pid;
	unsigned lost = instance_drain(instance, drain_ms);

	pooled_stop(&instance->pooled);
	instance_tell(
		instance, "nf-stopping", "process %d is being stopped; %u packets lost", pid, lost);
	instance->n_signals = 0;
	enter(instance, NF_STOPPING, instance_times.stop_ms);
	guest_power_down(instance->guest);
	/* One that is attached was told through its channel; the others hear it only so. */
	if (!was_attached) {
		child_signal(&instance->child, SIGTERM);
		instance->n_signals = 1;
	}
}

static void insist(struct nf_instance *instance)
{
	child_signal(&instance->child, instance->n_signals++ ? SIGKILL : SIGTERM);
	guest_insist(instance->guest);
	enter(instance, NF_STOPPING, instance_times.stop_ms);
}

/* ---- for instance_guest.c -------------------------------------------------------------------- */

void instance_enter(struct nf_instance *instance, enum nf_state state, unsigned timeout_ms)
{
	enter(instance, state, timeout_ms);
}

void instance_begin(struct nf_instance *instance)
{
	enter(instance, NF_STARTING,
		instance_times.settle_ms + (instance->settled ? instance_times.attach_ms : 0));
}

void instance_rest(struct nf_instance *instance, bool clean)
{
	rest(instance, clean);
}

void instance_child_exited(void *arg)
{
	child_exited(arg);
}

/* ---- time ------------------------------------------------------------------------------------ */

static const char *missing(const struct nf_instance *instance)
{
	return instance->session ? "does not look at its rings" : "has not attached";
}

/* Nobody waits longer for the first try of an NF; it gets some more time by itself. Only an upgrade
 * waits for all of it if it is a guest, which boots. */
static void starting_timer(struct nf_instance *instance)
{
	if (instance->tries_kvm) {
		child_signal(&instance->child, SIGKILL); /* kvm_tried() comes next */
		return;
	}
	if (instance->adopts) {
		instance_abandon_guest(instance, "it has not attached again in time");
		return;
	}
	if (!instance->settled) {
		instance->settled = true;
		enter(instance, NF_STARTING, instance_times.attach_ms);
		instance_tell(instance, "nf-slow", "%s after %u ms", missing(instance),
			instance_times.settle_ms);
		if (!instance->settings.guest)
			upgrade_over(instance, missing(instance));
		return;
	}
	if (!instance->child.pid) {
		instance_give_up_guest(instance, "none of its pool came to be ready");
		return;
	}
	instance->faulty = true;
	instance_tell(
		instance, "nf-stopping", "process %d %s", instance->child.pid, missing(instance));
	upgrade_over(instance, missing(instance));
	insist(instance);
}

static void running_timer(struct nf_instance *instance)
{
	instance->backoff_ms = instance_times.backoff_min_ms;
	enter(instance, NF_RUNNING, 0);
}

static void backoff_timer(struct nf_instance *instance)
{
	if (!instance->settings.external) {
		instance_start_again(instance);
		return;
	}
	enter(instance, NF_DETACHED, 0);
	instance_tell(instance, "nf-detached", "may attach again");
}

static void timer_event(evutil_socket_t fd, short what, void *arg)
{
	struct nf_instance *instance = arg;

	(void)fd;
	(void)what;
	if (instance->state == NF_STARTING)
		starting_timer(instance);
	else if (instance->state == NF_RUNNING)
		running_timer(instance);
	else if (instance->state == NF_STOPPING)
		insist(instance);
	else if (instance->state == NF_BACKOFF)
		backoff_timer(instance);
}

/* ---- life ------------------------------------------------------------------------------------ */

int instance_create(const struct manager *manager, void (*ended)(struct nf_instance *),
	struct nf_settings *settings, struct service *service, struct buffer_pool *pool,
	struct nf_instance **instance)
{
	struct nf_instance *made = calloc(1, sizeof(*made));

	if (!made) {
		nf_settings_free(settings);
		return -ENOMEM;
	}
	made->manager = manager;
	made->timer = evtimer_new(manager->base, timer_event, made);
	if (!made->timer || takeover_init(made)) {
		if (made->timer)
			event_free(made->timer);
		free(made);
		nf_settings_free(settings);
		return -ENOMEM;
	}
	made->ended = ended;
	made->settings = *settings;
	made->service = service;
	made->pool = pool;
	made->backoff_ms = instance_times.backoff_min_ms;
	made->book = &made->past;
	*instance = made;
	return 0;
}

void instance_destroy(struct nf_instance *instance)
{
	if (!instance)
		return;
	end_guest(instance);
	takeover_fini(instance);
	event_free(instance->timer);
	nf_settings_free(&instance->settings);
	free(instance);
}

void instance_leave(struct nf_instance *instance)
{
	takeover_end(instance);
	instance->after = AFTER_LEAVE;
	if (instance->state == NF_STOPPING)
		return;
	if (instance->child.pid) {
		instance_stop(instance, instance_times.drain_ms);
		return;
	}
	pooled_stop(&instance->pooled);
	if (instance_unplug(instance))
		return;
	instance_drain(instance, instance_times.drain_ms);
	rest(instance, true);
}

void instance_await(struct nf_instance *instance, int timeout_ms)
{
	if (instance->child.pid && child_await(&instance->child, timeout_ms))
		child_exited(instance);
	else if (!instance->child.pid)
		rest(instance, true); /* its devices stay in a guest that nobody waits for */
}

int instance_dismiss(struct nf_instance *instance, struct error *error)
{
	unsigned lost;

	if (!instance->session)
		return error_set(error, ENOTCONN, "name", "who started it must start it again",
			"the external NF %s is not attached", instance->settings.name);
	lost = instance_drain(instance, instance_times.drain_ms);
	crash_end(&instance->crash, true, "");
	enter(instance, NF_DETACHED, 0);
	instance_tell(instance, "nf-detached", "was asked to go; %u packets lost", lost);
	return 0;
}

static void instance_hung(void *arg, unsigned queue);

static void watch(struct nf_instance *instance)
{
	watch_start(&instance->watch, instance->manager, instance->session,
		instance->settings.hang_ms, instance_hung, instance);
}

void instance_update(struct nf_instance *instance, json_t *object)
{
	nf_settings_update(&instance->settings, object, NULL);
	if (instance->session)
		watch(instance);
	child_pin(&instance->child, &instance->settings.cpus);
}

/* ---- what happened --------------------------------------------------------------------------- */

void instance_attached(struct nf_instance *instance, struct session *session)
{
	instance->session = session;
	instance->adopts = false;
	watch(instance);
	takeover_attached(instance);
}

void instance_works(struct nf_instance *instance)
{
	const struct session *session = instance->session;

	enter(instance, NF_RUNNING, instance_times.steady_ms);
	instance_tell(instance, "nf-running",
		"process %d attached as service %s in group %s with %u queue%s",
		session_pid(session), instance->settings.service, instance->settings.group,
		session_n_queues(session), session_n_queues(session) == 1 ? "" : "s");
	nf_changed();
}

void instance_gone(struct nf_instance *instance, const char *why)
{
	bool left = session_took_leave(instance->session);
	unsigned lost = end_session(instance, DROP_NF_DIED, 0);

	crash_cause(&instance->crash, why);
	instance->faulty = *why != '\0';
	if (instance->child.pid) {
		instance_tell(instance, "nf-stopping", "process %d: %s; %u packets lost",
			instance->child.pid, *why ? why : "its connection ended", lost);
		instance->n_signals = 0;
		enter(instance, NF_STOPPING, instance_times.stop_ms);
		return;
	}
	instance_tell(instance, "nf-detached", "%s; %u packets lost",
		*why ? why : "its connection ended", lost);
	crash_end(&instance->crash, left && !*why, *why ? "" : "its connection ended");
	rest(instance, !*why);
}

/* It must not go on: it is out at once, and killed if it is ours. */
static void condemn(struct nf_instance *instance, const char *kind, const char *cause)
{
	unsigned lost = end_session(instance, DROP_NF_DIED, 0);

	instance->faulty = true;
	crash_cause(&instance->crash, cause);
	instance_tell(instance, kind, "%s: it was taken out%s; %u packets lost", cause,
		instance->child.pid ? " and killed" : "", lost);
	if (instance->child.pid) {
		child_signal(&instance->child, SIGKILL);
		enter(instance, NF_STOPPING, instance_times.stop_ms);
	} else {
		crash_end(&instance->crash, false, "");
		rest(instance, false);
	}
}

void instance_fault(struct nf_instance *instance)
{
	condemn(instance, "nf-fault", "broke the contract, an index of its rings is out of range");
}

static void instance_hung(void *arg, unsigned queue)
{
	struct nf_instance *instance = arg;
	char cause[CRASH_CAUSE_BYTES];

	snprintf(cause, sizeof(cause), "hung: packets wait, and queue %u has not moved for %u ms",
		queue, instance->settings.hang_ms);
	condemn(instance, "nf-hang", cause);
}
