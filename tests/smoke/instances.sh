#!/bin/bash
# Three instances of one service share its flows: all packets of a flow, both ways, meet the same
# instance, in order; all instances work; when one goes, its flows move.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  m1: {service: monitor, command: netvm-monitor, user: nobody}
  m2: {service: monitor, command: netvm-monitor, user: nobody}
  m3: {service: monitor, command: netvm-monitor, user: nobody}
chains:
  web: {from: client, to: server, path: [monitor]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
for port in $(seq 1001 1016); do
	echo_server server "$port"
done

# instance_of PORT: the instances that saw this flow's 2 x 50 packets
instance_of() {
	local before after
	before=$(netvm -j stats)
	stream client 10.0.0.2 "$1" --bind 2000 --count 50 >/dev/null || { echo lost; return; }
	after=$(netvm -j stats)
	jq -nr --argjson a "$before" --argjson b "$after" '[$b.nfs | to_entries[] |
		select((.value.tx_pkts - ($a.nfs[.key].tx_pkts // 0)) >= 40) | .key] | join(",")'
}
map() { for port in $(seq 1001 1016); do instance_of "$port"; done; }

first=$(map)
check "each flow meets one instance" equal "$(grep -cE '^m[123]$' <<<"$first")" 16
check "every instance has flows" equal "$(sort -u <<<"$first" | wc -l)" 3
check "and keeps them" equal "$(map)" "$first"

netvm nf del m3
second=$(map)
check "nearly all flows of the others stay" less \
	"$(paste <(echo "$first") <(echo "$second") | awk '$1 != "m3" && $1 != $2' | wc -l)" 4
check "its flows moved" equal "$(grep -cE '^m[12]$' <<<"$second")" 16

pid=$(stat_of .nfs.m1.pid)
kill -KILL "$pid"
check "killed, one comes back" until_true 20 stat_is \
	".nfs.m1 | .state == \"running\" and .pid != $pid" true
check "under its name, and with its flows" equal "$(map)" "$second"
check "many flows at once: none lost, in order" stream client 10.0.0.2 1001 --flows 32 --count 500 --window 8

done_testing
