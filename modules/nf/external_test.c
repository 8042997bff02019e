/* Who may attach, NFs started by others, NFs that break the contract. */
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/rpc.h"
#include "modules/nf/control.h"
#include "modules/nf/instance.h"
#include "modules/nf/nf.h"
#include "modules/nf/testing/client.h"
#include "modules/nf/testing/fake.h"
#include "modules/nf/testing/rig.h"

/* ---- external -------------------------------------------------------------------------------- */

/* Say hello as `name`; what the daemon answers: a message type. */
static int attach_as(
	struct client *client, const char *name, const char *service, unsigned n_queues)
{
	assert_int_equal(client_connect(client, rig_nf_socket), 0);
	assert_int_equal(fake_hear(rig_manager.base, client), 0);
	assert_int_equal(client_map(client), 0);
	client_fill(client, name, service);
	client->channel->hello.n_queues = n_queues;
	client_hello(client);
	assert_int_equal(fake_hear(rig_manager.base, client), 0);
	return client->message.type;
}

static void check_refused(const char *name, const char *service, unsigned n_queues,
	uint32_t refusal, const char *text)
{
	struct client client;

	assert_int_equal(attach_as(&client, name, service, n_queues), NETVM_MESSAGE_REFUSED);
	assert_int_equal(client.message.value, refusal);
	assert_non_null(strstr(client.channel->answer.text, text));
	client_close(&client);
}

static void test_refusals(void **state)
{
	struct client client;

	(void)state;
	rig_apply_ok(json_pack("{s:{s:o s:o}}", "nfs", "fw", rig_object("fw", rig_acting("serve")),
		"ids", rig_object("ids", rig_external())));
	rig_await("running");
	check_refused("idz", "", 1, NETVM_REFUSED_UNKNOWN, "fw ids");
	check_refused("fw", "", 1, NETVM_REFUSED_CREDENTIAL, "started by the daemon");
	check_refused("ids", "spy", 1, NETVM_REFUSED_SERVICE, "service ids");
	check_refused("ids", "", 2, NETVM_REFUSED_FEATURE, "set nfs.ids.queues");
	assert_int_equal(attach_as(&client, "ids", "ids", 1), NETVM_MESSAGE_READY);
	check_refused("ids", "", 1, NETVM_REFUSED_BUSY, "running already");
	client_close(&client);
}

/* Somebody else may not take the place of the process that was started. */
static void test_impostor(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("mute")));
	check_refused("fw", "", 1, NETVM_REFUSED_CREDENTIAL, "image: external");
	assert_int_equal(fake.attached, 0);
}

/* A pid may be given to somebody else's process in the moment between two looks. */
static void test_pid_of_another_user(void **state)
{
	const struct nf_instance *instance;
	struct attach_request request = {.hello = {.n_queues = 1}};
	struct attach_grant grant;
	char text[NETVM_TEXT_BYTES];

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("mute")));
	instance = nf_current("fw");
	snprintf(request.hello.name, sizeof(request.hello.name), "fw");
	request.pid = instance->child.pid;
	request.uid = instance->settings.uid + 1;
	assert_int_equal(nf_attach_hooks.admit(&request, &grant, text), NETVM_REFUSED_CREDENTIAL);
	request.uid = instance->settings.uid;
	assert_int_equal(nf_attach_hooks.admit(&request, &grant, text), 0);
}

/* A guest runs on for a moment when its NF has left for another QEMU. */
static void test_on_its_way(void **state)
{
	struct nf_instance *instance;
	struct attach_request request = {.hello = {.n_queues = 1}};
	struct attach_grant grant;
	char text[NETVM_TEXT_BYTES];

	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("mute")));
	instance = (struct nf_instance *)nf_current("fw");
	snprintf(request.hello.name, sizeof(request.hello.name), "fw");
	request.pid = instance->child.pid;
	request.uid = instance->settings.uid;
	instance->pooled.left = true;
	assert_int_equal(nf_attach_hooks.admit(&request, &grant, text), NETVM_REFUSED_BUSY);
	instance->pooled.left = false;
	assert_int_equal(nf_attach_hooks.admit(&request, &grant, text), 0);
}

static void attach_as_nobody(const char *name, uint32_t refusal, const char *text)
{
	struct client client;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (setuid(65534) || client_attach(&client, rig_nf_socket, name))
			_exit(99);
		if (client.message.type == NETVM_MESSAGE_READY)
			_exit(0);
		_exit(strstr(client.channel->answer.text, text) ? (int)client.message.value : 98);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		event_base_loop(rig_manager.base, EVLOOP_NONBLOCK);
	assert_int_equal(WEXITSTATUS(status), refusal);
}

