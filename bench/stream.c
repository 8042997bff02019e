/*
 * A steady stream of packets into one network interface, expected back at another one; what is
 * between them may be restarted meanwhile. Started by wire.py.
 *
 *   bench-stream OUT IN RATE
 *
 * Sends RATE UDP packets per second, in one burst per millisecond so that it costs little of the
 * core it may share, until SIGTERM; then waits for what is still on its way and prints one line of
 * JSON. Arrivals are stamped by the kernel, so reading late is no latency. "gap_ns" is the longest
 * time between two arrivals: the blackout, as somebody behind IN sees it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/if_ether.h>

#include "common/clock.h"
#include "speed/latency.h"

#define SECOND_NS     UINT64_C(1000000000)
#define TICK_NS       (SECOND_NS / 1000)
#define DRAIN_NS      (SECOND_NS / 2)
#define BURST         64u
#define FRAME_BYTES   60u
#define STAMP_AT      42u /* behind Ethernet, IPv4 and UDP headers */
#define RECEIVE_BYTES (64 << 20)
#define STAMP_MAGIC   UINT32_C(0x4e565354)
#define LATE_TICKS    100u /* a stream later than this skips: it cannot catch up */

struct stamp {
	uint32_t magic;
	uint32_t unused;
	uint64_t sent_ns;
} __attribute__((packed));

static struct {
	int out, in;
	uint64_t rate, sent, refused, skipped, received;
	uint64_t last_ns, gap_ns;
	struct latency latency;
} stream;

static volatile sig_atomic_t stopped;

/* UDP 192.0.2.1:9 -> 198.51.100.1:9 (RFC 5737), checksums as they should be. */
static const uint8_t headers[STAMP_AT] = {
	0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, /* Ethernet */
	0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0x8e, 0x89, 192, 0, 2, 1, 198, 51, 100, 1, /* IPv4 */
	0, 9, 0, 9, 0, 26, 0, 0,                                                       /* UDP */
};

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static int open_interface(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	int on = 1, size = RECEIVE_BYTES;

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) ||
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on))) {
		fprintf(stderr, "stream: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

static void send_burst(unsigned n)
{
	const struct stamp stamp = {.magic = STAMP_MAGIC, .sent_ns = clock_ns(CLOCK_REALTIME)};
	uint8_t frame[FRAME_BYTES] = {0};
	struct iovec part = {frame, sizeof(frame)};
	struct mmsghdr messages[BURST] = {0};
	int n_sent;

	memcpy(frame, headers, sizeof(headers));
	memcpy(frame + STAMP_AT, &stamp, sizeof(stamp));
	for (unsigned i = 0; i < n; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	n_sent = sendmmsg(stream.out, messages, n, MSG_DONTWAIT);
	if (n_sent < 0)
		n_sent = 0;
	stream.sent += (unsigned)n_sent;
	stream.refused += n - (unsigned)n_sent;
}

static void send_due(uint64_t elapsed_ns)
{
	uint64_t done = stream.sent + stream.refused + stream.skipped;
	uint64_t due = (uint64_t)((double)elapsed_ns * (double)stream.rate / 1e9) - done;
	uint64_t most = stream.rate * LATE_TICKS / 1000 + BURST;

	if (due > most) {
		stream.skipped += due - most;
		due = most;
	}
	for (; due > 0; due -= due < BURST ? due : BURST)
		send_burst(due < BURST ? (unsigned)due : BURST);
}

/* The kernel's time of arrival. */
static uint64_t arrival_ns(struct msghdr *message)
{
	struct cmsghdr *part = CMSG_FIRSTHDR(message);
	struct timespec at = {0};

	if (part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS)
		memcpy(&at, CMSG_DATA(part), sizeof(at));
	return (uint64_t)at.tv_sec * SECOND_NS + (uint64_t)at.tv_nsec;
}

static void note_arrival(const uint8_t *frame, uint64_t at_ns)
{
	struct stamp stamp;

	memcpy(&stamp, frame + STAMP_AT, sizeof(stamp));
	if (stamp.magic != STAMP_MAGIC)
		return;
	if (stream.last_ns && at_ns - stream.last_ns > stream.gap_ns && at_ns > stream.last_ns)
		stream.gap_ns = at_ns - stream.last_ns;
	stream.last_ns = at_ns;
	stream.received++;
	latency_add(&stream.latency, at_ns > stamp.sent_ns ? at_ns - stamp.sent_ns : 0);
}

static bool receive_burst(void)
{
	uint8_t frames[BURST][FRAME_BYTES];
	char control[BURST][CMSG_SPACE(sizeof(struct timespec))];
	struct sockaddr_ll from[BURST];
	struct iovec parts[BURST];
	struct mmsghdr messages[BURST];
	int n;

	for (unsigned i = 0; i < BURST; i++) {
		parts[i] = (struct iovec){frames[i], FRAME_BYTES};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
			.msg_namelen = sizeof(from[i]),
			.msg_iov = &parts[i],
			.msg_iovlen = 1,
			.msg_control = control[i],
			.msg_controllen = sizeof(control[i])};
	}
	n = recvmmsg(stream.in, messages, BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		if (from[i].sll_pkttype != PACKET_OUTGOING && messages[i].msg_len >= FRAME_BYTES)
			note_arrival(frames[i], arrival_ns(&messages[i].msg_hdr));
	return n == BURST;
}

static void receive(void)
{
	while (receive_burst())
		;
}

static void run(void)
{
	const struct timespec tick = {.tv_nsec = TICK_NS};
	uint64_t start = clock_ns(CLOCK_MONOTONIC), end;

	while (!stopped) {
		send_due(clock_ns(CLOCK_MONOTONIC) - start);
		receive();
		nanosleep(&tick, NULL);
	}
	for (end = clock_ns(CLOCK_MONOTONIC) + DRAIN_NS; clock_ns(CLOCK_MONOTONIC) < end;) {
		receive();
		nanosleep(&tick, NULL);
	}
}

static void print(void)
{
	printf("{\"sent\": %llu, \"refused\": %llu, \"skipped\": %llu, \"received\": %llu, "
	       "\"gap_ns\": %llu, \"p50_ns\": %llu, \"p99_ns\": %llu, \"max_ns\": %llu}\n",
		(unsigned long long)stream.sent, (unsigned long long)stream.refused,
		(unsigned long long)stream.skipped, (unsigned long long)stream.received,
		(unsigned long long)stream.gap_ns,
		(unsigned long long)latency_percentile(&stream.latency, 500),
		(unsigned long long)latency_percentile(&stream.latency, 990),
		(unsigned long long)stream.latency.max_ns);
}

int main(int argc, char **argv)
{
	if (argc != 4 || (stream.rate = strtoull(argv[3], NULL, 10)) == 0) {
		fprintf(stderr, "usage: bench-stream OUT IN RATE\n");
		return 2;
	}
	signal(SIGTERM, on_signal);
	stream.out = open_interface(argv[1]);
	stream.in = open_interface(argv[2]);
	run();
	print();
	return 0;
}
