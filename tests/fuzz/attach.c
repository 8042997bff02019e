/*
 * The NF socket and the handshake in the channel (modules/nf/attach.c, session.c), over a fake
 * engine: four strangers do what the input says, each step with its own mistakes.
 *
 * Properties: who is admitted has a hello that is well-formed, whatever stood in the channel; the
 * daemon's mapping survives a channel cut short; when the strangers are gone, so are their
 * sessions, their places in the engine and every descriptor.
 */
#include <ctype.h>
#include <fcntl.h>
#include <unistd.h>

#include <event2/event.h>

#include "modules/nf/attach.h"
#include "modules/nf/testing/client.h"
#include "modules/nf/testing/fake.h"
#include "tests/fuzz/fuzz.h"

#define STRANGERS 4u
#define STEPS_MAX 200

static struct event_base *base;
static struct attach *server;
static struct client client[STRANGERS];
static char path[64];
static unsigned n_sessions;
static uint32_t refuse_with;
static int owner;

/* ---- the daemon's side ----------------------------------------------------------------------- */

static void is_name(const char *text)
{
	require(memchr(text, '\0', NETVM_NAME_BYTES));
	for (; *text; text++)
		require(isalnum((unsigned char)*text) || strchr("_.-", *text));
}

static uint32_t admit(const struct attach_request *request, struct attach_grant *grant, char *text)
{
	const struct netvm_hello *hello = &request->hello;

	require(hello->abi_version == NETVM_ABI_VERSION);
	require(hello->n_queues >= 1 && hello->n_queues <= NETVM_QUEUES_MAX);
	require(!(hello->features & ~(uint32_t)(NETVM_FEATURE_META | NETVM_FEATURE_STOCK |
						NETVM_FEATURE_STATE | NETVM_FEATURE_BELL)));
	is_name(hello->name);
	is_name(hello->service);
	require(hello->name[0]);
	snprintf(text, NETVM_TEXT_BYTES, "the sentence");
	*grant = (struct attach_grant){.owner = &owner,
		.pool = fake_pool("default"),
		.service_name = "role",
		.ring_words = 256,
		.stock_words = 64};
	return refuse_with;
}

static void attached(void *who, struct session *session)
{
	require(who == &owner && session_nf(session));
	n_sessions++;
}

static void gone(void *who, struct session *session, const char *why)
{
	require(who == &owner && why);
	session_close(session, DROP_NF_DIED, 0, NULL);
	n_sessions--;
}

static const struct attach_hooks hooks = {.admit = admit, .attached = attached, .gone = gone};

static void stop(void)
{
	attach_close(server);
	event_base_free(base);
}

static void start(void)
{
	struct error error = {0};

	if (base)
		return;
	fake_pool("default");
	base = event_base_new();
	snprintf(path, sizeof(path), "/tmp/netvm-fuzz-attach.%d", getpid());
	require(attach_open(base, NULL, path, 60000, &hooks, &server, &error) == 0);
	atexit(stop);
	for (unsigned i = 0; i < STRANGERS; i++)
		client[i].fd = client[i].channel_fd = -1;
}

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	require(attach_pending(server) <= STRANGERS);
	require(n_sessions == fake.attached - fake.detached);
}

/* ---- the strangers --------------------------------------------------------------------------- */

static void join(struct client *who)
{
	client_close(who);
	turn();
	require(client_connect(who, path) == 0);
	turn();
	if (client_receive(who, false) == 0)
		client_map(who);
}

/* A message of any size, good but for what the input flips, with or without a descriptor. */
static void say(struct client *who, struct feed *feed)
{
	union {
		struct netvm_message message;
		uint8_t bytes[64];
	} out = {.message = {.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO}};
	size_t surplus = feed_number(feed, 1) % 4 ? 0 : feed_number(feed, 1) % 32;
	unsigned n_flips = feed_number(feed, 1) % 4;

	while (n_flips-- > 0)
		out.bytes[feed_number(feed, 1) % sizeof(out.message)] ^=
			(uint8_t)feed_number(feed, 1);
	client_send(who, &out.message, sizeof(out.message) + surplus,
		feed_number(feed, 1) % 8 == 7 ? STDERR_FILENO : -1);
}

/* The hello, and what else lies in the header. */
static void scribble(struct client *who, struct feed *feed)
{
	size_t at = feed_number(feed, 2) % sizeof(struct netvm_channel);
	uint8_t value = (uint8_t)feed_number(feed, 1);

	if (who->channel)
		((volatile uint8_t *)who->channel)[at] = value;
}

static void resize(struct client *who, struct feed *feed)
{
	static const int seals[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_SEAL};
	uint32_t what = (uint32_t)feed_number(feed, 1);

	if (who->channel_fd < 0)
		return;
	if (what < 4)
		fcntl(who->channel_fd, F_ADD_SEALS, seals[what]);
	else
		(void)!ftruncate(who->channel_fd, (off_t)feed_number(feed, 3));
}

static bool step(struct feed *feed)
{
	uint32_t what = (uint32_t)feed_number(feed, 1);
	struct client *who = &client[what / 64 % STRANGERS];

	switch (what % 8) {
	case 0:
		join(who);
		break;
	case 1:
		if (who->channel)
			client_fill(who, "fw", "role");
		break;
	case 2:
		if (who->channel)
			client_hello(who);
		break;
	case 3:
		say(who, feed);
		break;
	case 4:
		scribble(who, feed);
		break;
	case 5:
		resize(who, feed);
		break;
	case 6:
		client_close(who);
		break;
	default:
		refuse_with = what & 8 ? NETVM_REFUSED_BUSY : 0;
		fake.attach_error = what & 16 ? 28 : 0;
		turn();
		break;
	}
	return feed->size > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	unsigned n_fds;

	start();
	fake_reset();
	refuse_with = 0;
	n_fds = fake_open_fds();
	for (int i = 0; i < STEPS_MAX && step(&feed); i++)
		continue;
	for (unsigned i = 0; i < STRANGERS; i++)
		client_close(&client[i]);
	turn();
	turn();
	require(n_sessions == 0 && attach_pending(server) == 0);
	require(fake_open_fds() == n_fds);
	return 0;
}
