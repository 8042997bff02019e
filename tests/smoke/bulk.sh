#!/bin/bash
# TCP and UDP bulk through a chain. Not a benchmark: it must work, both ways, and be accounted for.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
  forward: {command: "netvm-forward --next", user: nobody}
chains:
  web: {from: client, to: server, path: [monitor, forward]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running

on server iperf3 -s >iperf.log 2>&1 &
until_true 10 listening server 5201

# moved OPTION...: bytes that arrived of 8 MB, as the receiver had counted them at the sender's end
moved() { on client iperf3 -c 10.0.0.2 -J -n 8M "$@" | jq '.end.sum_received.bytes // .end.sum.bytes'; }

check "TCP to the server" at_least "$(moved)" 4000000
check "TCP from the server" at_least "$(moved -R)" 4000000
check "UDP to the server" at_least "$(moved -u -b 100M)" 4000000
check "UDP from the server" at_least "$(moved -u -b 100M -R)" 4000000

done_testing
