#!/usr/bin/python3
"""Numbered UDP packets there and back, to see loss and order.  Called by the smoke tests.

    stream.py echo PORT                      sends back what comes in; prints "listening"
    stream.py send ADDRESS PORT [--flows N] [--count N | --while FILE] [--window N] [--size N]
                        [--bind PORT]        (source port of the first flow, the next has the next)
                        [--patience SECONDS] (nothing comes back for so long: what is missing is lost)

The sender keeps at most --window packets of each flow under way, so that a slow machine slows it
down and no queue of the kernel overflows: what is lost was lost by the chain. It sends --count
packets per flow, or as long as FILE exists, and prints one line of JSON:
{"sent", "received", "lost", "reordered", "flows"}; exit status 1 when anything was lost or came
out of order.
"""
import argparse
import json
import os
import select
import socket
import struct
import sys

RCVBUF_BYTES = 16 << 20
SO_RCVBUFFORCE = 33
PATIENCE_S = 60.0  # a busy machine may stand still for seconds


def udp_socket(address):
    """A bound UDP socket with a receive buffer that a window always fits."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF_BYTES)
    return sock


def echo(port):
    """Send everything back where it came from."""
    sock = udp_socket("::")
    sock.bind(("::", port))
    print("listening", flush=True)
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(data, peer)


class Flow:
    """One 5-tuple: what was sent, what is expected next."""

    def __init__(self, address, port, source_port):
        self.sock = udp_socket(address)
        self.sock.bind(("", source_port))
        self.sock.connect((address, port))
        self.sock.setblocking(False)
        self.sent = self.received = self.reordered = 0
        self.highest = -1

    def fill(self, limit, window, padding):
        """Send until the window is full or the limit is reached."""
        while self.sent < limit and self.sent - self.received < window:
            try:
                self.sock.send(struct.pack("!Q", self.sent) + padding)
            except BlockingIOError:
                return
            self.sent += 1

    def drain(self):
        """Take what has come back."""
        while True:
            try:
                number, = struct.unpack("!Q", self.sock.recv(65536)[:8])
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            self.received += 1
            self.reordered += number < self.highest
            self.highest = max(self.highest, number)


def meet(flow, padding, patience_s):
    """One packet alone, until the hosts know each other's MAC: their kernels keep few meanwhile."""
    flow.fill(1, 1, padding)
    select.select([flow.sock], [], [], patience_s)


def send(options):
    """Keep all flows going, then say how it went."""
    flows = [Flow(options.address, options.port, options.bind + number if options.bind else 0)
             for number in range(options.flows)]
    padding = bytes(max(0, options.size - 8))
    by_socket = {flow.sock: flow for flow in flows}
    running = True
    meet(flows[0], padding, options.patience)
    while True:
        if running and options.while_file:
            running = os.path.exists(options.while_file)
        limit = options.count if not options.while_file else (1 << 62 if running else 0)
        for flow in flows:
            flow.fill(limit, options.window, padding)
        if all(flow.received >= flow.sent for flow in flows):
            break
        readable, _, _ = select.select(list(by_socket), [], [], options.patience)
        if not readable:
            break
        for sock in readable:
            by_socket[sock].drain()
    total = {key: sum(getattr(flow, key) for flow in flows)
             for key in ("sent", "received", "reordered")}
    total["lost"] = total["sent"] - total["received"]
    total["flows"] = len(flows)
    print(json.dumps(total))
    return 1 if total["lost"] or total["reordered"] or not total["sent"] else 0


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("echo")
    server.add_argument("port", type=int)
    client = roles.add_parser("send")
    client.add_argument("address")
    client.add_argument("port", type=int)
    client.add_argument("--flows", type=int, default=1)
    client.add_argument("--count", type=int, default=1000)
    client.add_argument("--while", dest="while_file")
    client.add_argument("--window", type=int, default=32)
    client.add_argument("--size", type=int, default=64)
    client.add_argument("--bind", type=int, default=0)
    client.add_argument("--patience", type=float, default=PATIENCE_S)
    options = parser.parse_args()
    if options.role == "echo":
        echo(options.port)
    sys.exit(send(options))


if __name__ == "__main__":
    main()
