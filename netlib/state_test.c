/*
 * Handing over state: the NF runs on a thread of the test, the test plays the host that asks it to
 * save and to load.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_host.h"

#define ROOM 4096

static struct {
	const char *text; /* what save() writes; NULL: it fails */
	unsigned times;   /* so often */
	char loaded[64];
	int refuse; /* what load() returns */
} nf;

static int save(struct netvm *queue, FILE *state, void *arg)
{
	assert_int_equal(netvm_queue(queue), 0);
	assert_ptr_equal(arg, &nf);
	if (!nf.text)
		return -EIO;
	for (unsigned i = 0; i < nf.times; i++)
		fputs(nf.text, state);
	return 0;
}

static int load(struct netvm *queue, const void *state, size_t n_bytes, void *arg)
{
	assert_int_equal(netvm_queue(queue), 0);
	assert_ptr_equal(arg, &nf);
	assert_true(n_bytes < sizeof(nf.loaded));
	memcpy(nf.loaded, state, n_bytes);
	return nf.refuse;
}

static void pass(struct netvm *queue, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)queue, (void)pkts, (void)n, (void)arg;
}

struct fixture {
	struct test_host *host;
	struct netvm_options options;
	pthread_t thread;
	int result;
};

static void *run(void *arg)
{
	struct fixture *f = arg;

	f->result = netvm_run(&f->options);
	return NULL;
}

static void start(struct fixture *f, unsigned n_queues, bool hooks)
{
	*f = (struct fixture){.options = {.name = "nf", .burst = pass, .n_queues = n_queues}};
	f->options.arg = &nf;
	f->options.save = hooks ? save : NULL;
	f->options.load = hooks ? load : NULL;
	memset(&nf, 0, sizeof(nf));
	nf.times = 1;
	assert_int_equal(test_host_open(&f->host, &(struct test_host_options){0}), 0);
	f->options.socket = f->host->path;
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
	assert_int_equal(test_host_ready(f->host), 0);
}

static void stop(struct fixture *f)
{
	netvm_stop();
	pthread_join(f->thread, NULL);
	assert_int_equal(f->result, 0);
	test_host_close(f->host);
}

/* As the daemon makes it. */
static int make_file(void)
{
	int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, ROOM), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	return fd;
}

static uint64_t ask(struct fixture *f, enum netvm_message_type type, uint64_t value, int fd)
{
	struct netvm_message message;

	lseek(fd, 0, SEEK_SET); /* the NF's copy shares it; a daemon's file is always a fresh one */
	assert_int_equal(test_host_say(f->host, type, value, fd), 0);
	assert_int_equal(test_host_hear(f->host, &message), 0);
	assert_int_equal(message.type, type + 1);
	return message.value;
}

static void saves_and_loads(void **state)
{
	char text[5] = "";
	struct fixture f;
	int fd = make_file();

	(void)state;
	start(&f, 1, true);
	assert_true(f.host->hello.features & NETVM_FEATURE_STATE);
	nf.text = "seen";
	assert_int_equal(ask(&f, NETVM_MESSAGE_SAVE, ROOM, fd), 4);
	assert_int_equal(pread(fd, text, 4, 0), 4);
	assert_string_equal(text, "seen");
	/* Nothing of the NF's keeps the file from being sealed. */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(ask(&f, NETVM_MESSAGE_LOAD, 4, fd), 0);
	assert_string_equal(nf.loaded, "seen");
	/* It works on. */
	assert_int_equal(test_host_give(f.host, 0, 0, "packet", 6), 0);
	assert_true(test_host_collect_all(f.host, 0, 0, &(uint64_t){0}, 1));
	stop(&f);
	close(fd);
}

static void failures_are_said(void **state)
{
	struct fixture f;
	int fd = make_file();

	(void)state;
	start(&f, 1, true);
	assert_true(ask(&f, NETVM_MESSAGE_SAVE, ROOM, fd) == UINT64_MAX);
	nf.text = "more than there is room for ";
	nf.times = ROOM;
	assert_true(ask(&f, NETVM_MESSAGE_SAVE, ROOM, fd) == UINT64_MAX);
	nf.refuse = -EBADMSG;
	assert_int_equal(ask(&f, NETVM_MESSAGE_LOAD, 4, fd), 1);
	assert_int_equal(ask(&f, NETVM_MESSAGE_LOAD, ROOM + 1, fd), 1);
	stop(&f);
	close(fd);
}

/* All queues see that the host has spoken; the first one answers, once. */
static void many_queues(void **state)
{
	struct fixture f;
	int fd = make_file();

	(void)state;
	start(&f, 4, true);
	nf.text = "seen";
	for (int i = 0; i < 50; i++)
		assert_int_equal(ask(&f, NETVM_MESSAGE_SAVE, ROOM, fd), 4);
	stop(&f);
	close(fd);
}

/* Asked without having said that it can: that is no host. */
static void without_hooks(void **state)
{
	struct netvm_message message;
	struct fixture f;
	int fd = make_file();

	(void)state;
	start(&f, 1, false);
	assert_false(f.host->hello.features & NETVM_FEATURE_STATE);
	assert_int_equal(test_host_say(f.host, NETVM_MESSAGE_SAVE, ROOM, fd), 0);
	assert_true(test_host_hear(f.host, &message) < 0);
	pthread_join(f.thread, NULL);
	assert_int_equal(f.result, -ECONNRESET);
	test_host_close(f.host);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(saves_and_loads),
		cmocka_unit_test(failures_are_said),
		cmocka_unit_test(many_queues),
		cmocka_unit_test(without_hooks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
