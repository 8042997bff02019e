#!/usr/bin/env python3
"""A stand-in for netvmd: answers the API with fixed data and keeps the questions.

usage: fake_daemon.py SOCKET     prints READY when it listens; serves until its input ends
Also imported by cli_test.py.
"""
import json
import os
import socketserver
import sys
import threading

SCHEMA = json.load(open(os.path.join(os.path.dirname(__file__), "schema.json"), encoding="utf-8"))

DOCUMENT = {
    "engine": {"workers": 1, "cpus": [0], "poll": "adaptive"},
    "groups": {"default": {"buffers": 16384}},
    "ports": {
        "lan": {"spec": "tap:lan0", "group": "default", "mtu": 9000, "promiscuous": False,
                "up": True},
        "wan": {"spec": "tap:wan0", "group": "default", "mtu": 1500, "promiscuous": False,
                "up": True},
    },
    "nfs": {"fw": {"service": "firewall", "command": "netvm-firewall"}, "mon": {"service": "mon"}},
    "chains": {"web": {"from": "lan", "to": "wan", "path": ["firewall", "mon"],
                       "on_failure": "closed", "default": True}},
    "flows": {"no-telnet": {"match": {"in_port": "lan", "protocol": "tcp", "dst_port": 23},
                            "priority": 100, "drop": True}},
}

STATS = {
    "time_ns": 1_000_000_000, "uptime_ns": 1_000_000_000,
    "ports": {
        "lan": {"rx_pkts": 1000, "rx_bytes": 64000, "tx_pkts": 10, "tx_bytes": 640,
                "rx_bursts": 100, "tx_bursts": 5, "drops": {"policy": 7, "loop": 0}, "link": "up",
                "mtu": 9000, "rx_missed": 0, "rx_errors": 1, "tx_errors": 0},
        "wan": {"rx_pkts": 0, "rx_bytes": 0, "tx_pkts": 0, "tx_bytes": 0, "rx_bursts": 0,
                "tx_bursts": 0, "drops": {}, "link": "down", "mtu": 1500, "rx_missed": 0,
                "rx_errors": 0, "tx_errors": 0}},
    "nfs": {"fw": {"service": "firewall", "group": "default", "state": "running", "pid": 42,
                   "restarts": 0, "rx_pkts": 900, "rx_bytes": 57600, "tx_pkts": 1000,
                   "tx_bytes": 64000, "rx_bursts": 90, "tx_bursts": 100, "injected": 0,
                   "consumed": 0, "wakeups": 3, "drops": {"nf-verdict": 93}, "ring_depth": 12,
                   "ring_words": 2048, "owned_pkts": 12, "stock": 0, "standby": False,
                   "violations": 5,
                   "crash": {"count": 2, "reason": "killed by signal 11 (Segmentation fault): oops",
                             "time_ns": 1_700_000_000 * 10**9, "reclaim_ns": 84_000,
                             "lost_pkts": 12}},
            "mon": {"service": "mon", "group": "default", "state": "backoff", "pid": None,
                    "restarts": 3, "last_exit": "exited with status 1: no such interface"}},
    "chains": {"web": {"rx_pkts": 993, "rx_bytes": 63552, "tx_pkts": 10, "tx_bytes": 640,
                       "rx_bursts": 99, "tx_bursts": 5, "drops": {}}},
    "workers": [{"cpu": 0, "sleeping": True, "turns": 1000, "busy_turns": 100, "sleeps": 5,
                 "flow_cache_hits": 99, "flow_cache_misses": 1}],
    "books": {"received": 1000, "injected": 0, "sent": 10, "consumed": 0, "dropped": 100,
              "in_flight": 890, "copied": 0, "balanced": True, "drops": {}},
}

STATS_AT_START = json.dumps(STATS)

DROPS = {"reasons": [
    {"label": "no-flow", "sentence": "no chain or flow takes packets", "count": 0},
    {"label": "policy", "sentence": "a flow says drop", "count": 7},
    {"label": "nf-verdict", "sentence": "the NF said drop", "count": 93}]}

EVENTS = [
    {"n": 1, "time_ns": 1_700_000_000 * 10**9, "kind": "nf-start", "object": "nfs.fw",
     "message": "started, pid 42"},
    {"n": 2, "time_ns": 1_700_000_001 * 10**9, "kind": "config", "object": "",
     "message": "2 changes applied"}]


