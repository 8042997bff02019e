"""Throughput: the limit, NetVM's chains and the peers on the same work, in interleaved rounds.

A case may come in variants (ring kinds, flags of a peer); each is measured, the best counts."""

import json
import os
import time
from collections import defaultdict
from statistics import median

import daemon
import peers
from host import BenchError

LENGTHS = (1, 2, 3, 5, 7)
WARM_UP_S = 0.5


def counters(bench):
    """(case, chain, variant, function that starts it and yields a counter of sent packets)"""
    for length in LENGTHS:
        yield "netvm", length, "", lambda work, n=length: daemon.chain(work, bench.build, n)
    yield "netvm-fresh", 1, "", lambda work: daemon.chain(work, bench.build, 1, "null:flows=1021")
    for variant in peers.MEMIF:
        yield "testpmd-memif", 1, variant, lambda work, v=variant: peers.testpmd_memif(work, v)
        yield "testpmd-memif-loop", 1, variant, \
            lambda work, v=variant: peers.testpmd_memif(work, v, loop=True)
    for variant in peers.VHOST:
        yield "testpmd-vhost", 1, variant, lambda work, v=variant: peers.testpmd_vhost(work, v)
    yield "ovs-dpdk", 1, "", peers.ovs_dpdk


def measure(work, counter, seconds):
    """Mpps at the sink, once packets arrive there."""
    work.wait_for("packets at the sink", lambda: counter()[1])
    time.sleep(WARM_UP_S)
    start_ns, before = counter()
    time.sleep(seconds)
    end_ns, after = counter()
    return (after - before) / (end_ns - start_ns) * 1e3


def measure_limit(bench):
    """Yields (case, variant, mpps) for each setting of limit.c."""
    with bench.workspace() as work:
        output = work.run([os.path.join(bench.build, "bench", "bench-limit"), "0.15",
                           str(work.switch_core), str(work.nf_core)])
    for line in output.splitlines():
        setting = json.loads(line)
        case = "limit" if setting["packets"] == "fresh" else "limit-stale"
        variant = f"{setting['ring']}, burst {setting['burst']}, {setting['in_flight']} in flight"
        yield case, variant, setting["mpps"]


def run(bench):
    """Interleaved rounds; emits one JSON line per case and returns {(case, chain): mpps}."""
    samples = defaultdict(lambda: defaultdict(list))
    for number in range(bench.rounds):
        bench.say(f"chain: round {number + 1} of {bench.rounds}")
        for case, variant, mpps in measure_limit(bench):
            samples[case, 0][variant].append(mpps)
        for case, chain, variant, start in counters(bench):
            try:
                with bench.workspace() as work, start(work) as counter:
                    samples[case, chain][variant].append(measure(work, counter, bench.seconds))
            except BenchError as error:
                bench.fail(f"{case}, chain {chain}{', ' * bool(variant)}{variant}: {error}")
    return {key: emit(bench, *key, variants) for key, variants in samples.items()}


def emit(bench, case, chain, variants):
    """One JSON line: the variant with the best median."""
    best = max(variants, key=lambda variant: median(variants[variant]))
    mpps = variants[best]
    line = {"case": case, "chain": chain, "mpps": round(median(mpps), 2), "rounds": len(mpps),
            "min": round(min(mpps), 2), "max": round(max(mpps), 2)}
    if best:
        line["variant"] = best
        line["others"] = {name: round(median(values), 2) for name, values in variants.items()
                          if name != best}
    bench.emit(line)
    return median(mpps)
