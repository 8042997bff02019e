"""How long an NF takes from connect to its first packet, while packets keep coming (attach.c)."""

import json
import os
from statistics import median

import daemon

TIMES = 21


def run(bench):
    with bench.workspace() as work, \
            daemon.external(work, bench.build, ["late"], "null:rate=100000") as socket:
        output = work.run(["taskset", "-c", str(work.nf_core),
                           os.path.join(bench.build, "bench", "bench-attach"),
                           socket, "late", str(TIMES)])
    times = [json.loads(line) for line in output.splitlines()]
    result = {key: median(time[key] for time in times) for key in times[0]}
    first = [time["first_packet_ms"] for time in times]
    bench.emit({"case": "netvm", "what": "attach", "rounds": len(times), "min": min(first),
                "max": max(first), **result})
    return result
