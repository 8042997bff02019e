/* Tables, colours, quantities. See table.h. */
#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct cell {
	char *text;
	enum colour colour;
};

struct table {
	const char *const *headers;
	unsigned n_columns;
	struct cell *cells;
	unsigned n_cells;
	unsigned wrap_columns; /* 0: lines are as long as they are */
	int *width;            /* of each column; while it is printed */
};

static const char *const colour_codes[] = {
	[COLOUR_NONE] = "0",
	[COLOUR_GOOD] = "32",
	[COLOUR_WARN] = "33",
	[COLOUR_BAD] = "31",
	[COLOUR_DIM] = "2",
	[COLOUR_BOLD] = "1",
};

void colour_set(FILE *out, bool colour, enum colour which)
{
	if (colour)
		fprintf(out, "\033[%sm", colour_codes[which]);
}

struct table *table_begin(const char *const *headers)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->headers = headers;
	while (headers[table->n_columns])
		table->n_columns++;
	return table;
}

void table_cell(struct table *table, enum colour colour, const char *format, ...)
{
	struct cell cell = {.colour = colour};
	struct cell *cells;
	va_list args;

	if (!table)
		return;
	cells = realloc(table->cells, (table->n_cells + 1) * sizeof(*cells));
	if (!cells)
		return;
	table->cells = cells;
	va_start(args, format);
	if (vasprintf(&cell.text, format, args) < 0)
		cell.text = NULL;
	va_end(args);
	cells[table->n_cells++] = cell;
}

void table_wrap(struct table *table, unsigned columns)
{
	if (table)
		table->wrap_columns = columns;
}

static const char *cell_text(const struct cell *cell)
{
	return cell->text ? cell->text : "?";
}

static bool is_right(const struct table *table, unsigned column)
{
	return table->headers[column][0] == '>';
}

/* Characters of UTF-8, not bytes. */
static int text_width(const char *text)
{
	int width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static int column_width(const struct table *table, unsigned column)
{
	int width = text_width(table->headers[column] + is_right(table, column));

	for (unsigned i = column; i < table->n_cells; i += table->n_columns) {
		int cell = text_width(cell_text(&table->cells[i]));

		width = cell > width ? cell : width;
	}
	return width;
}

/* Where the first line of `text` ends: before the last blank within `room`, if there is one. */
static const char *line_end(const char *text, int room)
{
	const char *end = NULL;
	int width = 0;

	for (; *text; text++) {
		if (*text == ' ' && (width <= room || !end))
			end = text;
		width += ((unsigned char)*text & 0xc0) != 0x80;
		if (width > room && end)
			return end;
	}
	return text;
}

#define ROOM_MIN 24 /* narrower than that is harder to read than a long line */

/* The last column is not padded, so that lines have no trailing blanks. */
static void print_last(const struct table *table, const char *text, FILE *out)
{
	int indent = 2;
	const char *end;

	for (unsigned i = 0; i + 1 < table->n_columns; i++)
		indent += table->width[i] + 2;
	while ((int)table->wrap_columns - indent >= ROOM_MIN) {
		end = line_end(text, (int)table->wrap_columns - indent);
		if (!*end)
			break;
		fprintf(out, "%.*s\n%*s", (int)(end - text), text, indent, "");
		text = end + 1;
	}
	fprintf(out, "%s\n", text);
}

static void print_text(const struct table *table, unsigned column, const char *text, FILE *out)
{
	int pad = table->width[column] - text_width(text);
	bool last = column + 1 == table->n_columns;

	fputs(column == 0 ? "  " : "", out);
	if (is_right(table, column))
		fprintf(out, "%*s%s%s", pad, "", text, last ? "\n" : "  ");
	else if (last)
		print_last(table, text, out);
	else
		fprintf(out, "%s%*s  ", text, pad, "");
}

static void print_cell(const struct table *table, unsigned i, FILE *out, bool colour)
{
	const struct cell *cell = &table->cells[i];
	bool coloured = colour && cell->colour != COLOUR_NONE;
	unsigned column = i % table->n_columns;

	colour_set(out, coloured, cell->colour);
	print_text(table, column, cell_text(cell), out);
	colour_set(out, coloured, COLOUR_NONE);
}

static void print_headers(const struct table *table, FILE *out, bool colour)
{
	colour_set(out, colour, COLOUR_DIM);
	for (unsigned i = 0; i < table->n_columns; i++)
		print_text(table, i, table->headers[i] + is_right(table, i), out);
	colour_set(out, colour, COLOUR_NONE);
}

static void print_table(struct table *table, FILE *out, bool colour)
{
	int width[table->n_columns];

	for (unsigned i = 0; i < table->n_columns; i++)
		width[i] = column_width(table, i);
	table->width = width;
	if (table->n_cells > 0 && table->headers[0][0])
		print_headers(table, out, colour);
	for (unsigned i = 0; i < table->n_cells; i++)
		print_cell(table, i, out, colour);
}

void table_end(struct table *table, FILE *out, bool colour)
{
	if (!table)
		return;
	print_table(table, out, colour);
	for (unsigned i = 0; i < table->n_cells; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

void format_quantity(double value, char *text, size_t size)
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T"};
	unsigned i = 0;

	while (value >= 999.5 && i + 1 < sizeof(prefixes) / sizeof(*prefixes)) {
		value /= 1000;
		i++;
	}
	if (i == 0)
		snprintf(text, size, "%.0f", value);
	else
		snprintf(text, size, "%.*f%s",
			value < 9.995   ? 2
			: value < 99.95 ? 1
					: 0,
			value, prefixes[i]);
}
