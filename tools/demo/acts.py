"""What the demo plays: each act makes traffic, checks the outcome and says it in one line.

Called by demo in the order of PROGRAMME. An act that finds something off returns passed = False;
the show goes on, so that the last screen tells the whole story.
"""
import hashlib
import json
import os
import re
import subprocess
import time
from typing import Callable, NamedTuple

import tape
from stage import NFS, Off, duration, run, until

SERVER = "10.0.0.2"
FILE_BYTES = 128 << 20
PINGS = 20
BULK_S = 5
UDP_MBPS = 200
OVERLOAD = "chain-overload"


class Result(NamedTuple):
    """One line of the last screen."""
    passed: bool
    text: str


class Act(NamedTuple):
    """One piece of traffic; `refused` says which half of the last screen it belongs to."""
    title: str
    refused: bool
    perform: Callable

    def play(self, stage):
        """Perform; what cannot be performed at all is a result, too."""
        try:
            return self.perform(stage)
        except (Off, subprocess.TimeoutExpired, KeyError, ValueError) as reason:
            return Result(False, str(reason).splitlines()[0])


def bits(per_second):
    """A rate for people."""
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if per_second < 1000:
            return f"{per_second:.3g} {unit}"
        per_second /= 1000
    return f"{per_second:.2f} Gbit/s"


def ping(stage):
    """IPv4 and IPv6, every one must come back."""
    received, times = 0, []
    for address in (SERVER, "fd00::2"):
        output = stage.on("client", "ping", "-q", "-c", str(PINGS), "-i", "0.05", "-W", "2", address)
        received += int(re.search(r"(\d+) received", output).group(1))
        times.append(float(re.search(r"= [\d.]+/([\d.]+)/", output).group(1)))
    return Result(received == 2 * PINGS, f"{received} of {2 * PINGS} came back, "
                  f"{times[0]:.2f} ms over IPv4, {times[1]:.2f} ms over IPv6")


def download(stage):
    """A file over HTTP; its checksum must be that of the file on the server."""
    os.mkdir("www")
    with open("www/file", "wb") as file:
        data = os.urandom(FILE_BYTES)
        file.write(data)
    stage.serve("server", 80, "python3", "-m", "http.server", "--directory", "www", "80")
    start = time.monotonic()
    output = stage.on("client", "sh", "-c", f"curl -sS http://{SERVER}/file | sha256sum")
    seconds = time.monotonic() - start
    got, wanted = output.split()[0], hashlib.sha256(data).hexdigest()
    if got != wanted:
        return Result(False, f"checksum {got[:8]}… arrived, {wanted[:8]}… was sent")
    return Result(True, f"{FILE_BYTES / 1e6:.0f} MB at {bits(FILE_BYTES * 8 / seconds)}, "
                  f"checksum {got[:8]}… matches")


def iperf(stage, *options):
    """One iperf3 run from the client; the sums of what arrived."""
    end = {}

    def accepted():
        try:
            output = stage.on("client", "iperf3", "-c", SERVER, "-t", str(BULK_S), "-J", *options)
        except Off as off:
            if "busy" not in str(off):
                raise
            return False
        end.update(json.loads(output)["end"])
        return True

    until("the server is done with the run before", accepted)
    return end.get("sum_received") or end["sum"]


def tcp_bulk(stage):
    """As fast as it goes."""
    stage.serve("server", 5201, "iperf3", "-s")
    total = iperf(stage)
    return Result(total["bytes"] > 0, f"{total['bytes'] / 1e6:,.0f} MB at "
                  f"{bits(total['bits_per_second'])}")


def udp_bulk(stage):
    """A steady stream. The chain loses none; on a busy machine it may shed load, and says so."""
    before = stage.stats()["books"]
    total = iperf(stage, "-u", "-b", f"{UDP_MBPS}M", "-l", "1400", "-w", "208K")
    after = stage.stats()["books"]
    by_chain = after["dropped"] - before["dropped"]
    shed = after["drops"].get(OVERLOAD, 0) - before["drops"].get(OVERLOAD, 0)
    by_hosts = max(0, total["lost_packets"] - by_chain)
    text = f"{total['packets']:,} packets at {bits(total['bits_per_second'])}, "
    text += f"the chain lost {by_chain - shed}"
    if shed or by_hosts:
        text += f" (machine busy: {shed:,} shed, {by_hosts:,} lost in hosts)"
    return Result(by_chain == shed and total["lost_packets"] < total["packets"] / 2, text)


