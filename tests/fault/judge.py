"""What the tests of hostile NFs share: victims and attackers in one document, the cases, and what must
become of whom. Used by `run` (processes) and `guest` (QEMU); the daemon and its health: netvmd.py.
"""
import argparse
import os
import re
import struct
import subprocess
import sys
import threading
import time

import probe
from netvmd import (VICTIMS, Api, Netvmd, Tap, books_exact, change, daemon_well, quiet, settle,
                    victims_unharmed)

EVIL = "/run/build/tests/fault/evil"
PEACE = "peaceful"  # the case that does nothing wrong; what it leaves behind is the baseline
HUGE = "punch-huge"  # the case that needs huge pages, and leaves its group unusable
VICTIMS_PPS = 2000
FULL_SPEED_S = 2  # --strict
REPORT = re.compile(r"^(\S+) (\d+)\r?$", re.M)


class Case:
    """One line of evil --list."""

    def __init__(self, line):
        self.name, self.outcome, self.where, self.traffic, self.what = \
            line.rstrip("\n").split("\t")
        self.object = f"nfs.{self.name}"
        self.report, self.notes = {}, []  # what evil says the daemon must have counted

    def take_report(self, text):
        """From what evil printed; notes are for people."""
        self.notes = [line for line in text.splitlines() if line.startswith("scan:")]
        self.report = {what: int(count) for what, count in REPORT.findall(text)}


class Secrets:
    """
    What stands in packets, so that it can be seen where they get to: the victims' own, the
    attackers' own, and of those that a chain copies from the victims' group to the other.
    """

    def __init__(self):
        self.of = {name: os.urandom(32) for name in ("other", "own", "passed")}

    def environment(self):
        """For evil: all bits flipped, so that looking for them is not having them."""
        return {f"EVIL_{name.upper()}": bytes(byte ^ 0xff for byte in secret).hex()
                for name, secret in self.of.items()}

    def write(self):
        """A capture for each, of 16 flows. Read by netvmd when it starts, and by nobody else."""
        for name, secret in self.of.items():
            with open(f"{name}.pcap", "wb") as file:
                file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
                for port in range(16):
                    frame = udp(port, secret)
                    file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)

    def remove(self):
        """The captures."""
        for name in self.of:
            os.unlink(f"{name}.pcap")


class Arena(Netvmd):
    """The daemon with secrets in its traffic, and a probe of how late it is."""

    def __init__(self, document, strict):
        self.secrets = Secrets()
        self.secrets.write()
        if strict:
            probe.give_core(document)
        super().__init__(document)
        self.rate_pps = VICTIMS_PPS
        if strict:
            probe.leave_core(self.process.pid)
            self.half_rate(document["ports"]["source"]["spec"])
        self.secrets.remove()
        self.probe = probe.Probe(self, strict)
        self.sources = [name for name, port in document["ports"].items() if "up" in port]

    def half_rate(self, spec):
        """From now on the victims' chain carries half of what it can, found by offering it more."""
        def sent():
            return self.call("stats.get")["ports"]["sink"]["tx_pkts"], time.monotonic()

        endless = spec.replace(f",rate={VICTIMS_PPS}", "")
        self.call("config.patch", changes=[change("ports", "source", spec=endless, up=True)])
        settle(lambda: ["nothing yet"] * (sent()[0] == 0))
        pkts, begin = sent()
        time.sleep(FULL_SPEED_S)
        pkts_later, end = sent()
        self.rate_pps = int((pkts_later - pkts) / (end - begin) / 2)
        self.call("config.patch", changes=[
            change("ports", "source", spec=f"{endless},rate={self.rate_pps}", up=False)])
        settle(lambda: ["some are under way"] * (self.call("stats.get")["books"]["in_flight"] > 0))


