/*
 * All that a QEMU, or the guest inside, can say to the daemon (modules/guest): the monitor's lines,
 * with commands of ours under way or not, the agent's word, the ivshmem sockets, the bells.
 *
 * Properties: a script ends once, and not after it was replaced; a device is gone once for each
 * time it was there; an agent is ready or broken, not both at once; a bell's words fit. When QEMU
 * is gone and everything closed, so is every descriptor.
 */
#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "modules/guest/agent.h"
#include "modules/guest/bell.h"
#include "modules/guest/hotplug.h"
#include "modules/guest/ivshmem.h"
#include "modules/guest/monitor.h"
#include "modules/guest/script.h"
#include "tests/fuzz/fuzz.h"

#define STEPS_MAX    100
#define SAID_MAX     4096u
#define MEMORY_BYTES 4096

enum socket { MONITOR, AGENT, DEVICE, BELL, SOCKETS };

static struct event_base *base;
static char path[SOCKETS][64];
static int qemu[SOCKETS]; /* its ends */
static struct listener monitor_socket;
static int memory_fd, vector_fd;

static struct {
	struct monitor *monitor;
	struct agent *agent;
	struct ivshmem *device;
	struct bell bell;
	unsigned n_scripts, n_done, n_connected, n_gone;
} host;

/* ---- the daemon's side ----------------------------------------------------------------------- */

static bool allowed(void *arg, const struct peer *peer)
{
	require(!arg && peer->pid == getpid());
	return true;
}

static void event(void *arg, const char *name, const json_t *data)
{
	require(!arg && name);
	require(!data || json_typeof(data) <= JSON_NULL);
}

static void refused(void *arg, const char *text)
{
	require(!arg && text);
}

static void script_done(void *arg, const char *failure)
{
	(void)failure;
	require((uintptr_t)arg == host.n_scripts);
	host.n_done++;
	require(host.n_done == host.n_scripts);
}

static void agent_said(void *arg)
{
	require(!arg);
}

static void device_connected(void *arg, const struct peer *peer)
{
	require(!arg && peer->pid == getpid());
	host.n_connected++;
}

static void device_gone(void *arg)
{
	require(!arg);
	host.n_gone++;
	require(host.n_gone == host.n_connected);
}

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void hang_up(enum socket which)
{
	if (qemu[which] >= 0)
		close(qemu[which]);
	qemu[which] = -1;
}

