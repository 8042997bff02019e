/* Completion. See complete.h; `netvm complete -- WORDS...` prints it for the shells. */
#include "cli/complete.h"

#include <stdlib.h>
#include <string.h>

#include "cli/actions.h"

void complete_words(struct cli *cli, int n_words, char *const *words, struct choices *choices)
{
	struct choices all = {0};
	const char *last = words[n_words - 1];
	const char *socket = cli->socket;
	bool json = cli->json;

	parse_choices(cli, n_words, words, &all);
	fault_clear(&cli->fault);
	cli_use_socket(cli, socket); /* options in the line are not for us */
	cli->json = json;
	choices->files = all.files;
	for (unsigned i = 0; i < all.n; i++) {
		char *text;

		if (asprintf(&text, "%.*s%s", (int)all.keep, last, all.at[i].text) < 0)
			continue;
		if (strncmp(text, last, strlen(last)) == 0)
			choices_add(choices, text, all.at[i].help);
		free(text);
	}
	choices_free(&all);
}

/*
 * One choice per line: the word, a tab, what it is. A line with only a tab: names of files may
 * stand here, too; the shell knows them better.
 */
int run_complete(struct cli *cli, const struct call *call)
{
	struct choices choices = {0};
	char *words[WORDS_MAX];
	int n = 0;

	for (unsigned i = 0; i < call->n_args; i++)
		words[n++] = call->words[call->arg[i].word];
	if (n == 0)
		words[n++] = (char *)"";
	complete_words(cli, n, words, &choices);
	for (unsigned i = 0; i < choices.n; i++)
		fprintf(cli->out, "%s\t%s\n", choices.at[i].text,
			choices.at[i].help ? choices.at[i].help : "");
	if (choices.files)
		fputs("\t\n", cli->out);
	choices_free(&choices);
	return 0;
}
