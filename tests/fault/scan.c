/*
 * Looking for packets of another group in everything that can be read: all of its own memory, what
 * its descriptors lead to, other processes, PCI devices, physical memory, the kernel's.
 *
 * Three secrets travel in packets all the time: in the other group's, in its own group's, and in
 * those that a chain copies from there to here. The first must not be found; the others must, or
 * the looking is no good. What it looks for is given with all bits flipped, and never stands in its
 * own memory otherwise.
 */
#include "evil.h"

#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES 32
#define CHUNK_BYTES  ((size_t)1 << 20)
#define RANGE_MAX    (UINT64_C(4) << 30) /* longer ones are address space, not memory */

enum secret { OTHER, OWN, PASSED, N_SECRETS };

static const char *const variables[N_SECRETS] = {"EVIL_OTHER", "EVIL_OWN", "EVIL_PASSED"};
static uint8_t flipped[N_SECRETS][SECRET_BYTES];

struct found {
	uint64_t n_bytes, hits[N_SECRETS];
};

static struct found all;

static void secrets_read(void)
{
	for (int secret = 0; secret < N_SECRETS; secret++) {
		const char *text = getenv(variables[secret]);

		must(text && strlen(text) == 2 * SECRET_BYTES, "%s", variables[secret]);
		for (int i = 0; i < SECRET_BYTES; i++)
			must(sscanf(text + 2 * i, "%2hhx", &flipped[secret][i]) == 1, "digits");
	}
}

static bool is_secret(const uint8_t *at, const uint8_t *bytes)
{
	for (int i = 0; i < SECRET_BYTES; i++)
		if ((at[i] ^ bytes[i]) != 0xff)
			return false;
	return true;
}

static void look_at(const uint8_t *memory, size_t size, struct found *found)
{
	for (int secret = 0; secret < N_SECRETS; secret++) {
		const uint8_t *at = memory, *end = memory + size;

		while ((at = memchr(at, flipped[secret][0] ^ 0xff, (size_t)(end - at)))) {
			if ((size_t)(end - at) < SECRET_BYTES)
				break;
			found->hits[secret] += is_secret(at++, flipped[secret]);
		}
	}
	found->n_bytes += size;
}

/* A secret may lie across two chunks. Pages that cannot be read are passed over. */
static void look_through(int fd, uint64_t from, uint64_t to, struct found *found)
{
	static uint8_t chunk[CHUNK_BYTES];

	while (from < to) {
		size_t wanted = to - from < CHUNK_BYTES ? (size_t)(to - from) : CHUNK_BYTES;
		ssize_t n = pread(fd, chunk, wanted, (off_t)from);

		if (n <= 0) {
			from = (from | 4095) + 1;
			continue;
		}
		look_at(chunk, (size_t)n, found);
		if ((size_t)n < wanted || from + (uint64_t)n >= to)
			from += (uint64_t)n;
		else
			from += (uint64_t)n - SECRET_BYTES + 1;
	}
}

static void tell(const char *place, const struct found *found)
{
	if (found->n_bytes == 0)
		return;
	printf("scan: %s: %llu KiB, own %llu, let through %llu, other %llu\n", place,
		(unsigned long long)found->n_bytes >> 10, (unsigned long long)found->hits[OWN],
		(unsigned long long)found->hits[PASSED], (unsigned long long)found->hits[OTHER]);
	all.n_bytes += found->n_bytes;
	for (int secret = 0; secret < N_SECRETS; secret++)
		all.hits[secret] += found->hits[secret];
}

/* ---- places ---------------------------------------------------------------------------------- */

/* The memory of a process, as its maps tell. */
static struct found look_at_process(const char *pid)
{
	struct found found = {0};
	unsigned long long from, to;
	char path[64], line[512];
	FILE *maps;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	while (maps && fd >= 0 && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%llx-%llx r", &from, &to) == 2 && to - from < RANGE_MAX)
			look_through(fd, from, to, &found);
	if (maps)
		fclose(maps);
	if (fd >= 0)
		close(fd);
	return found;
}

static void look_at_processes(void)
{
	struct found others = {0};
	glob_t pids = {0};
	char self[16];

	snprintf(self, sizeof(self), "%d", getpid());
	(void)glob("/proc/[0-9]*", 0, NULL, &pids);
	for (size_t i = 0; i < pids.gl_pathc; i++) {
		const char *pid = pids.gl_pathv[i] + strlen("/proc/");
		struct found found;

		if (strcmp(pid, self) == 0)
			continue;
		found = look_at_process(pid);
		others.n_bytes += found.n_bytes;
		for (int secret = 0; secret < N_SECRETS; secret++)
			others.hits[secret] += found.hits[secret];
	}
	globfree(&pids);
	tell("other processes", &others);
}

static void look_at_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct found found = {0};
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode))
		look_through(fd, 0, (uint64_t)st.st_size, &found);
	if (fd >= 0)
		close(fd);
	tell(path, &found);
}

