#!/bin/bash
# Two workers, NFs with two queues: packets of a flow keep their order through the whole chain, and
# both workers move packets.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
engine: {workers: 2}
ports:
  client: {spec: "tap:eth0,netns=client", queues: 2}
  server: {spec: "tap:eth0,netns=server", queues: 2}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
  forward: {command: "netvm-forward --next --queues 2", user: nobody, queues: 2}
chains:
  web: {from: client, to: server, path: [monitor, forward]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7

check "16 flows: none lost, in order" stream client 10.0.0.2 7 --flows 16 --count 1000
check "both workers worked" equal "$(stat_of '[.workers[] | select(.busy_turns > 10)] | length')" 2

done_testing
