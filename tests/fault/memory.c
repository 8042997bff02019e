/* Attacks on the memory objects and other descriptors that are shared with the daemon. */
#include "evil.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOCK_MAX 1024

static void punch(int fd, uint64_t size)
{
	must(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size),
		"punching a hole");
}

static void punch_group(const struct evil_case *self)
{
	struct client client;

	client_attach(&client, self->name);
	for (uint64_t round = 0; round < rounds(20, 2000); round++) {
		punch(client.group_fd, client.layout.group_bytes);
		client_pass(&client, 100);
	}
}

/* Every 2 MB page of the machine that is still free, for as long as we run. */
static void take_huge_pages(void)
{
	while (mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1,
		       0) != MAP_FAILED)
		;
}

/*
 * A page that is punched away is free for a moment; once we are the one who gets it, the daemon
 * finds none in its place. We do not look at the packets ourselves.
 */
static void punch_huge(const struct evil_case *self)
{
	struct patience wait = patience("the end");
	struct client client;

	client_attach(&client, self->name);
	while (!client_has_ended(&client)) {
		uint64_t words[64];

		take_huge_pages();
		punch(client.group_fd, client.layout.group_bytes);
		take_huge_pages();
		client_give(&client, words, netvm_ring_take(&client.rx, words, 64));
		patience_wait(&wait);
	}
}

/* All indices become 0, which is outside of the window as soon as the rings have turned. */
static void punch_channel(const struct evil_case *self)
{
	uint64_t words[STOCK_MAX];
	struct client client;

	client_attach(&client, self->name);
	for (int i = 0; i < 8; i++)
		client_give(&client, words, client_take_stock(&client, words, STOCK_MAX));
	client_await_judged(&client);
	punch(client.channel_fd, client.layout.channel_bytes);
	client_ring(&client);
	client_await_end(&client);
}

static void resize(const struct evil_case *self)
{
	struct client client;
	struct stat st;

	client_attach(&client, self->name);
	for (int i = 0; i < 2; i++) {
		int fd = i ? client.group_fd : client.channel_fd;

		must(!fstat(fd, &st), "fstat");
		must(ftruncate(fd, 0) && errno == EPERM, "shrinking is refused");
		must(ftruncate(fd, st.st_size / 2) && errno == EPERM, "shrinking is refused");
		must(ftruncate(fd, st.st_size * 2) && errno == EPERM, "growing is refused");
		must(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), "sealing is refused");
	}
	client_pass(&client, 1000);
}

/* Before HELLO the channel can still grow and be sealed: the daemon has to look afterwards. */
static void hello_refused(struct client *client, const char *name)
{
	client_fill_hello(client, name);
	client_say_hello(client);
	must(client_answer(client) == NETVM_STATE_REFUSED, "an answer that refuses");
	must(client->channel->answer.refusal == NETVM_REFUSED_RESOURCE, "refused otherwise: %u",
		client->channel->answer.refusal);
	client_await_end(client);
}

static void grow_early(const struct evil_case *self)
{
	struct client client;

	must(client_connect(&client), "connecting");
	must(ftruncate(client.channel_fd, 0) && errno == EPERM, "shrinking is refused");
	must(!ftruncate(client.channel_fd, 64 << 20), "growing is possible before HELLO");
	hello_refused(&client, self->name);
}

static void seal_early(const struct evil_case *self)
{
	struct client client;

	must(client_connect(&client), "connecting");
	must(!fcntl(client.channel_fd, F_ADD_SEALS, self->argument), "sealing");
	hello_refused(&client, self->name);
}

/* The daemon's mapping is older and stays writable; the NF locks out only itself. */
static void seal_write_early(const struct evil_case *self)
{
	struct client client;

	must(client_connect(&client), "connecting");
	must(!fcntl(client.channel_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), "sealing");
	client_fill_hello(&client, self->name);
	client_say_hello(&client);
	while (__atomic_load_n(&client.channel->state, __ATOMIC_ACQUIRE) == NETVM_STATE_HELLO)
		usleep(100);
	must(client.channel->state == NETVM_STATE_READY, "ready");
}

/* Flags belong to the open file, which both sides share; and signals can be asked for. */
static void flags(const struct evil_case *self)
{
	struct ucred daemon;
	socklen_t size = sizeof(daemon);
	struct client client;
	int fds[4], n = 0;

	client_attach(&client, self->name);
	must(!getsockopt(client.fd, SOL_SOCKET, SO_PEERCRED, &daemon, &size), "who it is");
	fds[n++] = client.bell[0];
	fds[n++] = client.worker_fd[0];
	fds[n++] = client.channel_fd;
	fds[n++] = client.group_fd;
	for (uint64_t round = 0; round < rounds(20, 2000); round++) {
		for (int i = 0; i < n; i++) {
			(void)fcntl(fds[i], F_SETOWN, daemon.pid);
			(void)fcntl(fds[i], F_SETSIG, SIGKILL);
			(void)fcntl(fds[i], F_SETFL, round & 1 ? 0 : O_NONBLOCK | O_ASYNC);
		}
		(void)fcntl(client.bell[0], F_SETPIPE_SZ, round & 1 ? 4096 : 65536);
		client_pass(&client, 100);
	}
}

/*
 * The reading end of a pipe can be opened again for writing, by the daemon's own user at least.
 * Full, it must not stop the daemon.
 */
static void fill_bell(const struct evil_case *self)
{
	static const char junk[4096];
	struct client client;
	char path[64];
	int fd;

	client_attach(&client, self->name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", client.bell[0]);
	fd = open(path, O_WRONLY | O_NONBLOCK);
	must(fd >= 0 || errno == EACCES, "opening the doorbell for writing");
	while (fd >= 0 && write(fd, junk, sizeof(junk)) > 0)
		;
	for (uint32_t ticket = 1; ticket <= 20; ticket++) {
		__atomic_store_n(&client.channel->queue[0].sleep_ticket, ticket, __ATOMIC_SEQ_CST);
		client_pass(&client, 100);
	}
}

const struct evil_case memory_cases[] = {
	{"punch-group", "punches holes into all of the group's packets while they pass", COUNTED,
		true, punch_group, .where = PROCESS},
	{"punch-huge", "punches the huge pages of its group away and keeps them", FAULT, true,
		punch_huge, .where = PROCESS},
	{"punch-channel", "punches its whole channel away", FAULT, false, punch_channel,
		.where = PROCESS},
	{"resize", "truncates, grows and seals both memories", COUNTED, true, resize,
		.where = PROCESS},
	{"grow-early", "grows the channel before HELLO", REFUSED, false, grow_early,
		.where = PROCESS},
	{"seal-grow-early", "seals the channel against growing before HELLO", REFUSED, false,
		seal_early, F_SEAL_GROW, PROCESS},
	{"seal-seal-early", "seals the channel against further seals before HELLO", REFUSED, false,
		seal_early, F_SEAL_SEAL, PROCESS},
	{"seal-write-early", "seals the channel against new writable mappings before HELLO",
		COUNTED, false, seal_write_early, .where = PROCESS},
	{"flags", "F_SETFL, F_SETOWN and F_SETSIG on all that is shared", COUNTED, true, flags,
		.where = PROCESS},
	{"bell-filled", "fills its own doorbell and asks to be rung", COUNTED, true, fill_bell,
		.where = PROCESS},
	{NULL},
};
