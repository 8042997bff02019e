/* netvm: the command line of NetVM. With words it runs one command, without them a prompt. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/execute.h"
#include "cli/grammar.h"
#include "cli/prompt.h"

static const char *preset_socket(void)
{
	const char *path = getenv("NETVM_API");

	return path && *path ? path : CLIENT_SOCKET_DEFAULT;
}

/* See no-color.org: any value that is not empty turns colours off. */
static bool wants_colour(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
	       !(terminal && strcmp(terminal, "dumb") == 0);
}

static unsigned columns(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 100;
}

/* `netvm -s PATH` opens the prompt, too. */
static bool wants_prompt(int argc, char **argv, struct cli *cli)
{
	const struct option *option = argc == 3 ? grammar_option(argv[1]) : NULL;

	if (option && strcmp(option->name, "--socket") == 0)
		cli->socket = argv[2];
	else if (argc > 1)
		return false;
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

int main(int argc, char **argv)
{
	struct cli cli = {
		.socket = preset_socket(),
		.colour = wants_colour(),
		.columns = columns(),
		.out = stdout,
		.fault.word = FAULT_NO_WORD,
	};
	int status;

	setlocale(LC_ALL, "");
	if (wants_prompt(argc, argv, &cli))
		status = prompt_run(&cli);
	else if (argc > 1)
		status = execute_line(&cli, argc - 1, argv + 1);
	else
		status = execute_line(&cli, 1, (char *[]){"help", NULL});
	cli_close(&cli);
	return status;
}
