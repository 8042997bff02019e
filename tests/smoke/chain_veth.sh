#!/bin/bash
# Ping and numbered UDP packets through two NFs between veth cables, over ports of the driver that is
# the argument: af_packet or af_xdp.
. "$(dirname "$0")/lib.sh"

driver=${1:-af_packet}

veth_host client 10.0.0.1/24 fd00::1/64
veth_host server 10.0.0.2/24 fd00::2/64
start <<-YAML
ports:
  client: {spec: "$driver:client"}
  server: {spec: "$driver:server"}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
  forward: {command: "netvm-forward --next", user: nobody}
chains:
  wire: {from: client, to: server, path: [monitor, forward]}
YAML
nfs_running

check "ping over IPv4" on client ping -q -c 3 -i 0.1 -W 30 10.0.0.2
check "ping over IPv6" on client ping -q -c 3 -i 0.1 -W 30 fd00::2
echo_server server 7
check "4 flows of 2000 packets: all back, in order" \
	stream client 10.0.0.2 7 --flows 4 --count 2000
check "full-size frames" stream client 10.0.0.2 7 --count 500 --size 1472
check "the port counted them" comes_true '.ports.client.rx_pkts >= 8500'

done_testing
