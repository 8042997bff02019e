#!/usr/bin/env python3
"""Port drivers under real traffic: two hosts, each a network namespace, joined by shuttle only.

    client ── port A ══ shuttle ══ port B ── server

    netns_test.py SHUTTLE CASE      CASE: one of the functions below that start with case_

Names contain the process id, so several can run at once. All is removed at the end, whatever
happens. Exit status 77: needs root.
"""
import atexit
import ctypes
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

SHUTTLE = sys.argv[1]
PREFIX = "nv%x" % os.getpid()
CLIENT, SERVER, MIDDLE = (PREFIX + suffix for suffix in "csm")
LIMIT_S = 120  # for what takes a moment where there is nothing else to do
TRANSFER_BYTES = 8 << 20
ETH_P_ALL = 3
UDP_SEGMENT = 103
SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR = 263, 8, 15
TP_STATUS_VLAN_VALID = 1 << 4
libc = ctypes.CDLL(None, use_errno=True)


def run(command, ns=None, check=True):
    words = (["ip", "netns", "exec", ns] if ns else []) + command.split()
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    if check and done.returncode != 0:
        raise AssertionError("%s: %s%s" % (" ".join(words), done.stdout, done.stderr))
    return done.stdout


def wait_for(truth):
    """What the kernel does a little later."""
    end = time.monotonic() + LIMIT_S
    while not truth():
        assert time.monotonic() < end, "still not true"
        time.sleep(0.01)


