/* The NF socket against well-behaved and hostile NFs. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "modules/nf/attach.h"
#include "modules/nf/testing/client.h"
#include "modules/nf/testing/fake.h"

#ifndef SO_PASSRIGHTS /* Linux 6.16 */
#define SO_PASSRIGHTS 83
#endif

static struct event_base *base;
static struct attach *server;
static char path[64];
static int owner;

static struct attach_request asked;
static uint32_t refuse_with;
static void (*while_admitted)(void);
static struct session *session;
static unsigned n_gone;
static char gone_why[128];

/* ---- hooks ----------------------------------------------------------------------------------- */

static uint32_t admit(const struct attach_request *request, struct attach_grant *grant, char *text)
{
	asked = *request;
	if (while_admitted)
		while_admitted();
	snprintf(text, NETVM_TEXT_BYTES, "the sentence");
	*grant = (struct attach_grant){.owner = &owner,
		.pool = fake_pool("default"),
		.service_name = "role",
		.instance = 7,
		.ring_words = 256,
		.stock_words = 64};
	return refuse_with;
}

static void attached(void *who, struct session *made)
{
	assert_ptr_equal(who, &owner);
	session = made;
}

static void gone(void *who, struct session *which, const char *why)
{
	assert_ptr_equal(who, &owner);
	n_gone++;
	snprintf(gone_why, sizeof(gone_why), "%s", why);
	session_close(which, DROP_NF_DIED, 0, NULL);
	session = NULL;
}

static const struct attach_hooks hooks = {.admit = admit, .attached = attached, .gone = gone};

static int setup_with(unsigned deadline_ms)
{
	struct error error = {0};

	fake_reset();
	fake_pool("default");
	session = NULL;
	while_admitted = NULL;
	refuse_with = n_gone = 0;
	base = event_base_new();
	snprintf(path, sizeof(path), "/tmp/netvm-attach-test.%d", getpid());
	return attach_open(base, NULL, path, deadline_ms, &hooks, &server, &error);
}

static int setup(void **state)
{
	(void)state;
	return setup_with(90000);
}

static int setup_hasty(void **state)
{
	(void)state;
	return setup_with(20);
}

static int teardown(void **state)
{
	(void)state;
	if (session)
		session_close(session, DROP_NF_REMOVED, 0, NULL);
	attach_close(server);
	event_base_free(base);
	return 0;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static int hear(struct client *client)
{
	return fake_hear(base, client);
}

static void begin(struct client *client)
{
	assert_int_equal(client_connect(client, path), 0);
	assert_int_equal(hear(client), 0);
	assert_int_equal(client_map(client), 0);
	assert_int_equal(client->message.value, sizeof(struct netvm_channel));
	assert_int_equal(client->channel->state, NETVM_STATE_OFFERED);
}

static void become_ready(struct client *client)
{
	begin(client);
	client_fill(client, "fw", "");
	assert_int_equal(client_hello(client), 0);
	assert_int_equal(hear(client), 0);
	assert_int_equal(client->message.type, NETVM_MESSAGE_READY);
}

/* ---- the good ones --------------------------------------------------------------------------- */

static void test_ready(void **state)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct stat mine, theirs;
	struct client client;

	(void)state;
	become_ready(&client);
	assert_int_equal(client.n_fds, 1 + 1 + FAKE_WORKERS);
	assert_int_equal(client.message.n_fds, client.n_fds);
	assert_int_equal(client.message.value, fake_pool("default")->size_bytes);
	fstat(client.fds[0], &theirs);
	fstat(fake_pool("default")->memfd, &mine);
	assert_int_equal(mine.st_ino, theirs.st_ino);
	assert_int_equal(fcntl(client.channel_fd, F_GET_SEALS), seals);
	fstat(client.channel_fd, &theirs);
	assert_int_equal(theirs.st_size, fake.layout.channel_bytes);
	assert_int_equal(client.channel->state, NETVM_STATE_READY);
	assert_string_equal(client.channel->answer.name, "fw");
	assert_string_equal(client.channel->answer.service, "role");
	assert_string_equal(client.channel->answer.group, "default");
	assert_int_equal(client.channel->answer.instance, 7);
	assert_int_equal(client.channel->layout.rx_words, 256);
	assert_int_equal(asked.pid, getpid());
	assert_int_equal(asked.uid, getuid());
	assert_int_equal(attach_pending(server), 0);
	client_close(&client);
}

