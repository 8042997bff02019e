/*
 * pcap: replays a capture file and writes one; for tests, demos and reproducing what happened
 * somewhere else. Called by the engine through pcap_driver.
 *
 * IN is read whole into memory at open: a worker must wait for no disk, a corrupt file is known
 * before traffic starts, and loops cost nothing. That bounds its size (PCAP_BYTES_MAX). OUT goes
 * through a buffer of stdio that lives here: a write() per MiB, and one when the port falls idle.
 * Timestamps keep nanoseconds both ways.
 *
 * Sources: pcap-savefile(5), pcap-tstamp(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "modules/port/driver.h"
#include "modules/port/iface.h"
#include "modules/port/pace.h"
#include "modules/port/spec.h"

#define PCAP_BYTES_MAX (UINT64_C(1) << 30)
#define OUT_BYTES      (1u << 20)
#define RECORD_ALIGN   16u
#define SECOND_NS      UINT64_C(1000000000)

/* One packet of IN; the next follows at the next multiple of RECORD_ALIGN. */
struct record {
	uint64_t time_ns;
	uint32_t length;
	uint32_t pad;
	uint8_t data[];
};

struct pcap_options {
	char in[256];
	char out[256];
	uint64_t loop; /* times; 0: for ever */
	uint64_t rate;
	bool pace;
};

struct pcap_port {
	struct pcap_options options;
	uint32_t mtu;
	bool promiscuous, link_up;
	uint64_t rx_errors, tx_errors;

	/* IN */
	uint8_t *records;
	size_t n_bytes, size_bytes; /* used, allocated */
	uint64_t first_ns;          /* time of the first record */
	size_t at;                  /* next record */
	uint64_t loops_done;
	uint64_t start_ns; /* when this loop began, with pace */
	struct pace timer;

	/* OUT */
	FILE *file;
	pcap_t *link;
	pcap_dumper_t *out;
	char *out_buffer;
	bool out_dirty, out_busy; /* unwritten bytes; packets since the last complete() */
};

static const struct spec_field pcap_fields[] = {
	{"IN", SPEC_TEXT, SPEC_POSITIONAL, offsetof(struct pcap_options, in), 256},
	{"OUT", SPEC_TEXT, SPEC_POSITIONAL, offsetof(struct pcap_options, out), 256},
	{"loop", SPEC_NUMBER, SPEC_OPTION, offsetof(struct pcap_options, loop), 0, 0, UINT64_MAX},
	{"rate", SPEC_NUMBER, SPEC_OPTION, offsetof(struct pcap_options, rate), 0, 1, 1000000000},
	{"pace", SPEC_SWITCH, SPEC_OPTION, offsetof(struct pcap_options, pace)},
	{NULL},
};

/* ---- worker ---------------------------------------------------------------------------------- */

/* Moves from the end to the beginning as often as asked; false when all is done. */
static bool has_record(struct pcap_port *pcap)
{
	if (pcap->at == pcap->n_bytes) {
		pcap->at = 0;
		pcap->start_ns = 0;
		pcap->loops_done++;
		if (pcap->options.loop && pcap->loops_done >= pcap->options.loop)
			pcap->n_bytes = 0;
	}
	if (pcap->n_bytes == 0)
		pace_sleep_until(&pcap->timer, PACE_NEVER);
	return pcap->n_bytes > 0;
}

/* With pace: is the record due? If not, the timer is set to when it is. */
static bool is_due(struct pcap_port *pcap, const struct record *record, uint64_t now_ns)
{
	uint64_t due_ns;

	if (!pcap->options.pace)
		return true;
	if (pcap->start_ns == 0)
		pcap->start_ns = now_ns;
	due_ns = pcap->start_ns;
	if (record->time_ns > pcap->first_ns)
		due_ns += record->time_ns - pcap->first_ns;
	if (due_ns > now_ns)
		pace_sleep_until(&pcap->timer, due_ns);
	return due_ns <= now_ns;
}

