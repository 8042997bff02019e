/* The commands that show what goes on: stats, top, drops, events. Listed in commands.c. */
#include <errno.h>
#include <poll.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli/actions.h"
#include "cli/table.h"
#include "cli/view.h"

/* ---- stats: totals --------------------------------------------------------------------------- */

static const struct column port_totals[] = {
	{"NAME", COLUMN_NAME},
	{"LINK", COLUMN_STATE, "link"},
	{">RX PKTS", COLUMN_TEXT, "rx_pkts"},
	{">RX BYTES", COLUMN_TEXT, "rx_bytes"},
	{">TX PKTS", COLUMN_TEXT, "tx_pkts"},
	{">TX BYTES", COLUMN_TEXT, "tx_bytes"},
	{">MISSED", COLUMN_TEXT, "rx_missed"},
	{">RX ERRORS", COLUMN_TEXT, "rx_errors"},
	{">TX ERRORS", COLUMN_TEXT, "tx_errors"},
	{"DROPS", COLUMN_DROPS},
	{},
};

static const struct column nf_totals[] = {
	{"NAME", COLUMN_NAME},
	{"SERVICE", COLUMN_TEXT, "service"},
	{"STATE", COLUMN_STATE, "state"},
	{">PID", COLUMN_TEXT, "pid"},
	{">RESTARTS", COLUMN_TEXT, "restarts"},
	{">IN PKTS", COLUMN_TEXT, "tx_pkts"},
	{">OUT PKTS", COLUMN_TEXT, "rx_pkts"},
	{">INJECTED", COLUMN_TEXT, "injected"},
	{">CONSUMED", COLUMN_TEXT, "consumed"},
	{">HOLDS", COLUMN_TEXT, "owned_pkts"},
	{">VIOLATIONS", COLUMN_TEXT, "violations"},
	{"DROPS", COLUMN_DROPS},
	{},
};

static const struct column chain_totals[] = {
	{"NAME", COLUMN_NAME},
	{">IN PKTS", COLUMN_TEXT, "rx_pkts"},
	{">IN BYTES", COLUMN_TEXT, "rx_bytes"},
	{">OUT PKTS", COLUMN_TEXT, "tx_pkts"},
	{">OUT BYTES", COLUMN_TEXT, "tx_bytes"},
	{"DROPS", COLUMN_DROPS},
	{},
};

static double share(const json_t *object, const char *part, const char *rest)
{
	double is = json_number_value(json_object_get(object, part));
	double all = is + json_number_value(json_object_get(object, rest));

	return all > 0 ? 100 * is / all : 0;
}

static void cpu_cell(struct table *table, json_int_t cpu)
{
	if (cpu >= 0)
		table_cell(table, COLOUR_NONE, "%" JSON_INTEGER_FORMAT, cpu);
	else
		table_cell(table, COLOUR_DIM, "any");
}

static void print_workers(struct cli *cli, const json_t *workers)
{
	struct table *table = table_begin((const char *[]){
		">CPU", "STATE", ">TURNS", ">BUSY TURNS", ">FLOW CACHE HITS", NULL});
	const json_t *worker;
	size_t i;

	json_array_foreach (workers, i, worker) {
		double turns = json_number_value(json_object_get(worker, "turns"));
		double busy = json_number_value(json_object_get(worker, "busy_turns"));

		cpu_cell(table, json_integer_value(json_object_get(worker, "cpu")));
		table_cell(table, COLOUR_NONE, "%s",
			json_is_true(json_object_get(worker, "sleeping")) ? "asleep" : "awake");
		table_cell(table, COLOUR_NONE, "%.0f", turns);
		table_cell(table, COLOUR_NONE, "%.1f %%", turns > 0 ? 100 * busy / turns : 0);
		table_cell(table, COLOUR_NONE, "%.1f %%",
			share(worker, "flow_cache_hits", "flow_cache_misses"));
	}
	if (json_array_size(workers) > 0)
		fputs("workers\n", cli->out);
	table_end(table, cli->out, cli->colour);
}

