#!/bin/bash
# Ten NFs on one core in one chain: all make progress, since nobody waits by spinning.
. "$(dirname "$0")/lib.sh"

names=$(seq -f nf%g -s ' ' 1 10)
hosts client server
start < <(
	cat <<-YAML
	ports:
	  client: {spec: "tap:eth0,netns=client"}
	  server: {spec: "tap:eth0,netns=server"}
	nfs:
	YAML
	for name in $names; do
		echo "  $name: {command: 'netvm-forward --next', user: nobody, cpus: [$a_cpu]}"
	done
	cat <<-YAML
	chains:
	  long: {from: client, to: server, path: [${names// /, }]}
	YAML
)
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7

check "ping through ten NFs" on client ping -q -c 3 -i 0.1 -W 30 10.0.0.2
check "8 flows of 250 packets" stream client 10.0.0.2 7 --flows 8 --count 250
check "each NF got every packet" comes_true '[.nfs[].tx_pkts] | unique | length == 1'
check "nothing was dropped" equal "$(stat_of .books.dropped)" 0

done_testing
