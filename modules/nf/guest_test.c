/* A guest as an NF, with a fake QEMU: what goes over the channel's state, and who may be whom. */
#include <endian.h>
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/guest.h"
#include "modules/guest/listener.h"
#include "modules/guest/testing/qemu.h"
#include "modules/nf/instance.h"
#include "modules/nf/testing/client.h"
#include "modules/nf/testing/fake.h"
#include "modules/nf/testing/rig.h"

/* The devices as a guest has them. */
struct machine {
	int channel_socket, group_socket;
	struct netvm_channel *channel;
	size_t channel_bytes, group_bytes;
	int vector[1 + FAKE_WORKERS];
};

/* ---- a fake QEMU ----------------------------------------------------------------------------- */

static int dial(const char *name, const char *device)
{
	char path[108];

	snprintf(path, sizeof(path), "%.60s/guest/%s.%s", rig_run_dir, name, device);
	return fake_qemu_dial(rig_manager.base, path);
}

static int64_t hear(int socket, int *fd)
{
	uint64_t word = 0;

	assert_int_equal(fake_qemu_hear(socket, &word, sizeof(word), fd), sizeof(word));
	return (int64_t)le64toh(word);
}

/* Version, id, and the memory with its size. */
static int hear_memory(int socket, size_t *size)
{
	struct stat st;
	int fd;

	assert_int_equal(hear(socket, &fd), 0);
	assert_int_equal(hear(socket, &fd), 0);
	assert_int_equal(hear(socket, &fd), -1);
	assert_return_code(fstat(fd, &st), errno);
	*size = (size_t)st.st_size;
	return fd;
}