void print_stats(struct cli *cli, const struct call *call, const json_t *stats)
{
	struct view view = {.after = stats};

	(void)call;
	view_print(cli, &view, "ports", port_totals);
	view_print(cli, &view, "nfs", nf_totals);
	view_print(cli, &view, "chains", chain_totals);
	print_workers(cli, json_object_get(stats, "workers"));
	view_books(cli, json_object_get(stats, "books"));
}

/* ---- top: rates ------------------------------------------------------------------------------ */

static const struct column port_rates[] = {
	{"NAME", COLUMN_NAME},
	{"LINK", COLUMN_STATE, "link"},
	{">RX pkt/s", COLUMN_RATE, "rx_pkts"},
	{">RX bit/s", COLUMN_BITS, "rx_bytes"},
	{">TX pkt/s", COLUMN_RATE, "tx_pkts"},
	{">TX bit/s", COLUMN_BITS, "tx_bytes"},
	{">BATCH", COLUMN_MEAN, "rx_pkts", "rx_bursts"},
	{"DROPS", COLUMN_DROPS},
	{},
};

static const struct column nf_rates[] = {
	{"NAME", COLUMN_NAME},
	{"STATE", COLUMN_STATE, "state"},
	{">IN pkt/s", COLUMN_RATE, "tx_pkts"},
	{">IN bit/s", COLUMN_BITS, "tx_bytes"},
	{">OUT pkt/s", COLUMN_RATE, "rx_pkts"},
	{">OUT bit/s", COLUMN_BITS, "rx_bytes"},
	{">BATCH", COLUMN_MEAN, "tx_pkts", "tx_bursts"},
	{">RING", COLUMN_OF, "ring_depth", "ring_words"},
	{">WAKEUPS/s", COLUMN_RATE, "wakeups"},
	{"DROPS", COLUMN_DROPS},
	{},
};

static const struct column chain_rates[] = {
	{"NAME", COLUMN_NAME},
	{">IN pkt/s", COLUMN_RATE, "rx_pkts"},
	{">IN bit/s", COLUMN_BITS, "rx_bytes"},
	{">OUT pkt/s", COLUMN_RATE, "tx_pkts"},
	{">OUT bit/s", COLUMN_BITS, "tx_bytes"},
	{">BATCH", COLUMN_MEAN, "rx_pkts", "rx_bursts"},
	{"DROPS", COLUMN_DROPS},
	{},
};

