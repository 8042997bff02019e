/*
 * stumble: an NF that certain packets make fail. Started by the smoke tests; everything else goes
 * on in its chain. UDP to port 6660 is a crash, 6661 an endless loop, 6662 is 100 ms of work.
 */
#include <stdlib.h>
#include <time.h>

#include <netvm.h>

#define WORK_NS 100000000

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void work(void)
{
	uint64_t end_ns = now_ns() + WORK_NS;

	while (now_ns() < end_ns)
		;
}

static _Noreturn void loop(void)
{
	for (;;)
		__asm__ volatile("");
}

static void packet(const struct netvm *nf, const struct netvm_packet *pkt)
{
	struct netvm_headers headers;

	netvm_parse(nf, pkt, &headers);
	if (!headers.udp)
		return;
	if (headers.dst_port == 6660)
		abort();
	if (headers.dst_port == 6661)
		loop();
	if (headers.dst_port == 6662)
		work();
}

static void burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < n; i++)
		packet(nf, &pkts[i]);
}

int main(int argc, char **argv)
{
	return netvm_main(argc, argv, &(struct netvm_options){.burst = burst});
}