class Traces(threading.Thread):
    """Packets are traced, one trace after the other, as long as the cases last."""

    def __init__(self):
        super().__init__(daemon=True)
        self.api, self.over, self.n_pkts, self.found = Api(), False, 0, []
        self.trace()  # its memory belongs to the baseline
        self.start()

    def trace(self):
        """One; a packet's end must be its last step."""
        packets = self.api.call("trace.run", count=16, timeout_s=1)["packets"]
        self.n_pkts += len(packets)
        self.found += [f"it goes on after its end: {packet}" for packet in packets
                       if any(step["what"] in ("sent", "consumed", "dropped")
                              for step in packet["steps"][:-1])]

    def run(self):
        try:
            while not self.over:
                self.trace()
        except (OSError, ValueError, RuntimeError) as error:
            self.found.append(f"no answer: {error or type(error).__name__}")

    def end(self):
        """Returns what was wrong."""
        self.over = True
        self.join()
        self.api.close()
        return [*self.found, *([] if self.n_pkts else ["no packet was traced"])]


def udp(port, payload):
    """A frame from 10.0.0.1 to 10.0.0.2."""
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0,
                     bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return bytes.fromhex("020000000002020000000001") + b"\x08\x00" + ip + \
        struct.pack(">HHHH", 1000 + port, 9, 8 + len(payload), 0) + payload


def document(evil_nfs, path, **more_nfs):
    """
    Victims and attackers: `evil_nfs`, and the services of their chain. The ring between workers
    holds 4 s of a worker's share, so that a machine with other work to do is no loss. Ports go to
    the workers in turn: worker 0 receives all of it.
    """
    victim = {"group": "victims", "mtu": 256}
    return {
        "engine": {"workers": 2},
        "groups": {**VICTIMS["groups"],
                   "attackers": {"huge_pages": "never", "buffers": 4096}},
        "ports": {
            **VICTIMS["ports"],
            "source": {"spec": f"pcap:/run/test/other.pcap,loop=0,rate={VICTIMS_PPS}", **victim,
                       "up": False},
            "gate": {"spec": "pcap:/run/test/passed.pcap,loop=0,rate=200", **victim, "up": False},
            "bait": {"spec": "pcap:/run/test/own.pcap,loop=0,rate=20000", "group": "attackers",
                     "up": False},
            "pit": {"spec": "null:source=off", "group": "attackers"}},
        "nfs": {
            **evil_nfs, **more_nfs, **VICTIMS["nfs"], **probe.NFS,
            "stranger": {"image": "external", "user": "games", "group": "victims"}},
        "chains": {
            **VICTIMS["chains"], **probe.CHAINS,
            "attackers": {"from": "bait", "to": "pit", "path": path, "default": True},
            "border": {"from": "gate", "to": "pit", "cross_groups": True, "reverse": "none",
                       "default": True}},
    }


# ---- what must have become of the offender ------------------------------------------------------

def told(events, kind, case, text=""):
    """How many events of that kind name the NF and contain the text."""
    return sum(event["kind"] == kind and event["object"] == case.object and
               text in event["message"] for event in events)


def counted(case, entry, events):
    """It left by itself; its offences are counted exactly."""
    if entry["state"] != "detached" or told(events, "nf-fault", case):
        yield f"it is {entry['state']} and should have stayed until it left"
    for what, count in case.report.items():
        found = entry["violations"] if what == "violations" else entry["drops"].get(what, 0)
        if found != count:
            yield f"{what}: {found} counted, {count} done"


def fault(case, entry, events):
    """Taken out once, and named."""
    if told(events, "nf-fault", case) != 1 or entry["state"] not in ("backoff", "detached"):
        yield f"it is {entry['state']}, nf-fault told {told(events, 'nf-fault', case)} times"


def broken(case, entry, events):
    """Hung up on for what it said, and named. What a guest says stands in its channel's state."""
    if told(events, "nf-detached", case, "it sent") + \
            told(events, "nf-detached", case, "it changed the state") != 1 or \
            entry["state"] not in ("backoff", "detached"):
        yield f"it is {entry['state']} and nobody said what it did"


def refused(case, entry, events):
    """Turned away, with an event that says why."""
    if entry["state"] != "declared":
        yield f"it is {entry['state']} and should have been refused"
    if not any(event["kind"] == "nf-refused" for event in events):
        yield "nobody said that it was refused"


def nobody(case, entry, events):
    """As if it had never been."""
    if entry["state"] != "declared" or any(event["object"] == case.object for event in events):
        yield f"it is {entry['state']} and should be unknown"


