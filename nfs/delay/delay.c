/*
 * netvm-delay: deterministic work, holding back, loss, crash and hang, so that tests and benches
 * have an NF that behaves badly on command. Everything goes on in its chain.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <netvm.h>

#include "common/background.h"
#include "common/options.h"

#define HOLD_MAX (1u << 16)
#define YEAR_NS  UINT64_C(31536000000000000)

/* What one queue has done so far. Packets held lie in fifo[(oldest + i) % hold], i < n_held. */
struct delay_queue {
	uint64_t n_pkts;
	struct netvm_packet *fifo;
	uint64_t oldest;
	uint64_t n_held;
};

static struct {
	uint64_t ns, cycles, hold, drop_every, crash_after, hang_after;
	struct delay_queue queue[NETVM_QUEUES_MAX];
} delay;

static const struct option_spec specs[] = {
	{"--ns", "N", "work until N ns have passed, per packet", .number = &delay.ns,
		.max = 1000000000},
	{"--cycles", "N", "work for N turns of a loop (a cycle each, about), per packet",
		.number = &delay.cycles, .max = 1000000000},
	{"--hold", "N", "keep the newest N packets back, first in first out", .number = &delay.hold,
		.max = HOLD_MAX},
	{"--drop-every", "N", "test hook: drop each Nth packet", .number = &delay.drop_every,
		.max = UINT64_MAX},
	{"--crash-after", "N", "test hook: abort() at the Nth packet", .number = &delay.crash_after,
		.max = UINT64_MAX},
	{"--hang-after", "N", "test hook: stop responding at the Nth packet",
		.number = &delay.hang_after, .max = UINT64_MAX},
	{0},
};

static const struct options options = {
	.program = "netvm-delay",
	.usage = "[options]",
	.summary = "Pass packets on after some work, or fail on purpose. For tests; counts are per "
		   "queue.",
	.specs = specs,
};

/* Waits by the clock, so it lasts as long on a slow core as on a fast one. */
static void work_ns(uint64_t ns)
{
	uint64_t end_ns = monotonic_ns() + ns;

	while (monotonic_ns() < end_ns)
		;
}

/* Work that is the same amount however often the process is preempted. */
static void work_cycles(uint64_t cycles)
{
	for (; cycles; cycles--)
		__asm__ volatile("" : "+r"(cycles));
}

/* SIGKILL ends it, nothing else does: as an NF caught in an endless loop, but without the heat. */
static void hang(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	for (;;)
		pause();
}

static void delay_packet(struct delay_queue *queue, struct netvm_packet *pkt)
{
	queue->n_pkts++;
	if (queue->n_pkts == delay.crash_after)
		abort();
	if (queue->n_pkts == delay.hang_after)
		hang();
	if (delay.ns)
		work_ns(delay.ns);
	if (delay.cycles)
		work_cycles(delay.cycles);
	if (delay.drop_every && queue->n_pkts % delay.drop_every == 0)
		netvm_drop(pkt);
}

/* Put a packet at the end of the FIFO; when that is full, its oldest goes out. */
static void hold_packet(struct netvm *nf, struct delay_queue *queue, struct netvm_packet *pkt)
{
	struct netvm_packet *place = &queue->fifo[(queue->oldest + queue->n_held) % delay.hold];

	if (queue->n_held == delay.hold) {
		netvm_send(nf, place, 1);
		queue->oldest++;
	} else {
		queue->n_held++;
	}
	*place = *pkt;
	netvm_hold(nf, pkt);
}

static void delay_burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	struct delay_queue *queue = &delay.queue[netvm_queue(nf)];

	(void)arg;
	for (unsigned i = 0; i < n; i++) {
		delay_packet(queue, &pkts[i]);
		if (delay.hold)
			hold_packet(nf, queue, &pkts[i]);
	}
}

/* What is held when the NF is told to stop goes on its way. */
static void delay_flush(struct netvm *nf, void *arg)
{
	struct delay_queue *queue = &delay.queue[netvm_queue(nf)];

	(void)arg;
	for (; queue->n_held; queue->n_held--, queue->oldest++)
		netvm_send(nf, &queue->fifo[queue->oldest % delay.hold], 1);
}

static int delay_start(struct netvm *nf, void *arg)
{
	struct delay_queue *queue = &delay.queue[netvm_queue(nf)];

	(void)arg;
	free(queue->fifo);
	*queue = (struct delay_queue){0};
	queue->fifo = calloc(delay.hold, sizeof(*queue->fifo));
	return delay.hold && !queue->fifo;
}

int main(int argc, char **argv)
{
	const struct netvm_options netvm = {
		.burst = delay_burst,
		.start = delay_start,
		.tick = delay_flush,
		.tick_ns = YEAR_NS, /* only for the call at the end */
	};
	int status;

	if (!options_parse(&options, &argc, argv, &status))
		return status;
	status = netvm_main(argc, argv, &netvm);
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		free(delay.queue[i].fifo);
	return status;
}
