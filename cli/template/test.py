#!/usr/bin/env python3
"""Runs the NF on a small pcap file, without a daemon, and looks at what comes out.

usage: test.py PROGRAM
"""
import os
import struct
import subprocess
import sys
import tempfile


def tcp_packet(dst_port):
    """Ethernet, IPv4 and TCP headers with a destination port; checksums are left out."""
    ethernet = bytes(6) + b"\2" + bytes(5) + b"\x08\x00"
    ipv4 = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, b"\n\0\0\1", b"\n\0\0\2")
    return ethernet + ipv4 + struct.pack("!HHIIBBHHH", 40000, dst_port, 0, 0, 0x50, 2, 0, 0, 0)


def write_pcap(path, packets):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for packet in packets:
            file.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


def read_pcap(path):
    with open(path, "rb") as file:
        file.read(24)
        while header := file.read(16):
            yield file.read(struct.unpack("<IIII", header)[2])


http, telnet, malformed = tcp_packet(80), tcp_packet(23), b"\0" * 10
with tempfile.TemporaryDirectory() as folder:
    given, result = os.path.join(folder, "in.pcap"), os.path.join(folder, "out.pcap")
    write_pcap(given, [http, telnet, malformed, http])
    subprocess.run([sys.argv[1], "--replay", f"{given},{result}"], check=True)
    passed = list(read_pcap(result))
assert passed == [http, malformed, http], f"these came out: {passed}"
print("passed: telnet is dropped, all else goes on")
