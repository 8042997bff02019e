/*
 * The bare limit: how many 8-byte descriptors go core A -> core B -> core A when nothing else is
 * done but reading the first cache line of each packet on core B. What NetVM does on top of this
 * (ports, classification, ownership checks, books) is what its ratio to the limit measures.
 *
 *   core A                          core B
 *   take, put, count ---- there --> take, read one line of each packet, put
 *                    <--- back ----
 *
 * Two readings of "packet": stale, nobody ever writes it, so that the line stays in core B's cache
 * and only the rings are measured; and fresh, core A writes the line first, as whatever received
 * the packet must have done, so that the line crosses between the cores too.
 *
 * Tried with several rings (rings.h), burst sizes and numbers of packets in flight: one line of
 * JSON for each; the reader keeps the best. Buffers lie as in the engine: an odd number of cache
 * lines apart, the packet behind the headroom, on huge pages when there are.
 *
 * Called by chain.py. Usage: bench-limit [SECONDS] [CORE_A] [CORE_B]
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "abi/descriptor.h"
#include "bench/rings.h"
#include "common/clock.h"

#define STRIDE     (33u * 64u) /* as engine/buffers.h: 2048 + 64 bytes, an odd number of lines */
#define HEADROOM   192u
#define HUGE_BYTES (2ul << 20)
#define BURST_MAX  64u

enum touch { TOUCH_NOT, TOUCH_READ, TOUCH_WRITE };

/* One side of the loop: takes from one ring, puts into the other. */
struct side {
	struct end take;
	struct end put;
	enum touch touch; /* what to do with the first line of each packet */
	uint8_t *buffers;
	unsigned burst;
	int core;
	bool stop;      /* atomic */
	uint64_t moved; /* atomic */
	uint64_t sum;   /* of what was read, so that the reads happen */
};

static void side_pin(const struct side *side)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(side->core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		fprintf(stderr, "bench-limit: core %d: %s\n", side->core, strerror(errno));
}

static inline uint64_t *first_line(uint8_t *buffers, uint64_t word)
{
	size_t slot = (size_t)netvm_desc_index(word) * STRIDE;

	return (uint64_t *)(void *)(buffers + slot + HEADROOM);
}

static inline uint64_t lines_read(uint8_t *buffers, const uint64_t *words, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += *first_line(buffers, words[i]);
	return sum;
}

static inline void lines_write(uint8_t *buffers, const uint64_t *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		*first_line(buffers, words[i]) = words[i];
}

/*
 * Inlined into one loop per kind of ring, so that nothing is called through a pointer; the ends
 * are locals, so that they live in registers.
 */
static inline __attribute__((always_inline)) void *side_run(
	struct side *side, ring_fn *put, ring_fn *get)
{
	struct end from = side->take;
	struct end to = side->put;
	uint64_t words[BURST_MAX];

