/* Attacks by coming, going, standing still and staying longer than one should. */
#include "evil.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOCK_MAX 1024

/* The control: an NF as it should be. What every case is measured against. */
static void peaceful(const struct evil_case *self)
{
	struct client client;

	client_attach(&client, self->name);
	client_pass(&client, rounds(5000, 50000));
}

/* ---- never doing one's part ------------------------------------------------------------------ */

/* One chain may fill three quarters of a ring. */
static void never_draining(const struct evil_case *self)
{
	struct patience wait = patience("a ring as full as it gets");
	struct client client;

	client_attach(&client, self->name);
	while (__atomic_load_n(&client.rx.ring->producer, __ATOMIC_ACQUIRE) < client.rx.mask / 2)
		patience_wait(&wait);
}

/* Takes all it can get, packets and stock, until there is no more: its quota. */
static void never_returning(const struct evil_case *self)
{
	struct patience wait = patience("the quota to be used up");
	uint64_t words[STOCK_MAX];
	struct client client;
	uint32_t n = 0;

	client_attach(&client, self->name);
	client_take_stock(&client, words, STOCK_MAX);
	for (int idle = 0; n < client.rx.mask / 2 || idle < 500; idle++) {
		uint32_t more = netvm_ring_take(&client.rx, words, 64);

		must(more != NETVM_RING_CORRUPT, "rx is corrupt");
		n += more;
		if (more)
			idle = 0;
		patience_wait(&wait);
	}
	must(n <= client.rx.mask + 1, "%u packets at once, its ring has %u", n, client.rx.mask + 1);
	must(netvm_ring_filled(&client.stock) == 0, "stock beyond the quota");
}

/* ---- dying ----------------------------------------------------------------------------------- */

enum point { CONNECTED, FILLED, SAID, READY, HOLDING, STAGED, GONE };

static void work_until(const struct evil_case *self)
{
	uint64_t words[STOCK_MAX];
	struct client client;
	enum point point = (enum point)self->argument;
	uint32_t n;

	if (point > SAID) {
		client_attach(&client, self->name);
	} else {
		must(client_connect(&client), "connecting");
		if (point >= FILLED)
			client_fill_hello(&client, self->name);
		if (point >= SAID)
			client_say_hello(&client);
	}
	if (point >= HOLDING) {
		n = client_take(&client.rx, words, 64);
		n += client_take_stock(&client, words + n, STOCK_MAX - 64);
		if (point >= STAGED)
			for (uint32_t i = 0; i < n; i++)
				netvm_ring_stage(&client.tx, words[i]);
	}
	if (point >= GONE)
		__atomic_store_n(&client.channel->state, NETVM_STATE_GONE, __ATOMIC_RELEASE);
}

static void work_and_die(const struct evil_case *self)
{
	work_until(self);
	kill(getpid(), SIGKILL);
}

/* A guest's end is not its program's: it is unplugged or killed afterwards. */
static void dies(const struct evil_case *self)
{
	if (in_guest()) {
		work_until(self);
		return;
	}
	for (uint64_t i = 0; i < rounds(3, 100); i++) {
		await_child(spawn(work_and_die, self));
		await_child(spawn(work_until, self));
	}
}

/* ---- standing still -------------------------------------------------------------------------- */

/* Gives up its place, stops, and goes on as if it had it when it is awake again. */
static void stop_and_scribble(const struct evil_case *self)
{
	uint64_t words[STOCK_MAX];
	struct client client;
	uint32_t n;

	client_attach(&client, self->name);
	n = client_take_stock(&client, words, STOCK_MAX);
	must(!shutdown(client.fd, SHUT_RDWR), "shutdown");
	raise(SIGSTOP);
	for (int i = 0; i < 100; i++) {
		for (uint32_t w = 0; w < n; w++)
			netvm_ring_stage(&client.tx, words[w]);
		netvm_ring_publish(&client.tx);
		client_ring(&client);
	}
	memset(client.channel, 0xff, client.layout.channel_bytes);
}

