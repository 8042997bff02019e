"""How late the victims' packets are during a case: timestamped ones of netvm-speed, from one NF of their
group to another. Used by judge.py.
"""
import json
import os
import signal
import subprocess
from contextlib import contextmanager

from netvmd import SLOW, settle

SPEED = "/run/build/nfs/netvm-speed"
RATE_PPS = 1777  # not the victims': how two of one rate happen to lie to each other would decide
PKTS_MIN = {False: 200, True: 10000}  # for a percentile; --strict
# On a machine with other work to do latency says little: only that nothing stood still.
P99_MAX_S = 60 * SLOW
STRICT_TIMES = 2  # on a quiet one: so many times what it was in peace

# For the document: traffic of its own, next to that of the victims.
NFS = {"generator": {"image": "external", "user": "root", "group": "victims", "hang_ms": 0},
       "meter": {"image": "external", "user": "root", "group": "victims", "hang_ms": 0,
                 "ring": 32768}}
CHAINS = {"probe": {"from": "sink", "to": "source", "path": ["generator", "meter"],
                    "reverse": "none", "default": False}}

# --strict: the workers and the victims' NFs have a core, attackers and tests the others. What
# attackers cost then is NetVM's doing, not that of the scheduler, which would share a core fairly.
CORE = 0
AUTOGROUP = "/proc/sys/kernel/sched_autogroup_enabled"


@contextmanager
def threads_share_cores():
    """
    Not sessions first, of which each NF has its own: an NF that shares a core with a worker would
    wait for turns of whole milliseconds, or much longer. See docs/performance.md.
    """
    try:
        with open(AUTOGROUP, encoding="ascii") as file:
            before = file.read()
    except OSError:
        before = None  # a kernel without
    if before:
        with open(AUTOGROUP, "w", encoding="ascii") as file:
            file.write("0")
    try:
        yield
    finally:
        if before:
            with open(AUTOGROUP, "w", encoding="ascii") as file:
                file.write(before)


def give_core(document):
    """Before the daemon starts."""
    document["engine"]["cpus"] = [CORE] * document["engine"]["workers"]
    document["nfs"]["forward"]["cpus"] = [CORE]


def leave_core(manager):
    """The daemon's first thread, its children to come, and us."""
    others = os.sched_getaffinity(0) - {CORE}
    os.sched_setaffinity(manager, others)
    os.sched_setaffinity(0, others)


class Probe:
    """Started anew for each case; the first one is peace."""

    def __init__(self, netvmd, strict):
        self.netvmd, self.strict = netvmd, strict
        self.peace_us = self.p99_us = 0
        self.received = 0  # before this case
        self.processes = []

    def begin(self):
        """Returns what keeps it from measuring."""
        self.p99_us = 0
        self.received = self.meter()["rx_pkts"]
        self.processes = [
            self.speed("meter", "sink"),
            self.speed("generator", "generate", "--through", "meter", "--rate", str(RATE_PPS),
                       "--timestamps")]
        return settle(lambda: self.waiting(1))

    def speed(self, name, *mode):
        """One netvm-speed."""
        return subprocess.Popen(
            [SPEED, *mode, "--json", "--name", name], text=True, stdout=subprocess.PIPE,
            env={**os.environ, "NETVM_SOCKET": "/run/netvm/nf.sock"},
            preexec_fn=(lambda: os.sched_setaffinity(0, {CORE})) if self.strict else None)

    def meter(self):
        """What the daemon counts of it, over all cases."""
        return self.netvmd.call("stats.get")["nfs"]["meter"]

    def waiting(self, n_pkts):
        """Until so many have arrived."""
        entry = self.meter()
        received = entry["rx_pkts"] - self.received
        if entry["state"] != "running" or received < n_pkts:
            yield f"the probe's meter is {entry['state']} and got {received} packets"

    def end(self):
        """Returns what is wrong with the latency."""
        found = settle(lambda: self.waiting(PKTS_MIN[self.strict]))
        for process in reversed(self.processes):  # what is under way arrives
            process.send_signal(signal.SIGINT)
            report = process.communicate()[0].splitlines()
        if not report:
            return found + ["the probe's meter said nothing"]
        self.p99_us = json.loads(report[-1])["latency_ns"]["p99"] / 1e3
        return found + list(self.late())

    def late(self):
        """Whether the victims' packets came too late."""
        self.peace_us = self.peace_us or self.p99_us
        if self.p99_us > P99_MAX_S * 1e6:
            yield f"the victims' packets were late: p99 {self.p99_us:.0f} us"
        if self.strict and self.p99_us > STRICT_TIMES * self.peace_us:
            yield f"the victims' p99 is {self.p99_us:.0f} us, in peace it was {self.peace_us:.0f}"
