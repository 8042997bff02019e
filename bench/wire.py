"""A stream of packets through a switch that may be restarted meanwhile, over two veth cables: what
both switches can do the same way. Used by restart.py and overload.py.

    bench-stream ──► near0 ═ near1 ──► switch ──► NF ──► switch ──► far1 ═ far0 ──► bench-stream

NetVM has near1 and far1 as af_packet ports and a process as NF, OVS-DPDK as net_af_packet devices
and testpmd behind virtio-user as NF."""

import json
import os
import signal
import subprocess
from contextlib import contextmanager

import daemon
import peers
from host import BenchError, read

CABLES = ("near", "far")


@contextmanager
def cables(work):
    """Two veth pairs with names that nobody else uses; yields {cable: (our end, the switch's)}."""
    tag = os.path.basename(work.folder)[-4:]
    ends = {cable: (f"{tag}{cable}0", f"{tag}{cable}1") for cable in CABLES}
    try:
        for ours, theirs in ends.values():
            work.run(["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs])
            for end in (ours, theirs):
                work.run(["ip", "link", "set", end, "up", "txqueuelen", "10000"])
                work.run(["sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1"])
        yield ends
    finally:
        for ours, _ in ends.values():
            subprocess.run(["ip", "link", "del", ours], stderr=subprocess.DEVNULL, check=False)


class Stream:
    """bench-stream, from its start to what it measured."""

    def __init__(self, work, build, ends, rate):
        self.work = work
        self.child = work.start(
            "stream", ["taskset", "-c", str(work.nf_core), os.path.join(build, "bench", "bench-stream"),
                       ends["near"][0], ends["far"][0], str(rate)], stdout=subprocess.PIPE)

    def end(self):
        """Figures of the whole stream, with what was lost of it."""
        self.child.send_signal(signal.SIGTERM)
        line = self.child.stdout.readline()
        self.work.stop(self.child)
        self.child.stdout.close()
        if not line:
            raise BenchError(f"the stream ended:\n{self.work.tail('stream')}")
        figures = json.loads(line)
        return figures | {"lost": figures["sent"] - figures["received"]}


# ---- NetVM -------------------------------------------------------------------------------------


def netvm_document(work, ends):
    """near -> forward -> far, the NF on the NF core."""
    document = daemon.base_document(work, "null:source=off")
    document["ports"] |= {cable: {"spec": f"af_packet:{ends[cable][1]}"} for cable in CABLES}
    document["nfs"] = {"nf": {"command": "netvm-forward --next", "cpus": [work.nf_core]}}
    document["chains"] = {"wire": {"from": "near", "to": "far", "path": ["nf"], "reverse": "none",
                                   "default": True}}
    return document


# ---- OVS-DPDK ----------------------------------------------------------------------------------


def wire_port(name, interface):
    """An interface of the kernel as a DPDK device."""
    return name, "dpdk", [f"options:dpdk-devargs=vdev:net_af_packet_{name},iface={interface}"]


@contextmanager
def ovs(work, ends, more_ports=(), more_flows=()):
    """The same wire through OVS; yields it when its links are up."""
    switch = peers.Ovs(work)
    switch.add_bridge([wire_port("near", ends["near"][1]), peers.vhost_port(work, "nf"),
                       wire_port("far", ends["far"][1]), *more_ports])
    nf = peers.testpmd(work, "pmd", work.nf_core, [peers.virtio_user(work, "nf", server=1)])
    work.wait_for("link of the NF", lambda: switch.linked("nf"), nf)
    switch.steer("in_port=near,actions=output:nf", "in_port=nf,actions=output:far", *more_flows)
    yield switch


def arrived(ends):
    """Packets that came out at the far end so far."""
    return int(read(f"/sys/class/net/{ends['far'][0]}/statistics/rx_packets"))


def wait_for_packets(work, ends):
    """Until some more have come through."""
    before = arrived(ends)
    work.wait_for("packets at the far end", lambda: arrived(ends) > before, timeout=60)
