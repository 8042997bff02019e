/*
 * evil: an NF that breaks every rule of abi/. A raw client, because libnetvm would not let it.
 *
 * A case is one attack: what it does and how the daemon must take it. `evil CASE` does it and
 * leaves; tests/fault/run has netvmd running, and looks what became of everybody.
 *
 *     evil.c      the program: options, the list of cases, its report
 *     client.c    attaching step by step, rings, waiting; client_unix.c, client_pci.c
 *     rings.c words.c memory.c attach.c life.c pci.c scan.c    the attacks
 *
 * With NETVM_SOCKET=pci it runs in a guest, as root, and its two ivshmem devices take the place of
 * the socket. `where` says which cases make sense there.
 */
#ifndef NETVM_TESTS_FAULT_EVIL_H
#define NETVM_TESTS_FAULT_EVIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/channel.h"
#include "abi/socket.h"

/* How a case must end, for the NF of that name. The driver checks it, see its OUTCOMES. */
enum outcome {
	COUNTED, /* it stayed until it left; what it did wrong is counted, nothing else happened */
	FAULT,   /* taken out, with an event that names it; may not come back at once */
	BROKEN,  /* its connection was ended for what it said, with an event that names it */
	REFUSED, /* it was told no, with an event; it never was an NF */
	NOBODY,  /* nobody ever knew who it was */
	ANY,     /* whether it got in depends on who was faster */
};

enum where { ANYWHERE, PROCESS, GUEST };

struct evil_case {
	const char *name; /* also of the NF that is declared for it */
	const char *what;
	enum outcome outcome;
	bool traffic; /* the NF stands in the attackers' chain; otherwise it has its stock only */
	void (*run)(const struct evil_case *self);
	uint64_t argument;
	enum where where;
};

/* Each ends with a case without a name. */
extern const struct evil_case ring_cases[];
extern const struct evil_case word_cases[];
extern const struct evil_case memory_cases[];
extern const struct evil_case attach_cases[];
extern const struct evil_case life_cases[];
extern const struct evil_case pci_cases[];
extern const struct evil_case scan_cases[];

/* What the daemon must have counted against the NF, exactly; unless the case cannot know. */
struct report {
	bool unknown;
	uint64_t violations, bad_extent, bad_verdict, no_next;
};
extern struct report report;

/* The size of a case in the short run, or in the long one; in a guest, emulated, a tenth of it. */
uint64_t rounds(uint64_t in_short_run, uint64_t in_long_run);

/* ---- client ---------------------------------------------------------------------------------- */

struct client;

/* What processes and guests do differently. */
struct way {
	bool (*connect)(struct client *client);
	void (*say_hello)(struct client *client);
	bool (*is_answered)(struct client *client);
	enum netvm_state (*answer)(struct client *client);
	void (*ring)(const struct client *client, unsigned worker);
	bool (*has_ended)(struct client *client);
	void (*hang_up)(struct client *client);
};
extern const struct way way_unix, way_pci;

#define PCI_PATH_BYTES 64

struct client {
	const struct way *way;
	bool hung_up;
	struct netvm_channel *channel;
	uint8_t *group;
	size_t channel_bytes, group_bytes; /* mapped */
	struct netvm_layout layout;
	unsigned worker; /* whose rings these are, of queue 0 */
	struct netvm_ring_end rx, tx, stock;
	/* a process's */
	int fd; /* the connection; -1 closed */
	int channel_fd, group_fd;
	int bell[NETVM_QUEUES_MAX];
	int worker_fd[NETVM_WORKERS_MAX];
	/* a guest's */
	char pci[2][PCI_PATH_BYTES];  /* the folders of its devices: channel, group */
	volatile uint32_t *registers; /* BAR 0 of the channel's */
};

bool in_guest(void);

/* Up to the offered channel, its header mapped. False when the daemon turned it away. */
bool client_connect(struct client *client);
/* A good hello into the channel, state HELLO. */
void client_fill_hello(struct client *client, const char *name);
void client_say_hello(struct client *client);
/* The daemon has answered, or ended it. */
bool client_is_answered(struct client *client);
/* Waits for it: READY, with everything mapped, or REFUSED, or 0: the connection has ended. */
enum netvm_state client_answer(struct client *client);
/* All of it; waits for a predecessor of that name to be gone. */
void client_attach(struct client *client, const char *name);
/* Another worker's rings from now on, for the first time. After attaching they are worker 0's. */
void client_use_worker(struct client *client, unsigned worker);
/* Leaves; the memory stays mapped. */
void client_hang_up(struct client *client);
/* The daemon has taken it out. */
bool client_has_ended(struct client *client);
void client_await_end(struct client *client);
/* Leaves with nothing left. */
void client_close(struct client *client);

/* Words that came on a ring; waits until there are some. */
uint32_t client_take(struct netvm_ring_end *from, uint64_t *words, uint32_t max);
/* All words that the stock ring will ever hold while none is given back. */
uint32_t client_take_stock(struct client *client, uint64_t *words, uint32_t max);
/* Give words to the daemon and ring; waits for room. */
void client_give(struct client *client, const uint64_t *words, uint32_t n);
void client_ring(const struct client *client);
/* Waits until the daemon has taken all that was given. */
void client_await_judged(struct client *client);
/* Works as an NF should, for so many packets: the daemon reads and writes all it shares. */
void client_pass(struct client *client, uint64_t n_pkts);

/*
 * Processes only. Any bytes with any descriptors; without them, where the kernel refuses them in
 * the daemon's name (Linux 6.16). Returns 0 or the errno of sendmsg.
 */
int client_send(struct client *client, const void *bytes, size_t size, const int *fds, unsigned n);

/* Guests only; device 0 has the channel, device 1 the group's memory. */
void pci_enable(const struct client *client, unsigned device, bool enable);
/* A whole BAR, "resource2" or "resource2_wc". */
void *pci_map(const struct client *client, unsigned device, const char *bar, size_t *size);
/* Bytes of its configuration space. */
void pci_access(const struct client *client, unsigned device, off_t at, void *bytes, size_t size,
	bool to_device);
void pci_doorbell(const struct client *client, uint32_t value);
/* Have the daemon look at the channel's state. */
void pci_look(const struct client *client);

/* ---- all the rest ---------------------------------------------------------------------------- */

/* What the case needs to be true; else it says why not and the program fails. */
void must(bool truth, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For loops that wait: gives the CPU away; fails after `PATIENCE_S`. */
struct patience {
	uint64_t until_ns;
	const char *what;
};
struct patience patience(const char *what);
void patience_wait(struct patience *patience);

uint64_t random_word(uint64_t *seed);
/* A child that runs `body` and goes on to die as it says. Returns its pid. */
int spawn(void (*body)(const struct evil_case *self), const struct evil_case *self);
void await_child(int pid);

#endif
