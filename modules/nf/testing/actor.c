/*
 * A process for control_test to start: attaches as the environment says, then behaves as its
 * argument says.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int main(int argc, char **argv)
{
	const char *role = argc > 1 ? argv[1] : "serve";
	struct client client;

	if (strcmp(role, "fail") == 0)
		return fail();
	if (strcmp(role, "mute") == 0)
		pause();
	if (client_attach(&client, getenv("NETVM_SOCKET"), getenv("NETVM_NAME")) ||
		client.message.type != NETVM_MESSAGE_READY)
		return 9;
	if (strcmp(role, "stubborn") == 0)
		ignore_all();
	if (strcmp(role, "crash") == 0)
		abort();
	if (strcmp(role, "quit") == 0)
		return 0;
	if (strcmp(role, "talk") == 0)
		return talk(&client);
	return serve(&client);
}