def follow(stage):
    """The way of one packet, step by step: where in memory each NF found it."""
    trace = subprocess.Popen(
        ["netvm", "-j", "trace", "in_port=client", "protocol=tcp", "dst_port=80"],
        text=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    while trace.poll() is None:
        stage.on("client", "curl", "-s", "-o", "/dev/null", f"http://{SERVER}/")
    packet = json.loads(trace.stdout.read())["packets"][0]
    stage.hops = [step for step in packet["steps"] if step["what"] == "nf"]
    places = {(step["group"], step["address"], step["offset"]) for step in packet["steps"]}
    passed = packet["end"] == "sent" and len(places) == 1 and (
        [hop["nf"] for hop in stage.hops] == list(NFS))
    return Result(passed, f"{len(stage.hops)} NFs, {len(places)} place in memory, from port to port "
                  f"in {duration(packet['steps'][-1]['at_ns'])}")


def replay(stage):
    """A recorded file through the same chain: its ports become a tape, still at rest, and a reel."""
    wanted = tape.write("tape.pcap")
    stage.refused_on_tape = tape.PACKETS - len(wanted)
    run("netvm", "port", "set", "client", "spec=pcap:/run/demo/tape.pcap", "up=false")
    run("netvm", "port", "set", "server", "spec=pcap:,/run/demo/reel.pcap")
    received = stage.stats()["books"]["received"]
    run("netvm", "port", "set", "client", "up=true")

    def over():
        books = stage.stats()["books"]
        return books["received"] - received >= tape.PACKETS and books["in_flight"] == 0

    until("the tape has run", over)
    stage.keep_for_the_end()
    run("netvm", "port", "set", "server", "spec=null:")  # closes the reel
    return Result(tape.read("reel.pcap") == wanted,
                  f"{tape.PACKETS:,} packets in, {len(wanted):,} allowed ones out, byte for byte")


def refused_tcp(stage):
    """There is a server behind port 23, but the firewall says no."""
    stage.serve("server", 23, "python3", "-m", "http.server", "23")
    return refused(stage, "Tcp", "curl", "-sS", "--max-time", "1.5", f"http://{SERVER}:23/")


def refused_udp(stage):
    """Fifty datagrams that nobody asked for."""
    return refused(stage, "Udp", "bash", "-c",
                   f"for i in {{1..50}}; do echo $i >/dev/udp/{SERVER}/9999; done; false")


def refused(stage, protocol, *command):
    """The command must fail, and the firewall must say which rule refused all that it sent."""
    before, sent_before = firewall_drops(stage), sent(stage, protocol)
    try:
        stage.on("client", *command)
        return Result(False, "it passed")
    except Off:
        pass

    n_sent, dropped = sent(stage, protocol) - sent_before, {}

    def all_seen():
        dropped.update((rule, n - before[rule]) for rule, n in firewall_drops(stage).items()
                       if n > before[rule])
        return sum(dropped.values()) >= n_sent

    until("the firewall has seen all that was sent", all_seen)
    return Result(sum(dropped.values()) == n_sent > 0,
                  "; ".join(f"{n} of {n_sent} packets dropped, rule: {rule}"
                            for rule, n in dropped.items()) or "no rule dropped anything")


def sent(stage, protocol):
    """Packets of Tcp or Udp that the client's kernel has sent so far."""
    names, values = (line.split() for line in stage.on("client", "cat", "/proc/net/snmp").split("\n")
                     if line.startswith(f"{protocol}:"))
    counted = dict(zip(names[1:], map(int, values[1:])))
    return sum(counted.get(name, 0) for name in ("OutSegs", "RetransSegs", "OutDatagrams"))


def firewall_drops(stage):
    """Packets refused so far by each dropping rule, once NF and engine have counted the same."""
    drops = {}

    def agree():
        with open("firewall.json", encoding="utf-8") as file:
            rules = json.load(file)["rules"]
        drops.update((rule["rule"], rule["packets"]) for rule in rules if "drop" in rule["rule"])
        counted = stage.stats()["nfs"]["firewall"]["drops"].get("nf-verdict", 0)
        return sum(drops.values()) == counted

    until("firewall and engine agree on what was refused", agree)
    return drops


PROGRAMME = [
    Act("ping", False, ping),
    Act("HTTP download", False, download),
    Act("TCP bulk", False, tcp_bulk),
    Act("UDP bulk", False, udp_bulk),
    Act("packet trace", False, follow),
    Act("telnet (TCP 23)", True, refused_tcp),
    Act("UDP port 9999", True, refused_udp),
    Act("pcap replay", False, replay),
]
