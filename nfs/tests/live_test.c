/*
 * Whole programs against a host that is part of the test: several queues, copies from the stock,
 * signals, the end. Called with the folder of the programs.
 */
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_host.h"
#include "tests/fixture.h"

#define ARGS_MAX 16

#define ETH "020000000002 020000000001 0800 "
/* 10.0.0.1 port 5000 asks 10.0.0.2 port 53; it answers; it says that nobody listens there */
#define QUERY ETH "4500001c 00010000 40110000 0a000001 0a000002 13880035 00080000"
#define REPLY ETH "4500001c 00010000 40110000 0a000002 0a000001 00351388 00080000"
#define REFUSAL                                                                                    \
	ETH "45000038 00010000 40010000 0a000002 0a000001 03030000 00000000 "                      \
	    "4500001c 00010000 40110000 0a000001 0a000002 13880035 00080000"

static const char *programs;
static char folder[] = "/tmp/nfs-live.XXXXXX";
static struct test_host *host;
static pid_t pid;

static const char *path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

/* Start a program with these arguments, up to NULL, and wait until it is attached. */
static void nf_start(const char *name, ...)
{
	char path[256];
	const char *argv[ARGS_MAX] = {path, "--socket", host->path, "--name", name};
	unsigned n = 5;
	va_list args;

	snprintf(path, sizeof(path), "%s/netvm-%s", programs, name);
	va_start(args, name);
	while (n < ARGS_MAX - 1 && (argv[n] = va_arg(args, const char *)))
		n++;
	va_end(args);
	assert_int_equal(posix_spawn(&pid, path, NULL, NULL, (char **)argv, environ), 0);
	assert_int_equal(test_host_ready(host), 0);
	assert_true(test_host_sleeps(host, 0));
}

/* Exit status after SIGTERM. */
static int nf_end(void)
{
	int status;

	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int setup(void **state)
{
	(void)state;
	pid = 0;
	return test_host_open(&host, &(struct test_host_options){0});
}

static int teardown(void **state)
{
	(void)state;
	if (pid) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	test_host_close(host);
	return 0;
}

static void give(unsigned queue, const char *hex)
{
	uint8_t bytes[FIXTURE_STRIDE];
	uint32_t length = fixture_hex(hex, bytes);

	assert_int_equal(test_host_give(host, 0, queue, bytes, length), 0);
}

/* The verdict of a packet given to one queue; its metadata says port 0. */
static unsigned verdict_of(unsigned queue, const char *hex)
{
	uint64_t word;

	give(queue, hex);
	assert_true(test_host_collect_all(host, 0, queue, &word, 1));
	return netvm_desc_verdict(word);
}

static void rules_write(const char *text)
{
	FILE *file = fopen(path_of("rules"), "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void queues_of_a_firewall_know_of_each_other(void **state)
{
	char rules[64];

	(void)state;
	rules_write("allow related\nallow proto udp to any port 53\n");
	snprintf(rules, sizeof(rules), "%s", path_of("rules"));
	nf_start("firewall", "--rules", rules, "--queues", "2", NULL);
	assert_int_equal(verdict_of(1, REFUSAL), NETVM_VERDICT_DROP);
	assert_int_equal(verdict_of(0, QUERY), TEST_HOST_NEXT);
	assert_int_equal(verdict_of(1, REFUSAL), TEST_HOST_NEXT);
	assert_int_equal(verdict_of(0, REFUSAL), TEST_HOST_NEXT);
	assert_int_equal(verdict_of(1, REPLY), NETVM_VERDICT_DROP);
	assert_int_equal(nf_end(), 0);
	assert_int_equal(host->refused, 0);
}

static void a_bridge_of_three_ports_floods_copies(void **state)
{
	uint64_t words[2];

	(void)state;
	for (uint32_t i = 0; i < 3; i++)
		test_host_grant(
			host, NETVM_DESTINATION_PORT, i, (const char *[]){"a", "b", "c"}[i]);
	nf_start("forward", NULL);
	test_host_stock(host, 0, 0, 8);
	give(0, QUERY);
	assert_true(test_host_collect_all(host, 0, 0, words, 2));
	assert_int_equal(netvm_desc_verdict(words[0]) + netvm_desc_verdict(words[1]),
		2 * TEST_HOST_NEXT + 2 + 3); /* ports b and c, behind the chain and a */
	assert_memory_equal(test_host_data(host, words[0]), test_host_data(host, words[1]),
		netvm_desc_length(words[0]));
	assert_int_equal(host->made, 1);
	assert_int_equal(nf_end(), 0);
	assert_int_equal(host->refused, 0);
}

static void a_port_may_be_granted_while_forward_runs(void **state)
{
	unsigned port;

	(void)state;
	nf_start("forward", "--to", "wan", NULL);
	assert_int_equal(verdict_of(0, QUERY), NETVM_VERDICT_DROP);
	port = test_host_grant(host, NETVM_DESTINATION_PORT, 9, "wan");
	assert_int_equal(verdict_of(0, QUERY), port);
	assert_int_equal(nf_end(), 0);
}

/* Wait until a file is there; false after ten seconds. */
static bool file_appears(const char *path)
{
	struct stat stat_;

	for (unsigned i = 0; i < 1000; i++) {
		if (stat(path, &stat_) == 0)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	return false;
}

static void a_signal_makes_the_monitor_report(void **state)
{
	char path[64], report[4096] = "";
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s", path_of("report"));
	nf_start("monitor", "--queues", "2", "--json", "--output", path, NULL);
	assert_int_equal(verdict_of(0, QUERY), TEST_HOST_NEXT);
	assert_int_equal(verdict_of(1, REFUSAL), TEST_HOST_NEXT);
	kill(pid, SIGUSR1);
	assert_true(file_appears(path));
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(report, 1, sizeof(report) - 1, file) > 0);
	fclose(file);
	assert_non_null(strstr(report, "\"total\":{\"packets\":2,"));
	assert_int_equal(nf_end(), 0);
}

static void what_delay_holds_is_sent_at_the_end(void **state)
{
	uint64_t words[3];

	(void)state;
	nf_start("delay", "--hold", "2", NULL);
	for (unsigned i = 0; i < 3; i++)
		give(0, QUERY);
	assert_true(test_host_collect_all(host, 0, 0, words, 1));
	assert_int_equal(test_host_in_flight(host), 2);
	assert_int_equal(nf_end(), 0);
	assert_true(test_host_collect_all(host, 0, 0, words, 2));
	assert_int_equal(test_host_in_flight(host), 0);
}

static int folder_create(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
	(void)state;
	unlink(path_of("rules"));
	unlink(path_of("report"));
	return rmdir(folder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			queues_of_a_firewall_know_of_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_bridge_of_three_ports_floods_copies, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_port_may_be_granted_while_forward_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(a_signal_makes_the_monitor_report, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_delay_holds_is_sent_at_the_end, setup, teardown),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER_OF_THE_PROGRAMS\n", argv[0]);
		return 2;
	}
	programs = argv[1];
	return cmocka_run_group_tests(tests, folder_create, folder_remove);
}
