#!/bin/bash
# Ports come and go while packets run through others: those lose nothing, and what wanted to leave
# by the missing port is dropped under its name.
. "$(dirname "$0")/lib.sh"

web_through monitor
echo_server server 7

touch go
stream client 10.0.0.2 7 --flows 2 --while /run/test/go >stream.json &
stream=$!
come_and_go() {
	for _ in 1 2 3 4 5 6 7 8; do
		netvm port add guest spec=tap:guest || return 1
		ip link show guest || return 1
		netvm port set guest up=false && netvm port set guest up=true || return 1
		netvm port del guest || return 1
		! ip link show guest 2>/dev/null || return 1
	done
}
check "a port comes and goes under traffic" come_and_go
rm go
wait $stream
check "no packet of the others was lost" equal "$(jq -c '[.lost, .reordered]' stream.json)" "[0,0]"

refused "a port that a chain uses cannot go" "web" netvm port del server
netvm port set server up=false
refused "nothing passes a port that is down" '"received": 0' stream client 10.0.0.2 7 --count 10 \
	--patience 1
check "dropped under its name" comes_true '.books.drops["port-down"] >= 1'
netvm port set server up=true
check "and it passes again" on client ping -q -c 2 -W 30 10.0.0.2

ip link add nic type veth peer name cable
ip address add 192.0.2.1/24 dev nic
refused "an interface that carries an address is refused" "192.0.2.1|address" \
	netvm port add nic spec=af_packet:nic
check "and taken when forced" netvm port add nic spec=af_packet:nic force=true
refused "one that does not exist is named" "nowhere" netvm port add no spec=af_packet:nowhere

done_testing
