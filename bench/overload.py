"""Too much traffic: what a chain still does at 150 % of what it can, and what its neighbour notices.

overload    NetVM's chain 1, its highest rate and its loss-free rate by search, then half as much
            again as the highest for OVERLOAD_S: goodput, where the excess was dropped or missed
            (not even received, as by a NIC without room), and until when after the load is gone
neighbours  a stream of NEIGHBOUR_RATE over the wire (wire.py) while another chain of the same switch
            and cores is flooded by a source that never waits; NetVM and OVS-DPDK"""

import time
from statistics import median

import daemon
import latency
import peers
import wire
from host import BenchError

OVERLOAD_S = 60
SETTLE_S = 0.2
AFTER_S = 1  # watched after the load is gone
NEIGHBOUR_RATE = 10000
SMALL_MB = 128  # of a third DPDK process
EXCESS = 1.4  # times the highest rate: a chain that does so much was not at its end
CALM_RATE = 1000  # of the other chain, its source that is not flooding


# ---- 150 % -------------------------------------------------------------------------------------


def overload_document(work):
    """Chain 1 and a second one on the same cores, with little traffic."""
    document = daemon.chain_document(work, 1, "null:rate=1000")
    document["ports"] |= {"calm": {"spec": f"null:rate={CALM_RATE}"},
                          "calm-sink": {"spec": "null:source=off"}}
    document["nfs"]["calm"] = {"command": "netvm-forward --next", "cpus": [work.nf_core]}
    document["chains"]["calm"] = {"from": "calm", "to": "calm-sink", "path": ["calm"],
                                  "reverse": "none", "default": True}
    return document


def highest(api, seconds):
    """Packets per second that chain 1 does when there are always more."""
    api.set_source("null:")
    time.sleep(SETTLE_S)
    start_ns, before = api.sent("sink")
    time.sleep(seconds)
    end_ns, after = api.sent("sink")
    return (after - before) / (end_ns - start_ns) * 1e9


def drops_of(stats):
    """Where packets were dropped so far; missed: not even received, as by a NIC without room."""
    return {"missed": stats["ports"]["source"]["rx_missed"],
            "books": stats["books"]["dropped"],
            "entry": stats["books"]["drops"].get("chain-overload", 0),
            "calm": sum(stats["chains"]["calm"]["drops"].values())}


def recovery_ms(api, rate):
    """From the end of the load to the last drop after it."""
    start = api.call("stats.get")["time_ns"]
    api.set_source(f"null:rate={int(rate / 10) + 1}")  # asking so often costs the NF its core
    last_ns, dropped = start, None
    while True:
        stats = api.call("stats.get")
        now = drops_of(stats)["books"]
        if dropped is not None and now > dropped:
            last_ns = stats["time_ns"]
        dropped = now
        if stats["time_ns"] - start > AFTER_S * 1e9:
            return (last_ns - start) / 1e6


def overload(bench):
    """One JSON line: goodput at 150 % of the highest rate, drops, recovery."""
    with bench.workspace() as work, \
            daemon.netvmd(work, bench.build, overload_document(work)) as api:
        work.wait_for("traffic", lambda: api.sent("sink")[1])
        most = highest(api, bench.seconds)
        free = latency.search(most, lambda rate: latency.chain_trial(api, rate, bench.seconds))
        if free < 1:
            raise BenchError("no rate was without loss: others use the cores")
        api.set_source(f"null:rate={int(1.5 * most)}")
        time.sleep(SETTLE_S)
        before = api.call("stats.get")
        time.sleep(OVERLOAD_S)
        after = api.call("stats.get")
        sent = after["ports"]["sink"]["tx_pkts"] - before["ports"]["sink"]["tx_pkts"]
        was, is_ = drops_of(before), drops_of(after)
        dropped = {key: is_[key] - was[key] for key in is_}
        result = {"highest_mpps": round(most / 1e6, 3), "loss_free_mpps": round(free / 1e6, 3),
                  "goodput_mpps": round(sent / (after["time_ns"] - before["time_ns"]) * 1e3, 3),
                  "missed": dropped["missed"], "dropped": dropped["books"],
                  "elsewhere": dropped["books"] - dropped["entry"],
                  "other_chain": dropped["calm"],
                  "recovery_ms": round(recovery_ms(api, free), 1)}
    bench.emit({"case": "netvm", "what": "overload", "seconds": OVERLOAD_S, **result})
    if result["goodput_mpps"] > EXCESS * result["highest_mpps"]:
        bench.fail(f"overload: {result['goodput_mpps']} Mpps got through: it was none")
    return result


# ---- the neighbour -----------------------------------------------------------------------------


def watch(bench, work, ends):
    """Figures of a stream of NEIGHBOUR_RATE over the wire."""
    stream = wire.Stream(work, bench.build, ends, NEIGHBOUR_RATE)
    wire.wait_for_packets(work, ends)
    time.sleep(bench.seconds)
    return stream.end()


def netvm_neighbour(bench, flooded):
    with bench.workspace() as work, wire.cables(work) as ends:
        document = wire.netvm_document(work, ends)
        document["nfs"]["flooded"] = {"command": "netvm-forward --next", "cpus": [work.nf_core]}
        document["chains"]["flood"] = {"from": "source", "to": "sink", "path": ["flooded"],
                                       "reverse": "none", "default": True}
        with daemon.netvmd(work, bench.build, document) as api:
            if flooded:
                api.set_source("null:")
                work.wait_for("the flood", lambda: api.sent("sink")[1])
            return watch(bench, work, ends)


def ovs_neighbour(bench, flooded):
    more = [peers.null_port("source"), peers.null_port("sink")]
    with bench.workspace() as work, wire.cables(work) as ends:
        ports = [peers.vhost_port(work, "flooded"), *more]
        with wire.ovs(work, ends, ports) as switch:
            nf = peers.testpmd(work, "pmd2", work.nf_core,
                               [peers.virtio_user(work, "flooded", server=1)],
                               memory_mb=SMALL_MB)
            work.wait_for("link of the flooded NF", lambda: switch.linked("flooded"), nf)
            if flooded:
                switch.steer("in_port=source,actions=output:flooded",
                             "in_port=flooded,actions=output:sink")
                work.wait_for("the flood", lambda: switch.sent("sink")[1])
            return watch(bench, work, ends)


NEIGHBOURS = {"netvm": netvm_neighbour, "ovs-dpdk": ovs_neighbour}


def neighbours(bench):
    """Interleaved rounds; a JSON line per switch, calm and flooded."""
    rounds = {}
    for number in range(bench.rounds):
        bench.say(f"overload: neighbours, round {number + 1} of {bench.rounds}")
        for case, measure in NEIGHBOURS.items():
            for name, flooded in (("calm", False), ("flooded", True)):
                try:
                    rounds.setdefault((case, name), []).append(measure(bench, flooded))
                except BenchError as error:
                    bench.fail(f"overload, {case}, {name}: {error}")
    results = {}
    for (case, name), figures in rounds.items():
        if not figures:
            continue
        results[case, name] = {"sent": median(one["sent"] for one in figures),
                               "lost": median(one["lost"] for one in figures),
                               "p50_us": median(one["p50_ns"] for one in figures) / 1e3,
                               "p99_us": median(one["p99_ns"] for one in figures) / 1e3}
        bench.emit({"case": case, "what": "neighbour", "other_chain": name,
                    "rate": NEIGHBOUR_RATE, "rounds": len(figures), **results[case, name]})
    return results


def run(bench):
    return {"overload": overload(bench), "neighbours": neighbours(bench)}
