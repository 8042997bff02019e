/* Attacks on the NF socket: names, identities, messages, descriptors, crowds. */
#include "evil.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define IDLE_CONNECTIONS 1000
#define WAITING_MAX      64 /* that the daemon lets wait for their HELLO */

/* ---- names ----------------------------------------------------------------------------------- */

/* Says HELLO with this hello; it must be refused for that reason. */
static void hello_refused(const struct netvm_hello *hello, enum netvm_refusal refusal)
{
	struct client client;

	must(client_connect(&client), "connecting");
	client.channel->hello = *hello;
	__atomic_store_n(&client.channel->state, NETVM_STATE_HELLO, __ATOMIC_RELEASE);
	client_say_hello(&client);
	must(client_answer(&client) == NETVM_STATE_REFUSED, "an answer that refuses");
	must(client.channel->answer.refusal == refusal, "refused for %u and not for %u: %.*s",
		client.channel->answer.refusal, refusal, (int)NETVM_TEXT_BYTES,
		client.channel->answer.text);
	client_await_end(&client);
	client_close(&client);
}

static struct netvm_hello good_hello(const char *name)
{
	struct netvm_hello hello = {.abi_version = NETVM_ABI_VERSION, .n_queues = 1};

	snprintf(hello.name, sizeof(hello.name), "%s", name);
	return hello;
}

static void bad_names(const struct evil_case *self)
{
	static const char *const names[] = {"", "../x", "/etc/passwd", ".", "a b", "a/b", "a\nb",
		"%s%n", "\xff\xfe", "\xc3\x28", "\xe2\x82", "a;reboot", "$(reboot)", "-x"};
	struct netvm_hello hello;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		hello = good_hello(names[i]);
		hello_refused(&hello, NETVM_REFUSED_NAME);
		hello = good_hello(self->name);
		snprintf(hello.service, sizeof(hello.service), "%s", names[i]);
		if (names[i][0])
			hello_refused(&hello, NETVM_REFUSED_NAME);
	}
	hello = good_hello(self->name);
	memset(hello.name, 'x', sizeof(hello.name)); /* no NUL */
	hello_refused(&hello, NETVM_REFUSED_NAME);
	hello = good_hello(self->name);
	memset(hello.service, 'x', sizeof(hello.service));
	hello_refused(&hello, NETVM_REFUSED_NAME);
	hello = good_hello("");
	memcpy(hello.name, "\0hidden", 7);
	hello_refused(&hello, NETVM_REFUSED_NAME);
}

static void many_names(const struct evil_case *self)
{
	(void)self;
	for (uint64_t i = 0; i < rounds(500, 10000); i++) {
		struct netvm_hello hello = good_hello("");

		snprintf(hello.name, sizeof(hello.name), "stranger-%llu", (unsigned long long)i);
		hello_refused(&hello, NETVM_REFUSED_UNKNOWN);
	}
}

static void bad_hello(const struct evil_case *self)
{
	struct netvm_hello hello = good_hello(self->name);

	for (uint32_t beyond = NETVM_FEATURE_BELL << 1; beyond; beyond <<= 1) {
		hello.features = beyond;
		hello_refused(&hello, NETVM_REFUSED_FEATURE);
	}
	hello = good_hello(self->name);
	for (uint32_t queues = 0; queues != 1; queues = queues ? queues * 2 : 2) {
		hello.n_queues = queues;
		hello_refused(&hello, NETVM_REFUSED_FEATURE);
		if (queues == 0x80000000u)
			break;
	}
	for (uint32_t version = 0; version < 40; version++) {
		hello = good_hello(self->name);
		hello.abi_version = version < 32 ? (1u << version) + 1 : 0;
		hello_refused(&hello, NETVM_REFUSED_VERSION);
	}
}

/* The hello changes while it is judged; whatever the daemon believes must be one of the two. */
static void hello_races(const struct evil_case *self)
{
	for (uint64_t i = 0; i < rounds(200, 10000); i++) {
		struct client client;

		must(client_connect(&client), "connecting");
		client_fill_hello(&client, self->name);
		client_say_hello(&client);
		do {
			memset(client.channel->hello.name, 'x', NETVM_NAME_BYTES);
			client.channel->hello.n_queues = UINT32_MAX;
			client.channel->layout.channel_bytes = UINT64_MAX;
			snprintf(client.channel->hello.name, NETVM_NAME_BYTES, "%s", self->name);
			client.channel->hello.n_queues = 1;
		} while (!client_is_answered(&client));
		client_close(&client);
	}
	report.unknown = true;
}

