#!/usr/bin/python3
"""Write small seed corpora: seeds.py FOLDER makes FOLDER/<target>/<name>.  Called by run.

A seed shows a target the shape of good input, so that a short run already gets past the first
checks. Texts are the ones the tree has anyway; bytes are put together here.
"""
import glob
import os
import re
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def tree(pattern):
    """(name, bytes) of files of the tree."""
    return {os.path.relpath(path, ROOT).replace("/", "_"): open(path, "rb").read()
            for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True))}


# ---- packets -------------------------------------------------------------------------------------

def ethernet(kind, payload, tags=()):
    """A frame; each tag is (type, tci)."""
    head = b"\x02\0\0\0\0\2\x02\0\0\0\0\1"
    for tpid, tci in tags:
        head += struct.pack(">HH", tpid, tci)
    return head + struct.pack(">H", kind) + payload


def ipv4(protocol, payload, back=False, fragment=0, options=b""):
    """An IPv4 packet between two hosts; its checksum is not set."""
    ends = [b"\x0a\0\0\1", b"\x0a\0\0\2"]
    return struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload),
                       7, fragment, 64, protocol, 0) + b"".join(ends[::-1] if back else ends) \
        + options + payload


def ipv6(protocol, payload, extensions=b""):
    """An IPv6 packet; extensions end with the header whose next field is `protocol`."""
    first = 0 if extensions else protocol
    return struct.pack(">IHBB", 6 << 28, len(extensions) + len(payload), first, 64) \
        + bytes(15) + b"\1" + bytes(15) + b"\2" + extensions + payload


def tcp(flags, seq=1, ack=0, payload=b"", back=False):
    """A TCP segment between ports 1000 and 80."""
    ports = (80, 1000) if back else (1000, 80)
    return struct.pack(">HHIIBBHHH", *ports, seq, ack, 0x50, flags, 500, 0, 0) + payload


def udp(payload=b"hello", back=False):
    """A UDP datagram between ports 1000 and 53."""
    ports = (53, 1000) if back else (1000, 53)
    return struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload


def packets():
    """One of each kind."""
    echo = struct.pack(">BBHHH", 8, 0, 0, 9, 1)
    quoted = struct.pack(">BBHI", 3, 4, 0, 1400) + ipv4(17, udp())
    hops = struct.pack(">BBHI", 17, 0, 0x0104, 0)
    return {
        "tcp": ethernet(0x0800, ipv4(6, tcp(0x18, payload=b"GET /"))),
        "long": ethernet(0x0800, ipv4(17, udp(bytes(400)))),
        "udp": ethernet(0x0800, ipv4(17, udp())),
        "options": ethernet(0x0800, ipv4(17, udp(), options=b"\1" * 8)),
        "fragment": ethernet(0x0800, ipv4(17, udp(), fragment=0x2000)),
        "icmp": ethernet(0x0800, ipv4(1, echo)),
        "icmp_error": ethernet(0x0800, ipv4(1, quoted, back=True)),
        "tagged": ethernet(0x0800, ipv4(17, udp()), [(0x88a8, 7), (0x8100, 20)]),
        "ipv6": ethernet(0x86dd, ipv6(6, tcp(2))),
        "extension": ethernet(0x86dd, ipv6(17, udp(), extensions=hops)),
        "ndp": ethernet(0x86dd, ipv6(58, struct.pack(">BBHI", 135, 0, 0, 0) + bytes(16))),
        "arp": ethernet(0x0806, bytes(28)),
    }


def conversations():
    """Packets with their length and the seconds since the one before, for conntrack."""
    def line(*frames):
        return b"".join(bytes([len(frame[:255]), 1]) + frame[:255] for frame in frames)

    shake = [tcp(2, 100), tcp(0x12, 500, 101, back=True), tcp(0x10, 101, 501),
             tcp(0x11, 101, 501), tcp(0x11, 501, 102, back=True), tcp(0x10, 102, 502)]
    back = [False, True, False, False, True, False]
    talk = {"each": line(*packets().values())}
    talk["tcp"] = line(*[ethernet(0x0800, ipv4(6, one, back=way)) for one, way in zip(shake, back)])
    talk["udp"] = line(ethernet(0x0800, ipv4(17, udp())),
                       ethernet(0x0800, ipv4(17, udp(back=True), back=True)),
                       packets()["icmp_error"])
    return talk


