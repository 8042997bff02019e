#!/bin/bash
# Frames of any length the group's buffers hold: jumbo with large buffers; what is too long for a
# port is dropped under its name; an MTU beyond the buffers is refused with the numbers.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
groups:
  jumbo: {buffers: 4096, buffer_bytes: 9728}
ports:
  client: {spec: "tap:eth0,netns=client", group: jumbo, mtu: 9000}
  server: {spec: "tap:eth0,netns=server", group: jumbo, mtu: 9000}
nfs:
  forward: {command: "netvm-forward --next", user: nobody, group: jumbo}
chains:
  web: {from: client, to: server, path: [forward]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7

# ping_with BYTES [SECONDS]: as one frame; how long to wait for an answer
ping_with() { on client ping -q -c 2 -i 0.1 -W "${2:-30}" -M do -s "$1" 10.0.0.2; }

check "the smallest frame" ping_with 0
check "1500 bytes" ping_with 1472
check "9000 bytes" ping_with 8972
check "numbered jumbo frames" stream client 10.0.0.2 7 --count 200 --size 8972

check "a smaller MTU while running" netvm port set server mtu=1500
refused "what is too long does not pass" "0 received" ping_with 8972 1
check "and is dropped under its name" comes_true '.books.drops["port-tx-size"] >= 1'
refused "an MTU beyond the buffers" "ports.client.mtu" netvm port set client mtu=15000

done_testing
