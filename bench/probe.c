/* The probe's measuring loop: pace, stamp, count, percentiles. See probe.h; called by the mains. */
#include "bench/probe.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

#define SECOND_NS   UINT64_C(1000000000)
#define WARM_UP_NS  (SECOND_NS / 5)  /* at the trial's rate, not counted */
#define DRAIN_NS    (SECOND_NS / 20) /* what comes later than this after the end is lost */
#define LATE_NS     UINT64_C(100000) /* a generator later than this skips: it cannot catch up */
#define STAMP_AT    42               /* behind Ethernet, IPv4 and UDP headers */
#define LATENCY_MAX (UINT64_C(1) << 40)

/*
 * Latencies by powers of two, each cut into 2^CUT_BITS equal parts: percentiles are exact to 3 %,
 * for 2^40 ns in 9 KB.
 */
#define CUT_BITS  5u
#define N_BUCKETS ((41u - CUT_BITS) << CUT_BITS)

struct stamp {
	uint32_t magic;
	uint32_t trial; /* stragglers of an earlier trial are not counted */
	uint64_t sent_ns;
} __attribute__((packed));

#define STAMP_MAGIC UINT32_C(0x45425250)

struct trial {
	const struct probe_io *io;
	uint32_t number;
	double rate;      /* packets per ns; 0: as many as go */
	uint64_t offered; /* fell due (rate 0: were sent) */
	uint64_t skipped; /* of these the generator was too late for */
	uint64_t refused; /* of these the switch did not take */
	uint64_t sent;
	uint64_t received;
	uint64_t max_ns;
	uint64_t bucket[N_BUCKETS];
};

/* One UDP packet, 192.0.2.1:9 -> 198.51.100.1:9 (RFC 5737). */
static const uint8_t frame_template[PROBE_FRAME_BYTES] = {
	0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, /* Ethernet */
	0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0x8e, 0x85,       /* IPv4 */
	192, 0, 2, 1, 198, 51, 100, 1,                        /* its addresses */
	0, 9, 0, 9, 0, 30, 0, 0                               /* UDP, without checksum */
};

static unsigned bucket_of(uint64_t ns)
{
	unsigned power;

	if (ns < 1u << CUT_BITS)
		return (unsigned)ns;
	if (ns >= LATENCY_MAX)
		return N_BUCKETS - 1;
	power = 63u - (unsigned)__builtin_clzll(ns) - CUT_BITS;
	return (power << CUT_BITS) + (unsigned)(ns >> power);
}

/* The highest latency that falls into the bucket. */
static uint64_t bucket_ns(unsigned bucket)
{
	unsigned power = bucket >> CUT_BITS;

	if (power < 2)
		return bucket;
	return (((uint64_t)bucket - ((power - 1) << CUT_BITS) + 1) << (power - 1)) - 1;
}

static uint64_t trial_percentile(const struct trial *trial, double share)
{
	uint64_t wanted = (uint64_t)((double)trial->received * share);
	uint64_t seen = 0;

	for (unsigned i = 0; i < N_BUCKETS; i++) {
		seen += trial->bucket[i];
		if (seen > wanted)
			return bucket_ns(i) < trial->max_ns ? bucket_ns(i) : trial->max_ns;
	}
	return trial->max_ns;
}

static void trial_send(struct trial *trial, unsigned n, uint64_t now)
{
	const struct stamp stamp = {STAMP_MAGIC, trial->number, now};
	uint8_t *frames[PROBE_BURST];
	unsigned n_frames = trial->io->prepare(trial->io->arg, frames, n);
	unsigned sent;

	for (unsigned i = 0; i < n_frames; i++) {
		memcpy(frames[i], frame_template, PROBE_FRAME_BYTES);
		memcpy(frames[i] + STAMP_AT, &stamp, sizeof(stamp));
	}
	sent = n_frames > 0 ? trial->io->send(trial->io->arg, n_frames) : 0;
	trial->sent += sent;
	trial->refused += n - sent;
}

