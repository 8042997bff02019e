"""The tables at the end: every case against the limit, the peers and the targets."""

PEERS = ("testpmd-memif", "testpmd-vhost", "ovs-dpdk")


def table(title, head, rows):
    rows = [head, *rows]
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(head))]
    print(f"\n{title}")
    for row in rows:
        first, *rest = (str(cell) for cell in row)
        print("  " + first.ljust(widths[0]),
              *(cell.rjust(width) for cell, width in zip(rest, widths[1:])), sep="  ")


def ratio(a, b):
    return f"{a / b:.2f}" if a and b else "-"


def micros(ns):
    return f"{ns / 1e3:.1f}" if ns else "-"  # nothing came through: no figure


def chains(results):
    """Throughput: one row per case, and its ratio to the limit and the peers."""
    against = ("limit", 0), ("limit-stale", 0), *((peer, 1) for peer in PEERS), ("netvm", 1)
    head = ["case", "chain", "Mpps", *(f"/ {name}" for name, _ in against)]
    rows = [[case, chain or "-", f"{mpps:.2f}", *(ratio(mpps, results.get(key)) for key in against)]
            for (case, chain), mpps in results.items()]
    table("Throughput, 64-byte packets, medians:", head, rows)


def latencies(results):
    rows = [[case, load, f"{figures['rate'] / 1e6:.2f}",
             *(micros(figures[key]) for key in ("p50_ns", "p99_ns", "p999_ns", "max_ns"))]
            for case, result in results.items() for load, figures in result["loads"].items()]
    table("Latency in us, there and back through the switch, by load (% of own loss-free rate):",
          ["case", "load", "Mpps", "p50", "p99", "p99.9", "max"], rows)
    rows = [[case, f"{result['highest'] / 1e6:.2f}", f"{result['loss_free'] / 1e6:.2f}",
             ratio(result["loss_free"], result["highest"])] for case, result in results.items()]
    table("Loss:", ["case", "highest Mpps", "loss-free Mpps", "ratio"], rows)


def targets(results):
    """Rows (what, wanted, measured, met) of every target that this run has figures for."""
    rates = results.get("chain", {})
    one = rates.get(("netvm", 1))

    def at_least(what, goal, aim, key):
        if one and rates.get(key):
            value = one / rates[key]
            text = f">= {goal}" + (f" (aim {aim})" if aim else "")
            yield what, text, f"{value:.2f}", value >= goal

    yield from at_least("chain 1 / testpmd over memif", 1.3, 2, ("testpmd-memif", 1))
    yield from at_least("chain 1 / OVS-DPDK over vhost-user", 4, 6, ("ovs-dpdk", 1))
    yield from at_least("chain 1 / limit", 0.25, 0.4, ("limit", 0))
    for n in (2, 3, 5, 7):
        if one and rates.get(("netvm", n)):
            value = rates["netvm", n] / one
            yield f"chain {n} / chain 1", f">= {1.6 / (n + 1):.2f}", f"{value:.2f}", \
                value >= 1.6 / (n + 1)
    yield from loss_targets(results.get("latency", {}))
    if "attach" in results:
        value = results["attach"]["first_packet_ms"]
        yield "attach, connect to first packet", "<= 5 ms", f"{value:.2f} ms", value <= 5
    if "guest" in results:
        value = results["guest"]["first_packet_s"]
        yield "guest, request to first packet, emulated", "<= 3 s", f"{value:.2f} s", value <= 3
        value = results["guest"]["idle_percent"]
        yield "guest with nothing to do, of a core", "<= 2 %", f"{value:.1f} %", value <= 2
    yield from recovery_targets(results.get("recovery", {}).get("standby"))
    yield from restart_targets(results.get("restart", {}))
    yield from overload_targets(results.get("overload", {}).get("overload"))
    for way, goal in ("template", 500), ("idle", 50):
        if results.get("deploy"):
            value = results["deploy"][way]["ms"]
            yield f"deploy, {way}", f"<= {goal} ms", f"{value:.0f} ms", value <= goal


