"""The peers on the same work: net_null source -> switch on one core -> NF on the other -> switch ->
net_null sink. Each function starts one and yields a counter of packets that reached the sink; the
workspace ends the processes. Flags are explained in README.md.

Used by chain.py and latency.py."""

import json
import os
import re
import socket
import time
from contextlib import closing, contextmanager

from host import BenchError

OVS_SWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
OVS_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
MEMORY_MB = 512
QUEUE = 1024
BURST = 64
LOOP_BURSTS = 14  # in flight: 896 packets, what a queue of 1024 holds


def need_huge_pages(work):
    """virtio-user, zero-copy memif and OVS do not start on plain pages."""
    if not work.huge:
        raise BenchError("the peers need 2 MB huge pages, and none could be reserved")


def eal(work, prefix, core, memory_mb=MEMORY_MB):
    """EAL options: both lcores of a testpmd on one CPU (its main one only waits), no NIC."""
    need_huge_pages(work)
    return [f"--lcores=(0,1)@{core}", "--no-pci", "--in-memory", "--single-file-segments",
            f"--file-prefix={prefix}", "-m", str(memory_mb)]


def testpmd(work, name, core, vdevs, start="--auto-start", memory_mb=MEMORY_MB):
    """Start a testpmd that forwards between its ports (mode io: the packet is not touched)."""
    argv = ["dpdk-testpmd", *eal(work, name, core, memory_mb)]
    for vdev in vdevs:
        argv += ["--vdev", vdev]
    argv += ["--", start, "--forward-mode=io", "--disable-link-check",
             "--total-num-mbufs=16384", f"--burst={BURST}", f"--rxd={QUEUE}", f"--txd={QUEUE}"]
    child = work.start(name, argv)
    work.wait_for_path(f"dpdk/{name}/dpdk_telemetry.v2", child)
    return child


class Telemetry:
    """The telemetry socket of a DPDK process; as a function: packets sent by its port 0."""

    def __init__(self, work, prefix):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.connect(work.path(f"dpdk/{prefix}/dpdk_telemetry.v2"))
        self.socket.recv(16384)  # who it is

    def ask(self, command, number):
        self.socket.send(f"{command},{number}".encode())
        return json.loads(self.socket.recv(16384))[command]

    def __call__(self):
        return time.monotonic_ns(), self.ask("/ethdev/stats", 0)["opackets"]

    def linked(self, number):
        return (self.ask("/ethdev/link_status", number) or {}).get("status") == "UP"

    def close(self):
        self.socket.close()


@contextmanager
def testpmd_pair(work, switch_end, nf_end, switch_first, loop=False):
    """
    Two testpmds joined by one link; what the NF gets it sends back by the same port. The switch
    forwards between that and a source and sink, or, with `loop`, sends back what it gets, so that
    a fixed number of packets goes round and nothing is made, dropped or swallowed.
    """
    def switch():
        vdevs = [switch_end] if loop else ["net_null0,size=64", switch_end]
        return testpmd(work, "switch", work.switch_core, vdevs,
                       "--interactive" if loop else "--auto-start")

    def nf():
        return testpmd(work, "nf", work.nf_core, [nf_end])

    for start in (switch, nf) if switch_first else (nf, switch):
        start()
    with closing(Telemetry(work, "switch")) as counter, closing(Telemetry(work, "nf")) as far:
        near_port = 0 if loop else 1
        work.wait_for("link", lambda: counter.linked(near_port) and far.linked(0))
        if loop:
            work.tell("switch", f"start tx_first {LOOP_BURSTS}")
        yield counter


# Which end of memif the NF is; the client's side is zero-copy, memif's best mode.
MEMIF = ("NF is client", "NF is server")


def testpmd_memif(work, variant, loop=False):
    def end(role):
        zero_copy = ",zero-copy=yes" if role == "client" else ""
        return (f"net_memif0,role={role},socket={work.path('memif')},socket-abstract=no,"
                f"rsize={QUEUE.bit_length() - 1}{zero_copy}")

    if variant == "NF is client":
        return testpmd_pair(work, end("server"), end("client"), switch_first=True, loop=loop)
    return testpmd_pair(work, end("client"), end("server"), switch_first=False, loop=loop)


# Layout of the virtio queues.
VHOST = {"split ring": "", "packed ring": ",packed_vq=1,in_order=1,mrg_rxbuf=0,vectorized=1"}


def virtio_user(work, name, server, number=0, layout=""):
    return (f"net_virtio_user{number},path={work.path(name)},server={server},queues=1,"
            f"queue_size={QUEUE}{layout}")