def super_packets():
    """gso_type, gso_size, start, offset and a frame to cut."""
    def seed(gso_type, frame, start, offset):
        return struct.pack("<BHHH", gso_type, 100, start, offset) + frame

    text = bytes(range(250))
    sctp = struct.pack(">HHII", 1, 2, 3, 0) + b"chunk"
    return {
        "tcp4": seed(1, ethernet(0x0800, ipv4(6, tcp(0x99, payload=text))), 34, 16),
        "tcp6": seed(4, ethernet(0x86dd, ipv6(6, tcp(0x19, payload=text))), 54, 16),
        "udp": seed(5, ethernet(0x0800, ipv4(17, udp(text)), [(0x8100, 5)]), 38, 6),
        "sctp": seed(0, ethernet(0x0800, ipv4(132, sctp)), 34, 8),
    }


def captures():
    """The four kinds of pcap files, and two that are broken."""
    files = {}
    for order in "<>":
        for magic in (0xa1b2c3d4, 0xa1b23c4d):
            text = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535, 1)
            for number, frame in enumerate(packets().values()):
                text += struct.pack(order + "IIII", 5, number, len(frame), len(frame)) + frame
            files[f"{'little' if order == '<' else 'big'}_{magic:x}"] = text
    files["cut"] = files["little_a1b2c3d4"][:200]
    files["link"] = struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)
    return files


# ---- steps ---------------------------------------------------------------------------------------

def borders():
    """Steps of border.c: traffic and what may be done with it."""
    give, take, stock, turn, show = b"\0\x10", b"\1", b"\2", b"\x0e", b"\6"
    honest = give + turn + take + b"\4\0" + show + turn
    junk = struct.pack("<I", 1 << 31)
    made = [struct.pack("<BHHB", 15, offset, 60, verdict)
            for offset in (192, 9, 2300) for verdict in range(7)]
    return {
        "honest": b"\0" + honest * 3,
        "stock": b"\3" + (turn + stock + b"\4\1" + show + turn + honest) * 3,
        "made": b"\3" + turn + stock + b"".join(made) + show + turn + b"\4\2" + show + turn,
        "sent": b"\1" + give * 2 + turn + take + b"".join(made) + show + turn,
        "rx_lies": b"\0" + (honest + b"\x09" + junk) * 18,
        "stock_lies": b"\2" + (turn + stock + b"\4\1" + show + turn + b"\x0a" + junk) * 6,
        "sleeps": b"\0" + b"".join(  # its ticket is another one each time
            b"\x0b\0\7\0" + bytes([ticket]) + honest for ticket in range(1, 9)),
        "verdicts": b"\1" + b"".join(
            give + turn + take + bytes([4, verdict]) + show + turn for verdict in range(6)),
        "twice": b"\3" + give + turn + take + b"\3\0\0\0\0\0" * 3 + show + turn,
        "flipped": b"\0" + give + turn + take + b"".join(
            bytes([3, number, 0, 0, 1, 4 * number]) for number in range(14)) + show + turn,
        "junk": b"\0" + b"".join(b"\5" + strange_word(number) for number in range(8)) + show + turn,
        "indices": b"\3" + turn + b"".join(
            bytes([step]) + struct.pack("<I", value) + turn
            for step in (8, 9, 10) for value in (1, 64, 513)),
        "jump": b"\0" + b"\x08" + struct.pack("<I", 1 << 31) + turn + honest,
        "other_group": b"\1" + b"\x0d" + honest + b"\x0d\x0c" + honest,
        "scribble": b"\0" + b"\x0b\x40\0\0\xff\x0b\x80\2\0\xff" + honest,
    }


def strange_word(number):
    """A word that looks like a descriptor, of a buffer that was never given."""
    return struct.pack("<Q", number * 77 | 128 << 28 | 60 << 42)


