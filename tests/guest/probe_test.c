/* The guest of modules/guest/probe.h in a real QEMU: under emulation it speaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/guest/probe.h"

#define SKIPPED 77 /* what meson takes for it */

static const char *qemu;

static int run(json_t *words)
{
	char *argv[32] = {NULL};
	int status;
	pid_t pid;

	for (size_t i = 0; i < json_array_size(words); i++)
		argv[i] = (char *)json_string_value(json_array_get(words, i));
	pid = fork();
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void the_probe_speaks(void **state)
{
	char path[] = "/tmp/netvm-probe.XXXXXX";
	json_t *words;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(probe_write(path), 0);
	words = probe_arguments(qemu, "tcg", path);
	assert_non_null(words);
	assert_int_equal(run(words), PROBE_STATUS);
	json_decref(words);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_probe_speaks)};

	qemu = getenv("NETVM_QEMU") ? getenv("NETVM_QEMU") : "qemu-system-x86_64";
	if (setenv("QEMU", qemu, 1) || system("command -v \"$QEMU\" >/dev/null") != 0)
		return SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
