/*
 * netvm.h - write a network function (NF) for NetVM.
 *
 * An NF receives packets in bursts, looks at them where they lie (nothing is copied), and gives
 * each a verdict: go on in the chain, drop, out of a port, through a service. The same source
 * runs as a process, in a container and in a QEMU/KVM guest. A complete NF:
 *
 *     #include <netvm.h>
 *
 *     static void no_telnet(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
 *     {
 *             for (unsigned i = 0; i < n; i++) {
 *                     struct netvm_headers h;
 *
 *                     if (netvm_parse(nf, &pkts[i], &h) == 0 && h.tcp &&
 *                             h.dst_port == 23)
 *                             netvm_drop(&pkts[i]);
 *             }
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *             return netvm_main(argc, argv, &(struct netvm_options){ .burst = no_telnet });
 *     }
 *
 * Two ways to use it. netvm_main() and netvm_run() own the loop and call you back. A program that
 * has a loop of its own uses netvm_attach(), netvm_receive(), netvm_send().
 *
 * OWNERSHIP. A packet you received is yours until you send it (with any verdict) or release it. In
 * a callback the library sends the whole burst when you return, except what you held, sent or
 * released yourself by its place in the callback's array (a copy is not recognised, and would go
 * twice). What you still own when your process ends goes back to the host and is counted as lost
 * by you.
 *
 * THREADS. A struct netvm belongs to one thread. With options.n_queues > 1 netvm_run() runs one
 * thread and one struct netvm per queue, and the packets of one flow always reach the same queue.
 *
 * BLOCKING. netvm_receive() may sleep, attaching and detaching wait for the host; nothing else
 * blocks. Idle NFs sleep and cost no CPU; set options.busy to poll instead.
 *
 * CRASHES. Your crash cannot hurt the host or another group. The host takes back every buffer you
 * held, applies the failure mode of your chains, and may start you again. If the host goes away,
 * netvm_receive() returns -ECONNRESET and netvm_run() returns it, or attaches again to the next
 * host as soon as there is one (options.reattach, which netvm_main() sets); options.start is called
 * again then, and what you held is gone.
 *
 * ERRORS. Functions return 0 or a count, or -errno. netvm_error() has the last failure in words.
 */
#ifndef NETVM_H
#define NETVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <netvm/abi/descriptor.h>
#include <netvm/abi/channel.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NETVM_BURST_MAX 64u /* packets in one burst at most */

/*
 * One packet: a descriptor. Copying the struct does not copy the packet. The fields of the word
 * are reached through the functions below.
 */
struct netvm_packet {
	uint64_t word;
};

/*
 * One queue of an attached NF. The fields are for the inline functions of this header; do not
 * touch them.
 */
struct netvm {
	uint8_t *buffers; /* slot 0 of the group memory */
	uint32_t buffer_stride;
	uint32_t n_buffers;
	uint32_t headroom;
	uint32_t features;
	struct netvm_private *private_;
};

/* Called with 1..NETVM_BURST_MAX packets; every packet's verdict starts as "next". */
typedef void netvm_burst_fn(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg);

struct netvm_options {
	const char *name;    /* this NF's name; default $NETVM_NAME, else the program's name */
	const char *service; /* its role; default $NETVM_SERVICE, else as the host declares */
	/*
	 * The daemon's socket, or "pci": this is a guest, the host is behind its ivshmem devices.
	 * Default $NETVM_SOCKET, else NETVM_SOCKET_DEFAULT, else the devices where there are any.
	 */
	const char *socket;
	netvm_burst_fn *burst;
	/*
	 * Called once per queue in its own thread before the first burst, and again after attaching
	 * again. Not 0 stops the run: netvm_run() returns it when negative, else -ECANCELED.
	 */
	int (*start)(struct netvm *nf, void *arg);
	/* Called about every tick_ns, also without packets, and once more before the end. */
	void (*tick)(struct netvm *nf, void *arg);
	uint64_t tick_ns;  /* 0: never */
	void *arg;         /* handed to all callbacks */
	unsigned n_queues; /* 0 means 1; at most NETVM_QUEUES_MAX */
	bool meta;         /* ask for metadata: see netvm_meta() */
	bool stock;        /* ask for empty buffers: needed by netvm_alloc() and netvm_clone() */
	bool busy;         /* poll instead of sleeping */
	bool reattach;     /* when the host goes away, attach to the next instead of returning */
	bool wait;         /* the same, and wait for the first host, too; or $NETVM_WAIT=1 */
	/*
	 * Handing over to a successor (`netvm nf upgrade`, `nf restart`), so that connections,
	 * counters and the like survive. Both are called by netvm_run() on the thread of queue 0
	 * while the NF has no packets; `nf` is queue 0, and ticks of other queues may run
	 * meanwhile. Not in guests.
	 *
	 * save: write what the successor needs, at most 256 MiB. Go on as you were afterwards:
	 * should the successor fail, the packets come back. Not 0, or a failed write: the successor
	 * starts without. load: called after `start` of all queues and before the first packet,
	 * unless there is nothing to load. The state is gone when it returns. It may come from
	 * another version of the program, and from one that was broken into: check every length and
	 * value. Not 0: this NF cannot go on with it, and its predecessor goes on instead; return 0
	 * to start without.
	 *
	 * Traffic waits meanwhile, in a ring of limited size, for a few seconds at most: be quick.
	 */
	int (*save)(struct netvm *nf, FILE *state, void *arg);
	int (*load)(struct netvm *nf, const void *state, size_t n_bytes, void *arg);
};