def attachments():
    """Steps of attach.c: the good way, and each mistake once."""
    good = b"\0\1\2\7"
    return {
        "good": good + b"\6\7",
        "two": good + b"\x40\x41\x42\x47\6\7\x46\7",
        "refused": b"\0\1\2\x0f" + b"\7",
        "full": b"\0\1\2\x17" + b"\7",
        "twice": good + b"\2\7",
        "flipped": b"\0\1\3\1\1\2\5\0\7",
        "with_fd": b"\0\1\3\1\0\7\7",
        "long": b"\0\1\3\0\7\0\0\7",
        "grown": b"\0\1\5\xff\0\0\2\2\7",
        "shrunk": b"\0\1\5\xff\1\0\0\2\7",
        "sealed": b"\0\1\5\2\2\7",
        "bad_name": b"\0\1\4\x90\0\x2f\2\7",
        "endless_name": b"\0\1" + b"".join(
            b"\4" + struct.pack("<H", 144 + at) + b"a" for at in range(32)) + b"\2\7",
    }


def hosts():
    """Sizes, changes and steps of host.c; all zero is a good host."""
    good = bytes(7)
    seeds = {
        "good": good + b"\0\1\2" * 4,
        "rings": good + b"\4\0\0\0\1" + b"\0" + b"\4\0\2\0\1" + b"\1",
        "corrupt": good + b"\4\0\x18\xff\xff\xff\xff" + b"\0",
        "short": b"\x40\x40" + good,
        "table": good + b"\3\1" + struct.pack("<HB", 2304 - 704 + 3 * 64, 0) + b"\1"
                 + b"\3\1" + struct.pack("<HB", 2304 - 704 + 3 * 64 + 8, 2) + b"out" + b"\2",
    }
    # Fields of struct netvm_layout: offset, bytes, values at the edge of what is right.
    fields = [(8, 8, (128, 1 << 63)), (16, 8, (128, 1 << 31, 1 << 63)), (24, 4, (32, 96, 1 << 17)),
              (36, 4, (0, 17)), (40, 4, (0, 2)), (56, 8, (64, 1 << 63)), (64, 4, (64, 1 << 15)),
              (68, 4, (0, 5, 1 << 21)), (72, 4, (0, 2047, 2048))]
    for at, size, values in fields:
        for value in values:
            change = struct.pack("<BHB", 1, at, size - 1) + value.to_bytes(size, "little")
            seeds[f"layout_{at}_{value}"] = b"\0\0\0" + change + good
    return seeds


def guests():
    """Steps of guest.c: QEMU comes, says something, and is heard."""
    def say(which, text):
        return bytes([1 + 8 * which]) + struct.pack("<H", len(text)) + text

    monitor, agent, device, bell = 0, 1, 2, 3
    come, leave, turn = (lambda which: bytes([8 * which])), (lambda which: bytes([3 + 8 * which])), b"\7"
    ready = come(monitor) + turn + b"\6\0" + turn
    deleted = b'{"event": "DEVICE_DELETED", "data": {"device": "netvm-%s"}}\n'
    status = b'{"event": "MIGRATION", "data": {"status": "%s"}}\n'
    refused = b'{"error": {"class": "GenericError", "desc": "no"}, "id": 1}\n'
    well = b"".join(b"\6" + bytes([number]) for number in range(1, 20)) + turn
    return {
        "plug": ready + b"\4" + well, "unplug": ready + b"\x0c" + well
        + say(monitor, deleted % b"channel") + say(monitor, deleted % b"group") + turn + well,
        "save": ready + b"\x14" + well + say(monitor, status % b"completed") + turn,
        "load": ready + b"\x1c" + well + say(monitor, status % b"failed") + turn,
        "refused": ready + b"\4" + say(monitor, refused) + turn,
        "replaced": ready + b"\4" + turn + b"\x0c" + well, "early": b"\4" + ready,
        "ends": ready + b"\4" + leave(monitor) + turn, "end_heard": ready + b"\x15",
        "panic": ready + say(monitor, b'{"event": "GUEST_PANICKED", "data": {}}\n') + turn,
        "junk": come(monitor) + say(monitor, b"[" * 3000 + b"\n") + turn,
        "agent": come(agent) + turn + say(agent, b"REA") + turn + say(agent, b"DY\n") + turn
        + b"\5" + say(agent, b"READY\n") + turn + b"\x0d" + come(agent) + turn,
        "other_word": come(agent) + turn + say(agent, b"RUDE\n") + turn,
        "device": come(device) + turn + come(device) + turn + leave(device) + turn,
        "speaks": come(device) + turn + say(device, bytes(8)) + turn,
        "bell": come(bell) + turn + say(bell, b"139\n" * 9) + turn + b"\x1d",
    }


