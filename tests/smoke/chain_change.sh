#!/bin/bash
# A chain changes many times while numbered packets run through it: none is lost. Each follows
# either the old path or the new one; when the new one is shorter, it may overtake.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  a: {command: netvm-monitor, user: nobody}
  b: {command: netvm-monitor, user: nobody}
  c: {command: netvm-monitor, user: nobody}
chains:
  web: {from: client, to: server, path: [a]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7

touch go
stream client 10.0.0.2 7 --flows 4 --while /run/test/go >stream.json &
stream=$!
change_often() {
	local path
	for path in $(for _ in 1 2 3 4 5 6; do echo a,b b,c c a,b,c c,b,a b a; done); do
		netvm chain set web path="$path" || return 1
	done
}
check "the chain changes under traffic" change_often
rm go
wait $stream
check "no packet was lost" equal "$(jq .lost stream.json)" 0
check "there was traffic all the time" at_least "$(jq .received stream.json)" $((2000 / slow))
check "nothing was dropped" equal "$(stat_of .books.dropped)" 0

done_testing