/* ---- running ------------------------------------------------------------------------------ */

/*
 * Attach, run until told to stop (SIGINT, SIGTERM, the host's request, netvm_stop()), detach. When
 * the host asks a guest's NF to move (its devices are unplugged, others will come) it attaches
 * again, whatever options.reattach says. Returns 0 after a stop, or:
 *   -ENOENT, -ECONNREFUSED  no daemon at that socket; in a guest: no devices, none behind them;
 *                           not with options.wait
 *   -EACCES                 not allowed to open the socket or the devices, or declared for another
 *                           user
 *   -EPROTONOSUPPORT        no common ABI version with the daemon, or a feature it does not grant
 *   -EPERM                  refused: unknown name, name in use, other service; see netvm_error()
 *   -EBUSY                  in a guest: another NF of it is attached
 *   -ENOSPC                 refused: the host has no room for another NF
 *   -ETIMEDOUT              the daemon accepted the connection but does not answer
 *   -EPROTO                 what answered is no NetVM daemon, or a broken one
 *   -ECONNRESET             the host went away and options.reattach is not set
 *   -EINVAL                 options out of range; netvm_error() names the field
 */
int netvm_run(const struct netvm_options *options);

/*
 * netvm_run() as a main function: understands the common arguments
 *     --name NAME --service NAME --socket PATH --queues N --busy --wait
 *     --replay IN.pcap[,OUT.pcap] --help
 * up to "--"; any other is an error that names it. An NF with options of its own parses them first
 * and takes them out of argv, or has them stand behind "--". With --replay the NF runs on a pcap
 * file, without a daemon. Errors are printed on stderr. Returns an exit status.
 */
int netvm_main(int argc, char **argv, const struct netvm_options *options);

/* Ask netvm_run() to return; may be called from any thread and from signal handlers. */
void netvm_stop(void);

/*
 * Run options.burst over the packets of a pcap file without a daemon, in bursts, as if they had
 * come in by port "in" of a chain in -> this NF -> out. `out` (may be NULL) receives the packets
 * whose verdict is next or a destination, also those the NF allocated or cloned.
 * Ports named in netvm_destination() all exist here. Reads pcap (micro- and nanosecond, both byte
 * orders, link type Ethernet); a packet longer than a buffer is counted as `malformed`.
 * Time is the file's: arrival_ns and ticks follow the time stamps.
 * Returns 0, -errno of opening or writing, -EBADMSG when `in` is not such a file or is cut short,
 * -ENOBUFS when the NF holds thousands of packets, or what options.start said.
 */
struct netvm_replay_result {
	uint64_t received; /* packets given to the NF */
	uint64_t sent;     /* verdict next or a destination */
	uint64_t dropped;
	uint64_t consumed;
	uint64_t injected;  /* packets the NF made itself */
	uint64_t malformed; /* records that do not fit a buffer: not given to the NF */
	uint64_t in_flight; /* still held by the NF at the end: 0 unless it forgot some */
	uint64_t refused; /* what a host would refuse: not owned, outside its buffer, no verdict */
};
int netvm_replay(const struct netvm_options *options, const char *in, const char *out,
	struct netvm_replay_result *result);

/* ---- a loop of your own ------------------------------------------------------------------- */

