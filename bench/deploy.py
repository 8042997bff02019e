"""How long an NF takes from the request to its first packet, by the way its guest comes about.

boot: a new guest from an image; template: a copy of a guest that has booted; idle: one that waits;
move: a running guest goes to another QEMU, until its first packet there. A process for comparison.
Packets come all the time, 10000 a second."""

import os
import shutil
import time
from statistics import median

import daemon
from host import BenchError

SOURCE = "null:rate=10000"
TOOL = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                    "packaging", "image", "netvm-image")


def build_image(work, build):
    image = work.path("image")
    work.run([TOOL, "build", image, "--nf", os.path.join(build, "nfs", "netvm-forward-static")])
    return image


def document(work, image):
    """One empty pool has a template only, the other a guest that waits."""
    guest = {"boot": image}
    return {
        **daemon.base_document(work, SOURCE),
        "pools": {"copies": {"idle": 0, "guest": guest}, "ready": {"idle": 1, "guest": guest}},
        "nfs": {}, "chains": {},
    }


def ways(image):
    command = "netvm-forward --next"
    guest = {"image": "guest", "command": command}
    return {
        "process": {"command": command},
        "boot": {**guest, "guest": {"boot": image}},
        "template": {**guest, "pool": "copies"},
        "idle": {**guest, "pool": "ready"},
    }


def patch(api, *changes):
    api.call("config.patch", changes=[dict(zip(("op", "section", "name", "value"), change))
                                      for change in changes])


def until(what, true, timeout=60):
    """Ask again and again; returns when it was true. Asking costs the manager, not the worker."""
    end = time.monotonic() + timeout
    while not true():
        if time.monotonic() > end:
            raise BenchError(f"no {what} after {timeout} s")
        time.sleep(0.001)
    return time.monotonic()


def pools_are_full(api):
    pools = api.call("stats.get")["pools"]
    return pools["ready"]["idle"] == 1 and all(pool["template_bytes"] for pool in pools.values())


def deploy(api, nf):
    """Milliseconds until the NF has handled its first packet."""
    before = api.sent("sink")[1]
    start = time.monotonic()
    chain = {"from": "source", "to": "sink", "path": ["nf"], "reverse": "none", "default": True}
    patch(api, ("add", "nfs", "nf", nf), ("add", "chains", "bench", chain))
    return (until("packet", lambda: api.sent("sink")[1] > before) - start) * 1000


def move(api):
    """Milliseconds until the NF handles packets in another QEMU."""
    before = api.call("stats.get")["nfs"]["nf"]

    def is_there():
        now = api.call("stats.get")["nfs"]["nf"]
        return now["pid"] != before["pid"] and now["state"] == "running"
    start = time.monotonic()
    api.call("guest.migrate", name="nf")
    until("move", is_there)
    sent = api.sent("sink")[1]
    return (until("packet", lambda: api.sent("sink")[1] > sent) - start) * 1000


def remove(api):
    patch(api, ("del", "chains", "bench"), ("del", "nfs", "nf"))
    until("end of the NF", lambda: "nf" not in api.call("stats.get")["nfs"])


def measure(bench, work, samples):
    image = build_image(work, bench.build)
    with daemon.netvmd(work, bench.build, document(work, image)) as api:
        for _ in range(bench.rounds):
            for way, nf in ways(image).items():
                until("guests in the pools", lambda: pools_are_full(api))
                samples.setdefault(way, []).append(deploy(api, nf))
                if way == "idle":
                    samples.setdefault("move", []).append(move(api))
                remove(api)


def run(bench):
    if not shutil.which("qemu-system-x86_64"):
        bench.say("deploy: no qemu-system-x86_64, nothing measured")
        return {}
    samples = {}
    with bench.workspace() as work:
        measure(bench, work, samples)
    result = {}
    for way, times in samples.items():
        result[way] = {"ms": median(times), "min": min(times), "max": max(times)}
        bench.emit({"case": "deploy", "way": way, "rounds": len(times), **result[way]})
    return result
