/*
 * A trace as JSON. Each record becomes a step, but for what an NF returned: that completes the step
 * in which it was given the packet. See report.h.
 */
#include "modules/trace/report.h"

#include <arpa/inet.h>
#include <string.h>

#include "manager/schema.h"
#include "modules/chain/compile.h"
#include "modules/chain/match.h"

/* One packet's report in the making. */
struct report {
	const struct trace_packet *packet;
	const json_t *document;
	json_t *steps;
	json_t *last; /* of them; borrowed */
};

static void set_text(json_t *object, const char *key, const char *text)
{
	json_object_set_new(object, key, json_string(text));
}

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

static bool is_what(const json_t *step, const char *what)
{
	return step && strcmp(value_text(step, "what"), what) == 0;
}

/* ---- what a packet is ------------------------------------------------------------------------ */

static void set_address(json_t *object, const char *key, const uint8_t address[16], unsigned family)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(family == 4 ? AF_INET : AF_INET6, family == 4 ? address + 12 : address, text,
		sizeof(text));
	set_text(object, key, text);
}

/* As a match has it: by name when there is one. */
static void set_named(json_t *object, const char *key, const char *name, uint64_t number)
{
	if (name)
		set_text(object, key, name);
	else
		set_number(object, key, number);
}

static json_t *flow_value(const struct netvm_flow_key *key)
{
	json_t *flow = json_object();

	set_named(flow, "eth_type", match_eth_type_name(key->eth_type), key->eth_type);
	set_number(flow, "vlan", key->vlan_tci & 0xfff);
	if (key->family == 0)
		return flow;
	set_named(flow, "protocol", match_protocol_name(key->protocol), key->protocol);
	set_address(flow, "src", key->src, key->family);
	set_address(flow, "dst", key->dst, key->family);
	if (key->src_port || key->dst_port) {
		set_number(flow, "src_port", key->src_port);
		set_number(flow, "dst_port", key->dst_port);
	}
	return flow;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static const char *const whats[] = {
	[TRACE_RECEIVED] = "received",
	[TRACE_STEERED] = "chain",
	[TRACE_GIVEN] = "nf",
	[TRACE_COPIED] = "copied",
	[TRACE_HELD] = "held",
	[TRACE_SENT] = "sent",
	[TRACE_CONSUMED] = "consumed",
	[TRACE_DROPPED] = "dropped",
};

static const char *const objects[] = {
	[TRACE_PORT] = "port",
	[TRACE_SERVICE] = "service",
	[TRACE_NF] = "nf",
	[TRACE_CHAIN] = "chain",
};

static const char *const verdicts[] = {
	[NETVM_VERDICT_NEXT] = "next",
	[NETVM_VERDICT_DROP] = "drop",
	[NETVM_VERDICT_CONSUME] = "consume",
	[NETVM_VERDICT_FIRST_DESTINATION] = "to",
};

/* What flows compile to has no chain. */
static bool is_flow(const struct trace_record *record)
{
	return record->event == TRACE_STEERED && strcmp(record->name, PLAN_FLOWS_NAME) == 0;
}

static void set_object(json_t *step, const struct trace_record *record)
{
	if (record->object != TRACE_NOTHING && !is_flow(record))
		set_text(step, objects[record->object], record->name);
}

/* Where the packet lies; addresses count from the start of the group's memory. */
static void set_place(json_t *step, const struct trace_record *record)
{
	set_text(step, "group", record->group);
	set_number(step, "buffer", netvm_desc_index(record->word));
	set_number(step, "generation", netvm_desc_generation(record->word));
	set_number(step, "address", record->address);
	set_number(step, "offset", netvm_desc_offset(record->word));
	set_number(step, "length", netvm_desc_length(record->word));
}

/* What runs the NF: its `image` in the document, unless it has gone since. */
static void set_image(const struct report *report, json_t *step, const char *nf)
{
	const char *image = value_text(document_object(report->document, "nfs", nf), "image");

	if (image)
		set_text(step, "image", image);
}

/* An end that names nobody was the NF's that had the packet last. */
static void set_last_nf(const struct report *report, json_t *step)
{
	if (is_what(report->last, "nf"))
		set_text(step, "nf", value_text(report->last, "nf"));
}

static void set_drop(const struct report *report, json_t *step, const struct trace_record *record)
{
	set_text(step, "reason", drop_label((enum drop_reason)record->detail));
	set_text(step, "sentence", drop_sentence((enum drop_reason)record->detail));
	if (record->object == TRACE_NOTHING)
		set_last_nf(report, step);
	if (is_what(report->last, "sent")) /* it was not: the port did not take it */
		set_text(report->last, "what", "refused");
}

static void add_step(struct report *report, const struct trace_record *record)
{
	json_t *step = json_object();

	set_text(step, "what", is_flow(record) ? "flow" : whats[record->event]);
	set_number(step, "at_ns", record->when - report->packet->record[0].when);
	set_number(step, "worker", record->worker);
	set_object(step, record);
	if (record->event == TRACE_STEERED && !is_flow(record))
		set_text(step, "direction", record->detail ? "reverse" : "forward");
	else if (record->event == TRACE_GIVEN)
		set_image(report, step, record->name);
	else if (record->event == TRACE_CONSUMED)
		set_last_nf(report, step);
	else if (record->event == TRACE_DROPPED)
		set_drop(report, step, record);
	set_place(step, record);
	json_array_append_new(report->steps, step);
	report->last = step;
}

/* `took_ns` is the time in the NF's rings and in its hands. */
static void complete_step(const struct report *report, const struct trace_record *record)
{
	uint64_t at_ns = record->when - report->packet->record[0].when;

	if (!is_what(report->last, "nf"))
		return;
	set_number(report->last, "took_ns", at_ns - (uint64_t)value_int(report->last, "at_ns"));
	set_text(report->last, "verdict", verdicts[record->detail]);
	if (record->object != TRACE_NOTHING)
		json_object_set_new(report->last, "to",
			json_pack("{s:s}", objects[record->object], record->name));
}

static json_t *steps_value(const struct trace_packet *packet, const json_t *document)
{
	struct report report = {packet, document, json_array(), NULL};

	for (unsigned i = 0; i < packet->n_records; i++) {
		if (packet->record[i].event == TRACE_RETURNED)
			complete_step(&report, &packet->record[i]);
		else
			add_step(&report, &packet->record[i]);
	}
	return report.steps;
}

/* ---- all ------------------------------------------------------------------------------------- */

static const char *end_of(const struct trace_packet *packet, const json_t *steps)
{
	if (!packet->ended)
		return "on its way";
	return value_text(json_array_get(steps, json_array_size(steps) - 1), "what");
}

static json_t *packet_value(
	const struct trace_packet *packet, const json_t *document, uint64_t epoch_ns)
{
	json_t *steps = steps_value(packet, document), *object = json_object();

	set_number(object, "time_ns", epoch_ns + packet->record[0].when);
	json_object_set_new(object, "flow", flow_value(&packet->key));
	set_text(object, "end", end_of(packet, steps));
	set_number(object, "lost_steps", packet->n_lost);
	json_object_set_new(object, "steps", steps);
	return object;
}

json_t *report_value(const struct trace *trace, const json_t *document, uint64_t epoch_ns)
{
	json_t *packets = json_array();

	for (unsigned i = 0; i < trace->n_pkts; i++)
		json_array_append_new(packets, packet_value(&trace->packet[i], document, epoch_ns));
	return json_pack(
		"{so sb}", "packets", packets, "complete", trace->n_ended == trace->n_pkts_max);
}