/* ---- identities ------------------------------------------------------------------------------ */

/* For an NF that is not the attacker's; a guest does not even hear that there is one. */
static enum netvm_refusal not_yours(void)
{
	return in_guest() ? NETVM_REFUSED_UNKNOWN : NETVM_REFUSED_CREDENTIAL;
}

static void replay_process(const struct evil_case *self)
{
	struct netvm_hello hello = good_hello("forward");

	(void)self;
	hello_refused(&hello, not_yours());
}

static void replay_external(const struct evil_case *self)
{
	struct netvm_hello hello = good_hello(self->name);
	struct client client;

	client_attach(&client, self->name);
	for (uint64_t i = 0; i < rounds(10, 1000); i++)
		hello_refused(&hello, NETVM_REFUSED_BUSY);
}

static void other_group(const struct evil_case *self)
{
	struct netvm_hello hello = good_hello(self->name);

	snprintf(hello.service, sizeof(hello.service), "forward");
	hello_refused(&hello, NETVM_REFUSED_SERVICE);
	hello = good_hello("stranger"); /* declared for another user, in the victims' group */
	hello_refused(&hello, not_yours());
}

/* What its devices were made for says who it is, not its hello. */
static void other_guest(const struct evil_case *self)
{
	struct netvm_hello hello = good_hello("peaceful");

	(void)self;
	hello_refused(&hello, NETVM_REFUSED_UNKNOWN);
}

/* ---- messages and descriptors ---------------------------------------------------------------- */

/* Whatever this is, the answer is the end of the connection. */
static void said_is_the_end(const void *bytes, size_t size, const int *fds, unsigned n_fds)
{
	struct client client;
	int err;

	must(client_connect(&client), "connecting");
	client_fill_hello(&client, "nobody");
	err = client_send(&client, bytes, size, fds, n_fds);
	must(!err, "sending %zu bytes, %u descriptors: %s", size, n_fds, strerror(err));
	client_await_end(&client);
	client_close(&client);
}

static void bad_messages(const struct evil_case *self)
{
	static const uint8_t big[65536];
	struct netvm_message good = {.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO};
	struct netvm_message bad;

	(void)self;
	for (size_t size = 0; size < sizeof(good); size++)
		said_is_the_end(&good, size, NULL, 0);
	said_is_the_end(big, sizeof(good) + 1, NULL, 0);
	said_is_the_end(big, sizeof(big), NULL, 0);
	bad = good, bad.magic++;
	said_is_the_end(&bad, sizeof(bad), NULL, 0);
	for (uint32_t type = 0; type < 16; type++) {
		bad = good, bad.type = (uint16_t)(1u << type);
		if (bad.type != NETVM_MESSAGE_HELLO)
			said_is_the_end(&bad, sizeof(bad), NULL, 0);
	}
	bad = good, bad.n_fds = 1; /* announced, but missing */
	said_is_the_end(&bad, sizeof(bad), NULL, 0);
	bad = good, bad.value = UINT64_MAX;
	said_is_the_end(&bad, sizeof(bad), NULL, 0);
}

/* None of them may stay in the daemon; its descriptors are counted afterwards. */
static void bad_descriptors(const struct evil_case *self)
{
	struct netvm_message hello = {
		.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO, .n_fds = 1};
	int fds[253], pair[2], n = 0;

	(void)self;
	must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), "socketpair");
	fds[n++] = pair[0];
	fds[n++] = pair[1];
	fds[n++] = eventfd(0, 0);
	fds[n++] = epoll_create1(0);
	fds[n++] = memfd_create("x", 0);
	fds[n++] = open("/", O_RDONLY | O_DIRECTORY);
	fds[n++] = open("/dev/null", O_RDWR);
	for (int i = 0; i < n; i++)
		said_is_the_end(&hello, sizeof(hello), &fds[i], 1);
	for (int i = n; i < 253; i++)
		fds[i] = fds[i % n];
	hello.n_fds = 253;
	said_is_the_end(&hello, sizeof(hello), fds, 253);
}

