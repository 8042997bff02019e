#!/usr/bin/env python3
"""Runs the netvm command against a stand-in daemon.

usage: cli_test.py NETVM [BUILD_ROOT [CFLAGS]]    all tests; `nf new` builds against BUILD_ROOT
       cli_test.py NETVM --update                 write session.txt anew, to be read before use
"""
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

import fake_daemon

HERE = os.path.dirname(os.path.abspath(__file__))
SESSION = os.path.join(HERE, "session.txt")
NETVM = os.path.abspath(sys.argv[1])
BUILD_ROOT = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
CFLAGS = " ".join(sys.argv[3:])


class WithDaemon(unittest.TestCase):
    """A folder of its own with a fresh daemon in it."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="netvm-cli-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.socket = os.path.join(self.folder, "api.sock")
        self.daemon = fake_daemon.FakeDaemon(self.socket)
        self.addCleanup(self.daemon.server_close)
        self.addCleanup(self.daemon.shutdown)
        self.env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "NETVM_API")}
        self.env |= {"NETVM_API": self.socket, "TZ": "UTC", "LC_ALL": "C.UTF-8", "TERM": "xterm"}

    def run_netvm(self, *words, **options):
        return subprocess.run([NETVM, *words], cwd=self.folder, env=self.env, text=True,
                              capture_output=True, check=False, timeout=60, **options)

    def complete(self, *words):
        out = self.run_netvm("complete", "--", *words).stdout
        return [line.split("\t")[0] for line in out.splitlines()]


def run_line(test, line):
    """What a line of the session prints; relative files are those of this test."""
    result = subprocess.run(f"{NETVM} {line}", shell=True, cwd=HERE, env=test.env, text=True,
                            capture_output=True, check=False, timeout=60)
    return f"$ netvm {line}\n{result.stdout}{result.stderr}[{result.returncode}]\n"


class Session(WithDaemon):
    """session.txt holds lines and what they print, word for word."""

    def test_session(self):
        with open(SESSION, encoding="utf-8") as file:
            expected = re.split(r"(?m)^(?=\$ )", file.read())[1:]
        self.assertGreater(len(expected), 40)
        for entry in expected:
            line = entry.splitlines()[0].removeprefix("$ netvm").strip()
            with self.subTest(line=line):
                self.assertEqual(run_line(self, line), entry)


class Json(WithDaemon):
    """With -j each command prints the daemon's answer as it came."""

    def ask(self, *words):
        result = self.run_netvm("-j", *words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_questions_are_answered_unchanged(self):
        drops, document = fake_daemon.DROPS, fake_daemon.DOCUMENT
        for words, expected in (
                (["show"], document),
                (["show", "ports"], document["ports"]),
                (["port", "show", "lan"], document["ports"]["lan"]),
                (["engine", "show"], document["engine"]),
                (["config", "show"], document),
                (["drops"], drops),
                (["events"], {"events": fake_daemon.EVENTS, "next": 3}),
                (["config", "confirm"], {}),
                (["config", "rollback"], {"changes": []}),
                (["nf", "restart", "fw"], {}),
                (["version"], fake_daemon.METHODS["daemon.info"]({}))):
            with self.subTest(words=words):
                self.assertEqual(self.ask(*words), expected)
        self.assertEqual(self.ask("stats").keys(), fake_daemon.STATS.keys())

    def test_patch_and_files(self):
        change = self.ask("port", "add", "x", "spec=null:", "mtu=")["changes"][0]
        self.assertEqual(change["new"], {"spec": "null:", "mtu": None})
        with open(os.path.join(self.folder, "a.yaml"), "w", encoding="utf-8") as file:
            file.write("ports: {}\n")
        for verb in ("check", "diff", "apply"):
            self.assertEqual(len(self.ask("config", verb, "a.yaml")["changes"]), 4)
        self.ask("config", "apply", "a.yaml", "--confirm", "60")
        self.assertEqual(self.daemon.asked[-1],
                         ("config.apply", {"document": "ports: {}\n", "confirm_s": 60}))
        self.assertEqual(self.ask("config", "save", "b.yaml"), {"path": f"{self.folder}/b.yaml"})

    def test_fields_are_the_parameters_of_a_method(self):
        params = {"protocol": "udp", "dst_port": "80-90", "timeout_s": 3}
        words = [f"{key}={value}" for key, value in params.items()]
        self.assertEqual(self.ask("trace", *words), fake_daemon.trace_run(params))
        self.assertEqual(self.daemon.asked[-1], ("trace.run", params))
        self.assertEqual(self.complete("trace", "protocol=tcp", ""),
                         ["in_port=", "dst_port=", "timeout_s="])
        self.assertEqual(self.complete("trace", "in_port="), ["in_port=lan", "in_port=wan"])

    def test_standard_input(self):
        result = self.run_netvm("config", "check", "-", input="ports: {lan: {}}\n")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.daemon.asked[-1][1], {"document": "ports: {lan: {}}\n"})

    def test_streams_are_lines(self):
        out = self.run_netvm("top", "-j", "-n", "2", "-d", "0.1").stdout.splitlines()
        self.assertEqual([list(json.loads(line)) for line in out],
                         [list(fake_daemon.STATS)] * 2)
        out = self.run_netvm("events", "--follow", "-j").stdout
        self.assertEqual(json.loads(out)["next"], 3)

    def test_errors(self):
        result = self.run_netvm("-j", "port", "set", "lan", "mtu=9")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(json.loads(result.stderr)["data"]["path"], "ports.lan.mtu")

    def test_doctor(self):
        result = self.run_netvm("-j", "doctor")
        checks = {check["check"]: check for check in json.loads(result.stdout)}
        for check in checks.values():
            self.assertEqual(check["level"] == "ok", check["fix"] == "", check)
        self.assertEqual(checks["daemon"]["level"], "ok")
        self.assertEqual(checks["NFs"]["level"], "warn")
        failed = any(check["level"] == "fail" for check in checks.values())
        self.assertEqual(result.returncode, int(failed))


