/*
 * heir: an NF that hands over its state, or takes over its predecessor's, as badly as it can.
 * Started by upgrade_evil.sh with what it does as its only argument.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <netvm.h>

#define ROOM_BYTES (UINT64_C(1) << 28)

static const char good[] = "the state";
static const char *role;
static bool is_loaded;

static bool is(const char *name)
{
	return strcmp(role, name) == 0;
}

static _Noreturn void forever(void)
{
	for (;;)
		pause();
}

/* A child that goes on writing into the file by a mapping that it has. */
static void keep_writing(int fd)
{
	volatile char *state = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (state != MAP_FAILED && fork() == 0)
		for (;;)
			state[0]++;
}

/* All the room there is, and then more. */
static int fill(FILE *file)
{
	static char block[1 << 20];

	for (uint64_t n = 0; n < ROOM_BYTES; n += sizeof(block))
		if (fwrite(block, sizeof(block), 1, file) != 1)
			return -1;
	return is("overfull") ? fwrite(block, sizeof(block), 1, file) != 1 : 0;
}

static int save(struct netvm *nf, FILE *file, void *arg)
{
	int fd = fileno(file);

	(void)nf, (void)arg;
	if (is("dies-saving"))
		abort();
	if (is("never-saves"))
		forever();
	if (is("fills") || is("overfull"))
		return fill(file);
	if (is("seals"))
		(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL);
	if (is("keeps"))
		keep_writing(fd);
	if (is("resizes") && (ftruncate(fd, 0) == 0 || ftruncate(fd, 1L << 40) == 0))
		abort();
	if (is("boasts"))
		return fseek(file, 1L << 40, SEEK_SET);
	return fwrite(good, sizeof(good), 1, file) != 1;
}

static int load(struct netvm *nf, const void *state, size_t n_bytes, void *arg)
{
	(void)nf, (void)arg;
	if (is("dies-loading"))
		abort();
	if (is("never-loads"))
		forever();
	is_loaded = n_bytes == sizeof(good) && memcmp(state, good, n_bytes) == 0;
	return is("refuses");
}

static void burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)nf, (void)pkts, (void)n, (void)arg;
	if (is_loaded && is("dies-with-state"))
		abort();
	if (is_loaded && is("hangs-with-state"))
		forever();
}

int main(int argc, char **argv)
{
	role = argc > 1 ? argv[1] : "";
	if (argc > 1)
		argv[1] = NULL; /* netvm_main() knows no roles */
	return netvm_main(1, argv,
		&(struct netvm_options){
			.burst = burst,
			.save = save,
			.load = load,
		});
}