# ---- what daemons leave and say -------------------------------------------------------------------

def states():
    """Files of state.c: the formats and length of the first of two, and both."""
    def seed(first, second, formats=(1, 1)):
        return struct.pack("<BBH", formats[1], formats[0], len(first)) + first + second

    good, other = b'{"ports":{"lan":{"spec":"null:"}}}', b'{"ports":{}}'
    head = b'{"netvm-state":1,"bytes":2,"sum":"08f44007b5ff36e8"}\n{}'
    return {"both": seed(other, good), "torn": seed(other, good[:9], (1, 0)), "newer": seed(b"", good, (0, 3)),
            "bare": seed(good, head, (0, 0)), "list": seed(b"[]", b"[1]"), "none": b""}


def successions():
    """Who hears it (handover.c), and what."""
    answer = b'{"jsonrpc":"2.0","result":{},"id":1}\n'
    refused = b'{"jsonrpc":"2.0","error":{"code":1,"data":{"message":"busy","hint":"wait"}},"id":1}\n'
    return {"yes": b"\0" + answer, "no": b"\0" + refused, "end": b"\0", "odd": b"\0{}\n",
            "long": b"\0" + b"x" * 5000, "done": b"\1done\n", "not_done": b"\1done", "other": b"\1\n"}


# ---- texts ---------------------------------------------------------------------------------------

# With the devices and NFs of cardboard that config.c has.
CARDBOARD = """\
engine: {workers: 1, poll: adaptive}
groups: {default: {buffers: 1024}, other: {}}
ports:
  lan: {spec: "fake:lan", mtu: 1500}
  wan: {spec: 'fake:wan', up: false}
  far: {spec: "fake:far", group: other}
nfs:
  fw: {service: firewall}
  spare: {service: firewall, standby: true}
  ids: {}
  there: {group: other}
chains:
  web: {from: lan, to: wan, path: [firewall, ids], reverse: mirror, default: true, guard_crashes: 3}
  raw: {from: lan, to: wan, on_failure: open, reverse: none, default: false}
  held: {from: wan, to: lan, path: [ids], on_failure: hold, hold_ms: 10, reverse: none, default: false}
  out: {from: lan, to: far, path: [there], cross_groups: true, reverse: none, default: false}
  safe: {from: wan, to: lan, path: [firewall], on_failure: standby, reverse: none, default: false}
flows:
  no-telnet: {match: {in_port: lan, protocol: tcp, dst_port: 23}, priority: 100, drop: true}
  voice: {match: {vlan: 20, src: 10.0.0.0/8, src_port: 1000-2000, protocol: udp}, priority: 50, chain: web}
  six: {match: {in_port: lan, dst: "2001:db8::/32", eth_type: ipv6}, port: wan}
"""

DOCUMENT = CARDBOARD.replace('"fake:lan"', '"tap:lan0,queues=2"').replace("'fake:wan'", "'null:rate=5'") \
    .replace('"fake:far"', '"af_packet:eth0"').replace("fw: {", 'fw: {command: "netvm-firewall -r x", cpus: [0], ') \
    .replace("spare: {", "spare: {image: external, user: root, ring: 64, stock: 0, ") \
    .replace("ids: {}", "ids: {image: guest, pool: small, command: netvm-monitor}") \
    .replace("there: {", "there: {image: guest, guest: {boot: /boot, accel: tcg}, hang_ms: 0, ") + """\
pools:
  small: {idle: 2, guest: {boot: /boot, memory_mb: 64}}
api:
  root: {role: view}
  others: {unix_group: daemon, role: nf, group: other}
"""

SCALARS = """\
a: [~, null, true, False, 0x1f, 0o17, -3, +4, 1.5e3, .inf, "q\\u00e9\\n", 'it''s', 1-2, "~"]
b: {c: {d: [[], {}]}}
"k:": "- x" # comment
t: |
  text
  more
f: >-
  folded
  text
"""


