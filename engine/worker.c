/*
 * The worker: its loop, its sleep, and calls from the control side. One thread per worker; the
 * functions worker_start/stop/wake and workers_call are for the control thread. See datapath.h.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include "engine/datapath.h"

/*
 * Without work a worker polls this long, then gives its core away between polls, then sleeps.
 * Control, waiting for one, sleeps right after the first.
 */
#define SPIN_NS  20000u
#define SLEEP_NS 100000u

/* How long to sleep at most: with and without something that cannot wake us. */
#define BLIND_MS 1
#define IDLE_MS  1000

static void run_call(struct worker *worker)
{
	struct worker_call *call = __atomic_load_n(&worker->call, __ATOMIC_ACQUIRE);

	if (!call)
		return;
	worker->call = NULL;
	call->function(worker, call->arg);
	sem_post(&call->done);
}

static unsigned turn(struct worker *worker)
{
	unsigned moved;

	worker->now_tsc = rte_rdtsc();
	moved = worker->holds ? hold_turn(worker) : 0;
	moved += output_turn(worker);
	moved += border_turn(worker);
	moved += input_turn(worker);
	border_publish(worker);
	output_publish(worker);
	output_flush(worker);
	counter_add(&worker->turns, 1);
	if (moved)
		counter_add(&worker->busy_turns, 1);
	return moved;
}

static bool handoff_waits(struct worker *worker)
{
	for (unsigned i = 0; i < worker->n_workers; i++)
		if (i != worker->id && netvm_ring_filled(&worker->handoff_from[i]))
			return true;
	return false;
}

static int sleep_limit_ms(const struct worker *worker)
{
	if (worker->holds || worker->tx_waits)
		return BLIND_MS;
	for (unsigned i = 0; i < worker->n_rx; i++)
		if (worker->rx[i].fd < 0)
			return BLIND_MS;
	return IDLE_MS;
}

/*
 * Tell everybody who can bring work, look once more, block. The order (tell, fence, look) pairs
 * with theirs (bring, fence, look whether told).
 */
static void sleep_until_work(struct worker *worker)
{
	struct epoll_event events[16];
	uint64_t count;
	bool waits;
	int n = 0;

	if (++worker->sleep_ticket == 0)
		worker->sleep_ticket = 1;
	__atomic_store_n(&worker->sleeping, 1, __ATOMIC_RELAXED);
	waits = border_sleep(worker, worker->sleep_ticket);
	if (!waits && !handoff_waits(worker) && !__atomic_load_n(&worker->call, __ATOMIC_ACQUIRE)) {
		counter_add(&worker->sleeps, 1);
		n = epoll_wait(worker->epoll_fd, events, 16, sleep_limit_ms(worker));
	}
	__atomic_store_n(&worker->sleeping, 0, __ATOMIC_RELAXED);
	border_sleep(worker, 0);
	for (int i = 0; i < n; i++)
		if (events[i].data.fd == worker->wake_fd)
			(void)!read(worker->wake_fd, &count, sizeof(count));
}

/* Returns the time this idle stretch began, 0 after a sleep. */
static uint64_t idle(struct worker *worker, uint64_t since)
{
	uint64_t hz = rte_get_tsc_hz(), ns;

	if (worker->busy) {
		rte_pause();
		return 0;
	}
	if (!since)
		return worker->now_tsc;
	ns = (worker->now_tsc - since) * 1000 / (hz / 1000000);
	if (ns >= SLEEP_NS) {
		sleep_until_work(worker);
		return 0;
	}
	if (ns >= SPIN_NS)
		sched_yield();
	else
		rte_pause();
	return since;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	uint64_t idle_since = 0;
	char name[16];

	snprintf(name, sizeof(name), "nv-worker-%u", worker->id);
	pthread_setname_np(pthread_self(), name);
	rte_thread_register();
	while (!worker->stop) {
		run_call(worker);
		if (turn(worker))
			idle_since = 0;
		else
			idle_since = idle(worker, idle_since);
	}
	rte_thread_unregister();
	return NULL;
}

static int pin(struct worker *worker, pthread_attr_t *attr, struct error *error)
{
	cpu_set_t set;
	char path[32];

	if (worker->cpu < 0)
		return 0;
	snprintf(path, sizeof(path), "engine.cpus.%u", worker->id);
	if (sched_getaffinity(0, sizeof(set), &set) == 0 &&
		(worker->cpu >= CPU_SETSIZE || !CPU_ISSET(worker->cpu, &set)))
		return error_set(error, EINVAL, path,
			"a CPU this process may run on (see taskset -p)", "CPU %d is not available",
			worker->cpu);
	CPU_ZERO(&set);
	CPU_SET(worker->cpu, &set);
	pthread_attr_setaffinity_np(attr, sizeof(set), &set);
	return 0;
}

