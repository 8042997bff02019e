#!/bin/bash
# NFs with stand-ins are killed under traffic, NETVM_KILLS of them in all, several at a time: each
# time the one that stands by takes over, and in the end every packet is accounted for and every
# buffer is where it was. 10000 take some ten minutes.
. "$(dirname "$0")/lib.sh"

kills=${NETVM_KILLS:-40}
services="a b c d"
start <<-YAML
ports:
  source: {spec: "null:rate=20000,flows=64", up: false}
  sink: {spec: "null:source=off"}
nfs:
$(for s in $services; do
	echo "  $s-one: {service: $s, command: netvm-forward --next, user: nobody, restart: never}"
	echo "  $s-two: {service: $s, command: netvm-forward --next, user: nobody, restart: never, standby: true}"
done)
chains:
  web: {from: source, to: sink, path: [${services// /, }], reverse: none, default: true, on_failure: standby}
YAML
nfs_running
netvm port set source up=true >/dev/null
flows() { at_least "$(stat_of .ports.sink.tx_pkts)" "$(($1 + 1000))"; }
check "traffic" until_true 10 flows 0
fds() { ls /proc/$daemon/fd | wc -l; }
before=$(fds)

check "$kills killed, as many taken over" \
	equal "$(python3 "$here/kills.py" "$kills")" "$kills $kills"
check "traffic goes on" until_true 10 flows "$(stat_of .ports.sink.tx_pkts)"
echo "# dropped: $(stat_of '.books.drops | tostring')"

check "the source is turned off" netvm port set source up=false
check "every buffer is there" until_true 20 stat_is \
	'.books | .in_flight == 0 and .buffers_free + .buffers_stock + .buffers_port == .buffers_total' true
check "every descriptor is closed" until_true 10 eval '[ $(fds) = $before ]'
check "what was lost was in the hands of the dead, or came when a ring was full" equal 0 \
	"$(stat_of '.books.drops | del(.["nf-died"], .["chain-overload"]) | [.[]] | add // 0')"

done_testing
