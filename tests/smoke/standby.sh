#!/bin/bash
# One NF works, one stands by. The one that works is killed, again and again: the other one takes over
# at once, the dead one comes back and stands by in turn, and no buffer is lost. NETVM_KILLS: how often.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  first: {service: monitor, command: netvm-monitor, user: nobody, ring: 8192}
  second: {service: monitor, command: netvm-monitor, user: nobody, ring: 8192, standby: true}
chains:
  web: {from: client, to: server, path: [monitor], on_failure: standby}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7
check "the first one works" stat_is .nfs.first.standby false
check "the second one stands by" stat_is .nfs.second.standby true
check "traffic" stream client 10.0.0.2 7 --flows 4 --count 500
check "none of it met the second one" stat_is .nfs.second.tx_pkts 0

# working: waits until both are attached, and says which one works
working() {
	until_true 20 stat_is '[.nfs[] | select(.state == "running")] | length' 2 >&2 || return
	stat_of '.nfs | to_entries[] | select(.value.standby | not) | .key'
}

on client ping -q -i 0.002 10.0.0.2 >/dev/null &
kill -KILL "$(stat_of .nfs.first.pid)"
check "killed: the second one works" until_true 10 stat_is .nfs.second.standby false
check "which is told" event nf-takeover nfs.second
check "the first one comes back and stands by" \
	until_true 20 stat_is '.nfs.first | .state == "running" and .standby' true
check "traffic" stream client 10.0.0.2 7 --flows 4 --count 500

kills=${NETVM_KILLS:-20}
for _ in $(seq "$kills"); do
	name=$(working) || break
	pid=$(stat_of ".nfs.$name.pid")
	kill -KILL "$pid"
	until_true 10 stat_is ".nfs.$name.pid != $pid" true
	netvm nf restart "$name" >/dev/null # instead of waiting for its back-off
done
check "killed $kills times more" at_least "$(stat_of '[.nfs[].restarts] | add')" "$((kills + 1))"
check "somebody works" working
check "traffic" stream client 10.0.0.2 7 --flows 4 --count 500
check "what was lost was in the hands of the dead" equal 0 \
	"$(stat_of '.books.drops | del(.["nf-died"]) | [.[]] | add // 0')"
check "every buffer is there" until_true 10 stat_is \
	'.books | .in_flight == 0 and .buffers_free + .buffers_stock + .buffers_port == .buffers_total' true

done_testing
