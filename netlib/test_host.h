/*
 * A small host for tests: makes a channel and group memory, speaks the socket protocol with one NF,
 * feeds packets and checks what comes back against an ownership table, as the engine does.
 *
 *   test thread                      handshake thread
 *   test_host_open()  -------------> accept, CHANNEL, HELLO, READY or a fault
 *   netvm_attach() in this or another thread or process
 *   test_host_ready() <------------- joined
 *   test_host_give(), _collect() ... the workers' part, one thread per worker at a time
 *   test_host_close()                the NF sees the host vanish
 *
 * With options.guest there is no socket: test_host_sysfs() or test_host_ivshmem_serve() hand the
 * memory over, and the handshake thread waits for HELLO in the channel.
 *
 * Used by the tests of this folder and by those of NFs; plain C, no test framework.
 */
#ifndef NETVM_NETLIB_TEST_HOST_H
#define NETVM_NETLIB_TEST_HOST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <netvm.h>
#include <netvm/abi/ring.h>
#include <netvm/abi/socket.h>

#define TEST_HOST_NEXT NETVM_VERDICT_FIRST_DESTINATION /* verdict of given packets */

enum test_host_fault {
	TEST_HOST_FAULTLESS,
	TEST_HOST_CLOSES_AT_ONCE,
	TEST_HOST_CLOSES_AFTER_HELLO,
	TEST_HOST_SENDS_GARBAGE,
	TEST_HOST_SHORT_CHANNEL,
	TEST_HOST_FEW_FDS,
};

struct test_host_options {
	unsigned n_workers; /* 0: 1 */
	uint32_t abi_min;   /* 0: NETVM_ABI_VERSION */
	uint32_t abi_max;
	uint32_t refusal; /* enum netvm_refusal; 0: none */
	enum test_host_fault fault;
	void (*spoil)(struct netvm_layout *layout); /* called before READY */
	const char *path;                           /* NULL: one of its own */
	bool guest; /* sizes are powers of two; no socket, doorbells into the NF only as ... */
	unsigned n_bells; /* ... so many ports in the folder of plain files */
	bool silent;      /* the features an NF asks for are not granted */
};

struct test_host_pair {
	struct netvm_ring_end rx;
	struct netvm_ring_end tx;
	struct netvm_ring_end stock;
	uint32_t rung; /* the queue's ticket rung for last by this worker */
};

struct test_host_buffer {
	uint8_t owner; /* 0 host, 1 NF: empty, 2 NF: packet */
	uint8_t generation;
	uint8_t worker;
};

struct test_host {
	struct test_host_options options;
	char path[100]; /* the address to attach to */
	int listen_fd;
	int connection;
	int channel_fd;
	int group_fd;
	int bell_in[NETVM_QUEUES_MAX]; /* the NF's doorbells: read ends, then ours */
	int bell_out[NETVM_QUEUES_MAX];
	int worker_fd[NETVM_WORKERS_MAX];
	pthread_t thread;
	bool joined;
	int result;
	bool closing;

	/* guest only */
	int state_fd; /* the doorbell that says "state has changed" */
	int registers_fd;
	uint8_t *registers; /* BAR 0 of the plain files; NULL: none */
	uint32_t *doorbell; /* the register in it: what was rung for last */

	size_t channel_bytes;
	size_t group_bytes;
	struct netvm_channel *channel;
	struct netvm_layout layout;
	struct netvm_hello hello;
	uint8_t *group;
	struct test_host_pair pair[NETVM_WORKERS_MAX][NETVM_QUEUES_MAX];

	pthread_mutex_t lock; /* of the books */
	struct test_host_buffer *buffer;
	uint32_t *free;
	uint32_t n_free;
	uint32_t ticket[NETVM_WORKERS_MAX];

	/* the books */
	uint64_t given;     /* packets handed to the NF */
	uint64_t stocked;   /* empty buffers handed to it */
	uint64_t returned;  /* packets that came back */
	uint64_t made;      /* stock buffers that came back as packets */
	uint64_t unused;    /* stock buffers that came back dropped or consumed */
	uint64_t refused;   /* words it did not own */
	uint64_t misrouted; /* words that came back to another worker than their own */
	uint64_t wakeups;   /* doorbells rung */
	unsigned n_destinations;
};

/* What a clock says; the NF's library keeps its own to itself. */
uint64_t test_host_now_ns(clockid_t clock);

/* Listens from now on. 0 or -errno. */
int test_host_open(struct test_host **host, const struct test_host_options *options);
/* Guest: show the devices as a folder of plain files; host->path is "pci:FOLDER". 0 or -errno. */
int test_host_sysfs(struct test_host *host);
/* Make one device of such a folder; id as in the file `device`. */
int test_host_device(const char *device, const char *id, int registers_fd, int memory_fd);
/*
 * Guest: be the ivshmem server of a QEMU. Listen on two sockets, start QEMU, then serve its two
 * devices; the connections are the caller's to close.
 */
int test_host_ivshmem_listen(const char *path);
int test_host_ivshmem_serve(const struct test_host *host, int channel_listen_fd,
	int group_listen_fd, int connection[2]);
/* Wait for the end of the handshake: 0, or -errno as the host saw it. */
int test_host_ready(struct test_host *host);
/* Close everything at once, as when the daemon is killed. NULL is fine. */
void test_host_close(struct test_host *host);
/* Detach the NF, then close. */
void test_host_finish(struct test_host *host, struct netvm *nf);

/* Give a packet; verdict TEST_HOST_NEXT. -ENOBUFS: no buffer or ring full. */
int test_host_give(
	struct test_host *host, unsigned worker, unsigned queue, const void *data, uint32_t length);
/* Supply up to n empty buffers; returns how many. */
unsigned test_host_stock(struct test_host *host, unsigned worker, unsigned queue, unsigned n);
/* Ring the queue's doorbell when it sleeps; give and stock do it by themselves. */
void test_host_ring(struct test_host *host, unsigned worker, unsigned queue);
/* Take back up to max words, only those the NF owned; looks once. */
unsigned test_host_collect(
	struct test_host *host, unsigned worker, unsigned queue, uint64_t *words, unsigned max);
/* Collect exactly n, sleeping on the worker's doorbell; false after ten seconds without. */
bool test_host_collect_all(
	struct test_host *host, unsigned worker, unsigned queue, uint64_t *words, unsigned n);
/* Data of a word. After collect it is valid until the buffer is given again. */
uint8_t *test_host_data(const struct test_host *host, uint64_t word);

/* Add a destination; returns its verdict. */
unsigned test_host_grant(
	struct test_host *host, enum netvm_destination_kind kind, uint32_t id, const char *name);
/* Set control bits and wake all queues. */
void test_host_control(struct test_host *host, uint32_t control);

/* Say something after READY, with a descriptor; take the answer. 0 or -errno. */
int test_host_say(struct test_host *host, enum netvm_message_type type, uint64_t value, int fd);
int test_host_hear(struct test_host *host, struct netvm_message *message);

/* Wait until the queue sleeps; false after ten seconds. */
bool test_host_sleeps(const struct test_host *host, unsigned queue);
uint32_t test_host_in_flight(const struct test_host *host); /* buffers the NF owns */

#endif
