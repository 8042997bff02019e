"""A netvmd under test: started in namespaces of its own, measured between attacks, stopped in order.

Used by judge.py (hostile NFs), shortage (what the machine refuses the daemon) and soak (all day long).
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.realpath(os.environ.get("NETVM_BUILD", os.path.join(ROOT, "build")))
SLOW = 4 if os.environ.get("NETVM_SLOW") else 1  # sanitizers: more patience, no verdict on memory
PATIENCE_S = 100 * SLOW  # ten times what a quiet machine takes: only a failing test waits so long
RSS_MARGIN_KB = 16384  # the reserve of manager/memory.h, once used, is another part of the heap
IN_FLIGHT_PKTS = 1024  # what the victims may have under way
SANITIZER = re.compile(r"Sanitizer|runtime error:")

# The victims: steady traffic through one NF. The rings between two workers and before the NF hold 4 s
# and more of it and it may stand still for long, so that a machine with other work to do is no loss.
VICTIMS = {
    "groups": {"victims": {"huge_pages": "never", "buffers": 131072, "buffer_bytes": 512}},
    "ports": {"source": {"spec": "null:rate=2000,flows=16", "group": "victims", "mtu": 256,
                         "up": False},
              "sink": {"spec": "null:source=off", "group": "victims", "mtu": 256}},
    "nfs": {"forward": {"command": "netvm-forward --next", "group": "victims", "ring": 65536,
                        "hang_ms": 60000}},
    "chains": {"victims": {"from": "source", "to": "sink", "path": ["forward"], "default": True}},
}


def add(section, name, value):
    """A change: a new object."""
    return {"op": "add", "section": section, "name": name, "value": value}


def change(section, name, **value):
    """A change: some fields of an object."""
    return {"op": "set", "section": section, "name": name, "value": value}


def delete(section, name):
    """A change: an object less."""
    return {"op": "del", "section": section, "name": name}


class Refused(RuntimeError):
    """The daemon said no: what it said."""

    def __init__(self, method, error):
        super().__init__(f"{method}: {error}")
        self.error = error

    def is_busy(self):
        """The kernel takes its time to give an AF_XDP queue back, seconds on a busy machine."""
        return "AF_XDP" in self.error["message"] and self.error["data"]["code"] == "EBUSY"


class Api:
    """One connection to the API."""

    def __init__(self, patience_s=PATIENCE_S):
        self.patience_s = patience_s
        self.connect()

    def connect(self):
        """Also again, to a daemon that took over."""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(self.patience_s)
        self.socket.connect("/run/netvm/api.sock")
        self.lines = self.socket.makefile("r")

    def call(self, method, **params):
        """One request over the API."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(self.lines.readline())
        if "error" in reply:
            raise Refused(method, reply["error"])
        return reply["result"]

    def close(self):
        """Hang up."""
        self.lines.close()
        self.socket.close()


class Netvmd(Api):
    """The daemon with its API, and what /proc knows of it."""

    def __init__(self, document, **environment):
        with open("netvm.yaml", "w", encoding="utf-8") as file:
            json.dump(document, file)  # JSON is YAML
        self.log = open("netvmd.log", "w+", encoding="utf-8", errors="replace")
        self.process, said = self.start(environment)
        if said != "READY":
            sys.exit(f"Bail out! netvmd did not become ready: {said}\n" + self.tail())
        super().__init__()
        self.lost = False  # it has ended or does not answer any more

    def start(self, environment, *options, first=None):
        """A process of netvmd, and what it says to whoever waits: READY, or why not, or nothing."""
        ready, child_end = os.pipe()
        process = subprocess.Popen(
            ["netvmd", "--config", "netvm.yaml", "--ready-fd", str(child_end), *options],
            pass_fds=[child_end], stdout=self.log, stderr=self.log,
            env={**os.environ, **environment}, preexec_fn=first)
        os.close(child_end)
        with open(ready, encoding="utf-8") as end:
            return process, end.readline().rstrip("\n")

    def up(self, ports, up):
        """Traffic of these ports on or off."""
        self.call("config.patch", changes=[change("ports", name, up=up) for name in ports])

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

    def end(self):
        """How it ended, after it stopped answering."""
        try:
            return f"its exit status: {self.process.wait(5)}"
        except subprocess.TimeoutExpired:
            return "it still runs"

    def tail(self):
        """The end of its log, for people."""
        with open("netvmd.log", encoding="utf-8", errors="replace") as log:
            return "".join("# netvmd: " + line for line in log.readlines()[-60:])

    def sanitizer_report(self):
        """Whether a sanitizer has complained."""
        with open("netvmd.log", encoding="utf-8", errors="replace") as log:
            return bool(SANITIZER.search(log.read()))

    def stop(self):
        """SIGTERM, as a service manager does; yields what was not as it must be."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        if status:
            yield f"exit status {status}"
        if self.sanitizer_report():
            yield "a sanitizer reports"


# ---- what must be true at any time --------------------------------------------------------------
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


def n_processes():
    """In this namespace, which is the test's own."""
    return sum(name.isdigit() for name in os.listdir("/proc"))


