/* `image build`: hands its words over to the builder, a program of its own. See actions.h. */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/actions.h"

/* Beside this program, as installed or as built. */
static int builder_find(struct cli *cli, char path[PATH_MAX])
{
	static const char *const places[] = {"netvm-image", "../packaging/image/netvm-image"};
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	own[n < 0 ? 0 : n] = '\0';
	own[strrchr(own, '/') ? strrchr(own, '/') - own : 0] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(path, PATH_MAX, "%.*s/%s", PATH_MAX - 64, own, places[i]);
		if (access(path, X_OK) == 0)
			return 0;
	}
	return fault_other(&cli->fault, FAULT_FAILED, NULL, "no netvm-image beside %s/netvm", own);
}

/* Its options are the builder's, the words behind -- the NF's. */
static void builder_words(const struct call *call, const char **argv)
{
	*argv++ = "netvm-image";
	*argv++ = "build";
	*argv++ = call_arg(call, "DIR");
	for (unsigned i = 0; i < call->n_options; i++) {
		if (call->option[i].option->everywhere)
			continue;
		*argv++ = call->option[i].option->name;
		*argv++ = call->option[i].value;
	}
	*argv++ = "--";
	for (unsigned i = 0; i < call->n_args; i++)
		if (strcmp(call->arg[i].name, "WORD") == 0)
			*argv++ = call->words[call->arg[i].word];
	*argv = NULL;
}

int run_image_build(struct cli *cli, const struct call *call)
{
	const char *argv[4 + 3 * WORDS_MAX];
	char path[PATH_MAX];
	int status, error;
	pid_t pid;

	if (!call_option(call, "--nf"))
		return fault_usage(&cli->fault, FAULT_NO_WORD, 0, 0,
			"for example --nf netvm-monitor-static",
			"--nf is missing: what shall run?");
	if (builder_find(cli, path))
		return -ENOENT;
	builder_words(call, argv);
	error = posix_spawn(&pid, path, NULL, NULL, (char **)argv, environ);
	if (error)
		return fault_other(
			&cli->fault, FAULT_FAILED, NULL, "%s: %s", path, strerror(error));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return fault_other(&cli->fault, FAULT_FAILED, NULL, "the image was not made");
}