class Reach(WithDaemon):
    """When the daemon is not there, or is something else."""

    def test_nobody_listens(self):
        for words in (["stats"], ["port", "add", "x", "spec=null:"], ["frob"], ["version"]):
            result = self.run_netvm("-s", "/nonexistent.sock", *words)
            self.assertEqual(result.returncode, 3, words)
            self.assertIn("systemctl start netvm,", result.stderr)

    def test_what_needs_no_daemon_works(self):
        for words in (["help"], ["help", "--man"], ["nf", "new", "x"], ["top", "--help"]):
            result = self.run_netvm("-s", "/nonexistent.sock", *words)
            self.assertEqual((result.returncode, result.stderr), (0, ""), words)
        self.assertEqual(self.run_netvm("-s", "/nonexistent.sock", "top", "x").returncode, 2)

    def test_it_hangs_up_or_talks_nonsense(self):
        for answer, status in ((b"", 3), (b"hello\n", 1), (b'{"id":1}\n', 1)):
            path = os.path.join(self.folder, f"other{len(answer)}.sock")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen()
                with subprocess.Popen([NETVM, "-s", path, "stats"], stderr=subprocess.PIPE,
                                      env=self.env) as netvm:
                    peer, _ = listener.accept()
                    peer.recv(1000)
                    peer.sendall(answer)
                    peer.close()
                    self.assertTrue(netvm.stderr.read().startswith(b"netvm: "))
            self.assertEqual(netvm.returncode, status, answer)


class Completion(WithDaemon):
    CASES = (
        (["sh"], ["show"]),
        (["po"], ["port"]),
        (["nf", ""], ["show", "add", "set", "del", "new", "restart", "upgrade"]),
        (["engine", ""], ["show", "set"]),
        (["config", "c"], ["check", "confirm"]),
        (["show", "p"], ["ports"]),
        (["show", "chains", ""], ["web"]),
        (["port", "set", ""], ["lan", "wan"]),
        (["port", "add", ""], []),
        (["port", "set", "lan", "m"], ["mtu="]),
        (["port", "set", "lan", "mtu=1", ""], ["spec=", "group=", "promiscuous=", "up="]),
        (["port", "set", "lan", "spec="], ["spec=tap:", "spec=null:"]),
        (["port", "set", "lan", "spec=null:count=1,"], []),
        (["port", "set", "lan", "promiscuous=t"], ["promiscuous=true"]),
        (["port", "set", "lan", "pro=f"], ["pro=false"]),
        (["chain", "add", "x", "from="], ["from=lan", "from=wan"]),
        (["chain", "add", "x", "path=mon,f"], ["path=mon,firewall"]),
        (["flow", "add", "x", "match.i"], ["match.in_port="]),
        (["flow", "add", "x", "match.protocol="],
         ["match.protocol=tcp", "match.protocol=udp", "match.protocol=icmp"]),
        (["nf", "restart", ""], ["fw", "mon"]),
        (["config", "apply", ""], [""]),
        (["top", "-"], ["--json", "--socket", "--help", "--count", "--delay"]),
        (["top", "--count", ""], []),
        (["help", "config", "s"], ["show", "save"]),
        (["frob", ""], []),
        (["port", "set", "lan", "frob=x"], []),
        (["-s", "/nonexistent.sock", "s"], ["show", "stats"]),
    )

    def test_cases(self):
        for words, expected in self.CASES:
            with self.subTest(words=words):
                self.assertEqual(self.complete(*words), expected)

    def test_bash(self):
        script = ('source "$1"; compopt() { :; }; COMP_LINE=$2; COMP_POINT=${#COMP_LINE}; _netvm;'
                  ' printf "%s\\n" "${COMPREPLY[@]}"')
        for line, expected in (("port set ", ["lan", "wan"]), ("port set lan mt", ["mtu="]),
                               ("port set lan promiscuous=t", ["true"]), ("sho", ["show"])):
            result = subprocess.run(
                ["bash", "-c", script, "bash", f"{HERE}/../completion/netvm.bash",
                 f"{NETVM} {line}"], env=self.env, text=True, capture_output=True, check=True)
            self.assertEqual(result.stdout.split(), expected, line)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        script = ('_describe() { print -rl -- "${(@P)4}" }; _files() { print FILES };'
                  ' words=("${@:2}"); CURRENT=$#words; source "$1"')
        for words, expected in ((["port", "set", ""], ["lan:", "wan:"]),
                                (["show", "po"], ["ports:Where packets enter and leave"]),
                                (["config", "apply", ""], ["FILES"]),
                                (["port", "set", "lan", "mt"],
                                 ["mtu=:Longest payload of a frame"])):
            result = subprocess.run(
                ["zsh", "-f", "-c", script, "zsh", f"{HERE}/../completion/_netvm", NETVM, *words],
                env=self.env, text=True, capture_output=True, check=False)
            self.assertEqual((result.stdout.splitlines(), result.stderr), (expected, ""), words)


