/*
 * The state of one run of the command: how to reach the daemon, what was learned from it, how to
 * print, and what went wrong. One object, made in main.c, handed to everything.
 */
#ifndef NETVM_CLI_CLI_H
#define NETVM_CLI_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "cli/fault.h"

struct client;

struct cli {
	const char *socket;
	bool json;        /* print results as JSON */
	bool colour;      /* on a terminal, unless NO_COLOR is set */
	unsigned columns; /* to break long lines of help at */
	FILE *out;
	struct client *client; /* NULL until something is asked */
	json_t *schema;        /* "sections" of schema.get; NULL until needed */
	json_t *methods;       /* "methods" of the same answer */
	json_t *document;      /* config.get, for completion of names; NULL until needed */
	char *file_text;       /* of the FILE sent, to show lines of; NULL: none */
	struct fault fault;
};

#define CLI_TIMEOUT_MS 60000 /* to lock the memory of a large group takes long, too */

/*
 * Ask the daemon, connecting first if need be. Takes over `params` (NULL: none). New reference, or
 * NULL with cli->fault set.
 */
json_t *cli_ask(struct cli *cli, const char *method, json_t *params);
json_t *cli_ask_within(struct cli *cli, const char *method, json_t *params, int timeout_ms);

/* The schema's sections, the running document; borrowed, asked once. NULL with cli->fault set. */
const json_t *cli_schema(struct cli *cli);
const json_t *cli_document(struct cli *cli);

/*
 * The parameters of a method, in the form of a section: "fields", and `noun` as "object". Borrowed.
 * NULL with cli->fault set.
 */
const json_t *cli_parameters(struct cli *cli, const char *method, const char *noun);

/* Talk to the daemon at this path from now on; borrowed. */
void cli_use_socket(struct cli *cli, const char *path);

/* Set by Ctrl-C at the prompt: commands that run on end then. */
extern volatile sig_atomic_t cli_interrupted;

/* Print a result as JSON: as it came, for scripts. On one line where one result follows another. */
void print_json(struct cli *cli, const json_t *result);
void print_json_line(struct cli *cli, const json_t *result);

/* Forget what was learned and hang up. */
void cli_close(struct cli *cli);

#endif
