#!/bin/bash
# A chain through NFs of two trust groups: only when it says that packets may cross, and then each is
# copied once at each border, byte for byte.
. "$(dirname "$0")/lib.sh"

hosts client server
document() {
	cat <<-YAML
	ports:
	  client: {spec: "tap:eth0,netns=client"}
	  server: {spec: "tap:eth0,netns=server"}
	groups:
	  red: {buffers: 4096}
	nfs:
	  monitor: {command: netvm-monitor, user: nobody}
	  stranger: {command: "netvm-forward --next", user: games, group: red}
	  forward: {command: "netvm-forward --next", user: nobody}
	chains:
	  web: {from: client, to: server, path: [monitor, stranger, forward], default: true, $1}
	YAML
}
start < <(document "cross_groups: true")
nfs_running
address client 10.0.0.1/24
address server 10.0.0.2/24

refused "without saying so, no chain crosses" \
	"chains.web.cross_groups: service stranger is in group red, what is before it in group default" \
	netvm config check - <<<"$(document "cross_groups: false")"
refused "and what may cross cannot be taken back while it does" "cross_groups" \
	netvm chain set web cross_groups=false
refused "nor has a flow to a port of another group a way to allow it" "is of another group" \
	netvm config check - <<-YAML
	ports:
	  client: {spec: "tap:eth0,netns=client"}
	  server: {spec: "tap:eth0,netns=server", group: red}
	groups:
	  red: {buffers: 4096}
	flows:
	  direct: {match: {in_port: client}, port: server}
	YAML

check "ping passes" on client ping -q -c 10 -i 0.05 -W 30 10.0.0.2
head -c 3000000 /dev/urandom >file
on server python3 -m http.server 80 >http.log 2>&1 &
until_true 10 listening server 80
download() { on client curl -s --max-time 600 http://10.0.0.2/file | sha256sum; }
check "a download arrives as it was" equal "$(download)" "$(sha256sum <file)"
check "the other group's NF saw it" comes_true '.nfs.stranger.tx_bytes >= 3000000'

# Into the other group and back: two borders, one copy at each, for every packet there was. Some of a
# download are dropped when the machine is slow.
check "each packet was copied once at each border" comes_true '.books.in_flight == 0 and
	.books.copied == .chains.web.copied and .books.copied <= 2 * .chains.web.rx_pkts and
	.books.copied >= 2 * (.chains.web.rx_pkts - .books.dropped)'

check "a path within the group" netvm chain set web path=monitor,forward cross_groups=false
check "what is on the old one leaves" comes_true '.books.in_flight == 0'
copied=$(stat_of .books.copied)
check "ping passes" on client ping -q -c 10 -i 0.05 -W 30 10.0.0.2
check "and nothing more is copied" equal "$(stat_of .books.copied)" "$copied"

done_testing