/* Signals are the manager's, but for the one that guard.c turns into a zero page. */
static int start_thread(struct worker *worker, pthread_attr_t *attr)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&worker->thread, attr, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

int worker_start(struct worker *worker, struct error *error)
{
	struct epoll_event event = {.events = EPOLLIN};
	pthread_attr_t attr;
	int err;

	worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	event.data.fd = worker->wake_fd;
	if (worker->epoll_fd < 0 || worker->wake_fd < 0 ||
		epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->wake_fd, &event) < 0) {
		err = error_set(error, errno, "engine.workers", "",
			"cannot make the descriptors of worker %u: %s", worker->id,
			strerror(errno));
		goto fail;
	}
	pthread_attr_init(&attr);
	err = pin(worker, &attr, error);
	if (!err && (err = start_thread(worker, &attr)) != 0)
		err = error_set(error, err, "engine.workers", "", "cannot start worker %u: %s",
			worker->id, strerror(err));
	pthread_attr_destroy(&attr);
	if (!err)
		return 0;
fail:
	close(worker->epoll_fd);
	close(worker->wake_fd);
	return err;
}

void worker_wake(struct worker *worker)
{
	uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&worker->sleeping, __ATOMIC_RELAXED))
		(void)!write(worker->wake_fd, &one, sizeof(one));
}

static void post(struct worker *worker, struct worker_call *call,
	void (*function)(struct worker *worker, void *arg), void *arg)
{
	*call = (struct worker_call){.function = function, .arg = arg};
	sem_init(&call->done, 0, 0);
	__atomic_store_n(&worker->call, call, __ATOMIC_RELEASE);
	worker_wake(worker);
}

/*
 * A worker that runs on another core answers within a turn or so. One that may not run before we
 * get out of its way is waited for asleep, not by yielding: a scheduler gives who yields the core
 * back after milliseconds, who is woken at once.
 */
static void await(struct worker_call *call)
{
	uint64_t until = rte_rdtsc() + rte_get_tsc_hz() / 1000000 * SPIN_NS / 1000;
	int rc;

	while ((rc = sem_trywait(&call->done)) < 0 && rte_rdtsc() < until)
		rte_pause();
	while (rc < 0)
		rc = sem_wait(&call->done); /* a signal may end it early */
	sem_destroy(&call->done);
}

static void worker_call(
	struct worker *worker, void (*function)(struct worker *worker, void *arg), void *arg)
{
	struct worker_call call;

	post(worker, &call, function, arg);
	await(&call);
}

static void stop(struct worker *worker, void *arg)
{
	(void)arg;
	worker->stop = true;
}

void worker_stop(struct worker *worker)
{
	worker_call(worker, stop, NULL);
	pthread_join(worker->thread, NULL);
	close(worker->epoll_fd);
	close(worker->wake_fd);
}

void workers_call(
	struct engine *engine, void (*function)(struct worker *worker, void *arg), void *arg)
{
	struct worker_call call[NETVM_WORKERS_MAX];

	for (unsigned i = 0; i < engine->n_workers; i++)
		post(engine->worker[i], &call[i], function, arg);
	for (unsigned i = 0; i < engine->n_workers; i++)
		await(&call[i]);
}

struct halt {
	void (*function)(void *arg);
	void *arg;
	unsigned n_standing;
	bool done;
};

/*
 * Run by all workers. The first one does the work as soon as the others stand still: they wait for
 * a thread that runs, never for the manager's, which may not get a core for milliseconds.
 */
static void stand_still(struct worker *worker, void *arg)
{
	struct halt *halt = arg;

	__atomic_fetch_add(&halt->n_standing, 1, __ATOMIC_ACQ_REL);
	if (worker->id != 0) {
		while (!__atomic_load_n(&halt->done, __ATOMIC_ACQUIRE))
			sched_yield();
		return;
	}
	while (__atomic_load_n(&halt->n_standing, __ATOMIC_ACQUIRE) < worker->n_workers)
		sched_yield();
	halt->function(halt->arg);
	__atomic_store_n(&halt->done, true, __ATOMIC_RELEASE);
}

void workers_halt(struct engine *engine, void (*function)(void *arg), void *arg)
{
	struct halt halt = {.function = function, .arg = arg};

	workers_call(engine, stand_still, &halt);
}
