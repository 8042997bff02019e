/*
 * The contract's other side, step by step, so that each step can be done wrong. See evil.h. What
 * differs between a process and a guest is in client_unix.c and client_pci.c.
 */
#include "evil.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define PATIENCE_S 200

/* ---- waiting and failing --------------------------------------------------------------------- */

void must(bool truth, const char *format, ...)
{
	va_list args;

	if (truth)
		return;
	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(" (errno: %s)\n", strerror(errno));
	fflush(stdout);
	_exit(1);
}

struct patience patience(const char *what)
{
	return (struct patience){
		clock_ns(CLOCK_MONOTONIC) + PATIENCE_S * UINT64_C(1000000000), what};
}

void patience_wait(struct patience *patience)
{
	const struct timespec moment = {0, 200000};

	must(clock_ns(CLOCK_MONOTONIC) < patience->until_ns, "no end of waiting for %s",
		patience->what);
	nanosleep(&moment, NULL);
}

uint64_t random_word(uint64_t *seed)
{
	/* splitmix64, by S. Vigna: any seed will do, and a run can be repeated */
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int spawn(void (*body)(const struct evil_case *self), const struct evil_case *self)
{
	int pid = fork();

	must(pid >= 0, "fork");
	if (pid == 0) {
		body(self);
		_exit(0);
	}
	return pid;
}

void await_child(int pid)
{
	int status;

	must(waitpid(pid, &status, 0) == pid, "waitpid");
	must(!WIFEXITED(status) || WEXITSTATUS(status) == 0, "the child failed");
}

/* ---- attaching ------------------------------------------------------------------------------- */

bool in_guest(void)
{
	return strcmp(getenv("NETVM_SOCKET"), "pci") == 0;
}

bool client_connect(struct client *client)
{
	*client = (struct client){.way = in_guest() ? &way_pci : &way_unix,
		.fd = -1,
		.channel_fd = -1,
		.group_fd = -1};
	return client->way->connect(client);
}

void client_fill_hello(struct client *client, const char *name)
{
	struct netvm_hello hello = {
		.abi_version = NETVM_ABI_VERSION, .n_queues = 1, .features = NETVM_FEATURE_STOCK};

	snprintf(hello.name, sizeof(hello.name), "%s", name);
	client->channel->hello = hello;
	__atomic_store_n(&client->channel->state, NETVM_STATE_HELLO, __ATOMIC_RELEASE);
}

void client_say_hello(struct client *client)
{
	client->way->say_hello(client);
}

void client_use_worker(struct client *client, unsigned worker)
{
	const struct netvm_layout *layout = &client->layout;
	uint8_t *at = (uint8_t *)client->channel + layout->queue_offset +
		      layout->queue_stride * worker * layout->n_queues;

	client->worker = worker;
	netvm_ring_end_init(&client->rx, at, layout->rx_words);
	at += netvm_ring_size_bytes(layout->rx_words);
	netvm_ring_end_init(&client->tx, at, layout->tx_words);
	at += netvm_ring_size_bytes(layout->tx_words);
	netvm_ring_end_init(&client->stock, at, layout->stock_words);
}

bool client_is_answered(struct client *client)
{
	return client->way->is_answered(client);
}

enum netvm_state client_answer(struct client *client)
{
	return client->way->answer(client);
}

void client_attach(struct client *client, const char *name)
{
	struct patience wait = patience("the predecessor to be gone");

	for (;;) {
		enum netvm_state state;

		must(client_connect(client), "connecting");
		client_fill_hello(client, name);
		client_say_hello(client);
		state = client_answer(client);
		if (state == NETVM_STATE_READY)
			return;
		must(state == NETVM_STATE_REFUSED &&
				client->channel->answer.refusal == NETVM_REFUSED_BUSY,
			"%s was not admitted: %.*s", name, (int)NETVM_TEXT_BYTES,
			client->channel->answer.text);
		client_close(client);
		patience_wait(&wait);
	}
}

void client_hang_up(struct client *client)
{
	if (!client->hung_up)
		client->way->hang_up(client);
	client->hung_up = true;
}

bool client_has_ended(struct client *client)
{
	return client->way->has_ended(client);
}

void client_await_end(struct client *client)
{
	struct patience wait = patience("the daemon to end it");

	while (!client_has_ended(client))
		patience_wait(&wait);
}

void client_close(struct client *client)
{
	client_hang_up(client);
	munmap(client->channel, client->channel_bytes);
	if (client->group)
		munmap(client->group, client->group_bytes);
	if (client->channel_fd >= 0)
		close(client->channel_fd);
	if (client->group_fd >= 0)
		close(client->group_fd);
}

/* ---- rings ----------------------------------------------------------------------------------- */

uint32_t client_take(struct netvm_ring_end *from, uint64_t *words, uint32_t max)
{
	struct patience wait = patience("words on a ring");
	uint32_t n;

	while ((n = netvm_ring_take(from, words, max)) == 0)
		patience_wait(&wait);
	must(n != NETVM_RING_CORRUPT, "the daemon's index is out of its window");
	return n;
}

/* The daemon tops up in bursts of 64, as long as a whole one fits into the quota. */
uint32_t client_take_stock(struct client *client, uint64_t *words, uint32_t max)
{
	uint32_t quota = client->layout.stock_words, n = 0;

	must(quota <= max, "room for the stock");
	while (n + 64 <= quota)
		n += client_take(&client->stock, words + n, max - n);
	return n;
}

void client_ring(const struct client *client)
{
	client->way->ring(client, client->worker);
}

void client_give(struct client *client, const uint64_t *words, uint32_t n)
{
	struct patience wait = patience("room on the tx ring");

	while (n > 0) {
		uint32_t room = netvm_ring_room(&client->tx, n);

		must(room != NETVM_RING_CORRUPT, "the daemon's index is out of its window");
		if (room > n)
			room = n;
		for (uint32_t i = 0; i < room; i++)
			netvm_ring_stage(&client->tx, *words++);
		netvm_ring_publish(&client->tx);
		client_ring(client);
		n -= room;
		if (n > 0 && room == 0)
			patience_wait(&wait);
		else
			wait = patience("room on the tx ring");
	}
}

/* One that has taken words has judged them before its next turn, so the last ones count as well. */
void client_await_judged(struct client *client)
{
	struct patience wait = patience("the daemon to take what was given");

	client_ring(client);
	while (__atomic_load_n(&client->tx.ring->consumer, __ATOMIC_ACQUIRE) != client->tx.own)
		patience_wait(&wait);
}

void client_pass(struct client *client, uint64_t n_pkts)
{
	while (n_pkts > 0) {
		uint64_t words[64];
		uint32_t n = client_take(&client->rx, words, 64);

		client_give(client, words, n);
		n_pkts -= n < n_pkts ? n : n_pkts;
	}
	client_await_judged(client);
}