static void machine_start(struct machine *machine, const char *name)
{
	int memory;

	machine->channel_socket = dial(name, "channel");
	machine->group_socket = dial(name, "group");
	memory = hear_memory(machine->channel_socket, &machine->channel_bytes);
	machine->channel =
		mmap(NULL, machine->channel_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	assert_ptr_not_equal(machine->channel, MAP_FAILED);
	close(memory);
	for (unsigned i = 0; i < 1 + FAKE_WORKERS; i++)
		assert_int_equal(hear(machine->channel_socket, &machine->vector[i]), 1);
	close(hear_memory(machine->group_socket, &machine->group_bytes));
}

static void machine_stop(struct machine *machine)
{
	close(machine->channel_socket);
	close(machine->group_socket);
	munmap(machine->channel, machine->channel_bytes);
	for (unsigned i = 0; i < 1 + FAKE_WORKERS; i++)
		close(machine->vector[i]);
}

/* ---- its NF ---------------------------------------------------------------------------------- */

static uint32_t state_of(const struct machine *machine)
{
	return __atomic_load_n(&machine->channel->state, __ATOMIC_ACQUIRE);
}

static void enter(struct machine *machine, uint32_t state)
{
	uint64_t one = 1;

	__atomic_store_n(&machine->channel->state, state, __ATOMIC_RELEASE);
	assert_int_equal(write(machine->vector[NETVM_GUEST_STATE], &one, sizeof(one)), sizeof(one));
}

static void hello(struct machine *machine, const char *name)
{
	struct client client = {.channel = machine->channel};

	client_fill(&client, name, "");
	enter(machine, NETVM_STATE_HELLO);
}

struct wish {
	const struct machine *machine;
	uint32_t state;
};

static bool is_in_state(void *arg)
{
	const struct wish *wish = arg;

	return state_of(wish->machine) == wish->state;
}

static void await(const struct machine *machine, uint32_t state)
{
	struct wish wish = {machine, state};

	fake_loop_until(rig_manager.base, is_in_state, &wish);
}

static json_t *external_guest(void)
{
	return json_pack("{s:s}", "image", "external-guest");
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_attach_and_leave(void **state)
{
	struct machine machine;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	assert_int_equal(machine.channel_bytes & (machine.channel_bytes - 1), 0);
	assert_int_equal(machine.group_bytes, fake_pool("default")->size_bytes);
	assert_int_equal(machine.channel->magic, NETVM_CHANNEL_MAGIC);
	assert_int_equal(state_of(&machine), NETVM_STATE_OFFERED);
	hello(&machine, "fw");
	await(&machine, NETVM_STATE_READY);
	assert_true(rig_is_state("fw", "running"));
	assert_true(machine.channel->layout.channel_bytes <= machine.channel_bytes);
	assert_string_equal(machine.channel->answer.name, "fw");
	assert_int_equal(fake.attached, 1);
	/* The next NF of the same guest finds the offer as fresh as the first. */
	((uint8_t *)machine.channel)[machine.channel_bytes - 1] = 1;
	enter(&machine, NETVM_STATE_GONE);
	await(&machine, NETVM_STATE_OFFERED);
	assert_int_equal(fake.detached, 1);
	assert_true(rig_is_state("fw", "detached"));
	assert_int_equal(((uint8_t *)machine.channel)[machine.channel_bytes - 1], 0);
	assert_int_equal(machine.channel->answer.name[0], 0);
	hello(&machine, "fw");
	await(&machine, NETVM_STATE_READY);
	machine_stop(&machine);
	rig_await("detached");
}

static void test_next_machine_gets_fresh_memory(void **state)
{
	struct machine machine, next;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	hello(&machine, "fw");
	await(&machine, NETVM_STATE_READY);
	close(machine.channel_socket);
	rig_await("detached");
	event_base_loop(rig_manager.base, EVLOOP_NONBLOCK);
	machine_start(&next, "fw");
	/* What the first one still has is not what the second one works with. */
	machine.channel->state = 77;
	assert_int_equal(state_of(&next), NETVM_STATE_OFFERED);
	hello(&next, "fw");
	await(&next, NETVM_STATE_READY);
	machine_stop(&next);
	machine.channel_socket = dup(machine.group_socket);
	machine_stop(&machine);
}

static void test_workers_wait_on_the_vectors(void **state)
{
	struct machine machine;
	uint64_t one = 1;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	hello(&machine, "fw");
	await(&machine, NETVM_STATE_READY);
	for (unsigned i = 0; i < FAKE_WORKERS; i++) {
		assert_false(fake_is_readable(&fake.options.worker_fd[i]));
		assert_int_equal(write(machine.vector[NETVM_GUEST_WORKER(i)], &one, 8), 8);
		assert_true(fake_is_readable(&fake.options.worker_fd[i]));
	}
	machine_stop(&machine);
	rig_await("detached");
}

static void ask_for_bells(struct machine *machine)
{
	struct client client = {.channel = machine->channel};

	client_fill(&client, "fw", "");
	machine->channel->hello.features = NETVM_FEATURE_BELL;
	enter(machine, NETVM_STATE_HELLO);
	await(machine, NETVM_STATE_READY);
}

static void test_ports_ring(void **state)
{
	struct machine machine;
	char byte = 0;
	int port;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	port = dial("fw", "bell0");
	ask_for_bells(&machine);
	assert_int_equal(machine.channel->answer.features, NETVM_FEATURE_BELL);
	assert_int_equal(write(fake.options.queue_fd[0], "x", 1), 1);
	assert_int_equal(recv(port, &byte, 1, MSG_DONTWAIT), 1);
	/* A guest that never reads costs nobody time. */
	while (write(fake.options.queue_fd[0], "x", 1) == 1)
		;
	assert_int_equal(errno, EAGAIN);
	close(port);
	machine_stop(&machine);
	rig_await("detached");
}

static void test_without_ports_nothing_rings(void **state)
{
	struct machine machine;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	ask_for_bells(&machine);
	assert_int_equal(machine.channel->answer.features, 0);
	assert_int_equal(fake.options.queue_fd[0], -1);
	machine_stop(&machine);
	rig_await("detached");
}

/* One that was killed before it was heard, and its successor. */
static void test_gone_before_the_answer(void **state)
{
	struct machine machine;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	enter(&machine, NETVM_STATE_GONE);
	await(&machine, NETVM_STATE_OFFERED);
	hello(&machine, "fw");
	await(&machine, NETVM_STATE_READY);
	machine_stop(&machine);
	rig_await("detached");
}

static void test_refused_and_again(void **state)
{
	struct machine machine;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	hello(&machine, "stranger");
	await(&machine, NETVM_STATE_REFUSED);
	assert_int_equal(machine.channel->answer.refusal, NETVM_REFUSED_UNKNOWN);
	assert_string_equal(machine.channel->answer.text,
		"name: no NF stranger is declared for this guest; declared are: fw");
	enter(&machine, NETVM_STATE_REFUSED); /* leaving, it rings once more */
	await(&machine, NETVM_STATE_OFFERED);
	machine.channel->hello = (struct netvm_hello){.abi_version = 99};
	enter(&machine, NETVM_STATE_HELLO);
	await(&machine, NETVM_STATE_REFUSED);
	assert_int_equal(machine.channel->answer.refusal, NETVM_REFUSED_VERSION);
	assert_int_equal(fake.attached, 0);
	machine_stop(&machine);
}

/* One that is refused all the time does not flush out what happened to others. */
static void test_refused_all_the_time(void **state)
{
	const time_t began = time(NULL);
	struct machine machine;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	for (unsigned i = 0; i < 100; i++) {
		hello(&machine, "stranger");
		await(&machine, NETVM_STATE_REFUSED);
		enter(&machine, NETVM_STATE_GONE);
		await(&machine, NETVM_STATE_OFFERED);
	}
	assert_in_range(fake_events("nf-refused", ""), 10, 10 * (time(NULL) - began + 2));
	machine_stop(&machine);
}

/* Its devices show the memory of its own group, so it can be nobody else. */
static bool is_its_qemu(void *arg, const struct peer *peer)
{
	(void)arg;
	return peer->pid == getpid();
}

static void nothing_to_do(void *arg)
{
	(void)arg;
}

/* A guest that waits in a pool: all the way to its memory, but no further. */
static void test_rehearsal(void **state)
{
	struct nf_settings settings = {
		.name = "spare", .ring_words = 256, .stock_words = 64, .n_queues = 1};
	const struct guest_options options = {
		.manager = &rig_manager,
		.settings = &settings,
		.pool = fake_pool("default"),
		.allowed = is_its_qemu,
		.monitored = nothing_to_do,
	};
	struct machine machine;
	struct error error = {0};
	struct guest *guest;

	(void)state;
	assert_int_equal(guest_open(&options, &guest, &error), 0);
	machine_start(&machine, "spare");
	for (unsigned i = 0; i < 2; i++) {
		hello(&machine, "rehearsal");
		await(&machine, NETVM_STATE_READY);
		assert_int_equal(machine.channel->control, NETVM_CONTROL_STOP);
		assert_int_equal(machine.channel->layout.group_bytes, machine.group_bytes);
		assert_int_equal(fake.attached, 0);
		enter(&machine, NETVM_STATE_GONE);
		await(&machine, NETVM_STATE_OFFERED);
		assert_int_equal(machine.channel->control, 0);
	}
	machine_stop(&machine);
	guest_close(guest);
}

/* Nor does it hear that there is one. */
static void test_not_another_guest(void **state)
{
	json_t *document = rig_one("fw", external_guest());
	struct machine machine;

	(void)state;
	json_object_set_new(json_object_get(document, "nfs"), "ids",
		rig_object("ids", rig_with(external_guest(), "group", "other")));
	rig_apply_ok(document);
	machine_start(&machine, "fw");
	hello(&machine, "ids");
	await(&machine, NETVM_STATE_REFUSED);
	assert_int_equal(machine.channel->answer.refusal, NETVM_REFUSED_UNKNOWN);
	assert_string_equal(machine.channel->answer.text,
		"name: no NF ids is declared for this guest; declared are: fw");
	machine_stop(&machine);
}

static void test_not_a_process(void **state)
{
	struct client client;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	assert_int_equal(client_connect(&client, rig_nf_socket), 0);
	assert_int_equal(fake_hear(rig_manager.base, &client), 0);
	assert_int_equal(client_map(&client), 0);
	client_fill(&client, "fw", "");
	assert_int_equal(client_hello(&client), 0);
	assert_int_equal(fake_hear(rig_manager.base, &client), 0);
	assert_int_equal(client.message.type, NETVM_MESSAGE_REFUSED);
	assert_int_equal(client.message.value, NETVM_REFUSED_CREDENTIAL);
	client_close(&client);
}

/* States out of order, and a bell that never stops. */
static void test_hostile_states(void **state)
{
	const uint32_t odd[] = {0, NETVM_STATE_OFFERED, NETVM_STATE_HELLO, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		struct machine machine;

		rig_apply_ok(rig_one("fw", external_guest()));
		machine_start(&machine, "fw");
		enter(&machine, NETVM_STATE_READY);
		event_base_loop(rig_manager.base, EVLOOP_ONCE);
		hello(&machine, "fw");
		await(&machine, NETVM_STATE_READY);
		for (unsigned n = 0; n < 1000; n++)
			enter(&machine, NETVM_STATE_READY);
		event_base_loop(rig_manager.base, EVLOOP_ONCE);
		assert_true(rig_is_state("fw", "running"));
		enter(&machine, odd[i]);
		rig_await("backoff");
		machine_stop(&machine);
		rig_apply_ok(json_object());
	}
}

static void test_fault_and_dismissal(void **state)
{
	struct error error = {0};
	struct machine machine;

	(void)state;
	rig_apply_ok(rig_one("fw", external_guest()));
	machine_start(&machine, "fw");
	hello(&machine, "fw");
	await(&machine, NETVM_STATE_READY);
	assert_int_equal(rig_restart("fw", &error), 0);
	assert_int_equal(machine.channel->control, NETVM_CONTROL_STOP);
	/* Not offered to the next one while this one may still write into it. */
	assert_int_equal(state_of(&machine), NETVM_STATE_READY);
	enter(&machine, NETVM_STATE_GONE);
	await(&machine, NETVM_STATE_OFFERED);
	assert_int_equal(machine.channel->control, 0);
	machine_stop(&machine);
}

static void test_sockets_go(void **state)
{
	char path[PATH_MAX + 32];

	(void)state;
	snprintf(path, sizeof(path), "%s/guest/fw.channel", rig_run_dir);
	rig_apply_ok(rig_one("fw", external_guest()));
	assert_return_code(access(path, F_OK), errno);
	/* Made again with other settings, before the old one goes. */
	rig_apply_ok(rig_one("fw", rig_with(external_guest(), "service", "ids")));
	assert_return_code(access(path, F_OK), errno);
	rig_apply_ok(json_object());
	assert_int_equal(access(path, F_OK), -1);
}

/* Where a QEMU runs; what it says first makes the daemon plug devices in. */
static int monitor_listen(char path[80])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(path, 80, "%.60s/qemu", rig_run_dir);
	strcpy(address.sun_path, path);
	assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof(address)), errno);
	assert_return_code(listen(fd, 1), errno);
	return fd;
}