static size_t record_bytes(uint32_t length)
{
	return (sizeof(struct record) + length + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
}

static unsigned pcap_rx(struct port_queue *queue, uint64_t *words, unsigned max)
{
	struct pcap_port *pcap = queue->driver;
	struct buffer_pool *pool = queue->cache->pool;
	uint64_t now_ns = pcap->options.pace ? clock_ns(CLOCK_MONOTONIC) : 0;
	unsigned n = 0;

	max = pcap->n_bytes ? pace_allow(&pcap->timer, max) : max;
	while (n < max && has_record(pcap)) {
		const struct record *record = (const void *)(pcap->records + pcap->at);

		if (!is_due(pcap, record, now_ns) || !buffer_alloc(queue->cache, &words[n], 1))
			break;
		memcpy(buffer_data(pool, words[n]), record->data, record->length);
		words[n] = netvm_desc_set_extent(words[n], pool->headroom, record->length);
		pcap->at += record_bytes(record->length);
		n++;
	}
	pace_sent(&pcap->timer, n);
	return n;
}

static unsigned pcap_tx(struct port_queue *queue, const uint64_t *words, unsigned n)
{
	struct pcap_port *pcap = queue->driver;
	struct pcap_pkthdr header = {0};
	struct timespec now;

	if (!pcap->out) {
		buffer_free(queue->cache, words, n);
		return n;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	header.ts.tv_sec = now.tv_sec;
	header.ts.tv_usec = now.tv_nsec; /* of a file with nanoseconds, pcap-tstamp(7) */
	for (unsigned i = 0; i < n; i++) {
		header.caplen = header.len = netvm_desc_length(words[i]);
		pcap_dump((u_char *)pcap->out, &header, buffer_data(queue->cache->pool, words[i]));
	}
	if (ferror_unlocked(pcap->file)) {
		driver_count(&pcap->tx_errors, n);
		clearerr_unlocked(pcap->file);
	}
	pcap->out_dirty = pcap->out_busy = true;
	buffer_free(queue->cache, words, n);
	return n;
}

/* Called every turn: the first one without packets writes out what is in the buffer. */
static bool pcap_complete(struct port_queue *queue)
{
	struct pcap_port *pcap = queue->driver;

	if (pcap->out_dirty && !pcap->out_busy) {
		if (pcap_dump_flush(pcap->out) != 0)
			driver_count(&pcap->tx_errors, 1);
		pcap->out_dirty = false;
	}
	pcap->out_busy = false;
	return pcap->out_dirty;
}

static int pcap_wait_fd(struct port_queue *rx_queue)
{
	return ((struct pcap_port *)rx_queue->driver)->timer.fd;
}

/* ---- control: state -------------------------------------------------------------------------- */

static void pcap_info(struct port *port, struct port_info *info)
{
	struct pcap_port *pcap = port->driver;

	memset(info, 0, sizeof(*info));
	memcpy(info->mac, (const uint8_t[]){2, 0, 0, 0, 0, 1}, 6);
	info->link_up = pcap->link_up;
	info->promiscuous = pcap->promiscuous;
	info->mtu = pcap->mtu;
	info->rx_errors = driver_counted(&pcap->rx_errors);
	info->tx_errors = driver_counted(&pcap->tx_errors);
	snprintf(info->detail, sizeof(info->detail), "%s%.24s%s%.24s",
		*pcap->options.in ? "from " : "", pcap->options.in,
		*pcap->options.out ? " to " : "", pcap->options.out);
}

static int pcap_set_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	int err = iface_check_mtu(port->pool, buffer_room(port->pool), mtu, error);

	if (err)
		return err;
	((struct pcap_port *)port->driver)->mtu = mtu;
	port->frame_bytes_max = mtu + IFACE_FRAME_EXTRA;
	return 0;
}

static int pcap_set_promiscuous_flag(struct port *port, bool on, struct error *error)
{
	(void)error;
	((struct pcap_port *)port->driver)->promiscuous = on;
	return 0;
}

static int pcap_set_link(struct port *port, bool up, struct error *error)
{
	(void)error;
	((struct pcap_port *)port->driver)->link_up = up;
	return 0;
}

/* ---- control: IN ----------------------------------------------------------------------------- */

static int grow(struct pcap_port *pcap, size_t more)
{
	size_t size = pcap->size_bytes ? pcap->size_bytes : 1u << 16;
	uint8_t *records;

	while (size - pcap->n_bytes < more)
		size *= 2;
	if (size == pcap->size_bytes)
		return 0;
	if (size > PCAP_BYTES_MAX)
		return -EFBIG;
	records = realloc(pcap->records, size);
	if (!records)
		return -ENOMEM;
	pcap->records = records;
	pcap->size_bytes = size;
	return 0;
}

static int add_record(
	struct pcap_port *pcap, const struct pcap_pkthdr *header, const u_char *data, uint32_t room)
{
	size_t bytes = record_bytes(header->caplen);
	struct record *record;
	int err;

	if (header->caplen > room || header->caplen == 0) {
		driver_count(&pcap->rx_errors, 1);
		return 0;
	}
	err = grow(pcap, bytes);
	if (err)
		return err;
	record = (void *)(pcap->records + pcap->n_bytes);
	record->time_ns = (uint64_t)header->ts.tv_sec * SECOND_NS + (uint64_t)header->ts.tv_usec;
	record->length = header->caplen;
	memcpy(record->data, data, header->caplen);
	if (pcap->n_bytes == 0)
		pcap->first_ns = record->time_ns;
	pcap->n_bytes += bytes;
	return 0;
}

/* Up to the end or to where the file makes no sense any more. */
static int load_records(struct pcap_port *pcap, pcap_t *file, uint32_t room, struct error *error)
{
	struct pcap_pkthdr *header;
	const u_char *data;
	int got, err = 0;

	if (pcap_datalink(file) != DLT_EN10MB)
		return error_set(error, EINVAL, "spec", "editcap -T ether may help",
			"%s holds link type %s, not Ethernet", pcap->options.in,
			pcap_datalink_val_to_name(pcap_datalink(file)) ?: "unknown");
	while (!err && (got = pcap_next_ex(file, &header, &data)) == 1)
		err = add_record(pcap, header, data, room);
	if (!err && got == PCAP_ERROR)
		driver_count(&pcap->rx_errors, 1);
	if (err == -EFBIG)
		return error_set(error, EFBIG, "spec", "split it with editcap -c",
			"%s is too large: it is held in memory, 1 GiB at most", pcap->options.in);
	return err ? error_set(error, -err, "spec", "", "out of memory for %s", pcap->options.in)
		   : 0;
}

static int open_in(struct pcap_port *pcap, uint32_t room, struct error *error)
{
	char text[PCAP_ERRBUF_SIZE];
	struct stat stat_in;
	pcap_t *file;
	int err;

	if (!*pcap->options.in)
		return 0;
	if (stat(pcap->options.in, &stat_in) != 0)
		return error_set(error, errno, "spec", "the path is seen from the daemon",
			"cannot open %s: %s", pcap->options.in, strerror(errno));
	if (!S_ISREG(stat_in.st_mode))
		return error_set(error, EINVAL, "spec", "", "%s is not a file", pcap->options.in);
	file = pcap_open_offline_with_tstamp_precision(
		pcap->options.in, PCAP_TSTAMP_PRECISION_NANO, text);
	if (!file)
		return error_set(error, EINVAL, "spec", "a capture as tcpdump -w writes it",
			"cannot read %s: %s", pcap->options.in, text);
	err = load_records(pcap, file, room, error);
	pcap_close(file);
	return err;
}

/* ---- control: OUT ---------------------------------------------------------------------------- */

/* A pipe could block the worker; a file and a device such as /dev/null do not. */
static int check_out(const char *path, struct error *error)
{
	struct stat stat_out;

	if (stat(path, &stat_out) != 0 || S_ISREG(stat_out.st_mode) || S_ISCHR(stat_out.st_mode))
		return 0;
	return error_set(error, EINVAL, "spec", "", "%s is not a file", path);
}

static int open_out(struct pcap_port *pcap, struct error *error)
{
	const char *path = pcap->options.out;
	int err;

	if (!*path)
		return 0;
	err = check_out(path, error);
	if (err)
		return err;
	pcap->file = fopen(path, "we");
	if (!pcap->file)
		return error_set(error, errno, "spec", "the path is seen from the daemon",
			"cannot write %s: %s", path, strerror(errno));
	pcap->out_buffer = malloc(OUT_BYTES);
	pcap->link = pcap_open_dead_with_tstamp_precision(
		DLT_EN10MB, NETVM_BUFFER_BYTES_MAX, PCAP_TSTAMP_PRECISION_NANO);
	if (!pcap->out_buffer || !pcap->link)
		return error_set(error, ENOMEM, "spec", "", "out of memory");
	setvbuf(pcap->file, pcap->out_buffer, _IOFBF, OUT_BYTES);
	__fsetlocking(pcap->file, FSETLOCKING_BYCALLER); /* one thread at a time writes it */
	pcap->out = pcap_dump_fopen(pcap->link, pcap->file);
	if (!pcap->out)
		return error_set(error, EIO, "spec", "", "cannot write %s: %s", path,
			pcap_geterr(pcap->link));
	pcap->out_dirty = true;
	return 0;
}

/* ---- control: open and close ----------------------------------------------------------------- */

static void pcap_port_close(struct port *port)
{
	struct pcap_port *pcap = port->driver;

	if (!pcap)
		return;
	if (pcap->out)
		pcap_dump_close(pcap->out);
	else if (pcap->file)
		fclose(pcap->file);
	if (pcap->link)
		pcap_close(pcap->link);
	free(pcap->out_buffer);
	free(pcap->records);
	pace_close(&pcap->timer);
	free(pcap);
	port->driver = NULL;
}

static int open_files(struct port *port, struct error *error)
{
	struct pcap_port *pcap = port->driver;
	int err;

	if (!*pcap->options.in && !*pcap->options.out)
		return error_set(error, EINVAL, "spec", pcap_driver.usage, "IN or OUT is missing");
	if (pcap->options.pace && pcap->options.rate)
		return error_set(error, EINVAL, "spec", pcap_driver.usage,
			"pace and rate exclude each other");
	err = open_in(pcap, buffer_room(port->pool), error);
	if (!err)
		err = open_out(pcap, error);
	if (!err && pace_open(&pcap->timer, pcap->options.rate, 0))
		err = error_set(error, EMFILE, "spec", "", "out of file descriptors");
	return err;
}

static int pcap_port_open(struct port *port, const struct port_config *config, struct error *error)
{
	struct pcap_port *pcap = calloc(1, sizeof(*pcap));
	int err;

	if (!pcap)
		return error_set(error, ENOMEM, "", "", "out of memory");
	pcap->timer.fd = -1;
	pcap->options.loop = 1;
	pcap->link_up = true;
	port->driver = pcap;
	port->pool = config->pool;
	port->n_rx_queues = port->n_tx_queues = 1;
	port->waits = true;
	port->rx[0].driver = port->tx[0].driver = pcap;
	err = spec_parse(config->args, pcap_fields, pcap_driver.usage, &pcap->options, error);
	if (!err)
		err = pcap_set_mtu(port,
			config->mtu ? config->mtu : buffer_room(port->pool) - IFACE_FRAME_EXTRA,
			error);
	if (!err)
		err = open_files(port, error);
	if (err)
		pcap_port_close(port);
	return err;
}

const struct port_driver pcap_driver = {
	.kind = "pcap",
	.usage = "pcap:IN[,OUT,loop=N,rate=PPS,pace=on|off]",
	.help = "replays the capture IN (loop=0: for ever) and writes what is sent to OUT",
	.open = pcap_port_open,
	.close = pcap_port_close,
	.info = pcap_info,
	.set_mtu = pcap_set_mtu,
	.set_promiscuous = pcap_set_promiscuous_flag,
	.set_link = pcap_set_link,
	.rx = pcap_rx,
	.tx = pcap_tx,
	.complete = pcap_complete,
	.wait_fd = pcap_wait_fd,
};
