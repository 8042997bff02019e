"""How long a guest takes from the request to its first packet, by stages; what it costs when it has
nothing to do; how long a packet takes through its NF when that sleeps, beside one in a process. Stock
QEMU under emulation, an image of `netvm image build`."""

import os
import shutil
import time
from statistics import median

import daemon
from host import BenchError

STAGES = ("init_s", "attached_s", "first_packet_s")
WAKES = 100
WAKE_RATE = 50  # packets per second: NFs and workers sleep long before the next one
BUILDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                       "packaging", "image", "netvm-image")


def make_image(bench, work):
    if not shutil.which("qemu-system-x86_64"):
        raise BenchError("no qemu-system-x86_64: apt-get install qemu-system-x86")
    work.run([BUILDER, "build", work.path("image"),
              "--nf", os.path.join(bench.build, "nfs", "netvm-forward-static"), "--", "--next"],
             env=os.environ)
    return work.path("image")


def request(image):
    """One transaction: the guest, and a chain that leads everything through it."""
    guest = {"image": "guest", "guest": {"boot": image, "accel": "tcg"}}
    chain = {"from": "source", "to": "sink", "path": ["vm"], "reverse": "none", "default": True}
    return [{"op": "add", "section": "nfs", "name": "vm", "value": guest},
            {"op": "add", "section": "chains", "name": "bench", "value": chain}]


def boot(work, api, image):
    """Seconds from the request until the guest's init runs, its NF is attached, has worked."""
    log = os.path.join(work.folder, "nf", "vm.log")
    start = time.monotonic()
    times = {}

    def reached():
        vm = api.call("stats.get")["nfs"]["vm"]
        signs = (os.path.exists(log) and os.path.getsize(log) > 0, vm["state"] == "running",
                 vm["tx_pkts"] > 0)
        for stage, sign in zip(STAGES, signs):
            if sign:
                times.setdefault(stage, time.monotonic() - start)
        return signs[-1]

    api.call("config.patch", changes=request(image))
    work.wait_for("the guest's first packet", reached, timeout=60)
    return times


def cpu_seconds(pid):
    """User and system time of all threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_percent(bench, api):
    """Of one core, by QEMU, while no packet comes."""
    api.set_source("null:source=off")
    pid = api.call("stats.get")["nfs"]["vm"]["pid"]
    time.sleep(1)  # what was on its way is done
    before, start = cpu_seconds(pid), time.monotonic()
    time.sleep(bench.seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - start)


def wake_us(api):
    """p50 and p99 of what a packet takes from the worker to the NF of the chain and back."""
    api.set_source(f"null:rate={WAKE_RATE}")
    packets = api.call("trace.run", chain="bench", count=WAKES)["packets"]
    took = sorted(step["took_ns"] / 1000 for packet in packets for step in packet["steps"]
                  if "took_ns" in step)
    if len(took) < WAKES:
        raise BenchError(f"{len(took)} of {WAKES} packets came back from the NF")
    return {"p50": median(took), "p99": took[len(took) * 99 // 100]}


def wakes(work, api):
    """Of the guest that is there, then of a process in its place."""
    times = {"guest": wake_us(api)}
    api.call("config.patch", changes=[
        {"op": "add", "section": "nfs", "name": "here",
         "value": {"command": "netvm-forward --next"}},
        {"op": "set", "section": "chains", "name": "bench", "value": {"path": ["here"]}}])
    work.wait_for("the process", lambda: api.call("stats.get")["nfs"]["here"]["tx_pkts"] > 0)
    times["process"] = wake_us(api)
    return {f"{sleeper}_wake_{key}_us": value
            for sleeper in times for key, value in times[sleeper].items()}


def one_round(bench):
    with bench.workspace() as work:
        document = daemon.base_document(work, "null:rate=1000")
        document["engine"]["poll"] = "adaptive"  # the guest has two threads on two cores
        document["groups"]["default"]["huge_pages"] = "auto"
        image = make_image(bench, work)
        with daemon.netvmd(work, bench.build, document) as api:
            return {**boot(work, api, image), "idle_percent": idle_percent(bench, api),
                    **wakes(work, api)}


def run(bench):
    rounds = [one_round(bench) for _ in range(bench.rounds)]
    result = {key: median(times[key] for times in rounds) for key in rounds[0]}
    first = [times["first_packet_s"] for times in rounds]
    bench.emit({"case": "netvm", "what": "guest", "rounds": len(rounds), "min": min(first),
                "max": max(first), **result})
    return result