/* A QEMU that talks all the time does not flush out what happened to others. */
static void test_endless_talk(void **state)
{
	static const char greeting[] = "{\"QMP\": {}}\n", stop[] = "{\"event\": \"STOP\"}\n",
			  junk[] = "{\"error\": {\"desc\": \"no\"}}\n";
	const time_t began = time(NULL);
	char path[80];
	int listener = monitor_listen(path), qemu;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_with(external_guest(), "monitor", path)));
	fake_loop_until(rig_manager.base, fake_is_readable, &listener);
	qemu = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_return_code(send(qemu, greeting, strlen(greeting), 0), errno);
	fake_loop_until(rig_manager.base, fake_is_readable, &qemu);
	for (unsigned i = 0; i < 100; i++) {
		assert_return_code(send(qemu, stop, strlen(stop), 0), errno);
		assert_return_code(send(qemu, junk, strlen(junk), 0), errno);
		event_base_loop(rig_manager.base, EVLOOP_NONBLOCK);
	}
	assert_in_range(fake_events("guest-paused", "") + fake_events("guest-monitor", ""), 10,
		10 * (time(NULL) - began + 2));
	close(qemu);
	close(listener);
	unlink(path);
}

static void expect_error(json_t *fields, const char *path, const char *part)
{
	struct error error = {0};

	assert_int_not_equal(rig_apply(rig_one("fw", fields), &error), 0);
	assert_string_equal(error.path, path);
	if (!strstr(error.message, part) && !strstr(error.hint, part))
		fail_msg("%s (%s)", error.message, error.hint);
}

