"""The machine under the benchmark: what it is, whether it is quiet, and everything a run borrows
from it (huge pages, a temporary folder, child processes), given back at the end whatever happens.

Used by run and all cases."""

import ctypes
import glob
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager

NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages"
BUSY_PERCENT = 5  # a core above this is not ours


class BenchError(Exception):
    """Something is missing or did not start; the text says what and where to look."""


def read(path, default=""):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return default


# ---- what the machine is -----------------------------------------------------------------------


def describe(cores):
    """The machine as one flat dictionary: what a reader needs to judge the figures."""
    def first(path, key):
        lines = (line for line in read(path).splitlines() if line.startswith(key))
        return next(lines, ":").split(":", 1)[1].strip()

    return {
        "cpu": first("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "used": list(cores),
        "kernel": platform.release(),
        "memory": first("/proc/meminfo", "MemTotal"),
        "huge_pages": f"{read(NR_HUGEPAGES, '0')} x {first('/proc/meminfo', 'Hugepagesize')}",
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "unknown"),
        "virtual": " hypervisor " in read("/proc/cpuinfo"),
        "load": read("/proc/loadavg").split()[0],
        "dpdk": package("dpdk"),
        "ovs": package("openvswitch-switch-dpdk"),
    }


def package(name):
    result = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name],
                            capture_output=True, text=True)
    return result.stdout or "not installed"


def cpu_times(cores):
    """(busy, stolen, total) jiffies of each core since boot."""
    times = {}
    for line in read("/proc/stat").splitlines():
        name, *rest = line.split()
        if name[3:].isdigit() and name.startswith("cpu") and int(name[3:]) in cores:
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, rest[:8])
            busy = user + nice + system + irq + softirq + steal
            times[int(name[3:])] = (busy, steal, busy + idle + iowait)
    return times


def load_since(before, cores):
    """Percent (busy, stolen) of each core since cpu_times() returned `before`."""
    after = cpu_times(cores)
    load = {}
    for core in cores:
        busy, steal, total = (b - a for a, b in zip(before[core], after[core]))
        load[core] = (100 * busy / max(total, 1), 100 * steal / max(total, 1))
    return load


def busy_cores(cores, seconds=2):
    """Cores that others use now, as {core: percent}."""
    before = cpu_times(cores)
    time.sleep(seconds)
    return {core: round(busy) for core, (busy, _) in load_since(before, cores).items()
            if busy > BUSY_PERCENT}


# ---- what a run borrows ------------------------------------------------------------------------


@contextmanager
def huge_pages(wanted):
    """Reserve 2 MB pages for the run; yields how many there are (0: everybody runs without)."""
    before = read(NR_HUGEPAGES, "0")
    try:
        if int(before) < wanted:
            set_huge_pages(wanted)
        enough = int(read(NR_HUGEPAGES, "0")) >= wanted
        if not enough:
            set_huge_pages(before)
        yield wanted if enough else 0
    finally:
        set_huge_pages(before)


def set_huge_pages(number):
    try:
        with open(NR_HUGEPAGES, "w") as file:
            file.write(f"{number}\n")
    except OSError:
        pass  # not ours to set: the run goes on without and says so


def die_with_parent():
    """In the child: end when the benchmark is killed, even by SIGKILL."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Workspace:
    """A temporary folder and the processes started in it. Leaving it ends and removes both."""

    def __init__(self, cores, n_huge_pages):
        self.switch_core, self.nf_core = cores
        self.huge = n_huge_pages > 0
        self.folder = tempfile.mkdtemp(prefix="nvb.")  # short: Unix socket paths end at 108
        os.chmod(self.folder, 0o755)  # NFs run under another user
        self.children = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            self.stop(child)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def environment(self, **more):
        """DPDK keeps its run-time files where RUNTIME_DIRECTORY says."""
        return {**os.environ, "RUNTIME_DIRECTORY": self.folder, **more}

    def start(self, name, argv, **options):
        """Start a child in a session of its own (Ctrl-C reaches us only); output in NAME.log."""
        with open(self.path(name + ".log"), "w") as log:
            options = {"env": self.environment(), "stdout": log} | options
            try:
                child = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=log, cwd=self.folder,
                                         start_new_session=True, preexec_fn=die_with_parent,
                                         **options)
            except FileNotFoundError as error:
                raise BenchError(f"{name}: {error}") from None
        child.name = name
        self.children.append(child)
        return child

    def tell(self, name, line):
        """Type a line into the child NAME."""
        child = next(child for child in self.children if child.name == name)
        child.stdin.write(line.encode() + b"\n")
        child.stdin.flush()

    def stop(self, child):
        """SIGTERM, and SIGKILL for who does not listen; always by pid."""
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        child.stdin.close()
        if child in self.children:
            self.children.remove(child)

    def run(self, argv, **options):
        """Run a command to its end and return what it printed."""
        options.setdefault("env", self.environment())
        try:
            result = subprocess.run(argv, capture_output=True, text=True, cwd=self.folder,
                                    timeout=60, **options)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{argv[0]} did not end in 60 s") from None
        if result.returncode != 0:
            raise BenchError(f"{' '.join(argv)}: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def wait_for(self, what, ready, child=None, timeout=20):
        """Poll until ready() returns something true; its value is returned."""
        end = time.monotonic() + timeout
        while not (value := ready()):
            if child and child.poll() is not None:
                raise BenchError(f"{child.name} ended with {child.returncode} while waiting for "
                                 f"{what}:\n{self.tail(child.name)}")
            if time.monotonic() > end:
                log = "\n" + self.tail(child.name) if child else ""
                raise BenchError(f"no {what} after {timeout} s{log}")
            time.sleep(0.02)
        return value

    def tail(self, name, n_lines=15):
        return "\n".join(read(self.path(name + ".log")).splitlines()[-n_lines:])

    def wait_for_path(self, name, child):
        self.wait_for(name, lambda: glob.glob(self.path(name)), child)
        return self.path(name)
