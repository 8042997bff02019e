"""What the tests of hostile NFs share: a daemon with victims and attackers, and the judgement of what
became of everybody. Used by `run` (processes) and `guest` (QEMU).
"""
import argparse
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.realpath(os.environ.get("NETVM_BUILD", os.path.join(ROOT, "build")))
EVIL = "/run/build/tests/fault/evil"
SLOW = 4 if os.environ.get("NETVM_SLOW") else 1  # sanitizers: more patience, no verdict on memory

PEACE = "peaceful"  # the case that does nothing wrong; what it leaves behind is the baseline
PATIENCE_S = 10 * SLOW
RSS_MARGIN_KB = 4096
IN_FLIGHT_PKTS = 1024  # what the victims may have under way

REPORT = re.compile(r"^(\S+) (\d+)\r?$", re.M)
SANITIZER = re.compile(r"Sanitizer|runtime error:")


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


class Netvmd:
    """The daemon with its API, and what /proc knows of it."""

    def __init__(self, document):
        with open("netvm.yaml", "w", encoding="utf-8") as file:
            json.dump(document, file)  # JSON is YAML
        self.secrets = Secrets()
        self.secrets.write()
        ready, child_end = os.pipe()
        self.log = open("netvmd.log", "w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            ["netvmd", "--config", "netvm.yaml", "--ready-fd", str(child_end)],
            pass_fds=[child_end], stdout=self.log, stderr=self.log)
        os.close(child_end)
        with open(ready, "rb") as end:
            if end.readline() != b"READY\n":
                sys.exit("Bail out! netvmd did not become ready\n" + self.tail())
        self.secrets.remove()
        self.api = socket.socket(socket.AF_UNIX)
        self.api.settimeout(PATIENCE_S)
        self.api.connect("/run/netvm/api.sock")
        self.lines = self.api.makefile("r")
        self.lost = False  # it has ended or does not answer any more

    def call(self, method, **params):
        """One request over the API."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.api.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(self.lines.readline())
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]

    def sources(self, up):
        """Traffic on or off."""
        self.call("config.patch", changes=[
            {"op": "set", "section": "ports", "name": name, "value": {"up": up}}
            for name in ("source", "gate", "bait")])

    def measure(self):
        """Everything a case could have changed."""
        stats = self.call("stats.get")
        proc = f"/proc/{self.process.pid}"
        with open(f"{proc}/maps", encoding="utf-8") as maps:
            memories = sum("memfd:netvm" in line for line in maps)
        with open(f"{proc}/status", encoding="utf-8") as status:
            rss_kb = int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))
        return {"stats": stats, "fds": len(os.listdir(f"{proc}/fd")),
                "threads": len(os.listdir(f"{proc}/task")), "memories": memories,
                "rss_kb": rss_kb}

    def tail(self):
        """The end of its log, for people."""
        with open("netvmd.log", encoding="utf-8", errors="replace") as log:
            return "".join("# netvmd: " + line for line in log.readlines()[-60:])

    def sanitizer_report(self):
        """Whether a sanitizer has complained."""
        with open("netvmd.log", encoding="utf-8", errors="replace") as log:
            return bool(SANITIZER.search(log.read()))


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


def udp(port, payload):
    """A frame from 10.0.0.1 to 10.0.0.2."""
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0,
                     bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return bytes.fromhex("020000000002020000000001") + b"\x08\x00" + ip + \
        struct.pack(">HHHH", 1000 + port, 9, 8 + len(payload), 0) + payload


def document(evil_nfs, path, **more_nfs):
    """
    Victims and attackers: `evil_nfs`, and the services of their chain. The victims' ring holds
    8 s of their traffic, the one between workers 4 s of a worker's share, so that a machine with
    other work to do is no loss. Ports go to the workers in turn: worker 0 receives all of it.
    """
    return {
        "engine": {"workers": 2},
        "groups": {"victims": {"huge_pages": "never", "buffers": 32768},
                   "attackers": {"huge_pages": "never", "buffers": 4096}},
        "ports": {
            "source": {"spec": "pcap:/run/test/other.pcap,loop=0,rate=2000", "group": "victims",
                       "up": False},
            "sink": {"spec": "null:source=off", "group": "victims"},
            "gate": {"spec": "pcap:/run/test/passed.pcap,loop=0,rate=200", "group": "victims",
                     "up": False},
            "bait": {"spec": "pcap:/run/test/own.pcap,loop=0,rate=20000", "group": "attackers",
                     "up": False},
            "pit": {"spec": "null:source=off", "group": "attackers"}},
        "nfs": {
            **evil_nfs, **more_nfs,
            "forward": {"command": "netvm-forward --next", "group": "victims", "ring": 16384},
            "stranger": {"image": "external", "user": "games", "group": "victims"}},
        "chains": {
            "victims": {"from": "source", "to": "sink", "path": ["forward"], "default": True},
            "attackers": {"from": "bait", "to": "pit", "path": path, "default": True},
            "border": {"from": "gate", "to": "pit", "cross_groups": True, "reverse": "none",
                       "default": True}},
    }


# ---- what must be true after every case ---------------------------------------------------------
# Each yields what is not.

def daemon_well(before, now):
    """Turning, and with nothing more in its hands than before."""
    for worker, (was, is_) in enumerate(zip(before["stats"]["workers"], now["stats"]["workers"])):
        if is_["turns"] <= was["turns"]:
            yield f"worker {worker} stands still"
    for what in ("fds", "threads", "memories"):
        if now[what] != before[what]:
            yield f"{what}: {before[what]} before, {now[what]} now"
    if SLOW == 1 and now["rss_kb"] > before["rss_kb"] + RSS_MARGIN_KB:
        yield f"memory: {before['rss_kb']} KiB before, {now['rss_kb']} KiB now"


def books_balance(now):
    """Conservation, recomputed; no buffer is nowhere."""
    books = now["stats"]["books"]
    buffers = books["buffers"]
    ways_out = ("sent", "consumed", "dropped", "in_flight")
    if books["received"] + books["injected"] != sum(books[way] for way in ways_out):
        yield f"the books do not balance: {books}"
    if books["dropped"] != sum(books["drops"].values()):
        yield f"drops without a name: {books}"
    if sum(buffers[where] for where in ("free", "stock", "port")) + books["in_flight"] \
            != buffers["total"]:
        yield f"buffers are missing: {books}"


def books_exact(before, now):
    """All of it, and nobody has more in his hands than before."""
    yield from books_balance(now)
    books = now["stats"]["books"]
    buffers = books["buffers"]
    if buffers["stock"] != before["stats"]["books"]["buffers"]["stock"]:
        yield f"stock is left behind: {buffers}"
    if books["in_flight"] > IN_FLIGHT_PKTS:
        yield f"{books['in_flight']} packets are still in flight"


def victims_unharmed(before, now):
    """Their traffic went on and not one packet was lost."""
    was, is_ = before["stats"], now["stats"]
    for section, name in (("ports", "source"), ("ports", "sink"), ("nfs", "forward"),
                          ("chains", "victims")):
        lost, lost_before = is_[section][name]["drops"], was[section][name]["drops"]
        if lost != lost_before:
            yield f"the victims lost packets: {section}.{name} {lost_before} before, {lost} now"
    received, sent = (
        is_["ports"][name][count] - was["ports"][name][count]
        for name, count in (("source", "rx_pkts"), ("sink", "tx_pkts")))
    if sent == 0:
        yield "the victims' traffic stands still"
    if received - sent > IN_FLIGHT_PKTS:
        yield f"the victims sent {sent} of {received} packets"
    if is_["nfs"]["forward"]["state"] != "running" or is_["nfs"]["forward"]["restarts"]:
        yield f"the victims' NF is not what it was: {is_['nfs']['forward']}"


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
    and returns what evil says when it could not do its worst.
    """
    if case.outcome == "refused":
        next_second()
    before = netvmd.measure()
    since = netvmd.call("events.get")["next"]
    found = attack(case)
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            last = complaints(netvmd, case, before, since)
        except (OSError, ValueError) as error:
            netvmd.lost = True
            return found + [f"netvmd does not answer: {error or type(error).__name__}",
                            f"its exit status: {netvmd.process.poll()}"]
        if not last or time.monotonic() > end:
            return found + last
        time.sleep(0.01)