static void check_as_nobody(uint32_t refusal)
{
	attach_as_nobody("fw", refusal, "");
}

/* Nobody hears the names of NFs that he could not be. */
static void test_names_of_others(void **state)
{
	(void)state;
	if (geteuid() != 0 || chmod(rig_run_dir, 0755))
		skip();
	rig_apply_ok(json_pack("{s:{s:o s:o}}", "nfs", "fw",
		rig_object("fw", rig_with(rig_external(), "user", "root")), "ids",
		rig_object("ids", rig_with(rig_external(), "user", "nobody"))));
	attach_as_nobody("idz", NETVM_REFUSED_UNKNOWN, "declared are: ids");
}

static void test_external_user(void **state)
{
	struct client client;

	(void)state;
	if (geteuid() != 0 || chmod(rig_run_dir, 0755))
		skip();
	rig_apply_ok(rig_one("fw", rig_with(rig_external(), "user", "root")));
	check_as_nobody(NETVM_REFUSED_CREDENTIAL);
	assert_int_equal(attach_as(&client, "fw", "", 1), NETVM_MESSAGE_READY);
	check_as_nobody(NETVM_REFUSED_CREDENTIAL);
	client_close(&client);
	rig_apply_ok(rig_one("fw", rig_with(rig_external(), "user", "nobody")));
	check_as_nobody(0);
}

static json_int_t n_crashes(void)
{
	json_t *stats = rig_stats("fw");
	json_int_t n = value_int(json_object_get(stats, "crash"), "count");

	json_decref(stats);
	return n;
}

static void test_external_comes_and_goes(void **state)
{
	struct error error = {0};
	struct client client;

	(void)state;
	rig_apply_ok(rig_one("fw", rig_external()));
	assert_true(rig_is_state("fw", "declared"));
	assert_true(nf_module.ready());
	assert_int_equal(rig_restart("fw", &error), -ENOTCONN);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(attach_as(&client, "fw", "", 1), NETVM_MESSAGE_READY);
		assert_true(rig_is_state("fw", "running"));
		if (i == 0)
			client.channel->state = NETVM_STATE_GONE;
		client_close(&client);
		rig_await("detached");
	}
	/* Only the one that said that it goes did not crash. */
	assert_int_equal(n_crashes(), 1);
	assert_int_equal(attach_as(&client, "fw", "", 1), NETVM_MESSAGE_READY);
	assert_int_equal(rig_restart("fw", NULL), 0);
	assert_int_equal(n_crashes(), 1);
	assert_int_equal(client.channel->control, NETVM_CONTROL_STOP);
	assert_int_equal(fake_hear(rig_manager.base, &client), -ECONNRESET);
	assert_true(rig_is_state("fw", "detached"));
	client_close(&client);
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* The engine says that the NF attached last broke the contract. */
static void report_fault(void)
{
	fake.faulty = fake.last;
	eventfd_write(rig_manager.notify_fd, 1);
}

static void test_fault_of_process(void **state)
{
	(void)state;
	rig_apply_ok(rig_one("fw", rig_acting("stubborn")));
	rig_await("running");
	report_fault();
	rig_await_event("nf-fault", "killed");
	assert_int_equal(fake.reason, DROP_NF_DIED);
	rig_await("backoff");
	rig_await("running");
}

static void test_fault_of_external(void **state)
{
	struct client client;

	(void)state;
	instance_times.backoff_min_ms = 200;
	rig_apply_ok(rig_one("fw", rig_external()));
	assert_int_equal(attach_as(&client, "fw", "", 1), NETVM_MESSAGE_READY);
	report_fault();
	rig_await("backoff");
	assert_int_equal(fake_hear(rig_manager.base, &client), -ECONNRESET);
	client_close(&client);
	check_refused("fw", "", 1, NETVM_REFUSED_BUSY, "try again later");
	rig_await("detached");
	assert_int_equal(attach_as(&client, "fw", "", 1), NETVM_MESSAGE_READY);
	client_close(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_refusals),
		RIG_TEST(test_impostor),
		RIG_TEST(test_pid_of_another_user),
		RIG_TEST(test_on_its_way),
		RIG_TEST(test_external_user),
		RIG_TEST(test_names_of_others),
		RIG_TEST(test_external_comes_and_goes),
		RIG_TEST(test_fault_of_process),
		RIG_TEST(test_fault_of_external),
	};

	return cmocka_run_group_tests(tests, rig_make_places, rig_remove_places);
}
