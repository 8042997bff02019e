#!/usr/bin/env python3
"""Each NF over pcap files, without a daemon. Usage: replay_test.py FOLDER_OF_THE_PROGRAMS"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import packets as p

PROGRAMS = sys.argv.pop(1)
CLIENT, SERVER = "10.0.0.1", "10.0.0.2"

COUNTS = re.compile(r"received (\d+), injected (\d+) = sent (\d+), dropped (\d+), consumed (\d+), "
                    r"in flight (\d+); malformed records (\d+), refused words (\d+)")


class TapResult(unittest.TestResult):
    """One line of TAP per test."""

    def stopTest(self, test):
        bad = [text for case, text in self.failures + self.errors
               if case is test or getattr(case, "test_case", None) is test]
        print("not ok" if bad else "ok", self.testsRun, "-", test.id().split(".", 1)[1])
        print("".join("# " + line + "\n" for line in "".join(bad).splitlines()), end="", flush=True)


class Result:
    def __init__(self, run, out):
        match = COUNTS.search(run.stdout)
        assert match, run.stdout + run.stderr
        (self.received, self.injected, self.sent, self.dropped, self.consumed, self.in_flight,
         self.malformed, self.refused) = map(int, match.groups())
        self.packets = p.pcap_read(out)
        self.stdout, self.stderr = run.stdout, run.stderr


class ReplayCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="nfs-replay-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name, text=None):
        path = os.path.join(self.folder, name)
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
        return path

    def run_nf(self, nf, *options):
        return subprocess.run([os.path.join(PROGRAMS, "netvm-" + nf), *options],
                              capture_output=True, text=True, timeout=100)

    def replay(self, nf, packets, *options):
        """Run the NF over the packets; the books must balance whatever it does."""
        out = self.path("out.pcap")
        p.pcap_write(self.path("in.pcap"), packets)
        run = self.run_nf(nf, *options, "--replay", self.path("in.pcap") + "," + out)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        result = Result(run, out)
        self.assertEqual(result.received + result.injected,
                         result.sent + result.dropped + result.consumed + result.in_flight)
        self.assertEqual(result.received + result.malformed, len(packets))
        self.assertEqual((result.refused, result.in_flight), (0, 0))
        self.assertEqual(len(result.packets), result.sent)
        return result


class Forward(ReplayCase):
    def test_next_and_patch_pass_everything_unchanged(self):
        packets = p.valid_packets()
        for options in (["--next"], ["--to", "out"], ["--patch", "in", "out"], ["--patch", "out", "in"]):
            self.assertEqual(self.replay("forward", packets, *options).packets, packets)

    def test_a_patch_of_other_ports_drops(self):
        self.assertEqual(self.replay("forward", p.valid_packets(), "--patch", "x", "y").sent, 0)

    def test_the_bridge_is_a_wire_between_two_ports(self):
        packets = p.valid_packets()
        self.assertEqual(self.replay("forward", packets).packets, packets)


class Monitor(ReplayCase):
    def monitor(self, packets, *options):
        report = self.path("report")
        result = self.replay("monitor", packets, "--json", "--output", report, *options)
        self.assertEqual(result.packets, packets)
        with open(report) as file:
            return json.load(file)

    def test_totals_and_directions(self):
        there = p.udp4(CLIENT, 5000, SERVER, 53, b"q" * 20)
        back = p.udp4(SERVER, 53, CLIENT, 5000, b"a" * 200)
        report = self.monitor([there, back, back] + [p.tcp4(CLIENT, 1, SERVER, 2, p.SYN)])
        self.assertEqual(report["total"]["packets"], 4)
        self.assertEqual(report["flows"], 2)
        self.assertEqual(report["protocols"]["udp"], {"packets": 3, "bytes": 62 + 2 * 242})
        self.assertEqual(report["protocols"]["tcp"]["packets"], 1)
        top = report["top"][0]
        self.assertEqual((top["src"], top["src_port"], top["dst"], top["dst_port"]),
                         (CLIENT, 5000, SERVER, 53))
        self.assertEqual((top["forth"], top["back"]),
                         ({"packets": 1, "bytes": 62}, {"packets": 2, "bytes": 484}))

    def test_more_flows_than_memory_keep_the_totals_exact(self):
        packets = [p.udp4(CLIENT, port, SERVER, 53) for port in range(1000, 2000)]
        report = self.monitor(packets, "--flows", "16", "--top", "3")
        self.assertEqual(report["total"]["packets"], 1000)
        self.assertEqual(report["flows"] + report["evicted_flows"], 1000)
        self.assertLessEqual(report["flows"], 16)
        self.assertEqual(len(report["top"]), 3)

    def test_the_table_is_printed_at_the_end(self):
        result = self.replay("monitor", p.valid_packets())
        self.assertIn("10.0.0.1:40000 > 10.0.0.2:80", result.stdout)


SITE = """
default drop
allow established related
allow in in proto tcp from 10.0.0.0/24 to 10.0.0.2 port 80
allow proto udp to any port 53
allow proto icmp from 10.0.0.1
drop proto udp from any to any port 9000-9010
"""

CALL = [
    p.tcp4(CLIENT, 40000, SERVER, 80, p.SYN, seq=100),
    p.tcp4(SERVER, 80, CLIENT, 40000, p.SYN | p.ACK, seq=500, ack=101),
    p.tcp4(CLIENT, 40000, SERVER, 80, p.ACK, seq=101, ack=501),
]


class Firewall(ReplayCase):
    def firewall(self, packets, rules=SITE):
        stats = self.path("stats")
        result = self.replay("firewall", packets, "--rules", self.path("rules", rules),
                             "--stats", stats)
        with open(stats) as file:
            return result, json.load(file)

    def assert_passes(self, packets, expected, rules=SITE):
        """expected: one letter per packet, p passes, d is dropped."""
        result, stats = self.firewall(packets, rules)
        self.assertEqual(result.packets, [x for x, is_ in zip(packets, expected) if is_ == "p"])
        return stats

    def test_a_connection_passes_and_its_rules_are_counted(self):
        stats = self.assert_passes(CALL + [p.tcp4(SERVER, 80, CLIENT, 40001, p.SYN | p.ACK)], "pppd")
        self.assertEqual([rule["packets"] for rule in stats["rules"]], [2, 1, 0, 0, 0, 0])
        self.assertEqual(stats["dropped"]["invalid"], 1)
        self.assertEqual(stats["connections"]["opened"], 1)
        self.assertEqual(stats["connections"]["now"], 1)

    def test_what_no_rule_allows_is_dropped_by_default(self):
        stats = self.assert_passes([p.tcp4(CLIENT, 40000, SERVER, 23, p.SYN),
                                    p.udp4(CLIENT, 1, SERVER, 9005)], "dd")
        self.assertEqual(stats["rules"][-1], {"line": 0, "rule": "default drop", "packets": 1,
                                              "bytes": 54})
        self.assertEqual(stats["rules"][-2]["packets"], 1)

    def test_replies_and_errors_pass_only_for_what_was_asked(self):
        query = p.udp4(CLIENT, 5000, SERVER, 53)
        quote = p.ipv4(17, p.udp(5000, 53, b"data"), CLIENT, SERVER)
        other = p.ipv4(17, p.udp(5001, 53, b"data"), CLIENT, SERVER)
        self.assert_passes([
            p.udp4(SERVER, 53, CLIENT, 5000), query, p.udp4(SERVER, 53, CLIENT, 5000),
            p.eth(0x0800, p.ipv4(1, p.icmp(3, 3, data=quote), SERVER, CLIENT)),
            p.eth(0x0800, p.ipv4(1, p.icmp(3, 3, data=quote), "192.0.2.9", CLIENT)),
            p.eth(0x0800, p.ipv4(1, p.icmp(3, 3, data=other), SERVER, CLIENT)),
        ], "dppppd")

    def test_ping_is_answered_once_asked(self):
        asked = p.eth(0x0800, p.ipv4(1, p.echo(8, 7), CLIENT, SERVER))
        answer = p.eth(0x0800, p.ipv4(1, p.echo(0, 7), SERVER, CLIENT))
        stranger = p.eth(0x0800, p.ipv4(1, p.echo(8, 7), SERVER, CLIENT))
        self.assert_passes([answer, asked, answer, stranger], "dppd")

    def test_policies_outside_the_rules(self):
        arp, ndp, lldp = (p.valid_packets()[i] for i in (23, 18, 26))
        self.assert_passes([arp, ndp, lldp], "ppd")
        self.assert_passes([arp, ndp, lldp], "ddp", "arp drop\nndp drop\nother allow\n")

    def test_fragments_pass_no_port_rule(self):
        first = p.eth(0x0800, p.ipv4(17, p.udp(1, 53, b"f" * 16), fragment=0x2000))
        later = p.eth(0x0800, p.ipv4(17, b"f" * 24, fragment=0x0003))
        stats = self.assert_passes([first, later], "dd")
        self.assertEqual(stats["fragments"], 2)
        self.assert_passes([first, later], "pp", "allow proto udp\n")
        self.assert_passes([first, later], "dd", "drop proto udp to any port 53\ndefault allow\n")

    def test_a_port_that_packets_do_not_come_in_by(self):
        self.assert_passes(CALL[:1], "d", "allow in out\n")
        self.assert_passes(CALL[:1], "p", "allow in in\n")

    def test_thousands_of_rules(self):
        rules = "".join(f"drop proto tcp from any to 10.1.{i // 256}.{i % 256}\n" for i in range(5000))
        packets = [p.udp4(CLIENT, port % 7, SERVER, 53) for port in range(1000)]
        self.assert_passes(packets, "p" * 1000, rules + "allow proto udp\n")

    def test_bad_rules_are_named(self):
        bad = self.path("bad", "default drop\nallow proto tpc\n")
        for option in ("--check", "--rules"):
            run = self.run_nf("firewall", option, bad)
            self.assertEqual(run.returncode, 2)
            self.assertEqual(run.stderr, f'{bad}:2:13: "tpc" is no protocol; valid: tcp, udp, icmp, '
                                         "icmpv6, any, a number 0..255\n")
        self.assertEqual(self.run_nf("firewall", "--check", self.path("good", SITE)).returncode, 0)

    def test_rules_change_under_a_connection(self):
        """The pcap file is a pipe, so that the firewall lives on between two bursts of 64."""
        rules, pipe, stats = self.path("rules", SITE), self.path("pipe"), self.path("stats")
        out = self.path("out.pcap")
        os.mkfifo(pipe)
        firewall = subprocess.Popen(
            [os.path.join(PROGRAMS, "netvm-firewall"), "--rules", rules, "--stats", stats,
             "--replay", f"{pipe},{out}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(firewall.kill)
        filler = [p.udp4(CLIENT, 1, SERVER, 9000)] * 61
        with open(pipe, "wb", buffering=0) as file:
            file.write(p.pcap_header())
            file.write(b"".join(map(p.pcap_record, CALL + filler)))
            self.wait_for(stats, lambda s: s["connections"]["opened"] == 1)
            self.path("rules", "allow nonsense\n")
            firewall.send_signal(signal.SIGHUP)
            self.assertIn(':1:7: "nonsense" is no condition', firewall.stderr.readline())
            self.assertIn("the old rules stay", firewall.stderr.readline())
            self.path("rules", "allow established\ndrop in in\n")
            firewall.send_signal(signal.SIGHUP)
            self.wait_for(stats, lambda s: s["reloads"] == 1)
            later = [p.tcp4(CLIENT, 40001, SERVER, 80, p.SYN), CALL[2], CALL[2]]
            file.write(b"".join(map(p.pcap_record, later + filler)))
        self.assertEqual(firewall.wait(60), 0)
        firewall.stderr.close()
        self.assertEqual(p.pcap_read(out), CALL + [CALL[2], CALL[2]])

    def wait_for(self, path, condition):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with open(path) as file:
                    if condition(json.load(file)):
                        return
            except FileNotFoundError:
                pass
            time.sleep(0.05)  # between two looks, not for luck
        self.fail(f"{path} never said so")


class Speed(ReplayCase):
    def test_sink_consumes_and_counts(self):
        report = self.path("report")
        packets = p.valid_packets()
        result = self.replay("speed", packets, "sink", "--json", "--output", report)
        self.assertEqual(result.consumed, len(packets))
        with open(report) as file:
            counts = json.load(file)
        self.assertEqual(counts["received"], len(packets))
        self.assertEqual(counts["received_bytes"], sum(map(len, packets)))
        self.assertEqual(counts["latency_ns"]["packets"], 1)
        self.assertEqual(counts["lost"], 5)

    def test_reflect_turns_packets_around(self):
        result = self.replay("speed", [p.udp4(CLIENT, 1000, SERVER, 53),
                                       p.eth(0x86DD, p.ipv6(6, p.tcp(1, 2, p.SYN)))], "reflect")
        self.assertEqual(result.packets, [
            p.eth(0x0800, p.ipv4(17, p.udp(53, 1000, b"data"), SERVER, CLIENT), p.MAC_B, p.MAC_A),
            p.eth(0x86DD, p.ipv6(6, p.tcp(2, 1, p.SYN), "2001:db8::2", "2001:db8::1"), p.MAC_B, p.MAC_A),
        ])

    def test_generate_needs_a_place_to_send_to(self):
        for options in (["generate"], ["generate", "--to", "a", "--through", "b"], [],
                        ["generate", "--to", "a", "--size", "59", "--timestamps"]):
            self.assertEqual(self.run_nf("speed", *options).returncode, 2)


class Delay(ReplayCase):
    def test_what_is_held_comes_out_in_order(self):
        packets = [p.udp4(CLIENT, port, SERVER, 53) for port in range(1000, 1300)]
        for hold in ("1", "63", "64", "200", "1000"):
            self.assertEqual(self.replay("delay", packets, "--hold", hold).packets, packets)

    def test_work_changes_nothing(self):
        packets = p.valid_packets()
        result = self.replay("delay", packets, "--ns", "1000", "--cycles", "1000")
        self.assertEqual(result.packets, packets)

    def test_every_third_is_dropped(self):
        packets = [p.udp4(CLIENT, port, SERVER, 53) for port in range(1000, 1010)]
        result = self.replay("delay", packets, "--drop-every", "3")
        self.assertEqual(result.packets, [x for i, x in enumerate(packets, 1) if i % 3])

    def test_a_crash_comes_when_asked(self):
        p.pcap_write(self.path("in.pcap"), p.valid_packets())
        run = self.run_nf("delay", "--crash-after", "5", "--replay", self.path("in.pcap"))
        self.assertEqual(run.returncode, -signal.SIGABRT)


class Options(ReplayCase):
    def test_help_and_errors(self):
        for nf in ("forward", "monitor", "firewall", "speed", "delay"):
            run = self.run_nf(nf, "--help")
            self.assertEqual(run.returncode, 0)
            self.assertIn("Usage: netvm-" + nf, run.stdout)
            self.assertIn("--replay", run.stdout)
            run = self.run_nf(nf, "--bogus")
            self.assertEqual(run.returncode, 2)
            self.assertIn(f"netvm-{nf}: --bogus: unknown option; valid: ", run.stderr)


class Hostile(ReplayCase):
    """Nothing that comes from the wire may end an NF, get lost in it, or unbalance its books."""

    packets = p.hostile_packets()

    def test_passing_on_leaves_packets_alone(self):
        for nf, options in (("forward", ["--next"]), ("forward", ["--to", "out"]),
                            ("forward", ["--patch", "in", "out"]), ("forward", []),
                            ("monitor", ["--flows", "16"]), ("monitor", ["--json"]),
                            ("delay", ["--hold", "100"])):
            with self.subTest(nf=nf, options=options):
                result = self.replay(nf, self.packets + [p.OVERSIZED], *options)
                self.assertEqual(result.malformed, 1)
                if nf == "forward" and not options:
                    self.assertLessEqual(result.sent, len(self.packets))
                else:
                    self.assertEqual(result.packets, self.packets)

    def test_the_firewall_counts_each_packet_once(self):
        for rules in (SITE, "default allow\nother allow\n", "midstream allow\n" + SITE,
                      "drop proto 1\n" * 20 + SITE):
            stats = self.path("stats")
            result = self.replay("firewall", self.packets, "--rules", self.path("rules", rules),
                                 "--stats", stats, "--connections", "64")
            with open(stats) as file:
                counts = json.load(file)
            self.assertEqual(sum(counts["allowed"].values()), result.sent)
            self.assertEqual(sum(counts["dropped"].values()), result.dropped)
            self.assertGreater(counts["dropped"]["malformed"], 1000)
            self.assertEqual(counts["allowed"]["malformed"], 0)

    def test_speed_counts_what_is_malformed(self):
        for mode in ("sink", "reflect"):
            report = self.path("report")
            self.replay("speed", self.packets, mode, "--json", "--output", report)
            with open(report) as file:
                counts = json.load(file)
            self.assertEqual(counts["received"], len(self.packets))
            self.assertGreater(counts["malformed"], 1000)


if __name__ == "__main__":
    outcome = TapResult()
    unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]).run(outcome)
    print(f"1..{outcome.testsRun}")
    sys.exit(not outcome.wasSuccessful())
