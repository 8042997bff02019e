#!/bin/bash
# Several chains between the same ports, chosen by flow match: VLAN, 5-tuple with prefixes and
# ranges, IPv6; a flow that drops; the chain that no flow names takes the rest.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  rest: {command: netvm-monitor, user: nobody}
  dns: {command: netvm-monitor, user: nobody}
  voice: {command: netvm-monitor, user: nobody}
  six: {command: netvm-monitor, user: nobody}
chains:
  rest: {from: client, to: server, path: [rest]}
  dns: {from: client, to: server, path: [dns]}
  voice: {from: client, to: server, path: [voice]}
  six: {from: client, to: server, path: [six]}
flows:
  dns: {match: {in_port: client, protocol: udp, dst: 10.0.0.0/24, dst_port: 50-60}, priority: 50, chain: dns}
  voice: {match: {in_port: client, vlan: 20}, priority: 100, chain: voice}
  six: {match: {in_port: client, src: "fd00:6::/48", protocol: udp}, priority: 10, chain: six}
  no-discard: {match: {in_port: client, protocol: udp, dst_port: 9}, priority: 200, drop: true}
YAML
address client 10.0.0.1/24 fd00:6::1/64
address server 10.0.0.2/24 fd00:6::2/64
nfs_running
for port in 7 9 53; do
	echo_server server $port
done

# only CHAIN COMMAND...: the packets of the command, and nothing else, went through that chain.
only() {
	local chain=$1 before after
	shift
	before=$(netvm -j stats)
	"$@" || return 1
	after=$(netvm -j stats)
	jq -ne --argjson a "$before" --argjson b "$after" --arg chain "$chain" '
		[$b.chains | to_entries[] | {(.key): (.value.rx_pkts - $a.chains[.key].rx_pkts)}] | add |
		., (.[$chain] >= 100 and ([.[]] | add) - .[$chain] < 10)'
}

check "no match: the default chain" only rest stream client 10.0.0.2 7 --count 100
check "protocol, prefix and port range" only dns stream client 10.0.0.2 53 --count 100
check "VLAN" only voice on client python3 -c "from scapy.all import *
sendp(Ether() / Dot1Q(vlan=20) / IP(dst='10.0.0.2') / UDP(), iface='eth0', count=100)"
check "IPv6 prefix" only six stream client fd00:6::2 7 --count 100
refused "a flow that drops" '"received": 0' stream client 10.0.0.2 9 --count 20 --patience 1
check "counted under its name" comes_true '.books.drops.policy >= 20'

netvm flow set dns match.dst_port=1-40
check "changed while running" only rest stream client 10.0.0.2 53 --count 100

done_testing
