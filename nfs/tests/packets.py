"""Packets for the tests of the NFs, good and hostile, and pcap files of them. Standard library only."""
import random
import socket
import struct

MAC_A = bytes.fromhex("020000000001")
MAC_B = bytes.fromhex("020000000002")
SYN, ACK, FIN, RST = 0x02, 0x10, 0x01, 0x04


def pcap_header():
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)


def pcap_record(packet, number=0):
    stamp = 1_700_000_000 + number // 1000, number % 1000 * 1000
    return struct.pack("<IIII", *stamp, len(packet), len(packet)) + packet


def pcap_write(path, packets):
    with open(path, "wb") as file:
        file.write(pcap_header())
        for number, packet in enumerate(packets):
            file.write(pcap_record(packet, number))


def pcap_read(path):
    with open(path, "rb") as file:
        data = file.read()
    packets, at = [], 24
    while at < len(data):
        length = struct.unpack_from("<IIII", data, at)[2]
        packets.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return packets


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def eth(kind, payload, src=MAC_A, dst=MAC_B, tags=()):
    """tags: VLAN ids, the outer first."""
    header = dst + src
    for tag in tags:
        header += struct.pack("!HH", 0x8100, tag)
    return header + struct.pack("!H", kind) + payload


def ipv4(protocol, payload, src="10.0.0.1", dst="10.0.0.2", fragment=0, options=b""):
    words = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + len(payload), 1, fragment, 64,
                         protocol, 0, socket.inet_aton(src), socket.inet_aton(dst)) + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(next_header, payload, src="2001:db8::1", dst="2001:db8::2", hops=64):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), next_header, hops,
                       socket.inet_pton(socket.AF_INET6, src),
                       socket.inet_pton(socket.AF_INET6, dst)) + payload


def tcp(src, dst, flags, seq=100, ack=0, data=b""):
    return struct.pack("!HHIIBBHHH", src, dst, seq, ack, 5 << 4, flags, 1024, 0, 0) + data


def udp(src, dst, data=b""):
    return struct.pack("!HHHH", src, dst, 8 + len(data), 0) + data


def icmp(kind, code, rest=b"\0\0\0\0", data=b""):
    return struct.pack("!BBH", kind, code, 0) + rest + data


def echo(kind, identifier):
    return icmp(kind, 0, struct.pack("!HH", identifier, 1), b"ping")


def extension(next_header, words=0):
    return struct.pack("!BB", next_header, words) + b"\0" * (6 + 8 * words)


def fragment6(next_header, offset, more):
    return struct.pack("!BBHI", next_header, 0, offset << 3 | more, 7)


def tcp4(src, sport, dst, dport, flags, **more):
    return eth(0x0800, ipv4(6, tcp(sport, dport, flags, **more), src, dst))


def udp4(src, sport, dst, dport, data=b"data"):
    return eth(0x0800, ipv4(17, udp(sport, dport, data), src, dst))


