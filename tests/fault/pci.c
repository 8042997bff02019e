/* Attacks that take a guest: on the two devices, and on the channel's state, which stands for a
 * connection there. */
#include "evil.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STOCK_MAX      1024
#define CONFIG_COMMAND 4  /* two bytes: memory decoding, bus mastering, ... */
#define CONFIG_BARS    16 /* six of four bytes */
#define CONFIG_BYTES   256

static void fill_with_junk(volatile void *at, size_t size, uint64_t *seed)
{
	volatile uint32_t *word = at;

	for (size_t i = 0; i < size / sizeof(*word); i++)
		word[i] = (uint32_t)random_word(seed);
}

/* ---- registers and doorbells ----------------------------------------------------------------- */

/* All of BAR 0, the doorbell among it, and of BAR 1, where interrupts are set up. */
static void registers(const struct evil_case *self)
{
	uint64_t seed = 11;
	struct client client;
	size_t size;
	void *interrupts;

	client_attach(&client, self->name);
	interrupts = pci_map(&client, 0, "resource1", &size);
	for (uint64_t round = 0; round < rounds(500, 50000); round++) {
		fill_with_junk(client.registers, 256, &seed);
		fill_with_junk(interrupts, size, &seed);
		client_pass(&client, 10);
	}
}

/* Every vector there can be of some peers: nobody, itself, the host, one too many, the last. */
static void doorbells(const struct evil_case *self)
{
	static const uint32_t peers[] = {0, 1, 2, 3, 0x7fff, 0xffff};
	struct client client;

	client_attach(&client, self->name);
	for (uint64_t round = 0; round < rounds(10, 1000); round++)
		for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
			for (uint32_t vector = 0; vector < 0x10000;
				vector += vector < 300 ? 1 : 997)
				pci_doorbell(&client, peers[i] << 16 | vector);
	client_pass(&client, 1000);
}

static void *look_forever(void *arg)
{
	for (;;)
		pci_look(arg);
	return NULL;
}

/* Vector 0 makes the manager look. */
static void state_storm(const struct evil_case *self)
{
	struct client client;
	pthread_t ringer;

	client_attach(&client, self->name);
	must(!pthread_create(&ringer, NULL, look_forever, &client), "a thread");
	client_pass(&client, rounds(20000, 5000000));
}

/* ---- devices --------------------------------------------------------------------------------- */

/* Neither answers while it is off; packets go on as soon as they are back. */
static void devices_off(const struct evil_case *self)
{
	uint16_t off = 0, command;
	struct client client;

	client_attach(&client, self->name);
	for (uint64_t round = 0; round < rounds(100, 1000); round++)
		for (unsigned device = 0; device < 2; device++) {
			pci_access(&client, device, CONFIG_COMMAND, &command, 2, false);
			pci_access(&client, device, CONFIG_COMMAND, &off, 2, true);
			must(client.channel->magic != NETVM_CHANNEL_MAGIC || device == 1,
				"the channel is still there");
			pci_look(&client);
			pci_access(&client, device, CONFIG_COMMAND, &command, 2, true);
			pci_enable(&client, device, false);
			pci_enable(&client, device, true);
			client_pass(&client, 100);
		}
}

/* All that can be written behind the standard header's first line: BARs, capabilities, MSI-X. */
static void config_junk(const struct evil_case *self)
{
	uint8_t saved[CONFIG_BYTES], junk[CONFIG_BYTES];
	uint64_t seed = 12;
	struct client client;

	client_attach(&client, self->name);
	for (uint64_t round = 0; round < rounds(100, 1000); round++)
		for (unsigned device = 0; device < 2; device++) {
			fill_with_junk(junk, sizeof(junk), &seed);
			pci_access(&client, device, 0, saved, sizeof(saved), false);
			pci_access(&client, device, CONFIG_BARS, junk, CONFIG_BYTES - CONFIG_BARS,
				true);
			pci_access(&client, device, CONFIG_BARS, saved + CONFIG_BARS,
				CONFIG_BYTES - CONFIG_BARS, true);
			client_pass(&client, 100);
		}
}

/* Where its kernel lets it, with write combining, and behind all that the layout names. */
static void odd_maps(const struct evil_case *self)
{
	static const off_t offsets[] = {1, 511, 4095, -4096, INT64_MAX & ~(off_t)4095};
	uint64_t seed = 13;
	char path[PCI_PATH_BYTES + 16];
	struct client client;
	size_t size, used;
	uint8_t *combining;

	client_attach(&client, self->name);
	for (unsigned device = 0; device < 2; device++) {
		int fd;

		snprintf(path, sizeof(path), "%s/resource2", client.pci[device]);
		fd = open(path, O_RDWR);
		for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
			must(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, offsets[i]) == MAP_FAILED,
				"offset %lld can be mapped", (long long)offsets[i]);
		close(fd);
		combining = pci_map(&client, device, "resource2_wc", &size);
		used = device ? client.layout.buffer_offset + (size_t)client.layout.n_buffers *
								      client.layout.buffer_stride
			      : client.layout.channel_bytes;
		for (uint64_t round = 0; round < rounds(20, 200); round++) {
			fill_with_junk(combining + used, size - used, &seed);
			client_pass(&client, 100);
		}
	}
}

