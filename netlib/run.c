/*
 * netvm_run(): attach, one thread per queue, the loop around the callback, signals, attaching
 * again. Queue 0 runs on the caller's thread.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "absence.h"
#include "attachment.h"
#include "failure.h"
#include "stop.h"

#define STEADY_NS UINT64_C(1000000000)

struct runner {
	struct netvm_private *queue;
	const struct netvm_options *options;
	pthread_t thread;
	int result;
	char error[FAILURE_BYTES]; /* the thread's last failure, for the caller's thread */
};

/* ---- one queue ----------------------------------------------------------------------------- */

static void tick(struct runner *runner, uint64_t *due_ns)
{
	uint64_t now_ns = clock_ns();

	if (now_ns < *due_ns)
		return;
	runner->options->tick(&runner->queue->nf, runner->options->arg);
	netvm_flush(&runner->queue->nf);
	*due_ns = now_ns + runner->options->tick_ns;
}

/* Returns when told to stop (0) or when the host is lost (-ECONNRESET). */
static int runner_loop(struct runner *runner)
{
	bool ticks = runner->options->tick && runner->options->tick_ns;
	uint64_t due_ns = ticks ? clock_ns() + runner->options->tick_ns : UINT64_MAX;
	struct netvm_packet pkts[NETVM_BURST_MAX];

	while (!stop_requested()) {
		int n = queue_take(runner->queue, pkts, NETVM_BURST_MAX);

		if (n > 0)
			queue_work(runner->queue, runner->options, pkts, (unsigned)n);
		else if (wait_stop_asked(runner->queue))
			return 0; /* also when the host is gone: it asked before it went */
		else if (n < 0)
			return n;
		else
			wait_idle(runner->queue, due_ns);
		if (ticks)
			tick(runner, &due_ns);
	}
	return 0;
}

/* The stop is one, unless the host wants this NF to attach again. */
static int runner_stopped(const struct runner *runner)
{
	return !stop_requested() && wait_move_asked(runner->queue)
		       ? failure_set(ECONNRESET, "the daemon asked this NF to move")
		       : 0;
}

/* What lay in the rings when the stop came is still worked on; the host may go on filling them. */
static void runner_finish(struct runner *runner)
{
	const struct netvm_layout *layout = &runner->queue->attachment->layout;
	uint32_t left = layout->n_workers * layout->rx_words;
	struct netvm_packet pkts[NETVM_BURST_MAX];

	while (left > 0) {
		int n = queue_take(
			runner->queue, pkts, left < NETVM_BURST_MAX ? left : NETVM_BURST_MAX);

		if (n <= 0)
			return;
		queue_work(runner->queue, runner->options, pkts, (unsigned)n);
		left -= (uint32_t)n;
	}
}

static int runner_run(struct runner *runner)
{
	const struct netvm_options *options = runner->options;
	struct netvm *nf = &runner->queue->nf;
	int result = options->start ? options->start(nf, options->arg) : 0;

	if (result != 0) {
		netvm_stop(); /* the other queues too */
		return result < 0 ? result : failure_set(ECANCELED, "start said %d", result);
	}
	result = runner_loop(runner);
	if (result == 0) {
		runner_finish(runner);
		result = runner_stopped(runner);
	}
	if (options->tick && options->tick_ns)
		options->tick(nf, options->arg);
	netvm_flush(nf);
	return result;
}

static void *runner_thread(void *arg)
{
	struct runner *runner = arg;

	runner->result = runner_run(runner);
	(void)snprintf(runner->error, sizeof(runner->error), "%s", netvm_error());
	return NULL;
}

/* ---- all queues ---------------------------------------------------------------------------- */

static int run_queues(struct attachment *attachment, const struct netvm_options *options)
{
	struct runner runner[NETVM_QUEUES_MAX];
	unsigned n_started = 0;
	int result = 0;

	for (unsigned i = 0; i < attachment->n_queues; i++)
		runner[i] = (struct runner){.queue = attachment->queue[i], .options = options};
	for (unsigned i = 1; i < attachment->n_queues && result == 0; i++) {
		int code = pthread_create(&runner[i].thread, NULL, runner_thread, &runner[i]);

		if (code == 0)
			n_started = i;
		else
			result = failure_set(code, "thread for queue %u: %s", i, strerror(code));
	}
	if (result == 0)
		result = runner_run(&runner[0]);
	else
		netvm_stop();
	for (unsigned i = 1; i <= n_started; i++) {
		pthread_join(runner[i].thread, NULL);
		if (result == 0 && runner[i].result != 0)
			result = failure_set(-runner[i].result, "%s", runner[i].error);
	}
	return result;
}

struct outcome {
	bool attached;
	bool moves; /* the host wants it to attach again */
};

static int run_once(const struct netvm_options *options, struct outcome *outcome)
{
	struct attachment *attachment;
	int result = attachment_attach(options, &attachment);

	*outcome = (struct outcome){.attached = result == 0};
	if (result < 0)
		return result;
	result = run_queues(attachment, options);
	outcome->moves = result < 0 && wait_move_asked(attachment->queue[0]);
	attachment_close(attachment);
	return result;
}

/* The daemon is away, or back but has not yet got to this NF, or has no room for it at the moment.
 */
static bool worth_retrying(int result)
{
	return result == -ECONNRESET || result == -ECONNREFUSED || result == -ENOENT ||
	       result == -ETIMEDOUT || result == -EPERM || result == -EAGAIN || result == -ENOSPC;
}

static bool waits_for_the_first(const struct netvm_options *options)
{
	const char *text = getenv("NETVM_WAIT");

	return options->wait || (text && strcmp(text, "1") == 0);
}

/* Until told to stop, or a failure that waiting does not mend. */
static int run_again_and_again(const struct netvm_options *options, struct absence *absence)
{
	const char *address = attachment_address(options);
	bool may_wait = waits_for_the_first(options), reattaches = options->reattach || may_wait;

	for (;;) {
		uint64_t begin_ns = clock_ns();
		struct outcome outcome;
		int result = run_once(options, &outcome);

		if (!outcome.attached && result == -ECANCELED)
			return 0; /* told to stop while attaching */
		if (outcome.attached)
			may_wait = reattaches || outcome.moves;
		if (!may_wait ||
			!(outcome.attached ? result == -ECONNRESET : worth_retrying(result)))
			return result;
		if (outcome.attached)
			absence_end(absence);
		absence_watch(absence, address);
		/* Who had a host for a while looks for the next one at once. */
		if (outcome.attached && clock_ns() - begin_ns > STEADY_NS)
			continue;
		if (!absence_wait(absence))
			return 0;
	}
}

/* ---- signals ------------------------------------------------------------------------------- */

static void on_signal(int number)
{
	(void)number;
	netvm_stop();
}

/* Without SA_RESTART: a signal must end the wait for the daemon's answer. */
int netvm_run(const struct netvm_options *options)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct sigaction old_interrupt, old_terminate;
	struct absence absence = ABSENCE_NONE;
	int result;

	if (!options->burst)
		return failure_set(EINVAL, "burst: a callback is needed");
	result = stop_enter();
	if (result < 0)
		return result;
	sigaction(SIGINT, &action, &old_interrupt);
	sigaction(SIGTERM, &action, &old_terminate);
	result = run_again_and_again(options, &absence);
	absence_end(&absence);
	sigaction(SIGINT, &old_interrupt, NULL);
	sigaction(SIGTERM, &old_terminate, NULL);
	stop_leave();
	return result;
}