/* Is somebody there to type keys at us? */
static bool has_keys(void)
{
	return isatty(STDOUT_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void print_rates(struct cli *cli, const struct view *view)
{
	if (isatty(fileno(cli->out)))
		fputs("\033[H\033[J", cli->out); /* home, and clear what was there */
	view_print(cli, view, "ports", port_rates);
	view_print(cli, view, "nfs", nf_rates);
	view_print(cli, view, "chains", chain_rates);
	view_books(cli, json_object_get(view->after, "books"));
	fputs(has_keys() ? "q quits\n" : "\n", cli->out);
	fflush(cli->out);
}

/* The next key, if one comes in time; 0: none. The terminal is as it was when this returns. */
static char wait_key(double seconds)
{
	struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
	struct termios before, now;
	char key = 0;

	if (!has_keys() || tcgetattr(STDIN_FILENO, &before)) {
		poll(NULL, 0, (int)(seconds * 1000)); /* a signal ends it early */
		return 0;
	}
	now = before;
	now.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG); /* Ctrl-C is a key, too */
	tcsetattr(STDIN_FILENO, TCSANOW, &now);
	if (poll(&keys, 1, (int)(seconds * 1000)) > 0 && read(STDIN_FILENO, &key, 1) < 1)
		key = 'q';
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return key == (char)before.c_cc[VINTR] ? 'q' : key;
}

/* Print what changed from one answer to the next. */
static void show_rates(struct cli *cli, const json_t *before, const json_t *after)
{
	struct view view = {before, after, 0};

	view.seconds = (json_number_value(json_object_get(after, "uptime_ns")) -
			       json_number_value(json_object_get(before, "uptime_ns"))) /
		       1e9;
	if (cli->json) {
		print_json_line(cli, after);
		return;
	}
	if (view.seconds > 0)
		print_rates(cli, &view);
}

int run_top(struct cli *cli, const struct call *call)
{
	double count, delay;
	json_t *before, *after;

	if (call_option_number(cli, call, "--count", 1, 0, &count) ||
		call_option_number(cli, call, "--delay", 0.1, 1, &delay))
		return -EINVAL;
	before = cli_ask(cli, "stats.get", NULL);
	for (unsigned shown = 0; before && (count == 0 || shown < count); shown++) {
		if (wait_key(delay) == 'q' || cli_interrupted)
			break;
		after = cli_ask(cli, "stats.get", NULL);
		if (after)
			show_rates(cli, before, after);
		json_decref(before);
		before = after;
	}
	json_decref(before);
	return cli->fault.status ? -EIO : 0;
}

/* ---- drops ----------------------------------------------------------------------------------- */

static void add_drops(struct table *table, const json_t *reasons, bool counted)
{
	const json_t *reason;
	size_t i;

	json_array_foreach (reasons, i, reason) {
		long long count = json_integer_value(json_object_get(reason, "count"));
		enum colour colour = counted ? COLOUR_WARN : COLOUR_DIM;

		if ((count > 0) != counted)
			continue;
		table_cell(table, colour, "%lld", count);
		table_cell(
			table, colour, "%s", json_string_value(json_object_get(reason, "label")));
		table_cell(table, counted ? COLOUR_NONE : COLOUR_DIM, "%s",
			json_string_value(json_object_get(reason, "sentence")));
	}
}

void print_drops(struct cli *cli, const struct call *call, const json_t *result)
{
	struct table *table = table_begin((const char *[]){">PACKETS", "REASON", "MEANING", NULL});
	const json_t *reasons = json_object_get(result, "reasons");

	(void)call;
	add_drops(table, reasons, true);
	add_drops(table, reasons, false);
	table_end(table, cli->out, cli->colour);
}

/* ---- events ---------------------------------------------------------------------------------- */

#define EVENTS_WAIT_MS 5000

static void print_event(struct cli *cli, const json_t *event)
{
	time_t when = json_integer_value(json_object_get(event, "time_ns")) / 1000000000;
	char text[32];

	strftime(text, sizeof(text), "%F %T", localtime(&when));
	fprintf(cli->out, "%s  %-12s %-16s %s\n", text,
		json_string_value(json_object_get(event, "kind")),
		json_string_value(json_object_get(event, "object")),
		json_string_value(json_object_get(event, "message")));
}

static void print_events(struct cli *cli, const json_t *result, bool follow)
{
	const json_t *events = json_object_get(result, "events");
	const json_t *event;
	size_t i;

	if (cli->json && follow && json_array_size(events) > 0)
		print_json_line(cli, result);
	else if (cli->json && !follow)
		print_json(cli, result);
	else if (!cli->json)
		json_array_foreach (events, i, event)
			print_event(cli, event);
	fflush(cli->out);
}

/* With --follow each question waits in the daemon until something happens. */
int run_events(struct cli *cli, const struct call *call)
{
	bool follow = call_option(call, "--follow");
	json_t *result = cli_ask(cli, "events.get", NULL);

	while (result && !cli_interrupted) {
		json_t *params = json_pack("{s:O?, s:i}", "since", json_object_get(result, "next"),
			"wait_ms", EVENTS_WAIT_MS);

		print_events(cli, result, follow);
		json_decref(result);
		if (!follow) {
			json_decref(params);
			return 0;
		}
		result = cli_ask_within(cli, "events.get", params, EVENTS_WAIT_MS + CLI_TIMEOUT_MS);
	}
	json_decref(result);
	return cli->fault.status ? -EIO : 0;
}
