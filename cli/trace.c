/* The command trace: the way of packets, one block each, or how long NFs took. See actions.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/actions.h"
#include "cli/assign.h"
#include "cli/table.h"

#define TIMEOUT_S_MAX 3600

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static bool is_what(const json_t *step, const char *what)
{
	return strcmp(text_of(step, "what"), what) == 0;
}

static void time_cell(struct table *table, double ns)
{
	if (ns < 1e3)
		table_cell(table, COLOUR_NONE, "%.0f ns", ns);
	else if (ns < 1e6)
		table_cell(table, COLOUR_NONE, "%.1f µs", ns / 1e3);
	else
		table_cell(table, COLOUR_NONE, "%.1f ms", ns / 1e6);
}

/* ---- one packet ------------------------------------------------------------------------------ */

/* "tcp", or "protocol 99" where there is no name. */
static void name_or_number(const json_t *value, const char *what, char *text, size_t size)
{
	if (json_is_string(value))
		snprintf(text, size, "%s", json_string_value(value));
	else
		snprintf(text, size, "%s %lld", what, (long long)json_integer_value(value));
}

static void print_end_point(
	struct cli *cli, const json_t *flow, const char *address, const char *port)
{
	bool has_port = json_object_get(flow, port), six = strchr(text_of(flow, address), ':');

	fprintf(cli->out, six && has_port ? "[%s]" : "%s", text_of(flow, address));
	if (has_port)
		fprintf(cli->out, ":%lld", number_of(flow, port));
}

static void print_flow(struct cli *cli, const json_t *flow)
{
	char text[64];

	if (number_of(flow, "vlan"))
		fprintf(cli->out, "vlan %lld, ", number_of(flow, "vlan"));
	if (!json_object_get(flow, "src")) {
		name_or_number(
			json_object_get(flow, "eth_type"), "Ethernet type", text, sizeof(text));
		fputs(text, cli->out);
		return;
	}
	name_or_number(json_object_get(flow, "protocol"), "protocol", text, sizeof(text));
	fprintf(cli->out, "%s ", text);
	print_end_point(cli, flow, "src", "src_port");
	fputs(" > ", cli->out);
	print_end_point(cli, flow, "dst", "dst_port");
}

static void print_head(struct cli *cli, size_t number, const json_t *packet)
{
	const json_t *first = json_array_get(json_object_get(packet, "steps"), 0);
	long long time_ns = number_of(packet, "time_ns");
	time_t seconds = time_ns / 1000000000;
	char text[32];

	strftime(text, sizeof(text), "%T", localtime(&seconds));
	colour_set(cli->out, cli->colour, COLOUR_BOLD);
	fprintf(cli->out, "packet %zu: ", number);
	print_flow(cli, json_object_get(packet, "flow"));
	fprintf(cli->out, ", %lld bytes, at %s.%06lld\n", number_of(first, "length"), text,
		time_ns % 1000000000 / 1000);
	colour_set(cli->out, cli->colour, COLOUR_NONE);
}

/* ---- its steps ------------------------------------------------------------------------------- */

/* The object something is about, as "port lan"; the first of these keys that is there. */
static const char *object_of(const json_t *step, char *text, size_t size)
{
	static const char *const keys[] = {"nf", "service", "port", "chain"};

	for (unsigned i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (!json_object_get(step, keys[i]))
			continue;
		snprintf(text, size, "%s %s", keys[i], text_of(step, keys[i]));
		return text;
	}
	return "";
}

static void nf_cell(struct table *table, const json_t *step)
{
	const char *image = text_of(step, "image"), *verdict = text_of(step, "verdict");
	char to[64];

	if (!verdict[0])
		verdict = "has it";
	table_cell(table, COLOUR_NONE, "%s%s%s%s%s", image, image[0] ? ": " : "", verdict,
		json_object_get(step, "to") ? " " : "",
		object_of(json_object_get(step, "to"), to, sizeof(to)));
}

static void what_cell(struct table *table, const json_t *step)
{
	if (is_what(step, "nf"))
		nf_cell(table, step);
	else if (is_what(step, "chain"))
		table_cell(table, COLOUR_NONE, "%s", text_of(step, "direction"));
	else if (is_what(step, "dropped"))
		table_cell(table, COLOUR_BAD, "dropped: %s", text_of(step, "reason"));
	else if (is_what(step, "sent") || is_what(step, "consumed"))
		table_cell(table, COLOUR_GOOD, "%s", text_of(step, "what"));
	else
		table_cell(table, COLOUR_NONE, "%s", text_of(step, "what"));
}

static void add_step(struct table *table, const json_t *step)
{
	char text[64];

	time_cell(table, (double)number_of(step, "at_ns"));
	table_cell(table, COLOUR_NONE, "%s", object_of(step, text, sizeof(text)));
	what_cell(table, step);
	if (json_object_get(step, "took_ns"))
		time_cell(table, (double)number_of(step, "took_ns"));
	else
		table_cell(table, COLOUR_NONE, "%s", "");
	table_cell(table, COLOUR_NONE, "%lld.%lld", number_of(step, "buffer"),
		number_of(step, "generation"));
	table_cell(table, COLOUR_NONE, "%s 0x%llx+%lld", text_of(step, "group"),
		number_of(step, "address"), number_of(step, "offset"));
}

/* ---- what comes of it ------------------------------------------------------------------------ */