/* The host rings whatever the NF does to its own end of the doorbell. */
static void test_doorbell_cannot_block(void **state)
{
	struct client client;
	ssize_t n;

	(void)state;
	become_ready(&client);
	fcntl(client.fds[1], F_SETFL, 0);
	do
		n = write(fake.options.queue_fd[0], "bell", 4);
	while (n > 0);
	assert_int_equal(errno, EAGAIN);
	assert_true(fake_is_readable(&client.fds[1]));
	client_close(&client);
}

static void test_end_of_connection(void **state)
{
	unsigned fds = fake_open_fds();
	struct client client;

	(void)state;
	become_ready(&client);
	client_close(&client);
	while (!n_gone)
		event_base_loop(base, EVLOOP_ONCE);
	assert_string_equal(gone_why, "");
	assert_int_equal(fake.detached, 1);
	assert_int_equal(fake.reason, DROP_NF_DIED);
	assert_int_equal(fake_open_fds(), fds);
}

static void test_close_tells_the_nf(void **state)
{
	struct client client;

	(void)state;
	become_ready(&client);
	fake.lost = 3;
	assert_int_equal(session_close(session, DROP_NF_REMOVED, 5, NULL), 3);
	session = NULL;
	assert_int_equal(fake.drain_ns, 5);
	assert_int_equal(client.channel->control, NETVM_CONTROL_STOP);
	assert_true(fake_is_readable(&client.fds[1]));
	assert_int_equal(hear(&client), -ECONNRESET);
	client_close(&client);
}

/* ---- the bad ones ---------------------------------------------------------------------------- */

static const struct netvm_message good = {.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO};

static void say(struct client *client, struct netvm_message message)
{
	client_send(client, &message, sizeof(message), -1);
}

static void bad_magic(struct client *client)
{
	say(client, (struct netvm_message){.magic = 1, .type = NETVM_MESSAGE_HELLO});
}

static void bad_type(struct client *client)
{
	say(client,
		(struct netvm_message){.magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_READY});
}

static void bad_value(struct client *client)
{
	say(client, (struct netvm_message){
			    .magic = NETVM_SOCKET_MAGIC, .type = NETVM_MESSAGE_HELLO, .value = 1});
}

static void too_short(struct client *client)
{
	client_send(client, &good, sizeof(good) - 1, -1);
}

static void too_long(struct client *client)
{
	struct netvm_message twice[2] = {good, good};

	client_send(client, twice, sizeof(good) + 1, -1);
}

/* Where the kernel refuses them (passing_refuse()), what it says is sent without. */
static void surplus_fd(struct client *client)
{
	struct netvm_message announced = good;

	announced.n_fds = 1;
	if (client_send(client, &good, sizeof(good), STDIN_FILENO) == -EPERM)
		client_send(client, &announced, sizeof(announced), -1);
}

static void no_state(struct client *client)
{
	client->channel->state = NETVM_STATE_OFFERED;
	client_hello(client);
}

static void hang_up(struct client *client)
{
	shutdown(client->fd, SHUT_RDWR);
}

static void version(struct client *client)
{
	client->channel->hello.abi_version = 9;
	client_hello(client);
}

static void open_name(struct client *client)
{
	memset(client->channel->hello.name, 'a', NETVM_NAME_BYTES);
	client_hello(client);
}

static void empty_name(struct client *client)
{
	client->channel->hello.name[0] = '\0';
	client_hello(client);
}

static void ugly_name(struct client *client)
{
	strcpy(client->channel->hello.name, "fw\033[31m");
	client_hello(client);
}

static void open_service(struct client *client)
{
	memset(client->channel->hello.service, 'a', NETVM_NAME_BYTES);
	client_hello(client);
}

static void features(struct client *client)
{
	client->channel->hello.features = 1u << 31;
	client_hello(client);
}

