#!/bin/bash
# A chain is offered twice what its slowest NF can do: the excess is dropped at the entry of this
# chain and under its name, no work is spent on it, the other chain loses nothing, and once the load
# is gone nothing is dropped any more.
. "$(dirname "$0")/lib.sh"

# netvm-delay waits by the clock: at most 10 000 packets/s on any machine. The rings of the others
# hold seconds of traffic, so that a busy machine is no loss.
start <<-YAML
groups:
  default: {huge_pages: never, buffers: 131072, buffer_bytes: 512}
ports:
  slow-in: {spec: "null:rate=20000,flows=16", mtu: 256, up: false}
  slow-out: {spec: "null:source=off", mtu: 256}
  other-in: {spec: "null:rate=5000,flows=16", mtu: 256, up: false}
  other-out: {spec: "null:source=off", mtu: 256}
nfs:
  first: {command: "netvm-forward --next", ring: 32768}
  bottleneck: {command: "netvm-delay --ns 100000", ring: 4096}
  other: {command: "netvm-forward --next", ring: 65536}
chains:
  slow: {from: slow-in, to: slow-out, path: [first, bottleneck], reverse: none, default: true}
  other: {from: other-in, to: other-out, path: [other], reverse: none, default: true}
YAML
nfs_running
for port in slow-in other-in; do
	netvm port set "$port" up=true >/dev/null
done

# above FILTER N: for until_true.
above() { [ "$(stat_of "$1")" -gt "$2" ]; }

shed='.chains.slow.drops["chain-overload"] // 0'
check "the excess is dropped" until_true 20 above "$shed" 20000
check "while the NF goes on working" until_true 20 above '.ports["slow-out"].tx_pkts' 2000
check "all at the entry of the chain, for this one reason" equal \
	"$(stat_of '.books.drops | keys | join(" ")')" chain-overload
check "the other chain loses nothing" equal "$(stat_of '.chains.other.drops | length')" 0
sent=$(stat_of '.ports["other-out"].tx_pkts')
check "and goes on" until_true 20 above '.ports["other-out"].tx_pkts' $((sent + 5000))

# 100 packets/s: what is on its way drains, and a machine that stands still for seconds loses none.
netvm port set slow-in spec=null:rate=100,flows=16 >/dev/null
drained() { [ "$(stat_of '.books.in_flight')" -lt 3000 ]; }
check "without the load all that waited goes on its way" until_true 20 drained
before=$(stat_of "$shed")
sent=$(stat_of '.ports["slow-out"].tx_pkts')
check "new packets pass" until_true 20 above '.ports["slow-out"].tx_pkts' $((sent + 100))
check "and none is dropped any more" equal "$(stat_of "$shed")" "$before"

for port in slow-in other-in; do
	netvm port set "$port" up=false >/dev/null
done
check "every packet has left" comes_true '.books.in_flight == 0'
check "each drop is counted at the entry, too" comes_true \
	'.books.drops == {"chain-overload": .chains.slow.drops["chain-overload"]}'
check "NFs were given no packet in vain" comes_true '.nfs | .first.rx_pkts == .bottleneck.tx_pkts'

done_testing
