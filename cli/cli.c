/* Connection, schema and document on demand. See cli.h. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "cli/client.h"

volatile sig_atomic_t cli_interrupted;

json_t *cli_ask_within(struct cli *cli, const char *method, json_t *params, int timeout_ms)
{
	json_t *result;

	if (!cli->client)
		cli->client = client_open(cli->socket, &cli->fault);
	if (!cli->client) {
		json_decref(params);
		return NULL;
	}
	result = client_ask(cli->client, method, params, timeout_ms, &cli->fault);
	if (!result && cli->fault.status == FAULT_UNREACHABLE)
		cli_close(cli);
	return result;
}

json_t *cli_ask(struct cli *cli, const char *method, json_t *params)
{
	return cli_ask_within(cli, method, params, CLI_TIMEOUT_MS);
}

void cli_use_socket(struct cli *cli, const char *path)
{
	if (strcmp(cli->socket, path) != 0)
		cli_close(cli);
	cli->socket = path;
}

const json_t *cli_schema(struct cli *cli)
{
	json_t *answer;

	if (cli->schema)
		return cli->schema;
	answer = cli_ask(cli, "schema.get", NULL);
	cli->schema = json_incref(json_object_get(answer, "sections"));
	cli->methods = json_incref(json_object_get(answer, "methods"));
	if (answer && !cli->schema)
		fault_other(&cli->fault, FAULT_FAILED, NULL, "schema.get has no sections");
	json_decref(answer);
	return cli->schema;
}

const json_t *cli_parameters(struct cli *cli, const char *method, const char *noun)
{
	json_t *entry = cli_schema(cli) ? json_object_get(cli->methods, method) : NULL;

	if (entry && !json_object_get(entry, "fields")) {
		json_object_set(entry, "fields", json_object_get(entry, "params"));
		json_object_set_new(entry, "object", json_string(noun));
	}
	if (cli->schema && !entry)
		fault_other(&cli->fault, FAULT_FAILED, "netvm version shows how old each is",
			"the daemon does not know %s", method);
	return entry;
}

const json_t *cli_document(struct cli *cli)
{
	if (!cli->document)
		cli->document = cli_ask(cli, "config.get", json_pack("{s:b}", "defaults", true));
	return cli->document;
}

void print_json(struct cli *cli, const json_t *result)
{
	json_dumpf(result, cli->out, JSON_INDENT(2) | JSON_ENCODE_ANY);
	fputc('\n', cli->out);
}

void print_json_line(struct cli *cli, const json_t *result)
{
	json_dumpf(result, cli->out, JSON_COMPACT | JSON_ENCODE_ANY);
	fputc('\n', cli->out);
	fflush(cli->out);
}

void cli_close(struct cli *cli)
{
	client_close(cli->client);
	json_decref(cli->schema);
	json_decref(cli->methods);
	json_decref(cli->document);
	free(cli->file_text);
	cli->file_text = NULL;
	cli->client = NULL;
	cli->schema = NULL;
	cli->methods = NULL;
	cli->document = NULL;
}
