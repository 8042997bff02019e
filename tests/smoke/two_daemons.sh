#!/bin/bash
# Two daemons cannot share a run directory: the second is refused with a sentence, the first goes on.
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
check "the first goes on" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2
check "its API too" stat_of .books

killed
start_again
check "what a killed daemon left does not hinder the next" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2

done_testing
