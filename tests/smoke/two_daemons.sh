#!/bin/bash
# Two daemons cannot share a run or a state directory: the second is refused with a sentence, the
# first goes on.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
chains:
  patch: {from: client, to: server, path: []}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24

refused "the second" "another daemon" timeout 300 netvmd --config netvm.yaml
refused "with a run directory of its own, too" "/var/lib/netvm: another daemon" \
	timeout 300 netvmd --config netvm.yaml --run-dir /run/other
echo "{}" >empty.yaml
refused "and with a state directory of its own" "another daemon listens" \
	timeout 300 netvmd --config empty.yaml --state-dir /var/lib/other
check "the first goes on" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2
check "its API too" stat_of .books

killed
start_again
check "what a killed daemon left does not hinder the next" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2

done_testing
