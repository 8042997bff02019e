/*
 * A real guest: stock QEMU under emulation boots an image of `netvm image build`, and the NF in it
 * gets its packets from the fake host through two ivshmem devices. The same file of the NF also
 * runs as a process. Called by meson: boot_test IMAGE_TOOL STATIC_NF
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>
#include <cmocka.h>

#include "test_host.h"

#define PATIENCE_NS UINT64_C(30000000000)
#define ROUNDS      20u
#define BURST       100u
#define SKIPPED     77 /* what meson takes for it */

static char *image_tool, *nf_path, *program;
static char folder[] = /* also the working directory: all names below are in it */
	"/tmp/netvm-guest-XXXXXX";

/* ---- programs ------------------------------------------------------------------------------ */

/* Output goes to the file "log"; the program ends with this one. */
static pid_t start(char *const argv[])
{
	pid_t pid = fork();

	assert_return_code(pid, errno);
	if (pid == 0) {
		int log = open("log", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static const char *read_file(const char *name)
{
	static char text[8192];
	FILE *file = fopen(name, "re");
	size_t n = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[n] = '\0';
	return text;
}

/* The exit status; whoever does not end in time is killed and fails the test. */
static int wait_for_end(pid_t pid)
{
	uint64_t deadline_ns = test_host_now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (test_host_now_ns(CLOCK_MONOTONIC) > deadline_ns) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			fail_msg("no end in time; log: %s", read_file("log"));
		}
		usleep(1000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void wait_for_ready(struct test_host *host, pid_t pid)
{
	uint64_t deadline_ns = test_host_now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;

	while (__atomic_load_n(&host->channel->state, __ATOMIC_ACQUIRE) != NETVM_STATE_READY) {
		if (test_host_now_ns(CLOCK_MONOTONIC) > deadline_ns ||
			waitpid(pid, NULL, WNOHANG) != 0)
			fail_msg("the NF did not attach; log: %s", read_file("log"));
		usleep(1000);
	}
	assert_int_equal(test_host_ready(host), 0);
}

/* ---- packets ------------------------------------------------------------------------------- */

static uint32_t packet_make(uint8_t *data, uint32_t number)
{
	uint32_t length = 64 + number * 7 % 1400;

	memcpy(data, &number, sizeof(number));
	for (uint32_t i = sizeof(number); i < length; i++)
		data[i] = (uint8_t)(number * 31 + i);
	return length;
}

/* Each comes back in order, whole, and in the buffer it left in. */
static void pass_packets(struct test_host *host)
{
	uint8_t expected[2048];
	uint64_t words[BURST];

	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < BURST; i++)
			assert_int_equal(test_host_give(host, 0, 0, expected,
						 packet_make(expected, round * BURST + i)),
				0);
		assert_true(test_host_collect_all(host, 0, 0, words, BURST));
		for (uint32_t i = 0; i < BURST; i++) {
			uint32_t length = packet_make(expected, round * BURST + i);

			assert_int_equal(netvm_desc_length(words[i]), length);
			assert_memory_equal(test_host_data(host, words[i]), expected, length);
		}
	}
	assert_int_equal(host->returned, ROUNDS * BURST);
	assert_int_equal(host->refused, 0);
	assert_int_equal(test_host_in_flight(host), 0);
}

/* ---- the guest ----------------------------------------------------------------------------- */

/* The emulated guest sees this machine's time stamp counter. */
static unsigned tsc_khz(void)
{
	uint64_t start_ns = test_host_now_ns(CLOCK_MONOTONIC), start = __rdtsc();

	while (test_host_now_ns(CLOCK_MONOTONIC) < start_ns + 5000000)
		;
	return (unsigned)((__rdtsc() - start) * 1000000u /
			  (test_host_now_ns(CLOCK_MONOTONIC) - start_ns));
}

/* Boots with these words on the kernel's line and these on QEMU's, up to a NULL. */
static pid_t qemu_start(const char *kernel_words, char *const *words)
{
	char line[1024], *cmdline = strdup(read_file("image/cmdline"));
	char *argv[40] = {program, "-accel", "tcg", "-machine", "q35", "-smp", "1,maxcpus=2", "-m",
		"128", "-nodefaults", "-no-user-config", "-nic", "none", "-display", "none",
		"-no-reboot", "-serial", "stdio", "-kernel", "image/vmlinux", "-initrd",
		"image/initramfs", "-append", line};
	unsigned n = 0;
	pid_t pid;

	while (argv[n])
		n++;
	while (*words)
		argv[n++] = *words++;
	cmdline[strcspn(cmdline, "\n")] = '\0';
	snprintf(line, sizeof(line), "%s tsc_early_khz=%u %s", cmdline, tsc_khz(), kernel_words);
	pid = start(argv);
	free(cmdline);
	return pid;
}

/* What both devices need on the command line, and on the monitor when they are plugged later. */
#define CHANNEL_SOCKET "socket,id=channel,path=channel"
#define GROUP_SOCKET   "socket,id=group,path=group"
#define CHANNEL_DEVICE "ivshmem-doorbell,chardev=channel,vectors=2"
#define GROUP_DEVICE   "ivshmem-doorbell,chardev=group,vectors=1"

static char *const with_devices[] = {"-chardev", CHANNEL_SOCKET, "-device", CHANNEL_DEVICE,
	"-chardev", GROUP_SOCKET, "-device", GROUP_DEVICE, NULL};

/* The ports reserve what the BARs behind them will need: QEMU says nothing when it is too little.
 */
static char *const with_ports[] = {"-device", "pcie-root-port,id=a,chassis=1,pref64-reserve=16M",
	"-device", "pcie-root-port,id=b,chassis=2,pref64-reserve=16M", "-monitor",
	"unix:monitor,server=on,wait=off", NULL};

/* The NF waits for its devices; then they come. Returns the monitor: closed, it would not finish.
 */
static int devices_plug(pid_t qemu)
{
	static const char commands[] =
		"chardev-add " CHANNEL_SOCKET "\ndevice_add " CHANNEL_DEVICE ",bus=a\n"
		"chardev-add " GROUP_SOCKET "\ndevice_add " GROUP_DEVICE ",bus=b\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "monitor"};
	int monitor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	while (!strstr(read_file("log"), "waiting")) {
		if (waitpid(qemu, NULL, WNOHANG) != 0)
			fail_msg("QEMU ended; log: %s", read_file("log"));
		usleep(1000);
	}
	assert_return_code(connect(monitor, (struct sockaddr *)&address, sizeof(address)), errno);
	assert_int_equal(write(monitor, commands, sizeof(commands) - 1), sizeof(commands) - 1);
	return monitor;
}

static pid_t guest_start(
	struct test_host *host, const char *kernel_words, bool plug, int connection[3])
{
	int channel = test_host_ivshmem_listen("channel");
	int group = test_host_ivshmem_listen("group");
	pid_t qemu = qemu_start(kernel_words, plug ? with_ports : with_devices);
	int result;

	connection[2] = plug ? devices_plug(qemu) : -1;
	result = test_host_ivshmem_serve(host, channel, group, connection);
	if (result < 0)
		fail_msg("ivshmem: %s; log: %s", strerror(-result), read_file("log"));
	close(channel);
	close(group);
	return qemu;
}

static void guest_end(struct test_host *host, const int connection[3])
{
	for (unsigned i = 0; i < 3; i++)
		if (connection[i] >= 0)
			close(connection[i]);
	test_host_close(host);
}

static void packets_pass_through_a_guest(void **state)
{
	const struct test_host_options options = {.guest = true};
	uint64_t start_ns = test_host_now_ns(CLOCK_MONOTONIC);
	struct test_host *host;
	int connection[3];
	pid_t qemu;

	(void)state;
	assert_int_equal(test_host_open(&host, &options), 0);
	/* No socket named: the NF finds the devices by itself. */
	qemu = guest_start(host, "NETVM_NAME=guest-nf NETVM_SOCKET=", false, connection);
	wait_for_ready(host, qemu);
	assert_string_equal(host->hello.name, "guest-nf");
	pass_packets(host);
	print_message("%u packets through a guest %.1f s after its start\n", ROUNDS * BURST,
		(double)(test_host_now_ns(CLOCK_MONOTONIC) - start_ns) / 1e9);
	test_host_control(host, NETVM_CONTROL_STOP);
	assert_int_equal(wait_for_end(qemu), 0);
	assert_int_equal(host->channel->state, NETVM_STATE_GONE);
	assert_non_null(strstr(read_file("log"), "netvm-forward ended with status 0"));
	guest_end(host, connection);
}

static void devices_are_plugged_into_a_running_guest(void **state)
{
	static const char words[] =
		"-- busybox sh -c \"echo waiting; until netvm-forward; do :; done\"";
	struct test_host *host;
	int connection[3];
	pid_t qemu;

	(void)state;
	assert_int_equal(test_host_open(&host, &(struct test_host_options){.guest = true}), 0);
	qemu = guest_start(host, words, true, connection);
	wait_for_ready(host, qemu);
	pass_packets(host);
	test_host_control(host, NETVM_CONTROL_STOP);
	assert_int_equal(wait_for_end(qemu), 0);
	guest_end(host, connection);
}

static void a_guest_without_a_daemon_says_so(void **state)
{
	const struct test_host_options options = {.guest = true};
	struct test_host *host;
	int connection[3];
	pid_t qemu;

	(void)state;
	assert_int_equal(test_host_open(&host, &options), 0);
	host->channel->magic = 0; /* memory without meaning, as any other ivshmem server gives */
	qemu = guest_start(host, "NETVM_NAME=guest-nf", false, connection);
	assert_int_equal(wait_for_end(qemu), 0);
	assert_non_null(
		strstr(read_file("log"), "none of 2 ivshmem devices offers a NetVM channel"));
	assert_non_null(strstr(read_file("log"), "netvm-forward ended with status 1"));
	guest_end(host, connection);
}

static void the_same_file_runs_as_a_process(void **state)
{
	char *const argv[] = {nf_path, NULL};
	struct test_host *host;
	pid_t nf;

	(void)state;
	assert_int_equal(test_host_open(&host, &(struct test_host_options){0}), 0);
	setenv("NETVM_SOCKET", host->path, 1);
	nf = start(argv);
	wait_for_ready(host, nf);
	pass_packets(host);
	test_host_control(host, NETVM_CONTROL_STOP);
	assert_int_equal(wait_for_end(nf), 0);
	test_host_close(host);
}

/* ---- setup --------------------------------------------------------------------------------- */

static int image_build(void **state)
{
	char *const argv[] = {image_tool, "build", "image", "--nf", nf_path, NULL};

	(void)state;
	if (wait_for_end(start(argv)) == 0)
		return 0;
	print_error("%s", read_file("log"));
	return -1;
}

static int folder_remove(void **state)
{
	char command[80];

	(void)state;
	free(image_tool);
	free(nf_path);
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_file_runs_as_a_process),
		cmocka_unit_test(packets_pass_through_a_guest),
		cmocka_unit_test(devices_are_plugged_into_a_running_guest),
		cmocka_unit_test(a_guest_without_a_daemon_says_so),
	};

	program = getenv("NETVM_QEMU") ? getenv("NETVM_QEMU") : "qemu-system-x86_64";
	if (setenv("QEMU", program, 1) || system("command -v \"$QEMU\" >/dev/null") != 0) {
		printf("1..0 # SKIP no %s on this machine\n", program);
		return SKIPPED;
	}
	if (argc != 3 || !mkdtemp(folder))
		return EXIT_FAILURE;
	image_tool = realpath(argv[1], NULL);
	nf_path = realpath(argv[2], NULL);
	if (!image_tool || !nf_path || chdir(folder) < 0)
		return EXIT_FAILURE;
	return cmocka_run_group_tests_name("boot", tests, image_build, folder_remove);
}
