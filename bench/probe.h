/*
 * The latency probe: a generator and a sink in one thread on the NF core. It sends stamped packets
 * through the switch under test at a given rate and tells what came back, and how late.
 *
 *   probe (core B)                       switch (core A)
 *   generator --- first way in --->  OVS-DPDK by OpenFlow rule, or
 *   sink      <-- second way out --  NetVM by the chain of the two NFs
 *
 * The same loop measures both switches; only how a burst is sent and received differs: struct
 * probe_io, implemented by probe_netvm.c and probe_dpdk.c.
 *
 * Protocol on stdin and stdout: "ready" when packets may flow, then for each line "RATE SECONDS"
 * (packets per second, 0: as many as go) one line of JSON. End of input ends the program.
 */
#ifndef NETVM_BENCH_PROBE_H
#define NETVM_BENCH_PROBE_H

#include <stdint.h>

#define PROBE_FRAME_BYTES 64u /* with no room for the FCS, as net_null counts */
#define PROBE_BURST       32u

struct probe_io {
	/*
	 * Get up to n empty frames to fill. What the last call gave and send() did not take is
	 * the implementation's to keep.
	 */
	unsigned (*prepare)(void *arg, uint8_t **frames, unsigned n);
	/* Send the n frames of the last prepare(); returns how many were taken. */
	unsigned (*send)(void *arg, unsigned n);
	/* Look once for frames, which stay valid until the next receive(); a negative errno ends.
	 */
	int (*receive)(void *arg, const uint8_t **frames, unsigned max);
	void *arg;
};

/* Serve stdin until its end. Returns an exit status. */
int probe_serve(const struct probe_io *io);

#endif
