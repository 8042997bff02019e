#!/bin/bash
# A chain that holds: while its only NF is being started again packets wait, in order, and none is
# lost; what waits too long, or is too much, is dropped under that name.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
chains:
  web: {from: client, to: server, path: [monitor], on_failure: hold, hold_ms: 60000}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7
check "traffic" stream client 10.0.0.2 7 --count 100

# Nothing is on its way when it dies, so nothing may be lost: the next packets wait for it.
comes_true '.books.in_flight == 0'
kill -KILL "$(stat_of .nfs.monitor.pid)"
event nf-exit nfs.monitor
check "what comes while it is away arrives all the same, in order" \
	stream client 10.0.0.2 7 --flows 4 --count 500 --window 8
check "nothing was dropped" stat_is .books.dropped 0

netvm nf set monitor restart=never
netvm chain set web hold_ms=50 hold_pkts=64
kill -KILL "$(stat_of .nfs.monitor.pid)"
check "dead for good" until_true 10 stat_is .nfs.monitor.state failed
on client ping -q -c 20 -i 0.01 -W 0.2 10.0.0.2 >/dev/null
check "what waited too long is dropped by that name" \
	until_true 10 stat_is '.books | .drops["hold-expired"] >= 20 and .in_flight == 0' true
netvm chain set web hold_ms=60000
on client ping -q -c 100 -f -W 0.2 10.0.0.2 >/dev/null
check "and what is too much by that one" until_true 10 stat_is '.books.drops["hold-full"] >= 30' true
check "the others wait" until_true 10 stat_is '.books.in_flight >= 50' true
check "the NF goes" netvm nf add other command=netvm-monitor
check "and the chain takes another one" netvm chain set web path=other
check "what waits for it still does" stat_is '.books.in_flight >= 50' true
check "until it is removed" netvm nf del monitor
check "then it is flushed" until_true 10 stat_is \
	'.books | .drops["hold-flushed"] >= 50 and .in_flight == 0' true

done_testing
