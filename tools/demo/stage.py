"""The stage: two hosts, a daemon between them, and that all of it goes away again.

Called by demo, inside namespaces that belong to it alone, so the default places (/run/netvm,
/var/lib/netvm) and the names "client" and "server" are free.
"""
import json
import os
import pwd
import shutil
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "examples", "demo")
BUILD = "/run/build"  # where an unprivileged NF can reach the programs, wherever the sources lie
WORK = "/run/demo"
ADDRESSES = {"client": ["10.0.0.1/24", "fd00::1/64"], "server": ["10.0.0.2/24", "fd00::2/64"]}
NFS = ("firewall", "monitor", "forward")  # in the order of the chain
# How long nobody is called late; on a busy machine all takes much longer than usual.
START_S = 300  # a guest under emulation
RUN_S = 300


class Off(Exception):
    """Something is not as it should be; the text says what."""


def run(*argv, timeout=RUN_S):
    """Run a command; what it prints on failure becomes the reason."""
    done = subprocess.run(argv, text=True, errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, check=False)
    if done.returncode:
        raise Off(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def until(what, condition, seconds=60):
    """Wait for something that nothing announces."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Off(f"waited {seconds} s in vain: {what}")
        time.sleep(0.02)


def duration(time_ns):
    """A short time for people."""
    return f"{time_ns / 1e6:.1f} ms" if time_ns >= 1e6 else f"{time_ns / 1e3:.1f} µs"


class Stage:
    """Two network namespaces, joined only through NetVM; `document` is one of examples/demo."""

    def __init__(self, build, document):
        self.build = build
        self.document = document
        self.daemon = None
        self.background = []
        self.final = {}
        self.refused_on_tape = 0
        self.early = 0  # packets that came before the NFs ran
        self.hops = []  # of the packet that was traced
        self.users = set()
        self.sentences = {}

    def __enter__(self):
        try:
            self._private_places()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.background:
            process.kill()
        self.stop()

    def _private_places(self):
        os.environ["PATH"] = f"{BUILD}/manager:{BUILD}/cli:/usr/sbin:/usr/bin:/sbin:/bin"
        run("mount", "-t", "sysfs", "sysfs", "/sys")
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"], check=False,
                       stderr=subprocess.DEVNULL)
        for place in ("/run", "/var/lib"):
            run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place)
        for place in ("/run/netns", BUILD, WORK):
            os.mkdir(place)
        os.chmod(WORK, 0o777)
        run("mount", "--bind", self.build, BUILD)
        for name in os.listdir(EXAMPLES):
            shutil.copy(os.path.join(EXAMPLES, name), WORK)
        os.chdir(WORK)
        run("ip", "link", "set", "lo", "up")

    def _start(self):
        for host in ADDRESSES:
            run("ip", "netns", "add", host)
        ready, tell = os.pipe()
        with open("netvmd.log", "wb") as log:
            self.daemon = subprocess.Popen(
                ["netvmd", "--config", self.document, "--ready-fd", str(tell)],
                pass_fds=[tell], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        os.close(tell)
        with os.fdopen(ready, "rb") as pipe:
            if pipe.readline() != b"READY\n":
                raise Off(f"netvmd did not start:\n{self.log()}")
        until("all NFs run", self._nfs_run, START_S)
        self.early = self.stats()["books"]["drops"].get("service-down", 0)
        for host, addresses in ADDRESSES.items():
            self._address(host, addresses)

    def _nfs_run(self):
        """All are there; one that ended again and again will not be."""
        nfs = self.stats()["nfs"]
        for name, nf in nfs.items():
            if nf["restarts"] > 1:
                raise Off(f"{name} does not stay up: {nf['last_exit']}\n{self.log()}")
        return all(nf["state"] == "running" for nf in nfs.values())

    def _address(self, host, addresses):
        """The port made eth0 in the host's namespace; give it its addresses."""
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            self.on(host, "ip", "address", "add", address, "dev", "eth0", *nodad)
        self.on(host, "ip", "link", "set", "lo", "up")
        self.on(host, "ip", "link", "set", "eth0", "up", "txqueuelen", "10000")

    def on(self, host, *argv, timeout=RUN_S):
        """Run a command on a host."""
        return run("ip", "netns", "exec", host, *argv, timeout=timeout)

    def serve(self, host, port, *argv):
        """Start a server on a host; returns when it listens."""
        self.background.append(subprocess.Popen(
            ["ip", "netns", "exec", host, *argv], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL))
        until(f"{argv[0]} listens on port {port}",
              lambda: self.on(host, "ss", "-Hltun", f"sport = :{port}").strip())

    def stats(self):
        """What the daemon counts."""
        return json.loads(run("netvm", "-j", "stats"))

    def keep_for_the_end(self):
        """The numbers the last screen shows, and whose processes the NFs are."""
        self.final = self.stats()
        self.sentences = {reason["label"]: reason["sentence"]
                          for reason in json.loads(run("netvm", "-j", "drops"))["reasons"]}
        self.users = {pwd.getpwuid(os.stat(f"/proc/{nf['pid']}").st_uid).pw_name
                      for nf in self.final["nfs"].values() if nf["pid"]}

    def log(self):
        """What netvmd said."""
        with open(os.path.join(WORK, "netvmd.log"), encoding="utf-8", errors="replace") as log:
            return log.read().strip()

    def stop(self):
        """Stop the daemon as a service manager does; its exit status."""
        if not self.daemon:
            return 0
        daemon, self.daemon = self.daemon, None
        daemon.terminate()
        try:
            return daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            return daemon.wait()