def quiet(netvmd, before):
    """Without traffic: every buffer is back where it was."""
    netvmd.sources(False)
    end = time.monotonic() + PATIENCE_S
    while True:
        books = netvmd.call("stats.get")["books"]
        if books["in_flight"] == 0 and books["buffers"] == before["buffers"]:
            return []
        if time.monotonic() > end:
            return [f"before: {before}", f"now: {books}"]
        time.sleep(0.01)


def stop(netvmd):
    """SIGTERM, as a service manager does."""
    netvmd.process.send_signal(signal.SIGTERM)
    status = netvmd.process.wait(60)
    return ([f"exit status {status}"] if status else []) + \
        (["a sanitizer reports"] if netvmd.sanitizer_report() else [])


class Tap:
    """Test Anything Protocol on standard output."""

    def __init__(self):
        self.n = self.failed = 0

    def result(self, text, found):
        """One test."""
        self.n += 1
        self.failed += bool(found)
        print("not ok" if found else "ok", self.n, "-", text)
        for line in found:
            print("#", line)
        sys.stdout.flush()


def private_machine():
    """Empty /run and /var/lib; the build folder where an unprivileged user can reach it."""
    for argv in (["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
                 ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/var/lib"],
                 ["mkdir", "-p", "/run/build", "/run/test"],
                 ["mount", "--bind", BUILD, "/run/build"],
                 ["ip", "link", "set", "lo", "up"]):
        subprocess.run(argv, check=True)
    os.environ["PATH"] = f"/run/build/manager:{os.environ['PATH']}"
    os.chdir("/run/test")


def run_all(netvmd, cases, attack, more=None):
    """
    The cases, then what `more(netvmd, tap)` does, then the end of everything; returns the exit
    status.
    """
    tap = Tap()
    try:
        start = netvmd.call("stats.get")["books"]
        netvmd.sources(True)
        for case in cases:
            if not netvmd.lost:
                began = time.monotonic()
                found = run_case(netvmd, case, attack)
                for note in case.notes:
                    print("#", note)
                tap.result(f"{case.name}: {case.what} ({time.monotonic() - began:.1f} s)", found)
        if more and not netvmd.lost:
            more(netvmd, tap)
        if not netvmd.lost:
            tap.result("without traffic all buffers are where they were", quiet(netvmd, start))
            tap.result("netvmd stops cleanly", stop(netvmd))
    finally:
        if tap.failed:
            print(netvmd.tail(), end="")
        netvmd.process.kill()
    print(f"1..{tap.n}")
    return 1 if tap.failed else 0


def options(description):
    """The command line; without the right to do anything here, that is all."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--long", action="store_true", help="long rounds, for soak tests")
    parser.add_argument("case", nargs="*", help="only these; see evil --list")
    given = parser.parse_args()
    if os.geteuid() != 0:
        print("1..0 # skip needs root")
        sys.exit(77)
    return given


def be_private():
    """Start again in namespaces of its own, once, and go where everything is."""
    if not os.environ.get("NETVM_PRIVATE"):
        os.environ["NETVM_PRIVATE"] = "1"
        os.execvp("setpriv", ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net",
                              "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
                              *sys.argv])
    private_machine()


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


