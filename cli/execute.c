/* Running one line. See execute.h. */
#include "cli/execute.h"

#include <errno.h>

#include "cli/actions.h"
#include "cli/assign.h"

/* The usual command: ask, then print. */
static int ask_and_print(struct cli *cli, const struct call *call)
{
	const struct command *command = call->command;
	json_t *params = json_object();
	json_t *result;

	if (command->params && command->params(cli, call, params)) {
		json_decref(params);
		return -EINVAL;
	}
	result = cli_ask(cli, command->method, params);
	if (!result)
		return -EIO;
	if (cli->json)
		print_json(cli, result);
	else
		command->print(cli, call, result);
	json_decref(result);
	return 0;
}

/* With --json a daemon's error is printed as it came, too; on the error output. */
static void print_fault(struct cli *cli, const struct call *call)
{
	assign_blame(call, &cli->fault);
	blame_file(cli, call);
	if (!cli->json || !cli->fault.answer) {
		fault_print(&cli->fault, stderr, call->n_words, call->words);
		return;
	}
	json_dumpf(cli->fault.answer, stderr, JSON_INDENT(2));
	fputc('\n', stderr);
}

int execute_line(struct cli *cli, int n_words, char *const *words)
{
	struct call call;
	int error = parse_words(cli, n_words, words, &call);
	int status;

	if (!error && call.command->run)
		error = call.command->run(cli, &call);
	else if (!error)
		error = ask_and_print(cli, &call);
	fflush(cli->out);
	if (cli_interrupted) { /* a question that Ctrl-C cut short is nobody's fault */
		fault_clear(&cli->fault);
		error = 0;
	}
	status = (int)cli->fault.status;
	if (error && !status)
		status = FAULT_FAILED;
	if (cli->fault.status)
		print_fault(cli, &call);
	fault_clear(&cli->fault);
	return status;
}
