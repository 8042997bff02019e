"""How long traffic stands still when the switch is restarted: planned, and after kill -9; NetVM and
OVS-DPDK with the same stream (wire.py). Blackout: the longest time between two arrivals.

Whoever restarts a killed daemon does so at once. OVS is told its flows again as soon as it listens,
as a controller would; its NF, a testpmd behind virtio-user, stays alive, as NetVM's does."""

import os
import subprocess
import time
from statistics import median

import daemon
import wire
from host import BenchError

RATE = 100000
CALM_S = 1  # before and after


class NetvmWire:
    """NetVM between the cables."""

    def __init__(self, work, build, ends):
        self.work, self.build, self.ends = work, build, ends
        daemon.write_document(work, wire.netvm_document(work, ends))
        self.child = daemon.start(work, build)

    def restart(self):
        """The new daemon takes over from the old one where it can, else comes after it."""
        if "--replace" in subprocess.run([os.path.join(self.build, "manager", "netvmd"), "--help"],
                                         capture_output=True, text=True, check=True).stdout:
            self.child = daemon.start(self.work, self.build, "--replace")
        else:
            self.work.stop(self.child)
            self.child = daemon.start(self.work, self.build)

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.work.stop(self.child)
        self.child = daemon.start(self.work, self.build)


class OvsWire:
    """OVS-DPDK between the cables."""

    FLOWS = "in_port=near,actions=output:nf", "in_port=nf,actions=output:far"

    def __init__(self, work, _build, ends):
        self.ends = ends
        self.context = wire.ovs(work, ends)
        self.switch = self.context.__enter__()

    def restart(self):
        self.switch.work.stop(self.switch.daemon)
        self.again()

    def kill(self):
        self.switch.daemon.kill()
        self.switch.daemon.wait()
        self.again()

    def again(self):
        self.switch.start_daemon()
        self.switch.work.wait_for("bridge", self.steered, self.switch.daemon)

    def steered(self):
        try:
            self.switch.steer(*self.FLOWS)
        except BenchError:
            return False  # it does not listen for flows yet
        return True


SWITCHES = {"netvm": NetvmWire, "ovs-dpdk": OvsWire}
HOW = {"planned": lambda switch: switch.restart(), "kill -9": lambda switch: switch.kill()}


def measure(bench, make, how):
    """One restart under traffic; returns the stream's figures."""
    with bench.workspace() as work, wire.cables(work) as ends:
        switch = make(work, bench.build, ends)
        stream = wire.Stream(work, bench.build, ends, RATE)
        wire.wait_for_packets(work, ends)
        time.sleep(CALM_S)
        how(switch)
        wire.wait_for_packets(work, ends)
        time.sleep(CALM_S)
        return stream.end()


def run(bench):
    """Interleaved rounds; emits a JSON line per switch and way, returns {(case, how): figures}."""
    rounds = {}
    for number in range(bench.rounds):
        bench.say(f"restart: round {number + 1} of {bench.rounds}")
        for case, make in SWITCHES.items():
            for name, how in HOW.items():
                try:
                    rounds.setdefault((case, name), []).append(measure(bench, make, how))
                except BenchError as error:
                    bench.fail(f"restart, {case}, {name}: {error}")
    return {key: emit(bench, *key, figures) for key, figures in rounds.items() if figures}


def emit(bench, case, how, rounds):
    gaps = [figures["gap_ns"] / 1e6 for figures in rounds]
    result = {"blackout_ms": round(median(gaps), 1), "min": round(min(gaps), 1),
              "max": round(max(gaps), 1), "lost": median(figures["lost"] for figures in rounds)}
    bench.emit({"case": case, "what": "restart", "how": how, "rate": RATE, "rounds": len(rounds),
                **result})
    return result
