#!/bin/bash
# A packet that crashes an NF each time it comes: after three crashes its flow is kept from the NF,
# dropped or led past it as the chain says, and everybody else is served.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  stumble: {command: /run/build/tests/stumble, user: nobody}
chains:
  web: {from: client, to: server, path: [stumble], on_failure: hold, hold_ms: 20000, guard_crashes: 3}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7
echo_server server 6660
# One flow for all: the source port is bound.
poke() { on client python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 5000))
s.sendto(b'x', ('10.0.0.2', 6660))"; }
shown() { "${@:2}" | grep -q "$1"; }
actions() { netvm -j guard show | jq -r '[.flows[] | select(.action != "none") | .action] | join(",")'; }

check "traffic" stream client 10.0.0.2 7 --count 100
for i in 1 2 3; do
	poke
	check "crash $i" until_true 20 stat_is \
		".nfs.stumble | .crash.count == $i and .state == \"running\"" true
done
check "the reason is kept" stat_is '.nfs.stumble.crash.reason | test("signal 6")' true
check "people are shown it" shown "signal 6" netvm nf show stumble
check "and how often" shown "crashes  *3" netvm nf show stumble
check "the flow is guarded now" event nf-guard
check "by dropping it" equal "$(actions)" drop
for _ in 1 2 3; do poke; done
check "it is dropped" comes_true '.books.drops["flow-guarded"] == 3'
check "everybody else is served" stream client 10.0.0.2 7 --flows 4 --count 200
check "it crashed no more" stat_is .nfs.stumble.crash.count 3

check "let it bypass the NF instead" netvm chain set web guard=bypass
check "a change keeps what is known" equal "$(actions)" bypass
check "it comes through, and its answers" on client python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 5000))
s.settimeout(60)
s.sendto(b'x', ('10.0.0.2', 6660))
s.recv(10)"
check "it crashed no more" stat_is .nfs.stumble.crash.count 3

check "forget it" netvm guard clear
check "nobody is guarded" equal "$(actions)" ""
poke
check "and it crashes the NF again" until_true 20 stat_is .nfs.stumble.crash.count 4

done_testing