/* Attach with options (burst, start, tick, save, load unused; n_queues at most 1). Errors as
 * netvm_run(). */
int netvm_attach(const struct netvm_options *options, struct netvm **nf);

/*
 * Show what was sent, wait a moment (0.1 s at most) until the host has taken it, unmap. What is
 * still held the host takes back. NULL is fine. Ends the use of all packets.
 */
void netvm_detach(struct netvm *nf);

/*
 * Receive up to `max` packets (at most NETVM_BURST_MAX are taken). Waits up to timeout_ns for the
 * first one: 0 looks once, UINT64_MAX waits for ever. Sends the staged packets first. Returns the
 * number received, 0 at the time limit, -ECANCELED when netvm_stop() was called, or the host asked
 * this NF to stop and nothing is left to receive, -ECONNRESET when the host went away.
 */
int netvm_receive(struct netvm *nf, struct netvm_packet *pkts, unsigned max, uint64_t timeout_ns);

/*
 * Stage packets for sending, each by its verdict; in a callback, too, for those that are to go
 * before the others or were made there. There is always room: the ring towards the host
 * is as large as what an NF may own (what does not fit was sent twice and is forgotten). They are
 * shown to the host at the next netvm_flush(), netvm_receive() or netvm_sleep().
 */
void netvm_send(struct netvm *nf, const struct netvm_packet *pkts, unsigned n);
void netvm_flush(struct netvm *nf);

/*
 * Say that this queue is at work: for callbacks that may take longer over a burst than the daemon
 * waits before it counts the NF as hung (its hang_ms). Call it now and then, such as once per
 * packet that takes milliseconds; it is a store to a line of memory that the host reads for each
 * burst.
 */
void netvm_alive(struct netvm *nf);

/*
 * File descriptor for poll(): readable when packets arrive while this queue sleeps, when the host
 * goes away, and on netvm_stop(). In a guest without a port, where nobody can ring, it is readable
 * whenever it is time to look again, every 2 ms at the latest.
 */
int netvm_fd(const struct netvm *nf);

/*
 * Tell the host to ring netvm_fd(), unless packets are there already. Returns 1 when packets (or a
 * stop) wait now: do not sleep; 0: sleep on netvm_fd(); after it call netvm_wake().
 */
int netvm_sleep(struct netvm *nf);
void netvm_wake(struct netvm *nf);

/* ---- packets of your own ------------------------------------------------------------------ */

/*
 * Take up to n empty buffers (options.stock): length 0, offset at the headroom, verdict drop, so
 * that giving one back unused is not counted. Returns the number got, 0 when the stock is empty
 * for now. Fill data, set length with netvm_append(), give a verdict, send. "next" means nothing
 * for a packet you made: use a destination.
 */
unsigned netvm_alloc(struct netvm *nf, struct netvm_packet *pkts, unsigned n);

/*
 * Copy a packet and its metadata into an empty buffer; the clone has the original's verdict. Clone
 * a received packet before you change its verdict, and the clone goes on in the original's chain;
 * netvm_next() means nothing for it. Returns 0, -ENOBUFS when the stock is empty, -EINVAL when the
 * packet does not lie within its buffer.
 */
int netvm_clone(struct netvm *nf, const struct netvm_packet *pkt, struct netvm_packet *clone);

/*
 * In a burst callback: keep this packet (one of the callback's array) after the callback returns.
 * Copy *pkt to keep it; send it later with netvm_send(). The host counts it as in flight through
 * this NF, and sends this NF no more packets while it holds a full ring of them.
 */
void netvm_hold(struct netvm *nf, struct netvm_packet *pkt);

/* Give a packet back now, counted as consumed (received) or not at all (allocated). */
void netvm_release(struct netvm *nf, const struct netvm_packet *pkt);

/* ---- verdicts ----------------------------------------------------------------------------- */

/* Go on in the chain. That is what every received packet does if nothing else is said. */
static inline void netvm_next(struct netvm_packet *pkt)
{
	pkt->word = netvm_desc_set_verdict(pkt->word, NETVM_VERDICT_NEXT);
}

static inline void netvm_drop(struct netvm_packet *pkt)
{
	pkt->word = netvm_desc_set_verdict(pkt->word, NETVM_VERDICT_DROP);
}

static inline void netvm_consume(struct netvm_packet *pkt)
{
	pkt->word = netvm_desc_set_verdict(pkt->word, NETVM_VERDICT_CONSUME);
}

