"""Kills NFs until N were killed: kills.py N. Of each service one NF works and one stands by; as soon
as both do, the one that works is killed (kill -9), all services at once. Prints how many died and how
many times the one that stood by took over."""

import json
import os
import signal
import socket
import sys
import time

WANTED = int(sys.argv[1])


class Api:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("/run/netvm/api.sock")
        self.lines = self.socket.makefile()

    def call(self, method, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(self.lines.readline())["result"]


def pairs(nfs):
    """[(working, waiting)] of the services where both are there; the others are on their way."""
    services = {}
    for nf in nfs.values():
        if nf["state"] == "running":
            services.setdefault(nf["service"], []).append(nf)
    for two in services.values():
        two.sort(key=lambda nf: nf["standby"])
        if [nf["standby"] for nf in two] == [False, True]:
            yield two


api = Api()
n_killed = n_takeovers = 0
heirs = {}  # of a service: the process that stood by when the other one was killed
while n_killed < WANTED or heirs:
    nfs = api.call("stats.get")["nfs"]
    for name, nf in nfs.items():
        if nf["state"] == "failed":  # restart: never, so that it does not wait longer each time
            api.call("nf.restart", name=name)
        elif heirs.get(nf["service"]) == nf["pid"] and not nf["standby"]:
            del heirs[nf["service"]]
            n_takeovers += 1
    for working, waiting in pairs(nfs):
        if working["service"] not in heirs and n_killed < WANTED:
            os.kill(working["pid"], signal.SIGKILL)
            heirs[working["service"]] = waiting["pid"]
            n_killed += 1
    time.sleep(0.002)  # they need the core
print(n_killed, n_takeovers)
