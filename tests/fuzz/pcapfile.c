/*
 * Capture files as the library's replay reads them (netlib/pcapfile.c).
 *
 * Properties: a frame never gets longer than the room for it; what was read, written and read
 * again is equal, times included.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "netlib/pcapfile.h"
#include "tests/fuzz/fuzz.h"

#define ROOM       100u /* small: longer frames are as easy to make as shorter ones */
#define FRAMES_MAX 64u

struct frame {
	uint32_t length;
	uint64_t time_ns;
	uint8_t data[ROOM];
};

/* Path of an anonymous file with these bytes. */
static int make_file(char path[32], const uint8_t *data, size_t size)
{
	int fd = memfd_create("pcap", MFD_CLOEXEC);

	require(fd >= 0);
	require(write(fd, data, size) == (ssize_t)size);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static unsigned read_all(const char *path, struct frame *frames)
{
	struct pcapfile file;
	unsigned n = 0;

	if (pcapfile_open(&file, path))
		return 0;
	while (n < FRAMES_MAX) {
		uint8_t *room = malloc(ROOM);
		int got = pcapfile_read(&file, room, ROOM, &frames[n].length, &frames[n].time_ns);

		/* A fraction of many seconds may lead to a time that no file can hold. */
		if (got == 1 && frames[n].length <= ROOM &&
			frames[n].time_ns / 1000000000 <= UINT32_MAX) {
			memcpy(frames[n].data, room, frames[n].length);
			n++;
		}
		free(room);
		if (got != 1)
			break;
	}
	pcapfile_close(&file);
	return n;
}

static void write_all(const char *path, const struct frame *frames, unsigned n)
{
	struct pcapfile file;

	require(pcapfile_create(&file, path) == 0);
	for (unsigned i = 0; i < n; i++)
		require(pcapfile_write(
				&file, frames[i].data, frames[i].length, frames[i].time_ns) == 0);
	require(pcapfile_close(&file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct frame first[FRAMES_MAX], second[FRAMES_MAX];
	char path[32];
	int fd = make_file(path, data, size);
	unsigned n = read_all(path, first);

	if (n > 0) {
		write_all(path, first, n);
		require(read_all(path, second) == n);
	}
	for (unsigned i = 0; i < n; i++) {
		require(first[i].length == second[i].length);
		require(first[i].time_ns == second[i].time_ns);
		require(memcmp(first[i].data, second[i].data, first[i].length) == 0);
	}
	close(fd);
	return 0;
}