/* To a destination found by netvm_destination(). */
static inline void netvm_to(struct netvm_packet *pkt, unsigned destination)
{
	pkt->word = netvm_desc_set_verdict(pkt->word, destination);
}

/*
 * The verdict value that means "to port NAME" or "through service NAME" for this NF. `kind` is
 * NETVM_DESTINATION_PORT or _SERVICE. Returns the value (>= NETVM_VERDICT_FIRST_DESTINATION),
 * -ENOENT when the manager granted no such destination (it grants the ports and services of the
 * chains that this NF's service is in), -EAGAIN when the host does not finish changing the table.
 * Grants may change while running: look again in options.tick when netvm_destination_version()
 * changed.
 */
int netvm_destination(struct netvm *nf, enum netvm_destination_kind kind, const char *name);

/* The same by number, e.g. netvm_meta()->in_port. */
int netvm_destination_by_id(struct netvm *nf, enum netvm_destination_kind kind, uint32_t id);

/* Copy of entry `verdict` of the table; -ENOENT when it is empty. For listing all ports. */
int netvm_destination_get(struct netvm *nf, unsigned verdict, struct netvm_destination *entry);

uint32_t netvm_destination_version(const struct netvm *nf);

/* ---- looking at packets ------------------------------------------------------------------- */

static inline uint32_t netvm_length(const struct netvm_packet *pkt)
{
	return netvm_desc_length(pkt->word);
}

static inline uint8_t *netvm_slot(const struct netvm *nf, const struct netvm_packet *pkt)
{
	return nf->buffers + (size_t)netvm_desc_index(pkt->word) * nf->buffer_stride;
}

/* First byte of the packet (of the Ethernet header); netvm_length() bytes are readable. */
static inline uint8_t *netvm_data(const struct netvm *nf, const struct netvm_packet *pkt)
{
	return netvm_slot(nf, pkt) + netvm_desc_offset(pkt->word);
}

/* Bytes [offset, offset + length) of the packet, or NULL when they reach past its end. */
static inline void *netvm_at(
	const struct netvm *nf, const struct netvm_packet *pkt, uint32_t offset, uint32_t length)
{
	uint32_t have = netvm_length(pkt);

	if (offset > have || length > have - offset)
		return NULL;
	return netvm_data(nf, pkt) + offset;
}

/*
 * The packet's metadata line (options.meta), else whatever an earlier packet left there. Other NFs
 * of the group can write it: treat its contents as hints.
 */
static inline struct netvm_meta *netvm_meta(const struct netvm *nf, const struct netvm_packet *pkt)
{
	return (struct netvm_meta *)(void *)netvm_slot(nf, pkt);
}

/* Bytes free before and behind the packet. */
static inline uint32_t netvm_headroom(const struct netvm_packet *pkt)
{
	uint32_t offset = netvm_desc_offset(pkt->word);

	return offset > NETVM_META_BYTES ? offset - NETVM_META_BYTES : 0;
}

static inline uint32_t netvm_tailroom(const struct netvm *nf, const struct netvm_packet *pkt)
{
	return nf->buffer_stride - netvm_desc_offset(pkt->word) - netvm_desc_length(pkt->word);
}

/*
 * Grow or shrink at the front or the back. Return the new first byte (prepend, trim_front) or the
 * first new byte (append), or NULL when there is no room or not so much packet; then nothing
 * changed. trim_back returns the first byte.
 */
uint8_t *netvm_prepend(struct netvm *nf, struct netvm_packet *pkt, uint32_t n_bytes);
uint8_t *netvm_append(struct netvm *nf, struct netvm_packet *pkt, uint32_t n_bytes);
uint8_t *netvm_trim_front(struct netvm *nf, struct netvm_packet *pkt, uint32_t n_bytes);
uint8_t *netvm_trim_back(struct netvm *nf, struct netvm_packet *pkt, uint32_t n_bytes);

/* ---- headers: see packet.h ---------------------------------------------------------------- */

#include <netvm/packet.h>

/* ---- errors and numbers ------------------------------------------------------------------- */

/* The last failure in this thread, one sentence, never NULL. Valid until the next call. */
const char *netvm_error(void);

/* The name this NF attached as. */
const char *netvm_name(const struct netvm *nf);

/* Queue number of this struct netvm: 0..n_queues-1. */
unsigned netvm_queue(const struct netvm *nf);

#ifdef __cplusplus
}
#endif

#endif