def any_state(case, entry, events):
    """In or not; but it did nothing to be blamed for."""
    if told(events, "nf-fault", case) or entry["state"] == "running":
        yield f"it is {entry['state']}"


OUTCOMES = {"counted": counted, "fault": fault, "broken": broken, "refused": refused,
            "nobody": nobody, "any": any_state}


def complaints(netvmd, case, before, since):
    """All that is not as it must be, now."""
    now = netvmd.measure()
    events = netvmd.call("events.get", since=since)["events"]
    found = [*daemon_well(before, now), *books_exact(before, now), *victims_unharmed(before, now),
             *OUTCOMES[case.outcome](case, now["stats"]["nfs"][case.name], events)]
    found += [f"somebody else was blamed: {event}" for event in events
              if event["kind"] == "nf-fault" and event["object"] != case.object]
    if netvmd.sanitizer_report():
        found.append("a sanitizer reports")
    return found


def next_second():
    """Refusals are told at a bounded rate per second of this clock: begin with a fresh one."""
    second = int(time.monotonic())
    while int(time.monotonic() - 0.01) <= second:  # the daemon's clock is some ms behind
        time.sleep(0.01)


def run_case(netvmd, case, attack):
    """
    One case from start to the last complaint; returns the complaints that stayed. `attack` does it
    and returns what evil says when it could not do its worst. The victims' traffic flows meanwhile,
    and rests when it is counted.
    """
    if case.outcome == "refused":
        next_second()
    found, before = [], netvmd.measure()
    before["memories"] -= case.name == HUGE  # something else will lie in the hole
    since = netvmd.call("events.get")["next"]
    try:
        netvmd.up(["source"], True)
        found += netvmd.probe.begin()
        found += attack(case)
        found += netvmd.probe.end()
        netvmd.up(["source"], False)
        return found + settle(lambda: complaints(netvmd, case, before, since))
    except (OSError, ValueError) as error:
        netvmd.lost = True
        return found + [f"netvmd does not answer: {error or type(error).__name__}", netvmd.end()]


def run_all(netvmd, cases, attack, more=None):
    """
    The cases, then what `more(netvmd, tap)` does, then the end of everything; returns the exit
    status.
    """
    tap = Tap()
    try:
        start = netvmd.call("stats.get")["books"]
        netvmd.up(set(netvmd.sources) - {"source"}, True)
        print(f"# the victims carry {netvmd.rate_pps} packets/s")
        traces = Traces()
        for case in cases:
            if not netvmd.lost:
                began = time.monotonic()
                found = run_case(netvmd, case, attack)
                for note in case.notes:
                    print("#", note)
                tap.result(f"{case.name}: {case.what} ({time.monotonic() - began:.1f} s, "
                           f"the victims' p99 {netvmd.probe.p99_us:.0f} us)", found)
        if more and not netvmd.lost:
            more(netvmd, tap)
        if not netvmd.lost:
            tap.result("traces meanwhile were in order", traces.end())
            tap.result("without traffic all buffers are where they were",
                       quiet(netvmd, netvmd.sources, start))
            tap.result("netvmd stops cleanly", netvmd.stop())
    finally:
        if tap.failed:
            print(netvmd.tail(), end="")
        netvmd.process.kill()
    return tap.end()


def options(description):
    """The command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--long", action="store_true", help="long rounds, for soak tests")
    parser.add_argument("--strict", action="store_true",
                        help="judge the victims' latency, too: on a quiet machine")
    parser.add_argument("case", nargs="*", help="only these; see evil --list")
    return parser.parse_args()


def list_cases(where):
    """Those of evil that make sense there."""
    listed = subprocess.run([EVIL, "--list"], check=True, text=True, stdout=subprocess.PIPE)
    return [case for case in map(Case, listed.stdout.splitlines())
            if case.where in ("anywhere", where)]


def choose(cases, names):
    """Those of that name, all if there is none; the measure of all others comes first."""
    unknown = set(names) - {case.name for case in cases}
    if unknown:
        sys.exit(f"no such case: {' '.join(sorted(unknown))}; see {EVIL} --list")
    return [case for case in cases if not names or case.name in (*names, PEACE)]
