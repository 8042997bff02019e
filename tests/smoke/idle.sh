#!/bin/bash
# Who has nothing to do costs nothing: an idle daemon with three idle NFs uses under 3 % of a core.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  firewall: {command: netvm-monitor, user: nobody}
  monitor: {command: netvm-monitor, user: nobody}
  forward: {command: "netvm-forward --next", user: nobody}
chains:
  web: {from: client, to: server, path: [firewall, monitor, forward]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
on client ping -q -c 3 -i 0.1 10.0.0.2 >/dev/null

# Clock ticks of 10 ms that netvmd and the NFs used so far.
ticks() { cat /proc/"$daemon"/stat $(stat_of '.nfs[].pid | "/proc/\(.)/stat"') | awk '{sum += $14 + $15} END {print sum}'; }

check "the workers sleep" until_true 5 stat_is '[.workers[].sleeping] | all' true
window=5 # seconds that are watched
before=$(ticks)
sleep $window
check "under 3 % of one core" less $(($(ticks) - before)) $((window * 3))
check "and all is awake at the first packet" on client ping -q -c 1 -W 1 10.0.0.2

done_testing
