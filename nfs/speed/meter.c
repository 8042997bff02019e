/* Counting and reporting of netvm-speed. See meter.h. */
#include "speed/meter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/background.h"

int meter_create(struct meter **meter)
{
	*meter = calloc(1, sizeof(**meter));
	if (!*meter)
		return -ENOMEM;
	pthread_mutex_init(&(*meter)->lock, NULL);
	return 0;
}

void meter_destroy(struct meter *meter)
{
	if (!meter)
		return;
	pthread_mutex_destroy(&meter->lock);
	free(meter);
}

void meter_sent(struct meter *meter, uint64_t n_pkts, uint64_t n_bytes)
{
	pthread_mutex_lock(&meter->lock);
	meter->counts.sent_pkts += n_pkts;
	meter->counts.sent_bytes += n_bytes;
	pthread_mutex_unlock(&meter->lock);
}

void meter_missed(struct meter *meter, uint64_t n_pkts)
{
	pthread_mutex_lock(&meter->lock);
	meter->counts.missed_pkts += n_pkts;
	pthread_mutex_unlock(&meter->lock);
}

static void sequence_check(struct meter *meter, const struct frame_stamp *stamp)
{
	uint32_t *next = &meter->next_sequence[stamp->flow];
	int32_t gap = (int32_t)(stamp->sequence - *next);

	if (gap >= 0) {
		meter->counts.lost_pkts += (uint32_t)gap;
		*next = stamp->sequence + 1;
		return;
	}
	meter->counts.late_pkts++;
	if (meter->counts.lost_pkts)
		meter->counts.lost_pkts--; /* it was taken for lost */
}

static void packet_received(struct meter *meter, const struct netvm *nf,
	const struct netvm_packet *pkt, uint64_t now_ns)
{
	struct netvm_headers headers;
	struct frame_stamp stamp;

	meter->counts.received_pkts++;
	meter->counts.received_bytes += netvm_length(pkt);
	if (netvm_parse(nf, pkt, &headers)) {
		meter->counts.malformed_pkts++;
		return;
	}
	if (!headers.udp || !frame_read_stamp(headers.payload, headers.payload_length, &stamp))
		return;
	latency_add(&meter->latency, now_ns > stamp.sent_ns ? now_ns - stamp.sent_ns : 0);
	sequence_check(meter, &stamp);
}

void meter_received(
	struct meter *meter, const struct netvm *nf, const struct netvm_packet *pkts, unsigned n)
{
	uint64_t now_ns = monotonic_ns();

	pthread_mutex_lock(&meter->lock);
	for (unsigned i = 0; i < n; i++)
		packet_received(meter, nf, &pkts[i], now_ns);
	pthread_mutex_unlock(&meter->lock);
}

static void counts_add(struct meter_counts *into, const struct meter_counts *from)
{
	into->sent_pkts += from->sent_pkts;
	into->sent_bytes += from->sent_bytes;
	into->received_pkts += from->received_pkts;
	into->received_bytes += from->received_bytes;
	into->missed_pkts += from->missed_pkts;
	into->malformed_pkts += from->malformed_pkts;
	into->lost_pkts += from->lost_pkts;
	into->late_pkts += from->late_pkts;
}

void meter_report(struct meter_report *report, struct meter *const *meters, unsigned n)
{
	report->before = report->counts;
	report->before_ns = report->now_ns;
	report->counts = (struct meter_counts){0};
	report->latency = (struct latency){0};
	report->now_ns = monotonic_ns();
	for (unsigned i = 0; i < n; i++) {
		if (!meters[i])
			continue;
		pthread_mutex_lock(&meters[i]->lock);
		counts_add(&report->counts, &meters[i]->counts);
		latency_merge(&report->latency, &meters[i]->latency);
		pthread_mutex_unlock(&meters[i]->lock);
	}
}

/* Per second since the report before. */
static double rate(const struct meter_report *report, uint64_t now, uint64_t before)
{
	uint64_t elapsed_ns = report->now_ns - report->before_ns;

	return elapsed_ns ? (double)(now - before) * 1e9 / (double)elapsed_ns : 0;
}

static double sent_rate(const struct meter_report *report)
{
	return rate(report, report->counts.sent_pkts, report->before.sent_pkts);
}

static double received_rate(const struct meter_report *report)
{
	return rate(report, report->counts.received_pkts, report->before.received_pkts);
}

static double seconds(const struct meter_report *report)
{
	return (double)(report->now_ns - report->start_ns) / 1e9;
}

void meter_print_line(const struct meter_report *report, FILE *file)
{
	const struct meter_counts *counts = &report->counts;
	const struct latency *latency = &report->latency;

	fprintf(file, "%7.1f s  sent %.3f Mpps, %" PRIu64 " packets", seconds(report),
		sent_rate(report) / 1e6, counts->sent_pkts);
	fprintf(file, "  received %.3f Mpps, %" PRIu64 " packets", received_rate(report) / 1e6,
		counts->received_pkts);
	if (counts->missed_pkts)
		fprintf(file, "  missed %" PRIu64, counts->missed_pkts);
	if (counts->malformed_pkts)
		fprintf(file, "  malformed %" PRIu64, counts->malformed_pkts);
	if (latency->n)
		fprintf(file,
			"  lost %" PRIu64 " late %" PRIu64 "  latency us p50 %.1f p99 %.1f"
			" p99.9 %.1f max %.1f",
			counts->lost_pkts, counts->late_pkts,
			(double)latency_percentile(latency, 500) / 1e3,
			(double)latency_percentile(latency, 990) / 1e3,
			(double)latency_percentile(latency, 999) / 1e3,
			(double)latency->max_ns / 1e3);
	fputc('\n', file);
}

void meter_print_json(const struct meter_report *report, FILE *file)
{
	const struct meter_counts *counts = &report->counts;
	const struct latency *latency = &report->latency;

	fprintf(file,
		"{\"elapsed_s\":%.3f,\"sent\":%" PRIu64 ",\"sent_bytes\":%" PRIu64
		",\"sent_pps\":%.0f,\"missed\":%" PRIu64 ",\"received\":%" PRIu64
		",\"received_bytes\":%" PRIu64 ",\"received_pps\":%.0f,\"malformed\":%" PRIu64,
		seconds(report), counts->sent_pkts, counts->sent_bytes, sent_rate(report),
		counts->missed_pkts, counts->received_pkts, counts->received_bytes,
		received_rate(report), counts->malformed_pkts);
	fprintf(file,
		",\"lost\":%" PRIu64 ",\"late\":%" PRIu64 ",\"latency_ns\":{\"packets\":%" PRIu64
		",\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"p99.9\":%" PRIu64 ",\"max\":%" PRIu64
		"}}\n",
		counts->lost_pkts, counts->late_pkts, latency->n, latency_percentile(latency, 500),
		latency_percentile(latency, 990), latency_percentile(latency, 999),
		latency->max_ns);
}
