"""A pcap file for the demo: written here, replayed through the chain, read back and compared.

Classic pcap (microseconds, link type Ethernet); the packets are built by hand so that the demo
needs nothing but Python. Called by acts.
"""
import struct

PACKETS = 3000
GLOBAL = struct.Struct("=IHHiIII")
RECORD = struct.Struct("=IIII")
MAGIC = 0xA1B2C3D4
CLIENT, SERVER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
MACS = bytes([2, 0, 0, 0, 0, 2]) + bytes([2, 0, 0, 0, 0, 1])
ALLOWED_PORTS = (5201, 5201, 9999)  # every third packet goes where the firewall says no


def checksum(data):
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(number, port):
    """A UDP packet whose length depends on its number."""
    payload = bytes([number & 0xFF]) * (18 + number * 7 % 1400)
    datagram = struct.pack("!HHHH", 40000 + number % 16, port, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), number, 0, 64, 17, 0,
                         CLIENT, SERVER)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return MACS + b"\x08\x00" + header + datagram


def write(path):
    """Write the tape; returns the packets that the firewall lets pass, in order."""
    packets = [(udp(n, ALLOWED_PORTS[n % 3]), ALLOWED_PORTS[n % 3]) for n in range(PACKETS)]
    with open(path, "wb") as file:
        file.write(GLOBAL.pack(MAGIC, 2, 4, 0, 0, 65535, 1))
        for number, (packet, _) in enumerate(packets):
            file.write(RECORD.pack(0, number, len(packet), len(packet)) + packet)
    return [packet for packet, port in packets if port == 5201]


def read(path):
    """The packets of a pcap file."""
    with open(path, "rb") as file:
        data = file.read()
    packets, at = [], GLOBAL.size
    while at < len(data):
        length = RECORD.unpack_from(data, at)[2]
        at += RECORD.size
        packets.append(data[at:at + length])
        at += length
    return packets
