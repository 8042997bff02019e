/* Collecting and printing the monitor's report. See report.h. */
#include "monitor/report.h"

#include <arpa/inet.h>
#include <inttypes.h>

#define BUCKETS_PER_LOCK 64 /* tens of microseconds at most */

static uint64_t flow_weight(const struct tally_flow *flow, bool by_packets)
{
	return by_packets ? flow->forth.pkts + flow->back.pkts
			  : flow->forth.bytes + flow->back.bytes;
}

/* Put a flow into its place among the top, if it belongs there. */
static void top_insert(
	struct report *report, const struct tally_flow *flow, unsigned n_top, bool by_packets)
{
	uint64_t weight = flow_weight(flow, by_packets);
	unsigned at = report->n_top;

	while (at > 0 && flow_weight(&report->top[at - 1], by_packets) < weight)
		at--;
	if (at >= n_top)
		return;
	if (report->n_top < n_top)
		report->n_top++;
	for (unsigned i = report->n_top - 1; i > at; i--)
		report->top[i] = report->top[i - 1];
	report->top[at] = *flow;
}

static void collect_bucket(
	struct report *report, const struct tally_bucket *bucket, unsigned n_top, bool by_packets)
{
	for (unsigned i = 0; i < TALLY_BUCKET_FLOWS; i++) {
		if (bucket->flow[i].forth.pkts)
			top_insert(report, &bucket->flow[i], n_top, by_packets);
	}
}

static void collect_totals(struct report *report, struct tally *tally)
{
	pthread_mutex_lock(&tally->lock);
	report->n_flows += tally->n_flows;
	report->n_evicted += tally->n_evicted;
	for (unsigned i = 0; i < TALLY_PROTOCOLS; i++) {
		report->protocol[i].pkts += tally->protocol[i].pkts;
		report->protocol[i].bytes += tally->protocol[i].bytes;
		report->total.pkts += tally->protocol[i].pkts;
		report->total.bytes += tally->protocol[i].bytes;
	}
	pthread_mutex_unlock(&tally->lock);
}

static void collect_top(struct report *report, struct tally *tally, unsigned n_top, bool by_packets)
{
	for (uint32_t at = 0; at < tally->n_buckets; at += BUCKETS_PER_LOCK) {
		pthread_mutex_lock(&tally->lock);
		for (uint32_t i = at; i < at + BUCKETS_PER_LOCK && i < tally->n_buckets; i++)
			collect_bucket(report, &tally->buckets[i], n_top, by_packets);
		pthread_mutex_unlock(&tally->lock);
	}
}

void report_collect(struct report *report, struct tally *const *tallies, unsigned n, unsigned n_top,
	bool by_packets)
{
	*report = (struct report){.now_ns = report->now_ns, .elapsed_ns = report->elapsed_ns};
	for (unsigned i = 0; i < n; i++) {
		if (!tallies[i])
			continue;
		collect_totals(report, tallies[i]);
		collect_top(report, tallies[i], n_top, by_packets);
	}
}

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* Seconds from a flow's time stamp to the report; a packet may have come in between. */
static double seconds_ago(const struct report *report, uint64_t then_ns)
{
	return report->now_ns > then_ns ? seconds(report->now_ns - then_ns) : 0;
}

struct address_text {
	char text[INET6_ADDRSTRLEN];
};

static struct address_text address_text(const uint8_t address[16], uint8_t family)
{
	struct address_text out = {"-"};

	if (family == 4)
		inet_ntop(AF_INET, address + 12, out.text, sizeof(out.text));
	else if (family == 6)
		inet_ntop(AF_INET6, address, out.text, sizeof(out.text));
	return out;
}

/* A name where there is one, else a number: "tcp", "47", and "0x88cc" for what is not IP. */
static void protocol_text(const struct netvm_flow_key *key, char *text, size_t size)
{
	if (key->family == 0)
		snprintf(text, size, "0x%04x", key->eth_type);
	else if (key->protocol == NETVM_PROTO_TCP)
		snprintf(text, size, "tcp");
	else if (key->protocol == NETVM_PROTO_UDP)
		snprintf(text, size, "udp");
	else if (key->protocol == NETVM_PROTO_ICMP)
		snprintf(text, size, "icmp");
	else if (key->protocol == NETVM_PROTO_ICMPV6)
		snprintf(text, size, "icmpv6");
	else
		snprintf(text, size, "%u", key->protocol);
}