/* ---- one channel, several programs ----------------------------------------------------------- */

static struct client stale;

/* It read the indices when the first one did, and gives one word where that one gave many. */
static void second_program(const struct evil_case *self)
{
	(void)self;
	netvm_ring_stage(&stale.tx, stale.tx.ring->word[0]);
	netvm_ring_publish(&stale.tx);
	client_ring(&stale);
}

static void two_programs(const struct evil_case *self)
{
	uint64_t words[STOCK_MAX];
	struct client client;
	uint32_t n;

	client_attach(&client, self->name);
	stale = client;
	n = client_take_stock(&client, words, STOCK_MAX);
	client_give(&client, words, n);
	client_await_judged(&client);
	await_child(spawn(second_program, self));
	client_await_end(&client);
}

/* ---- the channel's state --------------------------------------------------------------------- */

static void set_state(struct client *client, uint32_t state)
{
	__atomic_store_n(&client->channel->state, state, __ATOMIC_RELEASE);
	pci_look(client);
}

static void says_hello_again(const struct evil_case *self)
{
	struct client client;

	client_attach(&client, self->name);
	client_fill_hello(&client, self->name);
	pci_look(&client);
	client_await_end(&client);
}

/* All there are and two that are none, with a good hello most of the time. */
static void state_flips(const struct evil_case *self)
{
	struct client client;

	client_attach(&client, self->name);
	for (uint64_t i = 0; i < rounds(100000, 5000000); i++) {
		if (i % 7 == 0)
			client_fill_hello(&client, self->name);
		set_state(&client, (uint32_t)(i % (NETVM_STATE_GONE + 2)));
	}
	report.unknown = true;
}

static void comes_and_goes(const struct evil_case *self)
{
	uint64_t words[STOCK_MAX];
	struct client client;

	for (uint64_t i = 0; i < rounds(300, 10000); i++) {
		client_attach(&client, self->name);
		client_pass(&client, 10);
		client_take(&client.rx, words, 64);
		client_take_stock(&client, words, STOCK_MAX);
		client_close(&client);
	}
}

/* ---- the end of the guest -------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	must(file && fputs(text, file) >= 0 && fclose(file) == 0, "writing to %s", path);
}

/* With packets and stock in its hands. The argument is what Alt-SysRq would be pressed with. */
static void guest_ends(const struct evil_case *self)
{
	char key[2] = {(char)self->argument};
	uint64_t words[STOCK_MAX];
	struct client client;

	client_attach(&client, self->name);
	client_take(&client.rx, words, 64);
	client_take_stock(&client, words, STOCK_MAX);
	write_file("/proc/sysrq-trigger", key);
	must(false, "the guest goes on");
}

const struct evil_case pci_cases[] = {
	{"registers", "junk into all registers, doorbells and interrupt tables", COUNTED, true,
		registers, .where = GUEST},
	{"doorbells", "rings for every vector of six peers", COUNTED, true, doorbells,
		.where = GUEST},
	{"state-storm", "a thread rings for a look at its state, all the time", COUNTED, true,
		state_storm, .where = GUEST},
	{"devices-off", "switches its devices off and on", COUNTED, true, devices_off,
		.where = GUEST},
	{"config-junk", "junk into the devices' configuration space, BARs included", COUNTED, true,
		config_junk, .where = GUEST},
	{"odd-maps", "maps at odd places, writes behind what is in use", COUNTED, true, odd_maps,
		.where = GUEST},
	{"two-programs", "two programs work over one channel", FAULT, false, two_programs,
		.where = GUEST},
	{"hello-again", "says HELLO once more when attached", BROKEN, false, says_hello_again,
		.where = GUEST},
	{"state-flips", "sets its state to all there are, over and over", ANY, true, state_flips,
		.where = GUEST},
	{"comes-and-goes", "attaches and leaves, with packets in its hands", COUNTED, true,
		comes_and_goes, .where = GUEST},
	{"panics", "its kernel panics", COUNTED, true, guest_ends, 'c', GUEST},
	{"reboots", "its kernel resets the machine", COUNTED, true, guest_ends, 'b', GUEST},
	{"powers-off", "its kernel switches the machine off", COUNTED, true, guest_ends, 'o',
		GUEST},
	{NULL},
};