static void look_at_files(const char *pattern)
{
	glob_t paths = {0};

	(void)glob(pattern, 0, NULL, &paths);
	for (size_t i = 0; i < paths.gl_pathc; i++)
		look_at_file(paths.gl_pathv[i]);
	globfree(&paths);
}

/* Device memory, which can be mapped and not read. */
static void look_at_device(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct found found = {0};
	struct stat st;
	void *memory;

	if (fd < 0 || fstat(fd, &st))
		return;
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory != MAP_FAILED) {
		look_at(memory, (size_t)st.st_size, &found);
		munmap(memory, (size_t)st.st_size);
	}
	close(fd);
	tell(path, &found);
}

static void look_at_devices(void)
{
	glob_t paths = {0};

	(void)glob("/sys/bus/pci/devices/*/resource[0-9]*", 0, NULL, &paths);
	for (size_t i = 0; i < paths.gl_pathc; i++)
		look_at_device(paths.gl_pathv[i]);
	globfree(&paths);
}

/* Whatever the kernel says there is, and lets go: with its strict /dev/mem, not RAM. */
static void look_at_physical_memory(void)
{
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	FILE *ranges = fopen("/proc/iomem", "re");
	unsigned long long from, to;
	struct found found = {0};
	char line[256];

	while (fd >= 0 && ranges && fgets(line, sizeof(line), ranges)) {
		void *memory;

		if (sscanf(line, " %llx-%llx", &from, &to) != 2 || to <= from ||
			to - from >= RANGE_MAX || strstr(line, "PCI Bus"))
			continue;
		memory =
			mmap(NULL, (size_t)(to - from + 1), PROT_READ, MAP_SHARED, fd, (off_t)from);
		if (memory == MAP_FAILED)
			continue;
		look_at(memory, (size_t)(to - from + 1), &found);
		munmap(memory, (size_t)(to - from + 1));
	}
	if (fd >= 0)
		close(fd);
	if (ranges)
		fclose(ranges);
	tell("/dev/mem", &found);
}

/* All of RAM, as the kernel sees it: those parts that have a physical address. */
static struct found look_at_kernel(void)
{
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	struct found found = {0};
	Elf64_Ehdr file;
	Elf64_Phdr part;

	if (fd < 0 || pread(fd, &file, sizeof(file), 0) != sizeof(file))
		return found;
	for (unsigned i = 0; i < file.e_phnum; i++) {
		off_t at = (off_t)(file.e_phoff + i * sizeof(part));

		if (pread(fd, &part, sizeof(part), at) == sizeof(part) && part.p_type == PT_LOAD &&
			part.p_paddr != UINT64_MAX)
			look_through(fd, part.p_offset, part.p_offset + part.p_filesz, &found);
	}
	close(fd);
	tell("/proc/kcore", &found);
	return found;
}

/* ---- the case -------------------------------------------------------------------------------- */

/* A copy of one of its own packets, to be found in RAM. */
static void *packet_keep(struct client *client)
{
	const size_t size = client->layout.buffer_stride;
	uint8_t *copy = malloc(size);
	uint64_t words[64];
	uint32_t n = client_take(&client->rx, words, 64);

	must(copy, "memory");
	memcpy(copy,
		client->group + client->layout.buffer_offset + netvm_desc_index(words[0]) * size,
		size);
	client_give(client, words, n);
	return copy;
}

static void scan(const struct evil_case *self)
{
	struct found found = {0};
	struct client client;
	void *kept;

	secrets_read();
	client_attach(&client, self->name);
	client_pass(&client, rounds(20000, 200000)); /* long enough for some to be let through */
	kept = packet_keep(&client);
	look_at((const uint8_t *)client.channel, client.channel_bytes, &found);
	tell("the channel", &found);
	found = (struct found){0};
	look_at(client.group, client.group_bytes, &found);
	tell("the group's memory", &found);
	found = look_at_process("self");
	must(found.hits[OWN] > 0, "its own memory cannot be looked at");
	tell("its own memory", &found);
	look_at_files("/proc/[0-9]*/fd/*");
	look_at_files("/dev/shm/*");
	look_at_files("/dev/hugepages/*");
	look_at_processes();
	look_at_devices();
	look_at_physical_memory();
	found = look_at_kernel();
	must(!in_guest() || found.hits[OWN] > 0, "a guest's RAM cannot be looked at");
	free(kept);
	must(all.hits[OWN] > 0 && all.hits[PASSED] > 0, "own %llu, let through %llu times",
		(unsigned long long)all.hits[OWN], (unsigned long long)all.hits[PASSED]);
	must(all.hits[OTHER] == 0, "packets of the other group: %llu times",
		(unsigned long long)all.hits[OTHER]);
}

const struct evil_case scan_cases[] = {
	{"scan", "looks for another group's packets in all it can read", COUNTED, true, scan},
	{NULL},
};
