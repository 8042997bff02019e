"""How soon NetVM notices that an NF was killed (kill -9), and until another one serves in its place:
one that stands by, and the killed one itself, started again.

"seen" is when the daemon knows, "reclaimed" when the flows have moved and every buffer is back,
"served" when the one that stood by has its first packet (it says so itself, witness.c), "back" when
the restarted one is attached; the daemon waits 100 ms before it starts an NF again."""

import json
import os
import signal
import time

import daemon
from host import read

KILLS = 200      # with one that stands by
INSTANCES = 20   # killed once each: one that fails again within 10 s has to wait longer each time
RATE = 100000
AWAY_S = 0.02    # we take a core, too: none of the two while the daemon has something to do


def document(work, nfs):
    """source -> service -> sink."""
    return {**daemon.base_document(work, f"null:rate={RATE},flows=256"),
            "nfs": {name: {"service": "service", "cpus": [work.nf_core], **nf}
                    for name, nf in nfs.items()},
            "chains": {"bench": {"from": "source", "to": "sink", "path": ["service"],
                                 "reverse": "none", "default": True}}}


def kill(work, api, name):
    """Returns when it was killed, and the times in ms from then and packets lost."""
    before = api.call("stats.get")
    killed_ns = time.time_ns()
    os.kill(before["nfs"][name]["pid"], signal.SIGKILL)
    time.sleep(AWAY_S)
    work.wait_for("the crash to be told", lambda: crashes(api, name) > crashes_in(before, name))
    after = api.call("stats.get")
    crash = after["nfs"][name]["crash"]
    seen_ns = crash["time_ns"] - killed_ns
    return killed_ns, {"seen_ms": seen_ns / 1e6,
                       "reclaimed_ms": (seen_ns + crash["reclaim_ns"]) / 1e6,
                       "lost": after["books"]["dropped"] - before["books"]["dropped"]}


def crashes_in(stats, name):
    return stats["nfs"][name]["crash"]["count"]


def crashes(api, name):
    return crashes_in(api.call("stats.get"), name)


def first_packet_ns(work, name):
    """When the present one of that name met its first packet; 0: it has not yet."""
    lines = read(work.path(f"nf/{name}.log")).splitlines()
    return json.loads(lines[-1])["first_packet_ns"] if lines else 0


def standby(bench, work):
    """Two of one service, one works, one stands by; who works is killed, over and over."""
    witness = {"command": os.path.join(bench.build, "bench", "bench-witness"), "restart": "never"}
    nfs = {"one": witness, "other": {**witness, "standby": True}}

    def who_works():
        now = api.call("stats.get")["nfs"]
        works = [name for name in now if not now[name]["standby"]]
        return all(nf["state"] == "running" for nf in now.values()) and len(works) == 1 and first_packet_ns(work, works[0]) and works[0]

    with daemon.netvmd(work, bench.build, document(work, {"one": nfs["one"]})) as api:
        work.wait_for("the one that works", who_works)
        # Not before: one that stands by has met no packet yet.
        both = document(work, nfs)["nfs"]
        api.call("config.patch", changes=[
            {"op": "add", "section": "nfs", "name": "other", "value": both["other"]}])
        for number in range(KILLS):
            if number % 50 == 0:
                bench.say(f"recovery: kill {number + 1} of {KILLS}")
            dead = work.wait_for("one that works and one that stands by", who_works)
            heir = next(name for name in nfs if name != dead)
            killed_ns, times = kill(work, api, dead)
            served_ns = work.wait_for("a packet at the one that stood by",
                                      lambda: max(first_packet_ns(work, heir) - killed_ns, 0))
            api.call("nf.restart", name=dead)
            yield {**times, "served_ms": served_ns / 1e6}


def restart(bench, work):
    """Each of many instances that share the traffic is killed once."""
    nfs = {f"nf{number}": {"command": "netvm-forward --next"} for number in range(INSTANCES)}

    def back(name, killed_ns):
        return next((event["time_ns"] - killed_ns for event in api.call("events.get")["events"]
                     if event["kind"] == "nf-running" and event["object"] == f"nfs.{name}" and
                     event["time_ns"] > killed_ns), 0)

    with daemon.netvmd(work, bench.build, document(work, nfs)) as api:
        work.wait_for("traffic", lambda: api.sent("sink")[1])
        for name in nfs:
            killed_ns, times = kill(work, api, name)
            back_ns = work.wait_for("the NF to be back", lambda: back(name, killed_ns), timeout=60)
            yield {**times, "back_ms": back_ns / 1e6}


def percentiles(kills):
    """{figure: {"p50": , "p99": , "max": }}."""
    result = {}
    for figure in kills[0]:
        values = sorted(kill[figure] for kill in kills)
        result[figure] = {"p50": round(values[len(values) // 2], 3),
                          "p99": round(values[(len(values) * 99 - 1) // 100], 3),
                          "max": round(values[-1], 3)}
    return result


def run(bench):
    """Emits one JSON line per case; returns {case: {figure: percentiles}}."""
    results = {}
    for case in standby, restart:
        with bench.workspace() as work:
            kills = list(case(bench, work))
        results[case.__name__] = percentiles(kills)
        bench.emit({"case": "netvm", "what": "recovery", "how": case.__name__,
                    "kills": len(kills), "rate": RATE, **results[case.__name__]})
    return results
