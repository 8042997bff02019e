/* Counters as tables. See view.h. */
#include "cli/view.h"

#include <string.h>

#include "cli/table.h"

#define COLUMNS_MAX 16

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* An object without a past began at 0; one that was made again meanwhile began again. */
static double grown(const json_t *before, const json_t *after, const char *key)
{
	double now = number_of(after, key), then = number_of(before, key);

	return now >= then ? now - then : now;
}

static enum colour state_colour(const char *state)
{
	static const struct {
		const char *state;
		enum colour colour;
	} colours[] = {
		{"up", COLOUR_GOOD},
		{"running", COLOUR_GOOD},
		{"down", COLOUR_BAD},
		{"failed", COLOUR_BAD},
		{"backoff", COLOUR_WARN},
		{"starting", COLOUR_WARN},
		{"stopping", COLOUR_WARN},
	};

	for (size_t i = 0; i < sizeof(colours) / sizeof(*colours); i++) {
		if (strcmp(colours[i].state, state) == 0)
			return colours[i].colour;
	}
	return COLOUR_NONE;
}

static void text_cell(struct table *table, bool state, const json_t *value)
{
	const char *text = json_string_value(value);

	if (text)
		table_cell(table, state ? state_colour(text) : COLOUR_NONE, "%s", text);
	else if (json_is_integer(value))
		table_cell(table, COLOUR_NONE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		table_cell(table, COLOUR_DIM, "-");
}

static void rate_cell(struct table *table, double per_second)
{
	char text[32];

	format_quantity(per_second, text, sizeof(text));
	table_cell(table, per_second > 0 ? COLOUR_NONE : COLOUR_DIM, "%s", text);
}

static void mean_cell(struct table *table, double total, double n)
{
	if (n > 0)
		table_cell(table, COLOUR_NONE, "%.1f", total / n);
	else
		table_cell(table, COLOUR_DIM, "-");
}

/* "policy 12, nf-verdict 3"; per second when there is a time to divide by. */
static void drops_cell(
	struct table *table, const json_t *before, const json_t *after, double seconds)
{
	char text[400] = "", number[32];
	size_t used = 0;
	const char *label;
	json_t *count;

	json_object_foreach (json_object_get(after, "drops"), label, count) {
		double n = grown(
			json_object_get(before, "drops"), json_object_get(after, "drops"), label);

		if (n <= 0 || used >= sizeof(text))
			continue;
		if (seconds > 0)
			format_quantity(n / seconds, number, sizeof(number));
		else
			snprintf(number, sizeof(number), "%.0f", n);
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s%s",
			used ? ", " : "", label, number, seconds > 0 ? "/s" : "");
	}
	table_cell(table, text[0] ? COLOUR_WARN : COLOUR_DIM, "%s", text[0] ? text : "-");
}

static void view_cell(struct table *table, const struct column *column, const char *name,
	const json_t *before, const json_t *after, double seconds)
{
	double growth = column->key ? grown(before, after, column->key) : 0;

	switch (column->kind) {
	case COLUMN_NAME:
		table_cell(table, COLOUR_BOLD, "%s", name);
		break;
	case COLUMN_TEXT:
	case COLUMN_STATE:
		text_cell(table, column->kind == COLUMN_STATE, json_object_get(after, column->key));
		break;
	case COLUMN_RATE:
		rate_cell(table, growth / seconds);
		break;
	case COLUMN_BITS:
		rate_cell(table, 8 * growth / seconds);
		break;
	case COLUMN_MEAN:
		mean_cell(table, growth, grown(before, after, column->per));
		break;
	case COLUMN_OF:
		table_cell(table, COLOUR_NONE, "%.0f/%.0f", number_of(after, column->key),
			number_of(after, column->per));
		break;
	case COLUMN_DROPS:
		drops_cell(table, before, after, seconds);
		break;
	}
}

static void print_title(struct cli *cli, const char *title)
{
	colour_set(cli->out, cli->colour, COLOUR_BOLD);
	fputs(title, cli->out);
	colour_set(cli->out, cli->colour, COLOUR_NONE);
	fputc('\n', cli->out);
}

void view_print(
	struct cli *cli, const struct view *view, const char *section, const struct column *columns)
{
	const json_t *objects = json_object_get(view->after, section);
	const char *headers[COLUMNS_MAX + 1] = {0};
	struct table *table;
	const char *name;
	json_t *after;

	if (json_object_size(objects) == 0)
		return;
	for (unsigned i = 0; columns[i].header && i < COLUMNS_MAX; i++)
		headers[i] = columns[i].header;
	table = table_begin(headers);
	json_object_foreach ((json_t *)objects, name, after) {
		const json_t *before =
			json_object_get(json_object_get(view->before, section), name);

		for (unsigned i = 0; headers[i]; i++)
			view_cell(table, &columns[i], name, before, after, view->seconds);
	}
	print_title(cli, section);
	table_end(table, cli->out, cli->colour);
}

static long long book(const json_t *books, const char *key)
{
	return json_integer_value(json_object_get(books, key));
}

void view_books(struct cli *cli, const json_t *books)
{
	bool balanced = json_is_true(json_object_get(books, "balanced"));

	if (!books)
		return;
	print_title(cli, "books");
	fprintf(cli->out,
		"  received %lld + injected %lld = sent %lld + consumed %lld + dropped %lld"
		" + in flight %lld: ",
		book(books, "received"), book(books, "injected"), book(books, "sent"),
		book(books, "consumed"), book(books, "dropped"), book(books, "in_flight"));
	colour_set(cli->out, cli->colour, balanced ? COLOUR_GOOD : COLOUR_BAD);
	fputs(balanced ? "exact" : "NOT BALANCED", cli->out);
	colour_set(cli->out, cli->colour, COLOUR_NONE);
	fputc('\n', cli->out);
}
