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

check "the workers sleep" comes_true '[.workers[].sleeping] | all'
# A machine may be slow for a while; one who is never idle is so at no time.
idle() {
	local window=5 before # seconds that are watched
	before=$(ticks)
	sleep $window
	less $(($(ticks) - before)) $((window * 3))
}
check "under 3 % of one core" until_true 6 idle
check "and all is awake at the first packet" on client ping -q -c 1 -W 30 10.0.0.2

done_testing