static void no_queues(struct client *client)
{
	client->channel->hello.n_queues = 0;
	client_hello(client);
}

static void many_queues(struct client *client)
{
	client->channel->hello.n_queues = NETVM_QUEUES_MAX + 1;
	client_hello(client);
}

static void grown(struct client *client)
{
	assert_return_code(ftruncate(client->channel_fd, 64 << 20), errno);
	client_hello(client);
}

static void sealed(struct client *client)
{
	assert_return_code(fcntl(client->channel_fd, F_ADD_SEALS, F_SEAL_GROW), errno);
	client_hello(client);
}

static void sealed_for_writing(struct client *client)
{
	fcntl(client->channel_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
	client_hello(client);
}

static void not_admitted(struct client *client)
{
	refuse_with = NETVM_REFUSED_UNKNOWN;
	client_hello(client);
}

static void engine_full(struct client *client)
{
	fake.attach_error = ENOSPC;
	client_hello(client);
}

/* refusal 0: closed without a word. `event`: part of the event's text, NULL: none. */
static const struct {
	const char *name;
	void (*misbehave)(struct client *client);
	uint32_t refusal;
	const char *event;
} bad[] = {
	{"magic", bad_magic, 0, "does not speak"},
	{"type", bad_type, 0, "was not asked for"},
	{"value", bad_value, 0, "was not asked for"},
	{"short", too_short, 0, "does not speak"},
	{"long", too_long, 0, "does not speak"},
	{"descriptor", surplus_fd, 0, "closed: it sent"},
	{"state", no_state, 0, "without a hello"},
	{"hang up", hang_up, 0, NULL},
	{"version", version, NETVM_REFUSED_VERSION, "version 9"},
	{"open name", open_name, NETVM_REFUSED_NAME, "name: 1 to 31"},
	{"empty name", empty_name, NETVM_REFUSED_NAME, "name: 1 to 31"},
	{"ugly name", ugly_name, NETVM_REFUSED_NAME, "name: 1 to 31"},
	{"open service", open_service, NETVM_REFUSED_NAME, "service: 1 to 31"},
	{"features", features, NETVM_REFUSED_FEATURE, "features: 0x80000000"},
	{"no queues", no_queues, NETVM_REFUSED_FEATURE, "n_queues: 0"},
	{"many queues", many_queues, NETVM_REFUSED_FEATURE, "n_queues: 9"},
	{"grown", grown, NETVM_REFUSED_RESOURCE, "resized or sealed"},
	{"sealed", sealed, NETVM_REFUSED_RESOURCE, "resized or sealed"},
	{"sealed for writing", sealed_for_writing, NETVM_REFUSED_RESOURCE, "resized or sealed"},
	{"not admitted", not_admitted, NETVM_REFUSED_UNKNOWN, "the sentence"},
	{"engine full", engine_full, NETVM_REFUSED_RESOURCE, "the fake engine is full"},
};

static void check_answer(struct client *client, uint32_t refusal)
{
	int rc = hear(client);

	if (refusal) {
		assert_int_equal(rc, 0);
		assert_int_equal(client->message.type, NETVM_MESSAGE_REFUSED);
		assert_int_equal(client->message.value, refusal);
		assert_int_equal(client->channel->state, NETVM_STATE_REFUSED);
		assert_int_equal(client->channel->answer.refusal, refusal);
		assert_true(client->channel->answer.text[0]);
		rc = hear(client);
	}
	assert_int_equal(rc, -ECONNRESET);
}

static bool nobody_pending(void *arg)
{
	(void)arg;
	return attach_pending(server) == 0;
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		unsigned fds = fake_open_fds();
		struct client client;

		print_message("%s\n", bad[i].name);
		/* A fresh server: this one would soon tell no more events. */
		teardown(NULL);
		setup(NULL);
		begin(&client);
		client_fill(&client, "fw", "role");
		bad[i].misbehave(&client);
		check_answer(&client, bad[i].refusal);
		client_close(&client);
		fake_loop_until(base, nobody_pending, NULL);
		assert_int_equal(fake.attached, fake.detached);
		assert_int_equal(fake_open_fds(), fds);
		if (bad[i].event)
			assert_int_equal(fake_events("nf-refused", bad[i].event), 1);
		assert_null(session);
	}
}