class Prompt(WithDaemon):
    """The prompt, on a pseudo terminal. Control keys are typed only once Tab was answered: before
    that the terminal itself may still take them."""

    def type(self, *steps):
        """Type each text once the one before it is answered by what is expected."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(NETVM, [NETVM], self.env | {"NO_COLOR": "1", "TERM": "dumb"})
        seen = ""
        for expected, text in steps:
            while expected not in seen:
                ready, _, _ = select.select([terminal], [], [], 30)
                self.assertTrue(ready, f"waited for {expected!r}, saw {seen!r}")
                seen += os.read(terminal, 4096).decode()
            seen = seen[seen.index(expected) + len(expected):]
            os.write(terminal, text.encode())
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        return os.waitstatus_to_exitcode(status)

    def test_complete_explain_run(self):
        status = self.type(
            ("netvm> ", "po\tset l\t"),         # completes to: port set lan
            ("port set lan ", "?"),              # lists the fields
            ("Longest payload", "mtu=9000\n"),
            ("ports.lan", "frob\n"),
            ("is not a command", "port set lan mtu=9\n"),
            ("68..15000", "exit\n"))
        self.assertEqual(status, 1)
        self.assertIn(("config.patch", {"changes": [
            {"op": "set", "section": "ports", "name": "lan", "value": {"mtu": 9000}}]}),
            self.daemon.asked)

    def test_interrupt_ends_the_command_only(self):
        self.assertEqual(self.type(
            ("netvm> ", "top -d 0.1\n"), ("books", "\x03"), ("netvm> ", "exit\n")), 0)

    def test_q_ends_top(self):
        self.assertEqual(self.type(
            ("netvm> ", "top -d 0.1\n"), ("q quits", "q"), ("netvm> ", "exit\n")), 0)

    def test_interrupt_drops_the_line_only(self):
        self.assertEqual(self.type(
            ("netvm> ", "po\t"), ("port ", "\x03drops\n"),
            ("a flow says drop", "exit\n")), 0)

    def test_end_of_input(self):
        self.assertEqual(self.type(("netvm> ", "po\t"), ("port ", "\x15\x04")), 0)


class NfNew(WithDaemon):
    def test_it_refuses(self):
        os.mkdir(os.path.join(self.folder, "there"))
        for words in (["a b"], [".x"], ["x" * 32], [""], ["there"], ["x", "there"],
                      ["x", "no/such/parent"]):
            result = self.run_netvm("nf", "new", *words)
            self.assertEqual(result.returncode, 2, words)
            self.assertIn("^", result.stderr)
        self.assertEqual(os.listdir(os.path.join(self.folder, "there")), [])

    @unittest.skipUnless(BUILD_ROOT, "no build of libnetvm named")
    def test_it_builds_and_passes_its_own_test(self):
        self.env |= {"PKG_CONFIG_PATH": os.path.join(BUILD_ROOT, "meson-uninstalled")}
        if CFLAGS:
            self.env |= {"CFLAGS": CFLAGS}
        self.assertEqual(self.run_netvm("nf", "new", "my-nf", "dir").returncode, 0)
        for command in (["make", "test"], ["meson", "setup", "build"],
                        ["meson", "test", "-C", "build"]):
            result = subprocess.run(command, cwd=os.path.join(self.folder, "dir"), env=self.env,
                                    text=True, capture_output=True, check=False)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


def update():
    with open(SESSION, encoding="utf-8") as file:
        lines = re.findall(r"(?m)^\$ netvm(.*)", file.read())
    test = Session()
    test.setUp()
    with open(SESSION, "w", encoding="utf-8") as file:
        file.writelines(run_line(test, line.strip()) for line in lines)
    test.doCleanups()


if __name__ == "__main__":
    if "--update" in sys.argv:
        update()
    else:
        unittest.main(argv=sys.argv[:1], verbosity=2)