static void hello_unfilled(const struct evil_case *self)
{
	struct client client;

	(void)self;
	must(client_connect(&client), "connecting");
	client_say_hello(&client);
	client_await_end(&client);
}

/* Says nothing at all until the daemon has had enough. */
static void hello_late(const struct evil_case *self)
{
	struct client client;

	(void)self;
	must(client_connect(&client), "connecting");
	client_await_end(&client);
}

static void hello_twice(const struct evil_case *self)
{
	struct client client;

	client_attach(&client, self->name);
	client_say_hello(&client);
	client_await_end(&client);
}

static void talks_later(const struct evil_case *self)
{
	const struct netvm_message hello = {
		.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO, .n_fds = 1};
	struct client client;

	client_attach(&client, self->name);
	must(client_send(&client, &hello, sizeof(hello), &client.group_fd, 1) == 0, "sending");
	client_await_end(&client);
}

/* The answer to a question that was never put: state of any size, in a hand-over nobody wants. */
static void state_unasked(const struct evil_case *self)
{
	struct netvm_message saved = {
		.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_SAVED, .value = UINT64_MAX};
	struct client client;

	client_attach(&client, self->name);
	must(client_send(&client, &saved, sizeof(saved), NULL, 0) == 0, "sending");
	client_await_end(&client);
}

/* ---- crowds ---------------------------------------------------------------------------------- */

/* The oldest ones have to go; whoever comes then with something to say is served. */
static void idle_crowd(const struct evil_case *self)
{
	static struct client crowd[IDLE_CONNECTIONS];
	struct client late;
	unsigned n_accepted = 0, n_ended = 0;

	for (unsigned i = 0; i < IDLE_CONNECTIONS; i++)
		n_accepted += client_connect(&crowd[i]);
	must(n_accepted == IDLE_CONNECTIONS, "%u of %u connections were accepted", n_accepted,
		IDLE_CONNECTIONS);
	for (unsigned i = 0; i < IDLE_CONNECTIONS; i++)
		n_ended += client_has_ended(&crowd[i]);
	must(n_ended >= IDLE_CONNECTIONS - WAITING_MAX, "%u of %u connections still wait",
		IDLE_CONNECTIONS - n_ended, IDLE_CONNECTIONS);
	client_attach(&late, self->name);
}

const struct evil_case attach_cases[] = {
	{"bad-names", "names and services empty, too long, with NUL, paths, junk UTF-8", REFUSED,
		false, bad_names},
	{"many-names", "names nobody declared, one after the other", REFUSED, false, many_names},
	{"bad-hello", "unknown versions, features, numbers of queues", REFUSED, false, bad_hello},
	{"hello-races", "rewrites its hello while it is judged", ANY, false, hello_races},
	{"replay-process", "says it is an NF that the daemon started", REFUSED, false,
		replay_process},
	{"replay-external", "attaches once more under the name it has", COUNTED, false,
		replay_external, .where = PROCESS},
	{"other-group", "asks for a service and an NF of another group", REFUSED, false,
		other_group},
	{"other-guest", "says it is another guest", REFUSED, false, other_guest, .where = GUEST},
	{"bad-messages", "truncated, too long, wrong and incomplete messages", REFUSED, false,
		bad_messages, .where = PROCESS},
	{"bad-descriptors", "descriptors of all kinds, up to 253 at once", REFUSED, false,
		bad_descriptors, .where = PROCESS},
	{"hello-unfilled", "says HELLO without one in the channel", REFUSED, false, hello_unfilled,
		.where = PROCESS},
	{"hello-late", "says nothing", REFUSED, false, hello_late, .where = PROCESS},
	{"hello-twice", "says HELLO once more when attached", BROKEN, false, hello_twice,
		.where = PROCESS},
	{"talks-later", "sends a descriptor when attached", BROKEN, false, talks_later,
		.where = PROCESS},
	{"state-unasked", "hands state over that nobody asked for", BROKEN, false, state_unasked,
		.where = PROCESS},
	{"idle-crowd", "1000 connections that say nothing, then one that attaches", COUNTED, false,
		idle_crowd, .where = PROCESS},
	{NULL},
};
