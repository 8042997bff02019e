/* How NFs fare, for people: the end of `nf show`, and `guard show`. See actions.h. */
#include <time.h>

#include "cli/actions.h"
#include "cli/table.h"

static void row(struct table *table, const char *what, enum colour colour, const char *value)
{
	table_cell(table, COLOUR_BOLD, "%s", what);
	table_cell(table, colour, "%s", value ? value : "-");
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void crash_rows(struct table *table, const json_t *crash)
{
	long long count = number_of(crash, "count");
	time_t when = number_of(crash, "time_ns") / 1000000000;
	char text[64];

	snprintf(text, sizeof(text), "%lld", count);
	row(table, "crashes", count ? COLOUR_WARN : COLOUR_NONE, text);
	if (count == 0)
		return;
	strftime(text, sizeof(text), "%F %T", localtime(&when));
	row(table, "last crash", COLOUR_NONE, text);
	row(table, "reason", COLOUR_WARN, text_of(crash, "reason"));
	snprintf(text, sizeof(text), "%lld packets; taken out in %lld us",
		number_of(crash, "lost_pkts"), number_of(crash, "reclaim_ns") / 1000);
	row(table, "lost", COLOUR_NONE, text);
}

void print_nf_state(struct cli *cli, const json_t *now)
{
	struct table *table = table_begin((const char *[]){"NOW", "VALUE", NULL});
	bool stands_by = json_is_true(json_object_get(now, "standby"));
	char text[64];

	snprintf(text, sizeof(text), "%s%s", text_of(now, "state"), stands_by ? ", stands by" : "");
	row(table, "state", COLOUR_NONE, text);
	snprintf(text, sizeof(text), "%lld", number_of(now, "pid"));
	row(table, "pid", COLOUR_NONE, number_of(now, "pid") ? text : NULL);
	snprintf(text, sizeof(text), "%lld", number_of(now, "restarts"));
	row(table, "restarts", COLOUR_NONE, text);
	crash_rows(table, json_object_get(now, "crash"));
	table_end(table, cli->out, cli->colour);
}

void print_nf_states(struct cli *cli, const json_t *nfs)
{
	struct table *table = table_begin((const char *[]){
		"NAME", "STATE", ">PID", ">RESTARTS", ">CRASHES", "LAST CRASH", NULL});
	const char *name;
	json_t *nf;

	json_object_foreach ((json_t *)nfs, name, nf) {
		const json_t *now = json_object_get(nf, "now");
		const json_t *crash = json_object_get(now, "crash");
		long long count = number_of(crash, "count");

		table_cell(table, COLOUR_BOLD, "%s", name);
		table_cell(table, COLOUR_NONE, "%s", text_of(now, "state"));
		if (number_of(now, "pid"))
			table_cell(table, COLOUR_NONE, "%lld", number_of(now, "pid"));
		else
			table_cell(table, COLOUR_DIM, "-");
		table_cell(table, COLOUR_NONE, "%lld", number_of(now, "restarts"));
		table_cell(table, count ? COLOUR_WARN : COLOUR_NONE, "%lld", count);
		table_cell(table, COLOUR_NONE, "%s", count ? text_of(crash, "reason") : "-");
	}
	table_end(table, cli->out, cli->colour);
}

void print_guard(struct cli *cli, const struct call *call, const json_t *result)
{
	const json_t *flows = json_object_get(result, "flows"), *flow;
	struct table *table = table_begin((const char *[]){
		"FLOW", "IN PORT", "SERVICE", ">CRASHES", ">AGE s", "ACTION", NULL});
	size_t i;

	(void)call;
	if (json_array_size(flows) == 0)
		fputs("no flow is under suspicion\n", cli->out);
	json_array_foreach (flows, i, flow) {
		table_cell(table, COLOUR_NONE, "%s", text_of(flow, "flow"));
		table_cell(table, COLOUR_NONE, "%s", text_of(flow, "in_port"));
		table_cell(table, COLOUR_NONE, "%s", text_of(flow, "service"));
		table_cell(table, COLOUR_NONE, "%lld", number_of(flow, "crashes"));
		table_cell(table, COLOUR_NONE, "%lld", number_of(flow, "age_ms") / 1000);
		table_cell(table, COLOUR_NONE, "%s", text_of(flow, "action"));
	}
	table_end(table, cli->out, cli->colour);
}
