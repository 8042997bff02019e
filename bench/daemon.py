"""NetVM itself as a case: netvmd from the build folder with a document of its own, and its API.

Used by all cases but stages."""

import json
import os
import socket
from contextlib import contextmanager

from host import BenchError

STOCK = 1024  # empty buffers a generator may have, as many as a queue of the peers has places


class Api:
    """JSON-RPC over the daemon's Unix socket, one line each way."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r")

    def call(self, method, **params):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(self.lines.readline())
        if "error" in reply:
            raise BenchError(f"netvmd: {method}: {reply['error']}")
        return reply["result"]

    def sent(self, port):
        stats = self.call("stats.get")
        return stats["time_ns"], stats["ports"][port]["tx_pkts"]

    def set_source(self, spec):
        change = {"op": "set", "section": "ports", "name": "source", "value": {"spec": spec}}
        self.call("config.patch", changes=[change])

    def close(self):
        self.lines.close()
        self.socket.close()


def start(work, build, *more):
    """Start a daemon with the workspace's document; returns it when traffic may flow."""
    ready, child_end = os.pipe()
    try:
        child = work.start("netvmd", [
            os.path.join(build, "manager", "netvmd"), "--config", work.path("netvm.yaml"),
            "--run-dir", work.folder, "--state-dir", work.folder, "--ready-fd", str(child_end),
            *more], pass_fds=[child_end])
    finally:
        os.close(child_end)
    with open(ready, "rb") as end:
        if end.readline() != b"READY\n":
            raise BenchError(f"netvmd did not start:\n{work.tail('netvmd')}")
    return child


@contextmanager
def netvmd(work, build, document):
    """Run the daemon with this document; yields its Api when traffic may flow."""
    write_document(work, document)
    child = start(work, build)
    api = Api(work.path("api.sock"))
    try:
        yield api
    finally:
        api.close()
        work.stop(child)


def write_document(work, document):
    with open(work.path("netvm.yaml"), "w") as file:
        json.dump(document, file)  # JSON is YAML


def base_document(work, source):
    """One polling worker on the switch core, like the peers' forwarding thread."""
    return {
        "engine": {"workers": 1, "cpus": [work.switch_core], "poll": "busy"},
        "groups": {"default": {"huge_pages": "always" if work.huge else "never"}},
        "ports": {"source": {"spec": source}, "sink": {"spec": "null:source=off"}},
    }


def chain_document(work, length, source="null:"):
    """source -> forward x length -> sink, each NF a process on the NF core."""
    names = [f"nf{number}" for number in range(1, length + 1)]
    return {
        **base_document(work, source),
        "nfs": {name: {"command": "netvm-forward --next", "cpus": [work.nf_core]}
                for name in names},
        "chains": {"bench": {"from": "source", "to": "sink", "path": names, "reverse": "none",
                             "default": True}},
    }


def set_ring(document, name, ring, buffers):
    """So many places in the ring of that NF, so many buffers in the group."""
    document["nfs"][name]["ring"] = ring
    document["groups"]["default"]["buffers"] = buffers


@contextmanager
def chain(work, build, length, source="null:"):
    with netvmd(work, build, chain_document(work, length, source)) as api:
        yield lambda: api.sent("sink")


@contextmanager
def external(work, build, names, source):
    """A chain of NFs that the benchmark starts itself; yields the path of the NF socket."""
    document = base_document(work, source)
    document["nfs"] = {name: {"image": "external", "user": "root", "stock": STOCK}
                       for name in names}
    document["chains"] = {"bench": {"from": "source", "to": "sink", "path": names,
                                    "reverse": "none", "default": True}}
    with netvmd(work, build, document):
        yield work.path("nf.sock")