def socket_in(ns, *args):
    """A socket that lives in that namespace; this thread is back home afterwards."""
    with open("/proc/thread-self/ns/net") as home, open("/run/netns/" + ns) as there:
        if libc.setns(there.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            made = socket.socket(*args)
        finally:
            libc.setns(home.fileno(), 0)
    made.settimeout(LIMIT_S)
    return made


class Shuttle:
    def __init__(self, *args):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([SHUTTLE, *args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        atexit.register(self.kill)
        self.first = self.line()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def line(self):
        while True:
            line = self.process.stdout.readline().strip()
            if not line and self.process.wait(LIMIT_S) is not None:
                self.errors.seek(0)
                return "ended: " + self.errors.read()
            if not line.startswith(("EAL:", "TELEMETRY:")):
                return line

    def ready(self):
        assert self.first == "ready", self.first
        return self

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.line()

    def info(self):
        return json.loads(self.ask("info"))["ports"]

    def end(self, tx_errors=False):
        """Close the ports; every buffer must have come back and no packet been malformed."""
        for port in self.info():
            assert port["rx_errors"] == 0 and (tx_errors or port["tx_errors"] == 0), port
        self.process.stdin.close()
        code = self.process.wait(LIMIT_S)
        self.errors.seek(0)
        assert code == 0, self.errors.read()


# ---- the two hosts -------------------------------------------------------------------------------

def make_hosts(*names):
    for ns in names:
        run("ip netns add " + ns)
        atexit.register(run, "ip netns del " + ns, None, False)
        run("ip link set lo up", ns)


def set_host(ns, number, device):
    run("ip link set %s up" % device, ns)
    for family in ("ipv4", "ipv6"):  # who answers late is not away
        for kind in ("mcast", "ucast"):
            run("sysctl -qw net.%s.neigh.%s.%s_solicit=60" % (family, device, kind), ns)
    run("ip addr add 10.0.0.%d/24 dev %s" % (number, device), ns)
    run("ip addr add fd00::%d/64 dev %s nodad" % (number, device), ns)


def make_veth_hosts():
    """Client and server, each with eth0; the other ends, p0 and p1, lie in the middle."""
    make_hosts(CLIENT, SERVER, MIDDLE)
    for number, ns in ((1, CLIENT), (2, SERVER)):
        run("ip link add eth0 netns %s type veth peer name p%d netns %s" % (ns, number - 1, MIDDLE))
        set_host(ns, number, "eth0")


def veth_specs(kind):
    return ["%s:p%d,netns=%s" % (kind, i, MIDDLE) for i in (0, 1)]


# ---- traffic -------------------------------------------------------------------------------------

def ping():
    """Small, large, and fragmented, over both protocols."""
    for address in ("10.0.0.2", "fd00::2"):
        for size in (56, 1300, 6000):
            run("ping -c 3 -i 0.01 -W %d -s %d %s" % (LIMIT_S, size, address), CLIENT)


def transfer(family, address, sender, receiver):
    """TCP: the digest of what arrives is that of what was sent."""
    data = os.urandom(1 << 16) * (TRANSFER_BYTES >> 16)
    listener = socket_in(receiver, family, socket.SOCK_STREAM)
    listener.bind((address, 0))
    listener.listen()
    source = socket_in(sender, family, socket.SOCK_STREAM)
    source.connect(listener.getsockname()[:2])
    sink = listener.accept()[0]
    sink.settimeout(LIMIT_S)
    thread = threading.Thread(target=lambda: (source.sendall(data), source.close()))
    thread.start()
    digest = hashlib.sha256()
    while part := sink.recv(1 << 16):
        digest.update(part)
    thread.join()
    listener.close()
    sink.close()
    assert digest.digest() == hashlib.sha256(data).digest(), "the bytes differ"


def tcp():
    for family, client, server in ((socket.AF_INET, "10.0.0.1", "10.0.0.2"),
                                   (socket.AF_INET6, "fd00::1", "fd00::2")):
        transfer(family, server, CLIENT, SERVER)
        transfer(family, client, SERVER, CLIENT)


def udp():
    """Super-packets of UDP: 40 datagrams in one call, the last one short."""
    for family, address in ((socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")):
        sink = socket_in(SERVER, family, socket.SOCK_DGRAM)
        sink.bind((address, 0))
        source = socket_in(CLIENT, family, socket.SOCK_DGRAM)
        source.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1000)
        data = os.urandom(39 * 1000 + 321)
        source.sendto(data, sink.getsockname()[:2])
        got = [sink.recv(2000) for _ in range(40)]
        assert b"".join(got) == data and len(got[-1]) == 321
        sink.close()
        source.close()


def sctp():
    """CRC32c instead of a checksum; only where the kernel has SCTP."""
    try:
        listener = socket_in(SERVER, socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    except OSError:
        print("no SCTP in this kernel")
        return
    listener.bind(("10.0.0.2", 0))
    listener.listen()
    source = socket_in(CLIENT, socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    source.connect(listener.getsockname())
    sink = listener.accept()[0]
    source.sendall(b"hello")
    assert sink.recv(100) == b"hello"


def traffic():
    ping()
    tcp()
    udp()


# ---- cases ---------------------------------------------------------------------------------------

def tap_specs(options=""):
    return ["tap:eth0,netns=%s%s" % (ns, options) for ns in (CLIENT, SERVER)]


def case_tap():
    make_hosts(CLIENT, SERVER)
    first, second = tap_specs()
    shuttle = Shuttle("-m", "1400", first + ",mac=02:00:00:00:12:34", second).ready()
    set_host(CLIENT, 1, "eth0")
    set_host(SERVER, 2, "eth0")
    traffic()
    info = shuttle.info()[0]
    assert info["mac"] == "02:00:00:00:12:34" and info["mtu"] == 1400 and info["link"], info
    assert info["rx"] > 1000 and info["frame_bytes_max"] == 1422, info
    assert "mtu 1400" in run("ip link show eth0", CLIENT)
    assert shuttle.ask("mtu 0 9000").startswith("error EINVAL mtu:")
    assert "buffer_bytes" in shuttle.ask("mtu 0 9000")
    assert shuttle.ask("mtu 0 1300") == "ok" and "mtu 1300" in run("ip link show eth0", CLIENT)
    assert shuttle.ask("link 0 down") == "ok" and not shuttle.info()[0]["link"]
    wait_for(lambda: "NO-CARRIER" in run("ip link show eth0", CLIENT))
    shuttle.end()
    assert "eth0" not in run("ip link", CLIENT)


def case_tap_queues():
    make_hosts(CLIENT, SERVER)
    shuttle = Shuttle(*tap_specs(",queues=3")).ready()
    set_host(CLIENT, 1, "eth0")
    set_host(SERVER, 2, "eth0")
    traffic()
    assert shuttle.info()[0]["queues"] == 3
    shuttle.end()


def case_tap_deleted():
    """The device goes away under the port: link down, nothing spins, the other port goes on."""
    make_hosts(CLIENT, SERVER)
    shuttle = Shuttle(*tap_specs()).ready()
    set_host(CLIENT, 1, "eth0")
    set_host(SERVER, 2, "eth0")
    ping()
    run("ip link del eth0", CLIENT)
    info = shuttle.info()
    assert not info[0]["link"] and info[1]["link"], info
    assert spins(shuttle) < 1000
    assert shuttle.ask("link 0 up").startswith("error ENODEV")
    shuttle.end()


def spins(shuttle):
    """Turns of the shuttle while the other side looks elsewhere."""
    before = json.loads(shuttle.ask("info"))["turns"]
    run("ping -c 5 -i 0.05 127.0.0.1", SERVER)
    return json.loads(shuttle.ask("info"))["turns"] - before


def case_jumbo():
    make_hosts(CLIENT, SERVER)
    shuttle = Shuttle("-m", "9000", "-b", "10000", *tap_specs()).ready()
    set_host(CLIENT, 1, "eth0")
    set_host(SERVER, 2, "eth0")
    run("ping -c 2 -i 0.01 -M do -s 8972 10.0.0.2", CLIENT)
    tcp()
    shuttle.end()


def case_af_packet():
    make_veth_hosts()
    shuttle = Shuttle(*veth_specs("af_packet")).ready()
    traffic()
    sctp()
    info = shuttle.info()
    assert info[0]["mtu"] == 1500 and info[0]["link"] and info[0]["frame_bytes_max"] == 1518, info
    assert "packet socket on p0" in info[0]["detail"], info
    run("ip link set eth0 down", CLIENT)
    assert not shuttle.info()[0]["link"]
    run("ip link set eth0 up", CLIENT)
    assert shuttle.ask("reopen 0") == "ok"
    run("ip addr add fd00::1/64 dev eth0 nodad", CLIENT, check=False)
    traffic()
    shuttle.end()


def case_af_packet_queues():
    make_veth_hosts()
    shuttle = Shuttle("-q", "3", *veth_specs("af_packet")).ready()
    traffic()
    assert shuttle.info()[0]["queues"] == 3
    shuttle.end()


def case_af_packet_outgoing():
    """What the host sends out of the interface is no packet that came in there."""
    make_veth_hosts()
    for queues in ("1", "2"):
        shuttle = Shuttle("-q", queues, *veth_specs("af_packet")).ready()
        host, source = packet_socket(MIDDLE, device="p0"), packet_socket(CLIENT)
        sink = packet_socket(SERVER, ETH_P_ALL)
        for _ in range(20):
            host.send(tagged([], b"\x12\x34host" + bytes(60)))
        frame = tagged([], b"\x12\x34client" + bytes(60))
        source.send(frame)
        assert receive_tagged(sink) == frame
        shuttle.end()


def case_af_packet_deleted():
    make_veth_hosts()
    shuttle = Shuttle(*veth_specs("af_packet")).ready()
    ping()
    run("ip link del eth0", CLIENT)
    info = shuttle.info()
    assert not info[0]["link"] and info[1]["link"], info
    assert spins(shuttle) < 1000
    shuttle.end()


def tagged(tags, payload):
    """An Ethernet frame from client to server with these tags, outer first."""
    return (b"\2\0\0\0\0\2" + b"\2\0\0\0\0\1" +
            b"".join(struct.pack("!HH", tpid, tci) for tpid, tci in tags) + payload)


def packet_socket(ns, protocol=0, vnet_header=False, device="eth0"):
    made = socket_in(ns, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    made.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, int(vnet_header))
    made.bind((device, protocol))
    return made


def receive_tagged(sink):
    """The next frame to the server's test address, with the tag the kernel took out."""
    while True:
        frame, ancillary, _, _ = sink.recvmsg(70000, 200)
        if frame[:6] != b"\2\0\0\0\0\2":
            continue
        status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", ancillary[0][2])
        if status & TP_STATUS_VLAN_VALID:
            frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
        return frame


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data[:len(data) & ~1]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def super_packet(tags, payload):
    """A TCP super-packet whose checksum is partial, with the header that says so."""
    addresses = socket.inet_aton("10.0.0.1") + socket.inet_aton("10.0.0.2")
    length = 20 + len(payload)
    partial = checksum(addresses + struct.pack("!HH", 6, length))
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, 6, 0) + addresses
    ip = ip[:10] + struct.pack("!H", 0xffff - checksum(ip)) + ip[12:]
    tcp_header = struct.pack("!HHIIBBHHH", 5, 6, 1000, 0, 0x50, 0x18, 512, partial, 0)
    frame = tagged(tags, b"\x08\0" + ip + tcp_header + payload)
    start = len(frame) - length
    return struct.pack("<BBHHHH", 1, 1, start + 20, 1000, start, 16) + frame


def check_segment(frame, n_tags, number):
    ip = 14 + 4 * n_tags
    assert checksum(frame[ip:ip + 20]) == 0xffff, "IPv4 checksum"
    pseudo = frame[ip + 12:ip + 20] + struct.pack("!HH", 6, len(frame) - ip - 20)
    assert checksum(pseudo + frame[ip + 20:]) == 0xffff, "TCP checksum"
    assert struct.unpack("!H", frame[ip + 4:ip + 6])[0] == 7 + number, "identification"
    return frame[ip + 40:]


def case_af_packet_vlan():
    """Tags come out as they went in, also those of super-packets."""
    make_veth_hosts()
    shuttle = Shuttle(*veth_specs("af_packet")).ready()
    source = packet_socket(CLIENT)
    super_source = packet_socket(CLIENT, vnet_header=True)
    sink = packet_socket(SERVER, ETH_P_ALL)
    for tags in ([], [(0x8100, 100)], [(0x88a8, 0x6123)], [(0x88a8, 200), (0x8100, 300)],
                 [(0x8100, 4), (0x8100, 5)], [(0x8100, 0)]):
        frame = tagged(tags, b"\x12\x34" + os.urandom(100))
        source.send(frame)
        assert receive_tagged(sink) == frame, tags
        payload = os.urandom(5500)
        super_source.send(super_packet(tags, payload))
        parts = [check_segment(receive_tagged(sink), len(tags), i) for i in range(6)]
        assert b"".join(parts) == payload and len(parts[5]) == 500, tags
    shuttle.end()


def case_af_xdp_vlan():
    make_veth_hosts()
    shuttle = Shuttle(*veth_specs("af_xdp")).ready()
    source, sink = packet_socket(CLIENT), packet_socket(SERVER, ETH_P_ALL)
    for tags in ([(0x8100, 100)], [(0x88a8, 0x6123)], [(0x88a8, 200), (0x8100, 300)]):
        frame = tagged(tags, b"\x12\x34" + os.urandom(100))
        source.send(frame)
        assert receive_tagged(sink) == frame, tags
    shuttle.end()


def case_af_xdp():
    """Two sockets on two devices over one region; checksums of local senders are completed."""
    make_veth_hosts()
    shuttle = Shuttle(*veth_specs("af_xdp")).ready()
    traffic()
    info = shuttle.info()
    assert info[0]["detail"].startswith("AF_XDP copy mode, native XDP"), info
    assert shuttle.ask("reopen 0") == "ok"
    ping()
    assert shuttle.ask("mtu 0 9000").startswith("error EINVAL mtu:")
    assert "xdp" in run("ip link show p0", MIDDLE)
    shuttle.end()
    assert "xdp" not in run("ip link show p0", MIDDLE)


def case_af_xdp_killed():
    """The program goes with the process, and the queue can be opened again."""
    make_veth_hosts()
    shuttle = Shuttle(*veth_specs("af_xdp")).ready()
    ping()
    shuttle.kill()
    shuttle = Shuttle(*veth_specs("af_xdp")).ready()
    ping()
    shuttle.end()
    assert "xdp" not in run("ip link show p0", MIDDLE)


def case_mixed():
    make_veth_hosts()
    shuttle = Shuttle(veth_specs("af_xdp")[0], veth_specs("af_packet")[1]).ready()
    traffic()
    assert spins(shuttle) < 1000
    shuttle.end()


def case_dpdk_tap():
    make_hosts(CLIENT, SERVER)
    names = [PREFIX + "d0", PREFIX + "d1"]
    shuttle = Shuttle(*("dpdk:net_tap_%s,iface=%s" % (name, name) for name in names)).ready()
    for ns, name, number in zip((CLIENT, SERVER), names, (1, 2)):
        run("ip link set %s netns %s" % (name, ns))
        set_host(ns, number, name)
    traffic()
    assert "driver net_tap" in shuttle.info()[0]["detail"]
    shuttle.end(tx_errors=True)  # what was sent before the interface was up


def refused(*args):
    answer = Shuttle(*args).first
    assert answer.startswith("error "), answer
    return answer


def case_refused():
    make_veth_hosts()
    run("ip addr add 192.0.2.7/24 dev p0", MIDDLE)
    for kind in ("af_packet", "af_xdp"):
        first, second = veth_specs(kind)
        assert "carries the address 192.0.2.7" in refused(first, second)
        Shuttle("-f", first, second).ready().end()
        assert "no interface 'p7'" in refused("%s:p7,netns=%s" % (kind, MIDDLE), second)
        assert "existing: lo, p" in refused("%s:p7,netns=%s" % (kind, MIDDLE), second)
        assert "no network namespace 'nope'" in refused(kind + ":p0,netns=nope", second)
    run("ip addr flush dev p0", MIDDLE)
    run("ip link set p0 up", MIDDLE)
    run("ip route add default dev p0", MIDDLE)
    assert "default route" in refused(*veth_specs("af_packet"))
    run("ip route del default dev p0", MIDDLE)
    run("ip -6 route add default dev p0", MIDDLE)
    assert "default route" in refused(*veth_specs("af_packet"))
    run("ip -6 route del default dev p0", MIDDLE)
    run("ip link set p0 mtu 9000", MIDDLE)
    assert "buffer_bytes" in refused(*veth_specs("af_packet"))
    assert "at most" in refused(*veth_specs("af_xdp"))
    assert "use af_xdp:IFACE" in refused("dpdk:net_af_xdp0,iface=p0", "null:")
    assert "error EINVAL spec:" in refused("tap:p0,netns=" + MIDDLE, "null:")


def main():
    if os.geteuid() != 0:
        sys.exit(77)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    globals()["case_" + sys.argv[2]]()


main()