static void flow_print(const struct report *report, const struct tally_flow *flow, FILE *file)
{
	const struct netvm_flow_key *key = &flow->key;
	char protocol[16], ends[2 * INET6_ADDRSTRLEN + 32];

	protocol_text(key, protocol, sizeof(protocol));
	snprintf(ends, sizeof(ends), key->family == 6 ? "[%s]:%u > [%s]:%u" : "%s:%u > %s:%u",
		address_text(key->src, key->family).text, key->src_port,
		address_text(key->dst, key->family).text, key->dst_port);
	fprintf(file,
		"%-7s %4u  %-44s %10" PRIu64 " %13" PRIu64 " %10" PRIu64 " %13" PRIu64
		" %8.1f %8.1f\n",
		protocol, key->vlan_tci, ends, flow->forth.pkts, flow->forth.bytes, flow->back.pkts,
		flow->back.bytes, seconds_ago(report, flow->first_ns),
		seconds_ago(report, flow->last_ns));
}

void report_print_table(const struct report *report, FILE *file)
{
	fprintf(file,
		"after %.1f s: %" PRIu64 " packets, %" PRIu64 " bytes, %" PRIu64 " flows, %" PRIu64
		" evicted\n\nprotocol          packets            bytes\n",
		seconds(report->elapsed_ns), report->total.pkts, report->total.bytes,
		report->n_flows, report->n_evicted);
	for (unsigned i = 0; i < TALLY_PROTOCOLS; i++) {
		if (report->protocol[i].pkts)
			fprintf(file, "%-10s %14" PRIu64 " %16" PRIu64 "\n",
				tally_protocol_names[i], report->protocol[i].pkts,
				report->protocol[i].bytes);
	}
	fprintf(file, "\n%-7s %4s  %-44s %10s %13s %10s %13s %8s %8s\n", "flow", "vlan",
		"first sender > other end", "packets >", "bytes >", "packets <", "bytes <", "age s",
		"idle s");
	for (unsigned i = 0; i < report->n_top; i++)
		flow_print(report, &report->top[i], file);
	fputc('\n', file);
}

static void count_print_json(const char *name, const struct tally_count *count, FILE *file)
{
	fprintf(file, "\"%s\":{\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 "}", name, count->pkts,
		count->bytes);
}

static void flow_print_json(const struct report *report, const struct tally_flow *flow, FILE *file)
{
	const struct netvm_flow_key *key = &flow->key;
	char protocol[16];

	protocol_text(key, protocol, sizeof(protocol));
	fprintf(file,
		"{\"protocol\":\"%s\",\"vlan\":%u,\"src\":\"%s\",\"src_port\":%u,\"dst\":\"%s\","
		"\"dst_port\":%u,\"age_s\":%.3f,\"idle_s\":%.3f,",
		protocol, key->vlan_tci, address_text(key->src, key->family).text, key->src_port,
		address_text(key->dst, key->family).text, key->dst_port,
		seconds_ago(report, flow->first_ns), seconds_ago(report, flow->last_ns));
	count_print_json("forth", &flow->forth, file);
	fputc(',', file);
	count_print_json("back", &flow->back, file);
	fputc('}', file);
}

void report_print_json(const struct report *report, FILE *file)
{
	fprintf(file, "{\"elapsed_s\":%.3f,\"flows\":%" PRIu64 ",\"evicted_flows\":%" PRIu64 ",",
		seconds(report->elapsed_ns), report->n_flows, report->n_evicted);
	count_print_json("total", &report->total, file);
	fprintf(file, ",\"protocols\":{");
	for (unsigned i = 0; i < TALLY_PROTOCOLS; i++) {
		count_print_json(tally_protocol_names[i], &report->protocol[i], file);
		fputs(i + 1 < TALLY_PROTOCOLS ? "," : "},\"top\":[", file);
	}
	for (unsigned i = 0; i < report->n_top; i++) {
		flow_print_json(report, &report->top[i], file);
		fputs(i + 1 < report->n_top ? "," : "", file);
	}
	fputs("]}\n", file);
}
