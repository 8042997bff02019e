/*
 * What a queue does when nothing comes: look again, let others run, sleep. Called by run.c and, as
 * netvm_receive(), netvm_sleep(), netvm_wake(), by NFs; on the queue's own thread.
 *
 * Every empty turn yields the core, because the packets this NF waits for may have to be made by a
 * neighbour on the same core. Only an NF that has been idle for a while sleeps: waking it costs the
 * host's worker a system call. Falling asleep is Dekker's protocol, see ABI.md: announce it, fence,
 * look once more; the host publishes, fences, and looks for the announcement. One of the two sees
 * the other, so no packet is left lying. Where the host cannot ring (a guest) nothing is announced:
 * the transport's doze() ends the sleep.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "attachment.h"
#include "failure.h"
#include "stop.h"

#define IDLE_NS    200000u /* without packets before sleeping: longer than a round of neighbours */
#define IDLE_TURNS 4u /* and at least so many looks: on a crowded core time passes between two */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* ---- what a sleeper waits for -------------------------------------------------------------- */

static int watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return fd < 0 ? 0 : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int doorbell(const struct netvm_private *queue)
{
	const struct transport *transport = &queue->attachment->transport;

	return queue->queue < transport->n_queue_fds ? transport->queue_fd[queue->queue] : -1;
}

int wait_open(struct netvm_private *queue)
{
	queue->wait_fd = epoll_create1(EPOLL_CLOEXEC);
	if (queue->wait_fd < 0 || watch(queue->wait_fd, doorbell(queue)) < 0 ||
		watch(queue->wait_fd, queue->attachment->transport.host_fd) < 0 ||
		watch(queue->wait_fd, stop_fd()) < 0)
		return failure_set(errno, "epoll for queue %u: %m", queue->queue);
	return 0;
}

void wait_close(struct netvm_private *queue)
{
	if (queue->wait_fd >= 0)
		close(queue->wait_fd);
}

static ssize_t doorbell_clear(int fd)
{
	char rings[64];

	return read(fd, rings, sizeof(rings));
}

void wait_events(struct netvm_private *queue)
{
	const uint32_t *state = &queue->attachment->channel->state;
	struct epoll_event event[3];
	int n = epoll_wait(queue->wait_fd, event, 3, 0);

	for (int i = 0; i < n; i++) {
		bool gone = event[i].data.fd == queue->attachment->transport.host_fd &&
			    !state_host_is_there(queue);

		if (event[i].data.fd == doorbell(queue))
			gone = doorbell_clear(event[i].data.fd) == 0; /* nobody can ring it */
		if (gone)
			attachment_lose(queue->attachment, "the daemon went away");
	}
	/* All that tells a guest. */
	if (__atomic_load_n(state, __ATOMIC_RELAXED) != NETVM_STATE_READY)
		attachment_lose(queue->attachment, "the daemon withdrew the channel");
}

int netvm_fd(const struct netvm *nf)
{
	return nf->private_->wait_fd;
}

/* ---- sleeping ------------------------------------------------------------------------------ */

bool wait_stop_asked(const struct netvm_private *queue)
{
	return __atomic_load_n(&queue->attachment->channel->control, __ATOMIC_RELAXED) &
	       NETVM_CONTROL_STOP;
}

bool wait_move_asked(const struct netvm_private *queue)
{
	return __atomic_load_n(&queue->attachment->channel->control, __ATOMIC_RELAXED) &
	       NETVM_CONTROL_MOVE;
}

static bool something_waits(struct netvm_private *queue)
{
	for (unsigned worker = 0; worker < queue->n_workers; worker++)
		if (netvm_ring_filled(&queue->rings[worker].rx))
			return true;
	return wait_stop_asked(queue) || stop_requested() || attachment_lost(queue->attachment);
}

static int doze(struct netvm_private *queue)
{
	struct transport *transport = &queue->attachment->transport;
	uint64_t now_ns = clock_ns();

	if (something_waits(queue))
		return 1;
	if (queue->idle_turns <= 1)
		queue->idle_since_ns = now_ns;
	transport->ops->doze(transport, queue->queue, now_ns - queue->idle_since_ns);
	return 0;
}

int netvm_sleep(struct netvm *nf)
{
	struct netvm_private *queue = nf->private_;

	netvm_flush(nf);
	queue_report(queue);
	if (queue->attachment->transport.dozes)
		return doze(queue);
	if (++queue->ticket == 0)
		queue->ticket = 1;
	__atomic_store_n(&queue->state->sleep_ticket, queue->ticket, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!something_waits(queue))
		return 0;
	__atomic_store_n(&queue->state->sleep_ticket, 0, __ATOMIC_RELAXED);
	return 1;
}

void netvm_wake(struct netvm *nf)
{
	__atomic_store_n(&nf->private_->state->sleep_ticket, 0, __ATOMIC_RELAXED);
	wait_events(nf->private_);
}

static void block(const struct netvm_private *queue, uint64_t deadline_ns, uint64_t now_ns)
{
	struct pollfd wanted = {.fd = queue->wait_fd, .events = POLLIN};
	uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(left_ns / 1000000000u),
		.tv_nsec = (long)(left_ns % 1000000000u),
	};

	(void)ppoll(&wanted, 1, deadline_ns == UINT64_MAX ? NULL : &timeout, NULL);
}

static bool must_poll(const struct netvm_private *queue)
{
	return queue->busy ||
	       (__atomic_load_n(&queue->attachment->channel->control, __ATOMIC_RELAXED) &
		       NETVM_CONTROL_BUSY);
}

void wait_idle(struct netvm_private *queue, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_ns();

	if (queue->idle_turns <= 1)
		queue->idle_since_ns = now_ns;
	relax();
	sched_yield();
	if (must_poll(queue) || queue->idle_turns < IDLE_TURNS ||
		now_ns - queue->idle_since_ns < IDLE_NS)
		return;
	if (netvm_sleep(&queue->nf))
		return;
	block(queue, deadline_ns, now_ns);
	netvm_wake(&queue->nf);
}

/* ---- receiving with a time limit ----------------------------------------------------------- */

static int receive_once(struct netvm_private *queue, struct netvm_packet *pkts, unsigned max)
{
	int n;

	if (stop_requested())
		return failure_set(ECANCELED, "netvm_stop() was called");
	n = queue_take(queue, pkts, max);
	if (n <= 0 && wait_stop_asked(queue)) /* also when the host has gone since */
		return wait_move_asked(queue)
			       ? failure_set(ECONNRESET, "the daemon asked this NF to move")
			       : failure_set(ECANCELED, "the daemon asked this NF to stop");
	return n;
}

static int receive_waiting(
	struct netvm_private *queue, struct netvm_packet *pkts, unsigned max, uint64_t timeout_ns)
{
	uint64_t now_ns = clock_ns();
	uint64_t deadline_ns = timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
	int n;

	do {
		wait_idle(queue, deadline_ns);
		n = receive_once(queue, pkts, max);
	} while (n == 0 && (deadline_ns == UINT64_MAX || clock_ns() < deadline_ns));
	return n;
}

int netvm_receive(struct netvm *nf, struct netvm_packet *pkts, unsigned max, uint64_t timeout_ns)
{
	struct netvm_private *queue = nf->private_;
	int n;

	if (max > NETVM_BURST_MAX)
		max = NETVM_BURST_MAX;
	netvm_flush(nf);
	n = receive_once(queue, pkts, max);
	if (n == 0 && timeout_ns > 0)
		n = receive_waiting(queue, pkts, max, timeout_ns);
	if (n > 0)
		queue_remember(queue, pkts, (unsigned)n);
	return n;
}
