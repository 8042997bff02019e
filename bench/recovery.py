"""How soon NetVM notices that an NF was killed, and until one serves in its place: kill -9 of one of
two instances that share a service, over and over, each with its share of the traffic.

"detected" is also when the chain's failure mode is in force and the flows have moved: the daemon
tells of an exit after it has taken the NF out. "back" is when the restarted one is attached; the
daemon waits 100 ms before it starts an NF again."""

import os
import signal
import time

import daemon

KILLS = 50
INSTANCES = 25  # killed in turn: one that fails again within 10 s has to wait longer each time
RATE = 100000


def document(work):
    """source -> one of the instances -> sink."""
    document = daemon.base_document(work, f"null:rate={RATE},flows=256")
    document["nfs"] = {f"nf{number}": {"command": "netvm-forward --next", "service": "forward",
                                       "cpus": [work.nf_core]} for number in range(INSTANCES)}
    document["chains"] = {"bench": {"from": "source", "to": "sink", "path": ["forward"],
                                    "reverse": "none", "default": True}}
    return document


def kill_one(work, api, name):
    """Times in ms from the kill to each event, and packets lost."""
    before = api.call("stats.get")
    entry, since = before["nfs"][name], api.call("events.get")["next"]
    killed_ns = time.time_ns()
    os.kill(entry["pid"], signal.SIGKILL)

    def told(kind):
        return next((event["time_ns"] for event in api.call("events.get", since=since)["events"]
                     if event["kind"] == kind and event["object"] == f"nfs.{name}"), None)

    back_ns = work.wait_for("the NF to be back", lambda: told("nf-running"), timeout=60)
    after = api.call("stats.get")
    return {"detected_ms": (told("nf-exit") - killed_ns) / 1e6,
            "back_ms": (back_ns - killed_ns) / 1e6,
            "lost": after["books"]["dropped"] - before["books"]["dropped"]}


def run(bench):
    """Emits one JSON line; returns {figure: {"p50": , "p99": }}."""
    with bench.workspace() as work, daemon.netvmd(work, bench.build, document(work)) as api:
        work.wait_for("traffic", lambda: api.sent("sink")[1])
        kills = []
        for number in range(KILLS):
            bench.say(f"recovery: kill {number + 1} of {KILLS}")
            kills.append(kill_one(work, api, f"nf{number % INSTANCES}"))
    result = {}
    for figure in kills[0]:
        values = sorted(kill[figure] for kill in kills)
        result[figure] = {"p50": round(values[len(values) // 2], 3),
                          "p99": round(values[len(values) * 99 // 100], 3)}
    bench.emit({"case": "netvm", "what": "recovery", "kills": KILLS, "rate": RATE, **result})
    return result