def processes_left(before):
    """Those told to end are still there, with what the daemon has open for them."""
    now = n_processes()
    if now != before:
        yield f"processes: {before} before, {now} now"


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


# ---- running ------------------------------------------------------------------------------------

def settle(complaints):
    """Ask until there are none any more, or patience has an end; returns those that stayed."""
    end = time.monotonic() + PATIENCE_S
    while True:
        found = list(complaints())
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.01)


class Tap:
    """Test Anything Protocol on standard output."""

    def __init__(self):
        self.n = self.failed = 0

    def result(self, text, found):
        """One test."""
        found = list(found)
        self.n += 1
        self.failed += bool(found)
        print("not ok" if found else "ok", self.n, "-", text)
        for line in found:
            print("#", line)
        sys.stdout.flush()

    def end(self):
        """The plan; returns the exit status."""
        print(f"1..{self.n}")
        return 1 if self.failed else 0


def quiet(netvmd, ports, start):
    """Without traffic of these ports every buffer is where it was at the start."""
    def complaints():
        books = netvmd.call("stats.get")["books"]
        if books["in_flight"] or books["buffers"] != start["buffers"]:
            yield f"at the start: {start}"
            yield f"now: {books}"

    netvmd.up(ports, False)
    return settle(complaints)


@contextmanager
def huge_pages(n):
    """Whether the machine has so many free 2 MB pages; what it lacks is added meanwhile, if it can be."""
    folder = "/sys/kernel/mm/hugepages/hugepages-2048kB"

    def number(name):
        try:
            with open(f"{folder}/{name}", encoding="ascii") as file:
                return int(file.read())
        except OSError:
            return 0  # a kernel without them

    def free():
        return number("free_hugepages") - number("resv_hugepages")

    def add(more):
        before = number("nr_hugepages")
        try:
            with open(f"{folder}/nr_hugepages", "w", encoding="ascii") as file:
                file.write(str(before + more))
        except OSError:
            pass  # not ours to set
        return number("nr_hugepages") - before

    gained = add(n - free()) if free() < n else 0
    try:
        yield free() >= n
    finally:
        if gained > 0:
            add(-gained)


def need_root():
    """Without the right to do anything here, that is all."""
    if os.geteuid() != 0:
        print("1..0 # skip needs root")
        sys.exit(77)


def private_machine():
    """
    Namespaces of its own, in which the program starts again; empty /run and /var/lib; the build
    folder where an unprivileged user can reach it.
    """
    need_root()
    if not os.environ.get("NETVM_PRIVATE"):
        os.environ["NETVM_PRIVATE"] = "1"
        os.execvp("setpriv", ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net",
                              "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
                              *sys.argv])
    for argv in (["mount", "-t", "sysfs", "sysfs", "/sys"],
                 ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
                 ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/var/lib"],
                 ["mkdir", "-p", "/run/build", "/run/test"],
                 ["mount", "--bind", BUILD, "/run/build"],
                 ["ip", "link", "set", "lo", "up"]):
        subprocess.run(argv, check=True)
    os.environ["PATH"] = f"/run/build/manager:{os.environ['PATH']}"
    os.chdir("/run/test")
