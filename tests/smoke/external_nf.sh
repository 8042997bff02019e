#!/bin/bash
# An NF that somebody else starts (a container would do the same with the socket mounted) attaches
# when it likes; the daemon checks who it is.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  ids: {image: external, user: nobody}
chains:
  web: {from: client, to: server, path: [ids], on_failure: open}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24

check "declared, not there yet" equal "$(stat_of .nfs.ids.state)" declared
check "the chain fails open" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2

monitor=/run/build/nfs/netvm-monitor
as_nobody=(setpriv --reuid nobody --regid nogroup --clear-groups $monitor)
as_daemon=(setpriv --reuid daemon --regid daemon --clear-groups $monitor)

refused "an unknown name" "nobody-knows-me" "${as_nobody[@]}" --name nobody-knows-me
refused "another service" "service" "${as_nobody[@]}" --name ids --service ips
refused "another user" "user" "${as_daemon[@]}" --name ids

"${as_nobody[@]}" --name ids >ids.log 2>&1 &
nf=$!
check "attached" until_true 10 stat_is .nfs.ids.state running
refused "a second one of that name" "ids" "${as_nobody[@]}" --name ids
check "packets pass through it" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2
check "it got them" comes_true '.nfs.ids.tx_pkts >= 4'
kill -TERM $nf
wait $nf
check "it leaves with status 0" equal $? 0
check "detached" until_true 10 stat_is '.nfs.ids.state != "running"' true
check "the chain is open again" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2

done_testing
