/*
 * Reading and writing pcap files (draft-ietf-opsawg-pcap), Ethernet only. Called by replay.c.
 * Reads micro- and nanosecond files of both byte orders; writes nanoseconds in this machine's
 * order. One thread per file.
 */
#ifndef NETVM_NETLIB_PCAPFILE_H
#define NETVM_NETLIB_PCAPFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct pcapfile {
	FILE *file;
	const char *path;
	bool swapped; /* written by a machine of the other byte order */
	bool nanoseconds;
};

/* -errno of opening; -EBADMSG when it is not a pcap file of Ethernet frames. "-" is stdin. */
int pcapfile_open(struct pcapfile *pcap, const char *path);

/*
 * Read the next frame into data[0..size). Returns 1, 0 at the end of the file, -EBADMSG when it is
 * cut short. *length is the frame's length in the file; one longer than `size` was skipped.
 */
int pcapfile_read(
	struct pcapfile *pcap, uint8_t *data, uint32_t size, uint32_t *length, uint64_t *time_ns);

int pcapfile_create(struct pcapfile *pcap, const char *path);
int pcapfile_write(struct pcapfile *pcap, const uint8_t *data, uint32_t length, uint64_t time_ns);

/* Returns -errno when what was written could not be stored. A pcapfile of zeros is fine. */
int pcapfile_close(struct pcapfile *pcap);

#endif
