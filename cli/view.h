/*
 * Counters of ports, NFs and chains as tables, for `stats` (totals) and `top` (rates). What is
 * shown is data: a list of columns, each naming keys of stats.get.
 */
#ifndef NETVM_CLI_VIEW_H
#define NETVM_CLI_VIEW_H

#include <stdbool.h>

#include "cli/cli.h"

enum column_kind {
	COLUMN_NAME,  /* of the object */
	COLUMN_TEXT,  /* key: a text or number as it is */
	COLUMN_STATE, /* key: the same, coloured by what it says */
	COLUMN_RATE,  /* key per second */
	COLUMN_BITS,  /* key counts bytes: bits per second */
	COLUMN_MEAN,  /* key by `per`, of the time looked at: packets per burst */
	COLUMN_OF,    /* key out of `per`: "12/2048" */
	COLUMN_DROPS, /* all reasons that have drops */
};

struct column {
	const char *header;
	enum column_kind kind;
	const char *key;
	const char *per;
};

/* The two answers of stats.get to compare; before is NULL for totals. */
struct view {
	const json_t *before;
	const json_t *after;
	double seconds;
};

/* Print stats[section] under a title, if there is anything. `columns` ends without header. */
void view_print(struct cli *cli, const struct view *view, const char *section,
	const struct column *columns);

/* The conservation line. */
void view_books(struct cli *cli, const json_t *books);

#endif