static void test_shrink_is_impossible(void **state)
{
	struct client client;

	(void)state;
	begin(&client);
	assert_int_equal(ftruncate(client.channel_fd, 0), -1);
	assert_int_equal(errno, EPERM);
	client_close(&client);
}

static struct client changing;

static void change_hello(void)
{
	memset(&changing.channel->hello, 0xff, sizeof(changing.channel->hello));
	memset(&changing.channel->layout, 0xff, sizeof(changing.channel->layout));
}

/* What is in the channel after the copy was taken does not matter. */
static void test_hello_is_read_once(void **state)
{
	(void)state;
	begin(&changing);
	client_fill(&changing, "fw", "");
	while_admitted = change_hello;
	client_hello(&changing);
	assert_int_equal(hear(&changing), 0);
	assert_int_equal(changing.message.type, NETVM_MESSAGE_READY);
	assert_string_equal(fake.name, "fw");
	assert_int_equal(fake.layout.n_queues, 1);
	client_close(&changing);
}

static void test_word_after_ready(void **state)
{
	struct client client;

	(void)state;
	become_ready(&client);
	client_hello(&client);
	assert_int_equal(hear(&client), -ECONNRESET);
	assert_int_equal(n_gone, 1);
	assert_string_equal(gone_why, "it sent a message that was not asked for");
	client_close(&client);
}

static void test_deadline(void **state)
{
	struct client client;

	(void)state;
	begin(&client);
	assert_int_equal(hear(&client), -ECONNRESET);
	assert_int_equal(fake_events("nf-refused", "in time"), 1);
	client_close(&client);
}

/* One more than the limit: the oldest goes, the newest is served. */
static void test_too_many_pending(void **state)
{
	static struct client clients[ATTACH_PENDING_MAX + 1];
	unsigned fds = fake_open_fds();

	(void)state;
	for (unsigned i = 0; i <= ATTACH_PENDING_MAX; i++)
		begin(&clients[i]);
	assert_int_equal(attach_pending(server), ATTACH_PENDING_MAX);
	assert_int_equal(hear(&clients[0]), -ECONNRESET);
	assert_false(fake_is_readable(&clients[1].fd));
	for (unsigned i = 0; i <= ATTACH_PENDING_MAX; i++)
		client_close(&clients[i]);
	fake_loop_until(base, nobody_pending, NULL);
	assert_int_equal(fake_open_fds(), fds);
}

/* Grown to just the size it will have, and written to, before the daemon made it that long. */
static void test_rings_begin_empty(void **state)
{
	const size_t header = sizeof(struct netvm_channel);
	struct client client;
	uint8_t *junk, *found;
	size_t size;

	(void)state;
	become_ready(&client);
	size = client.channel->layout.channel_bytes;
	client_close(&client);
	junk = malloc(size - header);
	found = malloc(size - header);
	memset(junk, 0xff, size - header);
	begin(&client);
	assert_int_equal(pwrite(client.channel_fd, junk, size - header, header), size - header);
	client_fill(&client, "fw", "");
	assert_int_equal(client_hello(&client), 0);
	assert_int_equal(hear(&client), 0);
	assert_int_equal(client.message.type, NETVM_MESSAGE_READY);
	assert_int_equal(pread(client.channel_fd, found, size - header, header), size - header);
	memset(junk, 0, size - header);
	assert_memory_equal(found, junk, size - header);
	client_close(&client);
	free(junk);
	free(found);
}

static bool somebody_pending(void *arg)
{
	(void)arg;
	return attach_pending(server) == 1;
}