def valid_packets():
    """One of each kind that the NFs look into."""
    quoted = ipv4(17, udp(40000, 53, b"query"), "10.0.0.2", "10.0.0.1")
    quoted6 = ipv6(17, udp(40000, 53, b"query"), "2001:db8::2", "2001:db8::1")
    stamp = struct.pack("<IIQH", 0x4E564D53, 5, 1, 3)
    return [
        tcp4("10.0.0.1", 40000, "10.0.0.2", 80, SYN),
        tcp4("10.0.0.2", 80, "10.0.0.1", 40000, SYN | ACK, seq=500, ack=101),
        tcp4("10.0.0.1", 40000, "10.0.0.2", 80, ACK, seq=101, ack=501, data=b"GET / HTTP/1.0"),
        udp4("10.0.0.1", 40000, "10.0.0.2", 53),
        udp4("10.0.0.1", 40000, "10.0.0.2", 9, stamp),
        eth(0x0800, ipv4(1, echo(8, 77))),
        eth(0x0800, ipv4(1, echo(0, 77), "10.0.0.2", "10.0.0.1")),
        eth(0x0800, ipv4(1, icmp(3, 3, data=quoted))),
        eth(0x0800, ipv4(6, tcp(1, 2, SYN), options=b"\x01" * 40)),
        eth(0x0800, ipv4(17, udp(1, 2, b"f" * 16), fragment=0x2000)),
        eth(0x0800, ipv4(17, b"f" * 24, fragment=0x0003)),
        eth(0x0800, ipv4(6, b"f" * 24, fragment=0x0001)),
        eth(0x0800, ipv4(47, b"gre" * 8)),
        eth(0x0800, ipv4(132, struct.pack("!HH", 5, 6) + b"sctp" * 4)),
        eth(0x86DD, ipv6(6, tcp(40000, 80, SYN))),
        eth(0x86DD, ipv6(17, udp(40000, 53, b"query"))),
        eth(0x86DD, ipv6(58, echo(128, 9))),
        eth(0x86DD, ipv6(58, icmp(1, 4, data=quoted6))),
        eth(0x86DD, ipv6(58, icmp(135, 0, data=b"\xfe\x80" + b"\0" * 14), hops=255)),
        eth(0x86DD, ipv6(0, extension(60, 1) + extension(43) + extension(6) + tcp(1, 2, SYN))),
        eth(0x86DD, ipv6(44, fragment6(17, 0, 1) + udp(1, 2, b"f" * 16))),
        eth(0x86DD, ipv6(44, fragment6(60, 9, 0) + b"\x06" + b"f" * 23)),
        eth(0x86DD, ipv6(51, struct.pack("!BB", 6, 4) + b"\0" * 22 + tcp(1, 2, ACK))),
        eth(0x0806, b"\0\1\x08\0\6\4\0\1" + MAC_A + b"\x0a\0\0\1" + b"\0" * 6 + b"\x0a\0\0\2",
            dst=b"\xff" * 6),
        eth(0x0800, ipv4(17, udp(1, 2)), tags=(5,)),
        eth(0x86DD, ipv6(17, udp(1, 2)), tags=(5, 6)),
        eth(0x88CC, b"lldp", dst=bytes.fromhex("0180c200000e")),
    ]


def damaged(packet):
    """Cut at every length; then every byte of the headers set to its extremes."""
    for length in range(len(packet)):
        yield packet[:length]
    for at in range(12, min(len(packet), 100)):
        for value in (0x00, 0x7F, 0xFF, packet[at] ^ 1, packet[at] ^ 0x80):
            yield packet[:at] + bytes([value]) + packet[at + 1 :]


def chains():
    """Stacks of VLAN tags and chains of IPv6 extension headers, longer than anybody follows."""
    for depth in range(1, 20):
        yield eth(0x0800, ipv4(17, udp(1, 2)), tags=range(1, depth + 1))
        chain = extension(60) * depth
        yield eth(0x86DD, ipv6(60, chain + tcp(1, 2, SYN)))
        yield eth(0x86DD, ipv6(0, extension(0, 255) * min(depth, 7)))
        yield eth(0x86DD, ipv6(44, fragment6(44, 0, depth & 1) * depth + udp(1, 2)))


def mutated(packets, n, seed):
    chance = random.Random(seed)
    for _ in range(n):
        packet = bytearray(chance.choice(packets))
        for _ in range(chance.randint(1, 8)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        yield bytes(packet[: chance.randint(0, len(packet))] if chance.random() < 0.3 else packet)


def hostile_packets():
    good = valid_packets()
    packets = good + [b"", b"\0", b"\xff" * 60, b"\0" * 9000, b"\xff" * 16000]
    for packet in good:
        packets.extend(damaged(packet))
    packets.extend(chains())
    packets.extend(mutated(good, 5000, seed=1))
    return packets


OVERSIZED = b"\x02" * 20000  # larger than any buffer: not given to an NF, but counted