def documents():
    """YAML: the examples of the tree, and what they leave out."""
    texts = tree("examples/**/*.yaml")
    texts["all"] = DOCUMENT.encode()
    texts["scalars"] = SCALARS.encode()
    return texts


def changes():
    """Documents that config.c accepts, alone and one after the other."""
    other = CARDBOARD.replace("lan", "dmz").replace("1024", "2048")
    return {"all": CARDBOARD.encode(), "second": f"{CARDBOARD}\0{other}".encode(),
            "less": f"{CARDBOARD}\0groups: {{}}\n".encode(), "real": DOCUMENT.encode()}


def calls():
    """Lines to the API, one seed for each method."""
    document = '"chains: {}"'
    patch = '[{"op":"add","section":"ports","name":"x","value":{"spec":"fake:x"}}]'
    methods = {
        "schema.get": "{}", "config.get": '{"section":"ports","defaults":true}',
        "config.check": f'{{"document":{document}}}', "config.diff": '{"document":{"ports":{}}}',
        "config.apply": f'{{"document":{document},"confirm_s":60}}', "config.confirm": "{}",
        "config.patch": f'{{"changes":{patch}}}', "config.rollback": "{}",
        "config.save": '{"path":"x"}', "stats.get": "{}", "drops.get": "{}",
        "events.get": '{"since":0,"wait_ms":1000}', "daemon.info": "{}", "daemon.stop": "{}",
        "daemon.hand_over": "{}", "nf.restart": '{"name":"x"}', "guard.show": "{}",
        "nf.upgrade": '{"name":"x","command":"y","probation_ms":0}', "guard.clear": "{}",
        "guest.show": '{"name":"x"}', "guest.migrate": '{"name":"x"}',
        "trace.run": '{"in_port":"x","src":"10.0.0.0/8","protocol":"tcp","dst_port":"1-99","count":2}',
    }
    lines = {name: f'{{"jsonrpc":"2.0","id":1,"method":"{name}","params":{params}}}\n'
             for name, params in methods.items()}
    lines["batch"] = "[" + ",".join(line.strip() for line in lines.values()) + "]\n"
    lines["notification"] = '{"jsonrpc":"2.0","method":"stats.get"}\n{"jsonrpc":"2.0","id":'
    return {name: line.encode() for name, line in lines.items()}


def rules():
    """Rule files: those of the tree, and every statement."""
    texts = tree("examples/**/*.rules")
    texts["all"] = b"""\
default drop
arp allow
ndp drop
other drop
midstream allow
timeout tcp-opening 30
allow established related
allow in lan proto tcp from 10.0.0.0/8 port 1024-65535 to any port 80  # web
drop proto udp from 2001:db8::/32 to ::1 port 53
allow proto icmpv6 from any to any
"""
    texts["many"] = b"".join(b"allow proto tcp from 10.0.0.%d to any port %d\n" % (n, n)
                             for n in range(20)) + b"\0" + bytes(range(200))
    return texts


def lines():
    """Command lines: those of the grammar's own test."""
    with open(os.path.join(ROOT, "cli/parse_test.c"), encoding="utf-8") as text:
        found = re.findall(r'^\t\{"([^"\\]+)",', text.read(), re.M)
    return {f"{number:03}": line.encode() for number, line in enumerate(found)}


def specs():
    """Port specs: those of the parser's own test."""
    with open(os.path.join(ROOT, "modules/port/spec_test.c"), encoding="utf-8") as text:
        found = re.findall(r'^\t\t\{"([^"\\]*)",', text.read(), re.M)
    return {f"{number:03}": line.encode() for number, line in enumerate(found)}


TARGETS = {
    "attach": attachments, "border": borders, "cli": lines, "config": changes,
    "conntrack": conversations, "document": documents, "frame": super_packets, "guest": guests,
    "handover": successions, "host": hosts, "packet": packets,
    "pcap_port": captures, "pcapfile": captures, "rpc": calls, "rules": rules, "spec": specs,
    "state": states, "yaml": documents,
}


def main():
    """Write them all."""
    for target, seeds in TARGETS.items():
        folder = os.path.join(sys.argv[1], target)
        os.makedirs(folder, exist_ok=True)
        for name, seed in seeds().items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(seed)


if __name__ == "__main__":
    main()