static void test_bad_documents(void **state)
{
	(void)state;
	expect_error(json_pack("{s:s}", "image", "guest"), "nfs.fw.guest", "boot");
	expect_error(rig_with(external_guest(), "command", "x"), "nfs.fw.command", "image: guest");
	expect_error(json_pack("{s:s, s:s, s:{s:s}}", "image", "process", "command", "/bin/true",
			     "guest", "boot", "/"),
		"nfs.fw.guest", "image: guest");
	expect_error(json_pack("{s:s, s:s, s:{s:s, s:s}}", "image", "guest", "command", "x 'a\"b'",
			     "guest", "boot", "/", "qemu", "/bin/true"),
		"nfs.fw.command", "kernel");
	expect_error(json_pack("{s:s, s:{s:s, s:s, s:s}}", "image", "guest", "guest", "boot",
			     "/nowhere", "qemu", "/bin/true", "accel", "auto"),
		"nfs.fw.guest.boot", "/nowhere");
	expect_error(json_pack("{s:s, s:{s:s, s:s}}", "image", "guest", "guest", "boot", "/",
			     "qemu", "no-such-qemu"),
		"nfs.fw.guest.qemu", "no-such-qemu");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_attach_and_leave),
		RIG_TEST(test_next_machine_gets_fresh_memory),
		RIG_TEST(test_workers_wait_on_the_vectors),
		RIG_TEST(test_ports_ring),
		RIG_TEST(test_without_ports_nothing_rings),
		RIG_TEST(test_gone_before_the_answer),
		RIG_TEST(test_refused_and_again),
		RIG_TEST(test_refused_all_the_time),
		RIG_TEST(test_endless_talk),
		RIG_TEST(test_rehearsal),
		RIG_TEST(test_not_another_guest),
		RIG_TEST(test_not_a_process),
		RIG_TEST(test_hostile_states),
		RIG_TEST(test_fault_and_dismissal),
		RIG_TEST(test_sockets_go),
		RIG_TEST(test_bad_documents),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does: a port's other end may be gone */
	return cmocka_run_group_tests(tests, rig_make_places, rig_remove_places);
}