/* Of the daemon's calls the last one counts. */
static void take_calls(void)
{
	int fd;

	while ((fd = accept4(monitor_socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		hang_up(MONITOR);
		qemu[MONITOR] = fd;
	}
}

/* A daemon's monitor calls at once, and again only a second after the end. */
static void open_monitor(void)
{
	const struct monitor_options options = {
		.base = base, .path = path[MONITOR], .event = event, .refused = refused};
	struct error error = {0};

	monitor_close(host.monitor);
	take_calls();
	hang_up(MONITOR);
	require(monitor_open(&options, &host.monitor, &error) == 0);
	turn();
	take_calls();
	require(qemu[MONITOR] >= 0);
}

static void open_host(void)
{
	const struct agent_options agent = {.base = base,
		.path = path[AGENT],
		.allowed = allowed,
		.ready = agent_said,
		.broken = agent_said};
	const struct ivshmem_options device = {.base = base,
		.path = path[DEVICE],
		.memory_fd = memory_fd,
		.n_vectors = 1,
		.vector_fd = {vector_fd},
		.allowed = allowed,
		.connected = device_connected,
		.gone = device_gone};
	struct error error = {0};

	memset(&host, 0, sizeof(host));
	require(listener_bind(&monitor_socket, path[MONITOR], 0600, &error) == 0);
	open_monitor();
	require(agent_open(&agent, &host.agent, &error) == 0);
	require(ivshmem_open(&device, &host.device, &error) == 0);
	require(bell_open(&host.bell, base, path[BELL], allowed, NULL, &error) == 0);
}

static void close_host(void)
{
	monitor_close(host.monitor);
	listener_close(&monitor_socket);
	agent_close(host.agent);
	ivshmem_close(host.device);
	bell_close(&host.bell);
}

/* The scripts there are; the one before, if it still runs, is told nothing any more. */
static void begin_script(unsigned kind)
{
	const struct hotplug devices = {
		.channel_socket = path[DEVICE], .group_socket = path[DEVICE], .n_vectors = 1};
	struct script *script;

	host.n_done = host.n_scripts++;
	script = monitor_script(host.monitor, script_done, (void *)(uintptr_t)host.n_scripts);
	require(script);
	if (kind % 4 == 0) {
		hotplug_port(script, 0, path[BELL]);
		hotplug_plug(script, &devices);
	} else if (kind % 4 == 1)
		hotplug_unplug(script);
	else if (kind % 4 == 2)
		hotplug_save(script, dup(memory_fd), kind & 4);
	else
		hotplug_load(script, dup(memory_fd));
	monitor_run(host.monitor, 60000);
}

static void use_agent(unsigned kind)
{
	static char *const words[] = {"netvm-forward", "--next", NULL};
	char text[16];

	if (kind % 4 == 0)
		agent_rehearse(host.agent);
	else if (kind % 4 == 1)
		agent_run(host.agent, "fw", "firewall", words);
	else if (kind % 4 == 2)
		monitor_hear_out(host.monitor);
	else {
		bell_words(&host.bell, text, sizeof(text));
		require(memchr(text, '\0', sizeof(text)));
	}
}

/* ---- QEMU's side ----------------------------------------------------------------------------- */

static void dial(enum socket which)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	hang_up(which);
	memcpy(address.sun_path, path[which], sizeof(path[which]));
	/* The agent's does not listen any more when it was told what to run. */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		close(fd);
	else
		qemu[which] = fd;
}

static void say(enum socket which, struct feed *feed)
{
	size_t n = feed_number(feed, 2) % SAID_MAX;
	uint8_t *bytes = feed_block(feed, &n);

	if (qemu[which] >= 0)
		(void)!send(qemu[which], bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	free(bytes);
}

/* What keeps a conversation going: the greeting, and that all is well with our last command. */
static void say_well(unsigned id)
{
	static const char greeting[] = "{\"QMP\": {}}\n{\"return\": {}}\n";
	char text[64];
	int n = snprintf(text, sizeof(text), "{\"return\": {}, \"id\": %u}\n", id);

	if (qemu[MONITOR] < 0)
		return;
	if (id == 0)
		(void)!send(qemu[MONITOR], greeting, strlen(greeting), MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		(void)!send(qemu[MONITOR], text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool step(struct feed *feed)
{
	unsigned what = (unsigned)feed_number(feed, 1);
	enum socket which = what / 8 % SOCKETS;

	switch (what % 8) {
	case 0:
		if (which == MONITOR)
			open_monitor();
		else
			dial(which);
		break;
	case 1:
	case 2:
		say(which, feed);
		break;
	case 3:
		hang_up(which);
		break;
	case 4:
		begin_script(what / 8);
		break;
	case 5:
		use_agent(what / 8);
		break;
	case 6:
		say_well((unsigned)feed_number(feed, 1));
		break;
	default:
		turn();
		break;
	}
	return feed->size > 0;
}

static unsigned open_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned n = 0;

	require(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static void start(void)
{
	static const char *const names[] = {"qmp", "agent", "channel", "bell"};

	base = event_base_new();
	memory_fd = memfd_create("netvm-fuzz", MFD_CLOEXEC);
	vector_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	require(base && vector_fd >= 0 && ftruncate(memory_fd, MEMORY_BYTES) == 0);
	for (unsigned i = 0; i < SOCKETS; i++) {
		snprintf(path[i], sizeof(path[i]), "/tmp/netvm-fuzz-guest.%d.%s", getpid(),
			names[i]);
		qemu[i] = -1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	unsigned n_fds;

	if (!base)
		start();
	n_fds = open_fds();
	open_host();
	for (int i = 0; i < STEPS_MAX && step(&feed); i++)
		continue;
	for (unsigned i = 0; i < SOCKETS; i++)
		hang_up(i);
	turn();
	require(host.n_gone == host.n_connected);
	close_host();
	turn();
	require(open_fds() == n_fds);
	return 0;
}