def loss_targets(results):
    if not results:
        return
    chains = [results["netvm-chain"], results["netvm-chain-deep"]]
    free, highest = (max(result[key] for result in chains) for key in ("loss_free", "highest"))
    yield "chain 1: loss-free rate / highest", ">= 0.9", ratio(free, highest), \
        free >= 0.9 * highest > 0
    ours = results["netvm"]["loads"]["half of OVS"]["p99_ns"]
    theirs = results["ovs-dpdk"]["loads"]["50%"]["p99_ns"]
    yield "p99 at half of OVS-DPDK's loss-free rate", f"<= {micros(theirs)} us", \
        f"{micros(ours)} us", 0 < ours <= theirs


def recovery_targets(result):
    if not result:
        return
    for what, figure, goal in (("an NF's death is seen", "seen_ms", 1),
                               ("one that stood by serves", "served_ms", 2)):
        value = result[figure]["p99"]
        yield f"{what}, p99", f"<= {goal} ms", f"{value:.2f} ms", value <= goal


def restart_targets(results):
    for how, key, text, goal in (("planned", "blackout_ms", "median", 50),
                                 ("planned", "max", "worst", 200),
                                 ("kill -9", "max", "worst", 500)):
        if ("netvm", how) in results:
            value = results["netvm", how][key]
            yield f"restart, {how}, {text} blackout", f"<= {goal} ms", f"{value} ms", value <= goal


def overload_targets(result):
    if not result:
        return
    goodput, free = result["goodput_mpps"], result["loss_free_mpps"]
    yield "150 % of the highest rate: goodput / loss-free", ">= 0.95", ratio(goodput, free), \
        goodput >= 0.95 * free
    for what, key in (("elsewhere than at its entry", "elsewhere"),
                      ("of the other chain", "other_chain")):
        yield f"150 %: dropped {what}", "0", result[key], result[key] == 0
    yield "150 %: last drop after the load", "<= 100 ms", f"{result['recovery_ms']} ms", \
        result["recovery_ms"] <= 100


def reliability(results):
    """What failures and floods cost: recovery, restart, overload."""
    rows = [[how, figure, *times.values()]
            for how, figures in results.get("recovery", {}).items()
            for figure, times in figures.items()]
    if rows:
        table("An NF is killed (kill -9):", ["case", "", "p50", "p99", "max"], rows)
    rows = [[case, how, *figures.values()]
            for (case, how), figures in results.get("restart", {}).items()]
    if rows:
        table("The switch is restarted under a stream of packets:",
              ["case", "how", "blackout ms", "min", "max", "lost"], rows)
    if "overload" in results:
        table("Chain 1 at 150 % of its highest rate:", ["", "figure"],
              list(results["overload"]["overload"].items()))
        table("A stream beside a chain that is flooded:",
              ["case", "other chain", "sent", "lost", "p50 us", "p99 us"],
              [[case, name, *figures.values()]
               for (case, name), figures in results["overload"]["neighbours"].items()])


def show(results):
    if "chain" in results:
        chains(results["chain"])
    if "latency" in results:
        latencies(results["latency"])
    if "guest" in results:
        table("A guest, emulated, seconds from the request until:", ["", "s"],
              [[text, f"{results['guest'][key]:.2f}"] for text, key in (
                  ("its init runs", "init_s"), ("its NF is attached", "attached_s"),
                  ("its first packet is back", "first_packet_s"))])
        table("A packet for an NF that sleeps, there and back, us:", ["the NF in a", "p50", "p99"],
              [[sleeper, *(f"{results['guest'][f'{sleeper}_wake_{key}_us']:.0f}"
                           for key in ("p50", "p99"))] for sleeper in ("guest", "process")])
    if "stages" in results:
        table("Cost of one packet by stage:", ["stage", "ns", "cycles"],
              [[stage["stage"], f"{stage['ns']:.1f}", f"{stage['cycles']:.0f}"]
               for stage in results["stages"]])
    reliability(results)
    if results.get("deploy"):
        table("Deployment, request to first packet handled, ms:", ["way", "median", "min", "max"],
              [[way, *(f"{times[key]:.0f}" for key in ("ms", "min", "max"))]
               for way, times in results["deploy"].items()])
    rows = [[what, wanted, value, "met" if met else "not met"]
            for what, wanted, value, met in targets(results)]
    if rows:
        table("Targets:", ["target", "wanted", "measured", ""], rows)