def testpmd_vhost(work, variant):
    nf_end = virtio_user(work, "vhost", server=0, layout=VHOST[variant])
    return testpmd_pair(work, f"net_vhost0,iface={work.path('vhost')}", nf_end, switch_first=True)


# ---- OVS-DPDK ----------------------------------------------------------------------------------


class Ovs:
    """Open vSwitch with its own database and run-time folder, next to any that is installed."""

    def __init__(self, work):
        need_huge_pages(work)
        self.work = work
        self.env = work.environment(OVS_RUNDIR=work.folder, OVS_LOGDIR=work.folder,
                                    OVS_DBDIR=work.folder)
        work.run(["ovsdb-tool", "create", "conf.db", OVS_SCHEMA])
        self.database = work.start("ovsdb", ["ovsdb-server", "conf.db", "--remote=punix:db.sock",
                                             "--unixctl=ovsdb.ctl"], env=self.env)
        work.wait_for_path("db.sock", self.database)
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".",
                   "other_config:dpdk-extra=--no-pci --single-file-segments --file-prefix=ovs",
                   f"other_config:dpdk-socket-mem={MEMORY_MB}",
                   f"other_config:pmd-cpu-mask={1 << work.switch_core:#x}",
                   "other_config:dpdk-init=true")
        self.start_daemon()

    def start_daemon(self):
        """Also again, after its end: the database knows the ports, nobody knows the flows."""
        if os.path.exists(self.work.path("vswitchd.ctl")):
            os.unlink(self.work.path("vswitchd.ctl"))  # of one that was killed
        self.daemon = self.work.start("vswitchd", [OVS_SWITCHD, f"unix:{self.work.path('db.sock')}",
                                                   "--unixctl=vswitchd.ctl"], env=self.env)
        self.work.wait_for_path("vswitchd.ctl", self.daemon)

    def vsctl(self, *arguments):
        return self.work.run(["ovs-vsctl", f"--db=unix:{self.work.path('db.sock')}", *arguments],
                             env=self.env)

    def add_bridge(self, ports):
        """Bridge br0 with (name, type, options) ports, OpenFlow numbers from 1; no flows yet."""
        command = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
                   "fail-mode=secure"]
        for number, (name, kind, options) in enumerate(ports, 1):
            command += ["--", "add-port", "br0", name, "--", "set", "Interface", name,
                        f"type={kind}", f"ofport_request={number}", *options]
        self.vsctl(*command)
        for name, _, _ in ports:
            error = self.vsctl("get", "Interface", name, "error").strip()
            if error != "[]":
                raise BenchError(f"OVS port {name}: {error}")

    def steer(self, *flows):
        for flow in flows:
            self.work.run(["ovs-ofctl", "add-flow", "br0", flow], env=self.env)

    def sent(self, port):
        reply = self.work.run(["ovs-ofctl", "dump-ports", "br0", port], env=self.env)
        return time.monotonic_ns(), int(re.search(r"tx pkts=(\d+)", reply).group(1))

    def linked(self, port):
        return "up" in self.vsctl("get", "Interface", port, "link_state")


def null_port(name):
    return name, "dpdk", [f"options:dpdk-devargs=vdev:net_null_{name},size=64"]


def vhost_port(work, name):
    return name, "dpdkvhostuserclient", [f"options:vhost-server-path={work.path(name)}"]


@contextmanager
def ovs_dpdk(work):
    """OVS steers source -> NF -> sink by OpenFlow rules; the NF is testpmd on virtio-user."""
    ovs = Ovs(work)
    ovs.add_bridge([null_port("source"), vhost_port(work, "nf"), null_port("sink")])
    nf = testpmd(work, "pmd", work.nf_core, [virtio_user(work, "nf", server=1)])
    work.wait_for("link of the NF", lambda: ovs.linked("nf"), nf)
    ovs.steer("in_port=source,actions=output:nf", "in_port=nf,actions=output:sink")
    yield lambda: ovs.sent("sink")


@contextmanager
def ovs_probe(work):
    """OVS forwards what comes from port "generator" to port "sink", both virtio-user ports of one
    process; yields the --vdev options for it and a function that tells when both are up."""
    names = ["generator", "sink"]
    ovs = Ovs(work)
    ovs.add_bridge([vhost_port(work, name) for name in names])
    ovs.steer("in_port=generator,actions=output:sink")
    options = [f"--vdev={virtio_user(work, name, server=1, number=number)}"
               for number, name in enumerate(names)]
    yield eal(work, "probe", work.nf_core) + options, lambda: all(map(ovs.linked, names))
