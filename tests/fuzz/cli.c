/*
 * Lines of the command (cli/parse.c, place.c, choices.c, assign.c, schema.c), without a daemon.
 *
 * Properties: a line is understood or blamed, with the blame inside the line; what was understood
 * holds only words of the line; completion offers only what continues the last word, and each
 * offer made at the end of a line is taken where it stands.
 */
#include "cli/complete.h"
#include "cli/grammar.h"
#include "tests/fuzz/fuzz.h"

#ifndef SCHEMA_PATH
#error "SCHEMA_PATH: a schema.get answer"
#endif

static json_t *sections, *methods;

static struct cli open_cli(void)
{
	if (!sections) {
		json_t *schema = json_load_file(SCHEMA_PATH, 0, NULL);

		sections = json_incref(json_object_get(schema, "sections"));
		methods = json_incref(json_object_get(schema, "methods"));
		json_decref(schema);
		require(sections);
	}
	return (struct cli){.socket = "/nonexistent",
		.out = stderr,
		.fault.word = FAULT_NO_WORD,
		.schema = json_incref(sections),
		.methods = json_incref(methods),
		.document = json_object()};
}

static void close_cli(struct cli *cli)
{
	fault_clear(&cli->fault);
	cli_close(cli);
}

static void blame_is_in_line(const struct fault *fault, int n_words, char *const *words)
{
	require(fault->status != FAULT_NONE && fault->message[0]);
	require(fault->word >= FAULT_NO_WORD && fault->word <= n_words);
	if (fault->word >= 0 && fault->word < n_words)
		require(fault->offset + fault->length <= strlen(words[fault->word]));
	fault_print(fault, stderr, n_words, words);
}

/* All of it came into the question: it can be sent. */
static void is_utf8(const json_t *params)
{
	char *text = json_dumps(params, 0);

	require(text);
	free(text);
}

static void call_is_of_line(struct cli *cli, const struct call *call, int n_words)
{
	json_t *params;

	require(call->command);
	for (unsigned i = 0; i < call->n_args; i++)
		require(call->arg[i].word >= 0 && call->arg[i].word < n_words);
	for (unsigned i = 0; i < call->n_options; i++)
		require(call->option[i].option && call->option[i].value);
	/* The parameters of `config` commands come out of files. */
	if (!call->command->params || strcmp(call->command->word[0], "config") == 0)
		return;
	params = json_object();
	if (call->command->params(cli, call, params))
		blame_is_in_line(&cli->fault, n_words, call->words);
	else
		is_utf8(params);
	json_decref(params);
}

static void understand(int n_words, char *const *words)
{
	struct cli cli = open_cli();
	struct call call;

	if (parse_words(&cli, n_words, words, &call))
		blame_is_in_line(&cli.fault, n_words, words);
	else
		call_is_of_line(&cli, &call, n_words);
	close_cli(&cli);
}

static void complete(int n_words, char *const *words)
{
	const char *last = words[n_words - 1];
	struct choices choices = {0};
	struct cli cli = open_cli();

	complete_words(&cli, n_words, words, &choices);
	require(cli.fault.status == FAULT_NONE);
	for (unsigned i = 0; i < choices.n; i++)
		require(strncmp(choices.at[i].text, last, strlen(last)) == 0);
	choices_free(&choices);
	close_cli(&cli);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	char *line = feed_text(&feed), *words[WORDS_MAX + 2], *rest = line, *word;
	int n = 0;

	/* One blank ends a word, so that empty words occur, as they do between quotes. */
	while (n < WORDS_MAX + 1 && (word = strsep(&rest, " ")))
		words[n++] = word;
	understand(n, words);
	complete(n, words);
	free(line);
	return 0;
}