GUARD = {"flows": [{"flow": "10.0.0.1:5353 to 10.0.0.2:53 protocol 17", "in_port": "lan",
                    "service": "firewall", "crashes": 3, "age_ms": 4200, "action": "drop"}]}


class Refused(Exception):
    """An error answer: the value of `data`."""


def refuse(code, path, message, hint=""):
    raise Refused({"code": code, "path": path, "message": message, "hint": hint})


def config_get(params):
    part = DOCUMENT
    for key in ("section", "name"):
        if key in params:
            if params[key] not in part:
                refuse("ENOENT", f"{params.get('section')}.{params[key]}",
                       f'unknown port "{params[key]}"', "known: lan, wan")
            part = part[params[key]]
    return part


def config_patch(params):
    change = params["changes"][0]
    value = change.get("value", {})
    if " " in change.get("name", ""):
        refuse("EINVAL", "changes.0.name", "that is not a name", "1 to 31 of A-Z ...")
    if value.get("mtu") == 8:
        refuse("EBUSY", "", "an earlier change waits to be confirmed", "confirm it first")
    if value.get("mtu") == 9:
        refuse("EINVAL", "ports.lan.mtu", "9 is not valid here", "a number 68..15000 (bytes)")
    if "nope" in value.get("path", []):
        refuse("ENOENT", "chains.web.path.1", 'no NF provides "nope"', "known: firewall, mon")
    if change.get("name") == "gone":
        refuse("ENOENT", "ports.gone", 'unknown port "gone"', "known: lan, wan")
    path = change["section"] + ("." + change["name"] if "name" in change else "")
    if change["op"] == "set":
        return {"changes": [set_field(change, path, field, new) for field, new in value.items()]}
    return {"changes": [{"op": change["op"], "path": path, "old": None, "new": value,
                         "effect": "live"}]}


def set_field(change, path, field, new):
    """Fields have their defaults where they are not given, as in the daemon's own answers."""
    entry = SCHEMA["sections"][change["section"]]["fields"][field]
    old = DOCUMENT[change["section"]]
    old = old[change["name"]] if "name" in change else old
    return {"op": "set", "path": f"{path}.{field}", "old": old.get(field, entry.get("default")),
            "new": entry.get("default") if new is None else new, "effect": entry["mutability"]}


def config_diff(params):
    if "mtu: 9\n" in params["document"]:
        refuse("EINVAL", "ports.lan.mtu", "9 is not valid here", "a number 68..15000 (bytes)")
    if "\t" in params["document"]:
        refuse("EINVAL", "1:1", "not YAML: found a tab", "indent with spaces, not tabs")
    return {"changes": [
        {"op": "set", "path": "ports.lan.mtu", "old": 1500, "new": 9000, "effect": "live"},
        {"op": "set", "path": "engine.workers", "old": 1, "new": 2, "effect": "restart"},
        {"op": "add", "path": "ports.x", "old": None, "new": {"spec": "null:"}, "effect": "live"},
        {"op": "del", "path": "ports.y", "old": {"spec": "null:"}, "new": None, "effect": "live"}]}


def events_get(params):
    """The second question after a --follow is never answered: the connection ends."""
    if params.get("since") == 3:
        raise ConnectionError
    return {"events": EVENTS, "next": 3}


def nf_named(params):
    if params["name"] not in DOCUMENT["nfs"]:
        refuse("ENOENT", "name", f'unknown nf "{params["name"]}"', "known: fw, mon")
    return params["name"]


def nf_restart(params):
    nf_named(params)
    return {}


def nf_show(params):
    nfs = {name: nf | {"now": STATS["nfs"][name]} for name, nf in DOCUMENT["nfs"].items()}
    return nfs[nf_named(params)] if "name" in params else nfs


def nf_upgrade(params):
    if params.get("binary") == "/broken":
        refuse("ECANCELED", "binary", "the new NF fw failed: exited with status 3",
               "the one before is back")
    return {"name": params["name"], "state_bytes": 4096, "changes": [
        {"op": "set", "path": "nfs.fw.command", "old": "netvm-firewall", "new": params["binary"],
         "effect": "recreate"}]}


