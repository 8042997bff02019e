/*
 * Aligned tables for people. Headers that begin with '>' stand over numbers: right-aligned. With a
 * first header of "" there is no line of headers.
 *
 *	struct table *table = table_begin((const char *[]){"NAME", ">RX PKTS", NULL});
 *	table_cell(table, COLOUR_NONE, "%s", name);
 *	table_cell(table, COLOUR_NONE, "%u", n);
 *	table_end(table, out, colour);
 */
#ifndef NETVM_CLI_TABLE_H
#define NETVM_CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

enum colour {
	COLOUR_NONE,
	COLOUR_GOOD,
	COLOUR_WARN,
	COLOUR_BAD,
	COLOUR_DIM,
	COLOUR_BOLD,
};

struct table;

/* `headers` ends with NULL and must live until table_end(). NULL without memory; that is fine. */
struct table *table_begin(const char *const *headers);

/* The next cell; rows fill from left to right. */
void table_cell(struct table *table, enum colour colour, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Break texts of the last column between words, so that lines have at most `columns` characters;
 * not where that leaves it too little room. 0: never.
 */
void table_wrap(struct table *table, unsigned columns);

/* Print and free. A table without rows prints nothing. */
void table_end(struct table *table, FILE *out, bool colour);

/* Switch the colour of what follows; COLOUR_NONE ends it. Nothing when `colour` is false. */
void colour_set(FILE *out, bool colour, enum colour which);

/* "1.25M" style: three significant digits and the prefix of the unit. */
void format_quantity(double value, char *text, size_t size);

#endif
