"""Latency and loss: the probe (probe.h) through NetVM and through OVS-DPDK, the same loop on the
same core; then the loss-free rate of the real chain 1. See README.md.

A rate counts as loss-free when one of TRIES trials loses at most LOSS of what was due: a virtual
machine's cores are taken away now and then, for longer than any of the queues here holds out."""

import json
import os
import subprocess
import time
from contextlib import contextmanager
from statistics import median

import daemon
import peers
from host import BenchError

LOSS = 1e-5
SKIP = 0.01  # what the generator itself may fail to send of what was due
TRIES = 3
STEPS = 7  # of the binary search: to 1 % of the highest rate
SHARES = (0.1, 0.5, 0.9)
SETTLE_MS = 100
RINGS = {"netvm-chain": (2048, 16384),        # places of the NF's ring, buffers of the group: presets
         "netvm-chain-deep": (65536, 131072)}
FIGURES = ("p50_ns", "p99_ns", "p999_ns", "max_ns")
OVS_HALF = "half of OVS"  # the load at which the two are compared


# ---- the two switches under the probe ----------------------------------------------------------


class Probe:
    """One running probe: a trial is a line to it and a line back."""

    def __init__(self, work, program, *arguments):
        self.work = work
        self.child = work.start("probe", [program, *arguments], stdout=subprocess.PIPE)
        self.read(b"ready")

    def read(self, start):
        for line in self.child.stdout:
            if line.startswith(start):
                return line
        raise BenchError(f"the probe ended:\n{self.work.tail('probe')}")

    def trial(self, rate, seconds):
        """At `rate` packets per second, or with None as many as go."""
        self.work.tell("probe", f"{0 if rate is None else max(rate, 1)} {seconds}")
        result = json.loads(self.read(b"{"))
        result["lost"] = result["offered"] - result["skipped"] - result["received"]
        return result

    def close(self):
        self.work.stop(self.child)
        self.child.stdout.close()


@contextmanager
def ovs(work, build):
    with peers.ovs_probe(work) as (options, linked):
        probe = Probe(work, os.path.join(build, "bench", "bench-probe-dpdk"), *options)
        work.wait_for("links of the probe", linked, probe.child)
        yield probe
        probe.close()


@contextmanager
def netvm(work, build):
    with daemon.external(work, build, ["generator", "sink"], "null:source=off") as socket:
        probe = Probe(work, os.path.join(build, "bench", "bench-probe-netvm"), socket,
                      str(work.nf_core))
        yield probe
        probe.close()


# ---- one round ---------------------------------------------------------------------------------


def search(highest, trial):
    """The highest loss-free rate, by halving between 0 and `highest`."""
    def lossless(rate):
        result = trial(rate)
        return (result["lost"] <= LOSS * result["offered"] and
                result["skipped"] <= SKIP * result["offered"])

    low, high = 0.0, highest
    for _ in range(STEPS):
        middle = (low + high) / 2
        if any(lossless(middle) for _ in range(TRIES)):
            low = middle
        else:
            high = middle
    return low


def probe_round(probe, seconds, more_loads):
    """Highest and loss-free rate of one switch, and a trial at each load."""
    saturated = probe.trial(None, seconds)
    highest = saturated["received"] / saturated["seconds"]
    free = search(highest, lambda rate: probe.trial(rate, seconds / 2))
    loads = {f"{share:.0%}": share * free for share in SHARES} | more_loads
    return {"highest": highest, "loss_free": free,
            "loads": {name: {"rate": rate, **probe.trial(rate, seconds)}
                      for name, rate in loads.items()}}


def chain_round(work, build, seconds, ring, buffers, ceiling):
    """Highest and loss-free rate of the real chain 1, whose source keeps to a rate. A source without
    one fills a deep ring to the brim, which is slower than what passes at a rate: the search goes
    up to `ceiling` when that is more."""
    document = daemon.chain_document(work, 1)
    daemon.set_ring(document, "nf1", ring, buffers)
    with daemon.netvmd(work, build, document) as api:
        work.wait_for("traffic", lambda: api.sent("sink")[1])
        before = snapshot(api)
        time.sleep(seconds)
        after = snapshot(api)
        highest = (after["received"] - before["received"]) / (after["at"] - before["at"])
        return {"highest": highest, "loads": {},
                "loss_free": search(max(highest, ceiling),
                                    lambda rate: chain_trial(api, rate, seconds))}


def chain_trial(api, rate, seconds):
    """So many packets at that rate. This script and the daemon's manager sleep before the first one
    comes: at these rates the milliseconds for which they need a core would be what is measured."""
    rate = int(rate) + 1
    n = int(rate * seconds)
    api.set_source("null:source=off")
    before = snapshot(api)
    api.set_source(f"null:rate={rate},count={n},delay={SETTLE_MS}")
    time.sleep(SETTLE_MS / 1000 + seconds)
    limit = time.monotonic() + seconds
    while True:
        after = snapshot(api)
        received, missed, dropped = (after[key] - before[key]
                                     for key in ("received", "missed", "dropped"))
        if received + dropped >= n or time.monotonic() > limit:
            return {"offered": n, "lost": n - received + missed, "skipped": 0}
        time.sleep(SETTLE_MS / 1000)


def snapshot(api):
    stats = api.call("stats.get")
    return {"at": stats["time_ns"] / 1e9, "received": stats["ports"]["sink"]["tx_pkts"],
            "missed": stats["ports"]["source"]["rx_missed"],
            "dropped": stats["books"]["dropped"]}


# ---- all rounds --------------------------------------------------------------------------------


def run(bench):
    """Interleaved rounds; emits one JSON line per figure and returns {case: results}."""
    rounds = {case: [] for case in ("ovs-dpdk", "netvm", *RINGS)}
    for number in range(bench.rounds):
        bench.say(f"latency: round {number + 1} of {bench.rounds}")
        with bench.workspace() as work, ovs(work, bench.build) as probe:
            rounds["ovs-dpdk"].append(probe_round(probe, bench.seconds, {}))
        half = {OVS_HALF: rounds["ovs-dpdk"][-1]["loss_free"] / 2}
        with bench.workspace() as work, netvm(work, bench.build) as probe:
            rounds["netvm"].append(probe_round(probe, bench.seconds, half))
        highest = 0
        for case, (ring, buffers) in RINGS.items():
            with bench.workspace() as work:
                result = chain_round(work, bench.build, bench.seconds, ring, buffers, highest)
            rounds[case].append(result)
            highest = max(highest, result["highest"])
    return {case: emit(bench, case, results) for case, results in rounds.items()}


def emit(bench, case, results):
    """The medians of one case, as JSON lines and as a dictionary."""
    def middle(pick):
        return median(map(pick, results))

    rates = {key: middle(lambda result: result[key]) for key in ("highest", "loss_free")}
    bench.emit({"case": case, "chain": 1, "what": "rate", "rounds": len(results),
                **{key + "_mpps": round(rate / 1e6, 3) for key, rate in rates.items()}})
    loads = {}
    for name in results[0]["loads"]:
        figures = {key: middle(lambda result: result["loads"][name][key])
                   for key in ("rate", *FIGURES)}
        loads[name] = figures
        bench.emit({"case": case, "chain": 1, "what": "latency", "load": name,
                    "rounds": len(results), "mpps": round(figures["rate"] / 1e6, 3),
                    **{key[:-3] + "_us": figures[key] / 1e3 for key in FIGURES}})
    return rates | {"loads": loads}
