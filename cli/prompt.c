/* The interactive prompt, on libedit. See prompt.h. */
#include "cli/prompt.h"

#include <histedit.h>
#include <stdlib.h>
#include <string.h>

#include "cli/complete.h"
#include "cli/execute.h"
#include "cli/grammar.h"
#include "cli/table.h"

#define HISTORY_LINES 1000

static char *prompt_text(EditLine *edit)
{
	(void)edit;
	return (char *)"netvm> ";
}

/* The words up to the cursor; the last is "" behind a blank. */
static int words_to_cursor(Tokenizer *tokens, EditLine *edit, const char *words[WORDS_MAX])
{
	const LineInfo *line = el_line(edit);
	char *text = strndup(line->buffer, (size_t)(line->cursor - line->buffer));
	const char **found = NULL;
	int n = 0, kept = 0;

	tok_reset(tokens);
	if (text && tok_str(tokens, text, &n, &found) == 0) {
		for (; kept < n && kept < WORDS_MAX - 2; kept++)
			words[kept] = found[kept];
		if (kept == 0 || text[strlen(text) - 1] == ' ')
			words[kept++] = "";
	}
	free(text);
	return kept;
}

static void list_choices(struct cli *cli, const struct choices *choices)
{
	struct table *table = table_begin((const char *[]){"", "", NULL});

	for (unsigned i = 0; i < choices->n; i++) {
		table_cell(table, COLOUR_BOLD, "%s", choices->at[i].text);
		table_cell(
			table, COLOUR_NONE, "%s", choices->at[i].help ? choices->at[i].help : "");
	}
	table_end(table, cli->out, cli->colour);
	if (choices->files)
		fputs("  name of a file or folder\n", cli->out);
	else if (choices->n == 0)
		fputs("  nothing to choose from here\n", cli->out);
	fflush(cli->out);
}

/* How far all choices agree. */
static size_t common_length(const struct choices *choices)
{
	size_t length = strlen(choices->at[0].text);

	for (unsigned i = 1; i < choices->n; i++) {
		size_t same = 0;

		while (same < length && choices->at[0].text[same] == choices->at[i].text[same])
			same++;
		length = same;
	}
	return length;
}

/* Insert what all choices agree on. False when that is nothing. */
static bool insert_common(EditLine *edit, const struct choices *choices, const char *last)
{
	size_t length = common_length(choices);
	const char *text = choices->at[0].text;
	bool whole = choices->n == 1 && text[strlen(text) - 1] != '=';
	char *more;
	bool inserted = false;

	if (asprintf(&more, "%.*s%s", (int)(length - strlen(last)), text + strlen(last),
		    whole ? " " : "") < 0)
		return false;
	if (*more)
		inserted = el_insertstr(edit, more) == 0;
	free(more);
	return inserted;
}

static struct cli *cli_of(EditLine *edit)
{
	void *cli = NULL;

	el_get(edit, EL_CLIENTDATA, &cli);
	return cli;
}

/* `list`: only show them. */
static unsigned char offer_choices(EditLine *edit, bool list)
{
	struct cli *cli = cli_of(edit);
	struct choices choices = {0};
	const char *words[WORDS_MAX];
	Tokenizer *tokens = tok_init(NULL);
	int n = tokens ? words_to_cursor(tokens, edit, words) : 0;
	unsigned char result = CC_REFRESH;

	if (n > 0)
		complete_words(cli, n, (char *const *)words, &choices);
	if (list || (choices.n > 0 && !insert_common(edit, &choices, words[n - 1]))) {
		fputc('\n', cli->out);
		list_choices(cli, &choices);
		result = CC_REDISPLAY;
	} else if (choices.n == 0) {
		result = CC_REFRESH_BEEP;
	}
	choices_free(&choices);
	if (tokens)
		tok_end(tokens);
	return result;
}

static unsigned char on_tab(EditLine *edit, int key)
{
	(void)key;
	return offer_choices(edit, false);
}

static unsigned char on_question(EditLine *edit, int key)
{
	(void)key;
	return offer_choices(edit, true);
}

static EditLine *prompt_open(struct cli *cli, History *history_lines)
{
	EditLine *edit = el_init("netvm", stdin, stdout, stderr);
	HistEvent event;

	if (!edit)
		return NULL;
	history(history_lines, &event, H_SETSIZE, HISTORY_LINES);
	history(history_lines, &event, H_SETUNIQUE, 1);
	el_set(edit, EL_CLIENTDATA, cli);
	el_set(edit, EL_PROMPT, prompt_text);
	el_set(edit, EL_EDITOR, "emacs");
	el_set(edit, EL_SIGNAL, 1);
	el_set(edit, EL_HIST, history, history_lines);
	/* Wide: libedit would copy narrow names and never free them. */
	el_wset(edit, EL_ADDFN, L"netvm-complete", L"Complete the word", on_tab);
	el_wset(edit, EL_ADDFN, L"netvm-explain", L"List what may come next", on_question);
	el_set(edit, EL_BIND, "^I", "netvm-complete", NULL);
	el_set(edit, EL_BIND, "?", "netvm-explain", NULL);
	/* While a line is edited Ctrl-C is a key like others: it drops the line. */
	el_set(edit, EL_SETTY, "-d", "-isig", NULL);
	el_set(edit, EL_BIND, "^C", "em-kill-line", NULL);
	el_source(edit, NULL);
	return edit;
}

static void on_interrupt(int signal_number)
{
	(void)signal_number;
	cli_interrupted = 1;
}

static bool is_end(int n_words, const char *const *words)
{
	return n_words == 1 && (strcmp(words[0], "exit") == 0 || strcmp(words[0], "quit") == 0);
}

/* Options such as -j hold for one line. */
static int run_words(struct cli *cli, int n_words, const char *const *words)
{
	struct cli before = *cli;
	int status;

	cli_interrupted = 0;
	status = execute_line(cli, n_words, (char *const *)words);
	json_decref(cli->document); /* names may have changed */
	cli->document = NULL;
	cli->json = before.json;
	cli_use_socket(cli, before.socket);
	return status;
}

static int read_lines(struct cli *cli, EditLine *edit, History *lines, Tokenizer *tokens)
{
	const char *line, **words;
	int status = 0, length, n_words;
	HistEvent event;

	while ((line = el_gets(edit, &length)) != NULL && length > 0) {
		tok_reset(tokens);
		if (tok_str(tokens, line, &n_words, &words) != 0) {
			fputs("netvm: a quote is not closed\n", stderr);
			continue;
		}
		if (n_words == 0)
			continue;
		history(lines, &event, H_ENTER, line);
		if (is_end(n_words, words))
			break;
		status = run_words(cli, n_words, words);
	}
	return status;
}

int prompt_run(struct cli *cli)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt};
	History *lines = history_init();
	Tokenizer *tokens = tok_init(NULL);
	EditLine *edit = NULL;
	int status = FAULT_FAILED;

	if (lines && tokens)
		edit = prompt_open(cli, lines);
	if (edit) {
		sigaction(SIGINT, &interrupt, NULL);
		fputs("netvm: Tab completes, ? explains, `exit` ends\n", cli->out);
		status = read_lines(cli, edit, lines, tokens);
		el_end(edit);
	}
	if (tokens)
		tok_end(tokens);
	if (lines)
		history_end(lines);
	return status;
}
