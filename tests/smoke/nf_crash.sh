#!/bin/bash
# An NF is killed while packets run through it: the daemon says so at once, starts it again, traffic
# goes on, and every packet it held is accounted for.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  monitor: {command: netvm-monitor, user: nobody, ring: 8192}
  forward: {command: "netvm-forward --next", user: nobody, ring: 8192}
chains:
  web: {from: client, to: server, path: [monitor, forward]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7

on client ping -q -i 0.002 10.0.0.2 >/dev/null &
first=$(stat_of .nfs.monitor.pid)
kill -KILL "$first"
check "it is seen" event nf-exit nfs.monitor
check "and started again" until_true 10 stat_is '.nfs.monitor | .restarts >= 1 and .state == "running"' true
check "as a new process" test "$(stat_of .nfs.monitor.pid)" != "$first"
check "the other NF stayed" equal "$(stat_of .nfs.forward.restarts)" 0
check "traffic again" stream client 10.0.0.2 7 --flows 4 --count 500
check "what was lost has a name" equal 0 \
	"$(stat_of '.books.drops | del(.["nf-died"], .["service-down"], .["chain-overload"]) | [.[]] | add // 0')"

kill -STOP "$(stat_of .nfs.forward.pid)"
check "a stopped NF does not stop the daemon" stat_of .books
kill -KILL "$(stat_of .nfs.forward.pid)"
check "killed, it comes back" until_true 10 stat_is '.nfs.forward | .restarts >= 1 and .state == "running"' true
check "traffic again" until_true 10 on client ping -q -c 1 -W 1 10.0.0.2

done_testing
