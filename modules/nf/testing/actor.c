/*
 * A process for control_test to start: attaches as the environment says, then behaves as its
 * argument says.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "modules/nf/testing/client.h"

static int fail(void)
{
	fputs("starting\nno rules in \033here\n", stderr);
	return 3;
}

/* Attached: until the end of the connection, then end well. */
static int serve(struct client *client)
{
	return client_receive(client, true) == 0;
}

/* ---- state ----------------------------------------------------------------------------------- */

static const char state[] = "the state";

static uint64_t save(const char *how, int fd)
{
	if (strcmp(how, "fails") == 0)
		return UINT64_MAX;
	if (strcmp(how, "empty") == 0)
		return 0;
	if (strcmp(how, "mapped") == 0)
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return write(fd, state, sizeof(state)) == sizeof(state) ? sizeof(state) : UINT64_MAX;
}

/* It must be what was saved, and not to be written. */
static uint64_t load(const char *how, int fd, uint64_t n_bytes)
{
	char text[sizeof(state)] = "";

	return strcmp(how, "picky") == 0 || n_bytes != sizeof(state) ||
	       pread(fd, text, sizeof(text), 0) != sizeof(text) || strcmp(text, state) != 0 ||
	       pwrite(fd, text, 1, 0) == 1;
}

/* Hands over state as `how` says; late: answers when it is asked again, for the first time. */
static int serve_state(struct client *client, const char *how)
{
	int first_fd = -1;

	while (client_receive(client, true) == 0) {
		bool saves = client->message.type == NETVM_MESSAGE_SAVE;
		struct netvm_message answer = {.magic = NETVM_SOCKET_MAGIC,
			.type = saves ? NETVM_MESSAGE_SAVED : NETVM_MESSAGE_LOADED};

		if (strcmp(how, "late") == 0 && first_fd < 0) {
			first_fd = client->fds[0];
			continue;
		}
		answer.value = saves ? save(how, first_fd < 0 ? client->fds[0] : first_fd)
				     : load(how, client->fds[0], client->message.value);
		client_send(client, &answer, sizeof(answer), -1);
	}
	return 0;
}

static int attach(struct client *client, bool with_state)
{
	int rc = client_connect(client, getenv("NETVM_SOCKET"));

	if (!rc)
		rc = client_receive(client, true);
	if (!rc)
		rc = client_map(client);
	if (rc)
		return rc;
	client_fill(client, getenv("NETVM_NAME"), "");
	if (with_state)
		client->channel->hello.features |= NETVM_FEATURE_STATE;
	rc = client_hello(client);
	if (!rc)
		rc = client_receive(client, true);
	return rc ? rc : client->message.type == NETVM_MESSAGE_READY ? 0 : -1;
}

/* ---- roles ----------------------------------------------------------------------------------- */

static _Noreturn void ignore_all(void)
{
	signal(SIGTERM, SIG_IGN);
	for (;;)
		pause();
}

/* Says what it must not, then ends as if all were well. */
static int talk(struct client *client)
{
	client_hello(client);
	serve(client);
	return 0;
}

static _Noreturn void chatter(void)
{
	setlinebuf(stdout);
	for (;;)
		puts("and so on and so on");
}

/* As NetLib does it: to the next daemon when this one is gone. */
static int serve_all(struct client *client)
{
	for (;;) {
		int rc = client_receive(client, true);

		if (rc == 0)
			return 1;
		if (__atomic_load_n(&client->channel->control, __ATOMIC_ACQUIRE))
			return 0;
		do {
			client_close(client);
			poll(NULL, 0, 1);
		} while (client_attach(client, getenv("NETVM_SOCKET"), getenv("NETVM_NAME")));
	}
}

int main(int argc, char **argv)
{
	const char *role = argc > 1 ? argv[1] : "serve";
	struct client client;

	if (strcmp(role, "fail") == 0)
		return fail();
	if (strcmp(role, "mute") == 0)
		pause();
	if (strcmp(role, "slow") == 0)
		usleep(50000);
	if (attach(&client, strcmp(role, "state") == 0))
		return 9;
	if (strcmp(role, "absent") != 0) /* it looks at its rings */
		__atomic_store_n(&client.channel->queue[0].heartbeat, 1, __ATOMIC_RELAXED);
	if (strcmp(role, "state") == 0)
		return serve_state(&client, argc > 2 ? argv[2] : "");
	if (strcmp(role, "chatter") == 0)
		chatter();
	if (strcmp(role, "stubborn") == 0)
		ignore_all();
	if (strcmp(role, "crash") == 0)
		abort();
	if (strcmp(role, "quit") == 0)
		return 0;
	if (strcmp(role, "again") == 0)
		return serve_all(&client);
	if (strcmp(role, "talk") == 0)
		return talk(&client);
	return serve(&client);
}