static void place_reused(const struct evil_case *self)
{
	int status, first = spawn(stop_and_scribble, self);
	uint64_t words[STOCK_MAX];
	struct client client;

	must(waitpid(first, &status, WUNTRACED) == first && WIFSTOPPED(status), "it stops");
	client_attach(&client, self->name);
	kill(first, SIGCONT);
	await_child(first);
	for (int i = 0; i < 10; i++)
		client_give(&client, words, client_take_stock(&client, words, STOCK_MAX));
	client_await_judged(&client);
}

/* Stopped with packets in its hands, and killed while it is. */
static void stopped_and_killed(const struct evil_case *self)
{
	int status, pid = fork();

	if (pid == 0) {
		work_until(&(struct evil_case){.name = self->name, .argument = HOLDING});
		raise(SIGSTOP);
	}
	must(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "it stops");
	kill(pid, SIGKILL);
	await_child(pid);
}

/* ---- staying --------------------------------------------------------------------------------- */

/*
 * A child keeps both memories and all doorbells and uses them after the NF has gone; a second one
 * keeps the connection as well, so that the NF is there until it ends.
 */
static void child_stays(const struct evil_case *self)
{
	uint64_t seed = 5, words[STOCK_MAX];
	struct client client;
	int leave[2], pid;
	char byte;

	must(!pipe(leave), "pipe");
	client_attach(&client, self->name);
	client_take_stock(&client, words, STOCK_MAX);
	pid = fork();
	if (pid != 0) {
		if (!self->argument)
			client_hang_up(&client);
		must(write(leave[1], "x", 1) == 1, "telling the child");
		if (in_guest())
			await_child(pid); /* or it goes on in the next case's memories */
		return;                   /* the program ends, the child goes on */
	}
	if (!self->argument)
		client_hang_up(&client);
	must(read(leave[0], &byte, 1) == 1, "hearing from the parent");
	for (uint64_t i = 0; i < rounds(1000000, 4000000); i++) {
		size_t at = random_word(&seed) % (client.layout.group_bytes / sizeof(uint64_t));

		((uint64_t *)client.group)[at] = seed;
		at = seed % (client.layout.channel_bytes / sizeof(uint64_t));
		if (!self->argument)
			((uint64_t *)client.channel)[at] = seed;
		if (i % 64 == 0)
			client_ring(&client);
	}
	_exit(0);
}

const struct evil_case life_cases[] = {
	{"peaceful", "does nothing wrong: the measure of all that follow", COUNTED, true, peaceful},
	{"never-draining", "leaves its packets where they are", COUNTED, true, never_draining},
	{"never-returning", "takes all packets and all stock it can get", COUNTED, true,
		never_returning},
	{"dies-connected", "exits, and is killed, when it has its channel", NOBODY, false, dies,
		CONNECTED},
	{"dies-filled", "... with its hello filled in", NOBODY, false, dies, FILLED},
	{"dies-said", "... with HELLO just sent", ANY, false, dies, SAID},
	{"dies-ready", "... attached", COUNTED, false, dies, READY},
	{"dies-holding", "... with packets and stock in its hands", COUNTED, true, dies, HOLDING},
	{"dies-staged", "... with words written and not yet shown", COUNTED, true, dies, STAGED},
	{"dies-gone", "... having said it is gone", COUNTED, true, dies, GONE},
	{"place-reused", "stopped by SIGSTOP; goes on when another has its place", COUNTED, false,
		place_reused, .where = PROCESS},
	{"stopped-killed", "stopped by SIGSTOP with packets in its hands, then killed", COUNTED,
		true, stopped_and_killed, .where = PROCESS},
	{"child-stays", "a forked child keeps memories and doorbells and uses them", COUNTED, false,
		child_stays, 0},
	{"child-attached", "a forked child keeps the connection, too", COUNTED, false, child_stays,
		1, PROCESS},
	{NULL},
};