static void print_end(struct cli *cli, const json_t *packet, const json_t *last)
{
	if (is_what(last, "dropped"))
		fprintf(cli->out, "  dropped: %s\n", text_of(last, "sentence"));
	else if (strcmp(text_of(packet, "end"), text_of(last, "what")) != 0)
		fputs("  still on its way when the trace ended\n", cli->out);
	if (number_of(packet, "lost_steps"))
		fprintf(cli->out, "  %lld steps before the last one were too many to keep\n",
			number_of(packet, "lost_steps"));
}

static void print_copies(struct cli *cli, const json_t *steps)
{
	unsigned n = 0;
	const json_t *step;
	size_t i;

	json_array_foreach (steps, i, step)
		n += is_what(step, "copied");
	if (n == 0)
		fputs("  one buffer all the way: nothing was copied\n", cli->out);
	else
		fprintf(cli->out, "  copied %u time%s, at the border of a trust group\n", n,
			n == 1 ? "" : "s");
}

static void print_packet(struct cli *cli, size_t number, const json_t *packet)
{
	const json_t *steps = json_object_get(packet, "steps"), *step;
	struct table *table = table_begin((const char *[]){
		">AFTER", "WHERE", "WHAT", ">RING + NF", "BUFFER", "LIES AT", NULL});
	size_t i;

	print_head(cli, number, packet);
	json_array_foreach (steps, i, step)
		add_step(table, step);
	table_end(table, cli->out, cli->colour);
	print_end(cli, packet, json_array_get(steps, json_array_size(steps) - 1));
	print_copies(cli, steps);
}

/* ---- summary --------------------------------------------------------------------------------- */

/* Times of one NF, or of the whole way. */
struct times {
	const char *name;
	double *ns;
	unsigned n;
};

#define TIMES_MAX 128

struct summary {
	struct times times[TIMES_MAX];
	unsigned n;
};

static void add_time(struct summary *summary, const char *name, double ns)
{
	struct times *times = summary->times;
	double *at;

	while (times < summary->times + summary->n && strcmp(times->name, name) != 0)
		times++;
	if (times == summary->times + TIMES_MAX)
		return;
	at = realloc(times->ns, (times->n + 1) * sizeof(*at));
	if (!at)
		return;
	if (times == summary->times + summary->n)
		summary->n++;
	at[times->n++] = ns;
	times->ns = at;
	times->name = name;
}

static void add_packet(struct summary *summary, const json_t *packet)
{
	const json_t *steps = json_object_get(packet, "steps"), *step;
	size_t i;

	json_array_foreach (steps, i, step) {
		if (json_object_get(step, "took_ns"))
			add_time(summary, text_of(step, "nf"), (double)number_of(step, "took_ns"));
		if (is_what(step, "sent"))
			add_time(summary, "port to port", (double)number_of(step, "at_ns"));
	}
}

static int compare_numbers(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_summary(struct cli *cli, const json_t *packets)
{
	static const unsigned percents[] = {50, 90, 99, 100};
	struct table *table = table_begin(
		(const char *[]){"NF", ">PACKETS", ">HALF WITHIN", ">90 %", ">99 %", ">ALL", NULL});
	struct summary summary = {.n = 0};
	const json_t *packet;
	size_t i;

	json_array_foreach (packets, i, packet)
		add_packet(&summary, packet);
	for (unsigned t = 0; t < summary.n; t++) {
		struct times *times = &summary.times[t];

		qsort(times->ns, times->n, sizeof(*times->ns), compare_numbers);
		table_cell(table, COLOUR_NONE, "%s", times->name);
		table_cell(table, COLOUR_NONE, "%u", times->n);
		for (unsigned p = 0; p < sizeof(percents) / sizeof(*percents); p++)
			time_cell(table, times->ns[(times->n * percents[p] + 99) / 100 - 1]);
		free(times->ns);
	}
	table_end(table, cli->out, cli->colour);
}

/* ---- the command ----------------------------------------------------------------------------- */

static void print_trace(struct cli *cli, const struct call *call, const json_t *result)
{
	const json_t *packets = json_object_get(result, "packets"), *packet;
	size_t i;

	if (json_array_size(packets) == 0)
		fputs("no packet that matches came in by a port in that time\n", cli->out);
	else if (call_option(call, "--summary"))
		print_summary(cli, packets);
	else
		json_array_foreach (packets, i, packet)
			print_packet(cli, i + 1, packet);
	if (json_array_size(packets) > 0 && !json_is_true(json_object_get(result, "complete")))
		fputs("the time was up before all packets had come and gone\n", cli->out);
}

/* The answer comes when the trace ends: `timeout_s`, as given or preset, and the usual patience. */
static int patience_ms(const struct call *call, const json_t *params)
{
	const json_t *field = json_object_get(json_object_get(call->schema, "fields"), "timeout_s");
	const json_t *given = json_object_get(params, "timeout_s");
	json_int_t seconds = json_integer_value(given ? given : json_object_get(field, "default"));

	if (seconds < 0 || seconds > TIMEOUT_S_MAX)
		seconds = TIMEOUT_S_MAX;
	return (int)seconds * 1000 + CLI_TIMEOUT_MS;
}

int run_trace(struct cli *cli, const struct call *call)
{
	json_t *params = assign_value(cli, call), *result;

	if (!params)
		return -EINVAL;
	if (isatty(STDERR_FILENO))
		fputs("waiting for packets that match ...\n", stderr);
	result = cli_ask_within(cli, call->command->method, params, patience_ms(call, params));
	if (!result)
		return -EIO;
	if (cli->json)
		print_json(cli, result);
	else
		print_trace(cli, call, result);
	json_decref(result);
	return 0;
}