static int trial_receive(struct trial *trial)
{
	const uint8_t *frames[PROBE_BURST];
	int n = trial->io->receive(trial->io->arg, frames, PROBE_BURST);
	uint64_t now = n > 0 ? clock_ns(CLOCK_MONOTONIC) : 0;

	for (int i = 0; i < n; i++) {
		struct stamp stamp;
		uint64_t ns;

		memcpy(&stamp, frames[i] + STAMP_AT, sizeof(stamp));
		if (stamp.magic != STAMP_MAGIC || stamp.trial != trial->number)
			continue;
		ns = now - stamp.sent_ns;
		trial->received++;
		trial->bucket[bucket_of(ns)]++;
		if (ns > trial->max_ns)
			trial->max_ns = ns;
	}
	return n;
}

/* How many packets are due now: open loop, so that a slow switch is not spared. */
static unsigned trial_due(struct trial *trial, uint64_t elapsed_ns)
{
	uint64_t late = (uint64_t)(LATE_NS * trial->rate) + PROBE_BURST;
	uint64_t due;

	if (trial->rate == 0) {
		trial->offered += PROBE_BURST;
		return PROBE_BURST;
	}
	due = (uint64_t)((double)elapsed_ns * trial->rate) - trial->offered;
	if (due > late) {
		trial->skipped += due - late;
		trial->offered += due - late;
		due = late;
	}
	if (due > PROBE_BURST)
		due = PROBE_BURST;
	trial->offered += due;
	return (unsigned)due;
}

/* Send and receive for `duration_ns`, then receive for DRAIN_NS. */
static int trial_run(struct trial *trial, uint64_t duration_ns)
{
	uint64_t start = clock_ns(CLOCK_MONOTONIC);
	uint64_t now = start;
	int n = 0;

	for (; n >= 0 && now - start < duration_ns; now = clock_ns(CLOCK_MONOTONIC)) {
		unsigned due = trial_due(trial, now - start);

		if (due > 0)
			trial_send(trial, due, now);
		n = trial_receive(trial);
	}
	for (start = now; n >= 0 && now - start < DRAIN_NS; now = clock_ns(CLOCK_MONOTONIC))
		n = trial_receive(trial);
	return n < 0 ? n : 0;
}

static void trial_print(const struct trial *trial, double seconds)
{
	printf("{\"offered\": %llu, \"skipped\": %llu, \"refused\": %llu, \"sent\": %llu, "
	       "\"received\": %llu, \"seconds\": %.3f, "
	       "\"p50_ns\": %llu, \"p99_ns\": %llu, \"p999_ns\": %llu, \"max_ns\": %llu}\n",
		(unsigned long long)trial->offered, (unsigned long long)trial->skipped,
		(unsigned long long)trial->refused, (unsigned long long)trial->sent,
		(unsigned long long)trial->received, seconds,
		(unsigned long long)trial_percentile(trial, 0.5),
		(unsigned long long)trial_percentile(trial, 0.99),
		(unsigned long long)trial_percentile(trial, 0.999),
		(unsigned long long)trial->max_ns);
	fflush(stdout);
}

static void trial_start(struct trial *trial, const struct probe_io *io, double per_second)
{
	uint32_t number = trial->number + 1;

	memset(trial, 0, sizeof(*trial));
	trial->io = io;
	trial->number = number;
	trial->rate = per_second / (double)SECOND_NS;
}

int probe_serve(const struct probe_io *io)
{
	static struct trial trial;
	char line[80];
	double per_second;
	double seconds;

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "%lf %lf", &per_second, &seconds) != 2) {
			fprintf(stderr, "probe: not \"RATE SECONDS\": %s", line);
			return 2;
		}
		trial_start(&trial, io, per_second);
		if (trial_run(&trial, WARM_UP_NS) < 0)
			return 1;
		trial_start(&trial, io, per_second);
		if (trial_run(&trial, (uint64_t)(seconds * (double)SECOND_NS)) < 0)
			return 1;
		trial_print(&trial, seconds);
	}
	return 0;
}