	side_pin(side);
	while (!__atomic_load_n(&side->stop, __ATOMIC_RELAXED)) {
		unsigned n = get(&from, words, side->burst);

		if (side->touch == TOUCH_READ)
			side->sum += lines_read(side->buffers, words, n);
		else if (side->touch == TOUCH_WRITE)
			lines_write(side->buffers, words, n);
		/* There are never more words than places: this does not fail. */
		put(&to, words, n);
		__atomic_store_n(&side->moved, side->moved + n, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *run_rte(void *side)
{
	return side_run(side, rte_put, rte_get);
}

static void *run_abi(void *side)
{
	return side_run(side, abi_put, abi_get);
}

static void *run_lap(void *side)
{
	return side_run(side, lap_put, lap_get);
}

static const struct kind {
	const char *name;
	void *(*run)(void *side);
	ring_fn *put;
} kinds[] = {
	{"rte_ring", run_rte, rte_put},
	{"abi", run_abi, abi_put},
	{"lap-bit", run_lap, lap_put},
};

static void *memory_map(size_t bytes)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	void *at;

	bytes = (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
	if (at == MAP_FAILED)
		at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (at == MAP_FAILED) {
		perror("bench-limit: mmap");
		exit(1);
	}
	return at;
}

/* A ring at `at`, large enough for either shape: both ends look at the same zeroed memory. */
static void ring_create(const struct kind *kind, void *at, struct end *put, struct end *get)
{
	memset(put, 0, sizeof(*put));
	memset(get, 0, sizeof(*get));
	memset(at, 0, netvm_ring_size_bytes(2 * RING_WORDS));
	if (kind->run == run_rte) {
		rte_ring_init(at, "limit", 2 * RING_WORDS, RING_F_SP_ENQ | RING_F_SC_DEQ);
		put->rte = get->rte = at;
	} else {
		netvm_ring_end_init(&put->half, at, RING_WORDS);
		netvm_ring_end_init(&get->half, at, RING_WORDS);
	}
}

static double now(void)
{
	return (double)clock_ns(CLOCK_MONOTONIC) * 1e-9;
}

static void sleep_for(double seconds)
{
	struct timespec pause = {
		(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

	nanosleep(&pause, NULL);
}

/* Words per second that came round to `a` between now and `seconds` from now. */
static double rate(struct side *a, double seconds)
{
	double start = now();
	uint64_t before = __atomic_load_n(&a->moved, __ATOMIC_RELAXED);

	sleep_for(seconds);
	return (double)(__atomic_load_n(&a->moved, __ATOMIC_RELAXED) - before) / (now() - start);
}

struct setting {
	const struct kind *kind;
	unsigned burst;
	unsigned in_flight;
	bool fresh;
	double seconds;
	int core[2];
	uint8_t *buffers;
	uint8_t *rings[2];
};

static void measure(const struct setting *setting)
{
	struct side a = {.burst = setting->burst,
		.core = setting->core[0],
		.buffers = setting->buffers,
		.touch = setting->fresh ? TOUCH_WRITE : TOUCH_NOT};
	struct side b = {.burst = setting->burst,
		.core = setting->core[1],
		.buffers = setting->buffers,
		.touch = TOUCH_READ};
	pthread_t thread[2];
	double per_second;

	ring_create(setting->kind, setting->rings[0], &a.put, &b.take);
	ring_create(setting->kind, setting->rings[1], &b.put, &a.take);
	for (unsigned i = 0; i < setting->in_flight; i++) {
		uint64_t word = netvm_desc(i, 0, HEADROOM, 64, 0);

		setting->kind->put(&b.put, &word, 1);
	}
	if (pthread_create(&thread[0], NULL, setting->kind->run, &a) != 0 ||
		pthread_create(&thread[1], NULL, setting->kind->run, &b) != 0) {
		perror("bench-limit: pthread_create");
		exit(1);
	}
	sleep_for(0.05);
	per_second = rate(&a, setting->seconds);
	__atomic_store_n(&a.stop, true, __ATOMIC_RELAXED);
	__atomic_store_n(&b.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	printf("{\"packets\": \"%s\", \"ring\": \"%s\", \"burst\": %u, \"in_flight\": %u, "
	       "\"mpps\": %.2f}\n",
		setting->fresh ? "fresh" : "stale", setting->kind->name, setting->burst,
		setting->in_flight, per_second * 1e-6);
}

static void measure_kind(struct setting *setting)
{
	static const unsigned bursts[] = {32, 64};
	static const unsigned flights[] = {512, 2048};

	for (unsigned i = 0; i < 8; i++) {
		setting->burst = bursts[i & 1];
		setting->in_flight = flights[i >> 1 & 1];
		setting->fresh = i >> 2;
		measure(setting);
	}
}

int main(int argc, char **argv)
{
	struct setting setting = {
		.seconds = argc > 1 ? atof(argv[1]) : 0.15,
		.core = {argc > 2 ? atoi(argv[2]) : 0, argc > 3 ? atoi(argv[3]) : 1},
		.buffers = memory_map((size_t)RING_WORDS * STRIDE),
		.rings = {memory_map(HUGE_BYTES), memory_map(HUGE_BYTES)},
	};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		setting.kind = &kinds[i];
		measure_kind(&setting);
	}
	return 0;
}
