/*
 * Reading and writing pcap files.
 */
#include "pcapfile.h"

#include <errno.h>
#include <string.h>

#include "failure.h"

#define MAGIC_MICROSECONDS UINT32_C(0xa1b2c3d4)
#define MAGIC_NANOSECONDS  UINT32_C(0xa1b23c4d)
#define LINK_ETHERNET      1u
#define LINK_MASK          UINT32_C(0x0fffffff) /* the upper bits say how long an FCS is */
#define RECORD_BYTES_MAX   (256u * 1024)        /* a longer record is garbage */

struct file_header {
	uint32_t magic;
	uint16_t major;
	uint16_t minor;
	uint32_t reserved[2];
	uint32_t snap_length;
	uint32_t link;
};

struct record_header {
	uint32_t seconds;
	uint32_t fraction;
	uint32_t captured;
	uint32_t original;
};

static uint32_t order(const struct pcapfile *pcap, uint32_t value)
{
	return pcap->swapped ? __builtin_bswap32(value) : value;
}

static int header_read(struct pcapfile *pcap)
{
	struct file_header header;
	uint32_t magic;

	if (fread(&header, sizeof(header), 1, pcap->file) != 1)
		return failure_set(EBADMSG, "%s: too short for a pcap file", pcap->path);
	pcap->swapped = header.magic == __builtin_bswap32(MAGIC_MICROSECONDS) ||
			header.magic == __builtin_bswap32(MAGIC_NANOSECONDS);
	magic = order(pcap, header.magic);
	pcap->nanoseconds = magic == MAGIC_NANOSECONDS;
	if (magic != MAGIC_MICROSECONDS && magic != MAGIC_NANOSECONDS)
		return failure_set(EBADMSG,
			"%s: not a pcap file (convert pcapng with editcap -F pcap)", pcap->path);
	if ((order(pcap, header.link) & LINK_MASK) != LINK_ETHERNET)
		return failure_set(EBADMSG, "%s: link type %u, only Ethernet (1) can be replayed",
			pcap->path, order(pcap, header.link) & LINK_MASK);
	return 0;
}

int pcapfile_open(struct pcapfile *pcap, const char *path)
{
	int result;

	*pcap = (struct pcapfile){.path = path};
	pcap->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
	if (!pcap->file)
		return failure_set(errno, "%s: %m", path);
	result = header_read(pcap);
	if (result < 0)
		(void)pcapfile_close(pcap);
	return result;
}

static bool skip(FILE *file, uint32_t n_bytes)
{
	while (n_bytes > 0 && getc(file) != EOF)
		n_bytes--;
	return n_bytes == 0;
}

int pcapfile_read(
	struct pcapfile *pcap, uint8_t *data, uint32_t size, uint32_t *length, uint64_t *time_ns)
{
	struct record_header record;
	size_t n = fread(&record, 1, sizeof(record), pcap->file);
	uint32_t captured;
	bool whole;

	if (n == 0 && feof(pcap->file))
		return 0;
	if (n != sizeof(record))
		return failure_set(EBADMSG, "%s: cut short within a record's header", pcap->path);
	captured = order(pcap, record.captured);
	if (captured > RECORD_BYTES_MAX)
		return failure_set(EBADMSG, "%s: a record of %u bytes", pcap->path, captured);
	whole = captured > size ? skip(pcap->file, captured)
				: fread(data, 1, captured, pcap->file) == captured;
	if (!whole)
		return failure_set(EBADMSG, "%s: cut short within a packet", pcap->path);
	*length = captured;
	*time_ns = order(pcap, record.seconds) * UINT64_C(1000000000) +
		   order(pcap, record.fraction) * (pcap->nanoseconds ? UINT64_C(1) : 1000);
	return 1;
}

int pcapfile_create(struct pcapfile *pcap, const char *path)
{
	const struct file_header header = {
		.magic = MAGIC_NANOSECONDS,
		.major = 2,
		.minor = 4,
		.snap_length = RECORD_BYTES_MAX,
		.link = LINK_ETHERNET,
	};

	int result;

	*pcap = (struct pcapfile){.path = path, .nanoseconds = true};
	pcap->file = fopen(path, "wbe");
	if (pcap->file && fwrite(&header, sizeof(header), 1, pcap->file) == 1)
		return 0;
	result = failure_set(errno, "%s: %m", path);
	if (pcap->file)
		(void)fclose(pcap->file);
	pcap->file = NULL;
	return result;
}

int pcapfile_write(struct pcapfile *pcap, const uint8_t *data, uint32_t length, uint64_t time_ns)
{
	const struct record_header record = {
		.seconds = (uint32_t)(time_ns / 1000000000u),
		.fraction = (uint32_t)(time_ns % 1000000000u),
		.captured = length,
		.original = length,
	};

	if (fwrite(&record, sizeof(record), 1, pcap->file) == 1 &&
		fwrite(data, 1, length, pcap->file) == length)
		return 0;
	return failure_set(errno, "%s: %m", pcap->path);
}

int pcapfile_close(struct pcapfile *pcap)
{
	FILE *file = pcap->file;

	pcap->file = NULL;
	if (!file || file == stdin)
		return 0;
	if (fclose(file) != 0)
		return failure_set(errno, "%s: %m", pcap->path);
	return 0;
}
