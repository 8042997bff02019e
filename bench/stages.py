"""What one packet costs in each stage of the engine (stages.c)."""

import json
import os
from statistics import median


def run(bench):
    """Emits one JSON line per stage and returns them in the order a packet meets them."""
    samples = {}
    for _ in range(bench.rounds):
        with bench.workspace() as work:
            output = work.run([os.path.join(bench.build, "bench", "bench-stages"),
                               str(bench.seconds), str(work.switch_core), str(work.nf_core)])
        for line in output.splitlines():
            stage = json.loads(line)
            samples.setdefault(stage["stage"], []).append(stage)
    stages = [{"stage": name, **{unit: median(sample[unit] for sample in values)
                                 for unit in ("ns", "cycles")}}
              for name, values in samples.items()]
    for stage in stages:
        bench.emit({"case": "stages", "rounds": bench.rounds, **stage})
    return stages