def stats_get(_):
    """Each answer is a second and 1000 packets after the one before."""
    STATS["uptime_ns"] += 10**9
    STATS["ports"]["lan"]["rx_pkts"] += 1000
    STATS["ports"]["lan"]["rx_bytes"] += 125000
    STATS["ports"]["lan"]["rx_bursts"] += 100
    STATS["ports"]["lan"]["drops"]["policy"] += 2
    return STATS


def place(buffer, generation):
    return {"worker": 0, "group": "default", "buffer": buffer, "generation": generation,
            "address": buffer * 2112, "offset": 192, "length": 60}


FLOW = {"eth_type": "ipv4", "vlan": 0, "protocol": "tcp", "src": "10.0.0.1", "dst": "10.0.0.2",
        "src_port": 40000, "dst_port": 80}


def trace_run(params):
    """One packet that was sent, one from another family that was dropped."""
    if params.get("in_port", "lan") != "lan":
        refuse("ENOENT", "in_port", f'there is no "{params["in_port"]}" in ports',
               "ports there are: lan, wan")
    if params.get("dst_port") == 81:
        return {"packets": [], "complete": False}
    began = {"what": "received", "at_ns": 0, "port": "lan"}
    steered = {"what": "chain", "at_ns": 0, "chain": "web", "direction": "forward"}
    hops = [{"what": "nf", "at_ns": 0, "nf": "fw", "image": "process", "took_ns": 950,
             "verdict": "next"},
            {"what": "nf", "at_ns": 950, "nf": "mon", "image": "guest", "took_ns": 61_200,
             "verdict": "to", "to": {"port": "wan"}},
            {"what": "sent", "at_ns": 62_150, "port": "wan"}]
    drop = {"what": "dropped", "at_ns": 2_500_000, "nf": "fw", "reason": "nf-verdict",
            "sentence": "the NF said drop"}
    dropping = dict(hops[0], took_ns=2_500_000, verdict="drop")
    six = dict(FLOW, eth_type="ipv6", protocol=99, src="fd00::1", dst="fd00::2", vlan=7)
    first, second = place(5, 2), place(6, 0)
    return {"complete": True, "packets": [
        {"time_ns": 1_700_000_000 * 10**9, "flow": FLOW, "end": "sent", "lost_steps": 0,
         "steps": [step | first for step in (began, steered, *hops)]},
        {"time_ns": 1_700_000_000 * 10**9 + 1000, "flow": six, "end": "dropped", "lost_steps": 3,
         "steps": [step | second for step in (began, steered, dropping, drop)]}]}


METHODS = {
    "schema.get": lambda params: SCHEMA,
    "config.get": config_get,
    "config.patch": config_patch,
    "config.check": config_diff,
    "config.diff": config_diff,
    "config.apply": config_diff,
    "config.confirm": lambda params: {},
    "config.rollback": lambda params: {"changes": []},
    "config.save": lambda params: {"path": params.get("path", "/etc/netvm/netvm.yaml")},
    "stats.get": stats_get,
    "drops.get": lambda params: DROPS,
    "events.get": events_get,
    "nf.restart": nf_restart,
    "nf.show": nf_show,
    "guard.show": lambda params: GUARD,
    "guard.clear": lambda params: {},
    "trace.run": trace_run,
    "nf.upgrade": nf_upgrade,
    "daemon.info": lambda params: {"version": "0.1.0", "pid": 1, "abi": 1, "dpdk": "DPDK 22.11.11"},
}


class Handler(socketserver.StreamRequestHandler):
    def answer(self, request):
        self.server.asked.append((request["method"], request.get("params")))
        try:
            return {"result": METHODS[request["method"]](request["params"])}
        except Refused as refused:
            return {"error": {"code": -32000, "message": "refused", "data": refused.args[0]}}

    def handle(self):
        for line in self.rfile:
            request = json.loads(line)
            try:
                answer = self.answer(request) | {"jsonrpc": "2.0", "id": request["id"]}
            except ConnectionError:
                return
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class FakeDaemon(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path):
        super().__init__(path, Handler)
        os.chmod(path, 0o660)
        self.asked = []
        STATS.update(json.loads(STATS_AT_START))
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()


if __name__ == "__main__":
    FakeDaemon(sys.argv[1])
    print("READY", flush=True)
    sys.stdin.read()