/* As user nobody: connects, and says with its exit status whether the connection lasts. */
static void wait_as_nobody(int told_fd)
{
	struct client client;
	char bytes[64];

	if (setuid(65534) || client_connect(&client, path))
		_exit(99);
	(void)!read(told_fd, bytes, 1);
	while (recv(client.fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
	_exit(errno == EAGAIN ? 0 : 1);
}

/* Whoever floods pushes out his own, not the older one of somebody else. */
static void test_flood_of_one_user(void **state)
{
	static struct client clients[ATTACH_PENDING_MAX + 4];
	int tell[2], status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(tell), 0);
	pid = fork();
	if (pid == 0) {
		close(tell[1]);
		wait_as_nobody(tell[0]);
	}
	fake_loop_until(base, somebody_pending, NULL);
	for (unsigned i = 0; i < ATTACH_PENDING_MAX + 4; i++)
		begin(&clients[i]);
	assert_int_equal(attach_pending(server), ATTACH_PENDING_MAX);
	assert_int_equal(hear(&clients[0]), -ECONNRESET);
	close(tell[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	close(tell[0]);
	for (unsigned i = 0; i < ATTACH_PENDING_MAX + 4; i++)
		client_close(&clients[i]);
	fake_loop_until(base, nobody_pending, NULL);
}

/* Before Linux 6.16 the daemon cannot refuse descriptors, only drop them. Ours may be younger. */
static void let_descriptors_through(void)
{
	for (int fd = 3; fd < 1024; fd++) {
		int yes = 1, listens = 0;
		socklen_t size = sizeof(listens);

		if (!getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) && listens)
			(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &yes, sizeof(yes));
	}
}

static void test_descriptors_come_through(void **state)
{
	unsigned fds = fake_open_fds();
	struct client client;

	(void)state;
	let_descriptors_through();
	begin(&client);
	client_fill(&client, "fw", "");
	assert_int_equal(client_send(&client, &good, sizeof(good), STDIN_FILENO), 0);
	assert_int_equal(hear(&client), -ECONNRESET);
	assert_int_equal(fake_events("nf-refused", "closed: it sent descriptors"), 1);
	client_close(&client);
	become_ready(&client);
	assert_int_equal(client_send(&client, &good, sizeof(good), client.channel_fd), 0);
	assert_int_equal(hear(&client), -ECONNRESET);
	assert_string_equal(gone_why, "it sent descriptors");
	client_close(&client);
	assert_int_equal(fake_open_fds(), fds);
}

static void test_out_of_descriptors(void **state)
{
	struct rlimit old, few;
	struct client client;
	int last;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	assert_int_equal(client_connect(&client, path), 0);
	last = dup(0);
	close(last);
	few.rlim_cur = (rlim_t)last;
	setrlimit(RLIMIT_NOFILE, &few);
	fake_loop_until(base, fake_is_readable, &client.fd);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(client_receive(&client, false), -ECONNRESET);
	assert_int_equal(fake_events("nf-refused", "no descriptor left"), 1);
	client_close(&client);
	become_ready(&client);
	client_close(&client);
}

/* A process that is gone cannot be who asks, though its number may be somebody's by now. */
static void test_dead_connector(void **state)
{
	struct client client;
	pid_t child;

	(void)state;
	assert_int_equal(client_open(&client), 0);
	child = fork();
	if (child == 0)
		_exit(client_dial(&client, path) ? 1 : 0);
	waitpid(child, NULL, 0);
	assert_int_equal(hear(&client), 0);
	assert_int_equal(client_map(&client), 0);
	client_fill(&client, "fw", "");
	client_hello(&client);
	assert_int_equal(hear(&client), 0);
	assert_int_equal(asked.pid, 0);
	assert_int_equal(asked.uid, getuid());
	client_close(&client);
}

static void test_events_are_bounded(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct client client;

		begin(&client);
		bad_magic(&client);
		assert_int_equal(hear(&client), -ECONNRESET);
		client_close(&client);
	}
	assert_in_range(fake_events("nf-refused", "does not speak"), 1, 40);
}

static void test_second_daemon(void **state)
{
	struct error error = {0};
	struct attach *second = NULL;

	(void)state;
	assert_int_equal(attach_open(base, NULL, path, 1000, &hooks, &second, &error), -EADDRINUSE);
	assert_non_null(strstr(error.message, "another daemon"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doorbell_cannot_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_tells_the_nf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shrink_is_impossible, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hello_is_read_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_word_after_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup_hasty, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_pending, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rings_begin_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood_of_one_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_come_through, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_connector, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_daemon, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
