#!/bin/bash
# The daemon is killed under traffic. Its NFs live on, the next daemon finds them, the interfaces
# and everything that ran, also what was not saved; what nobody wants any more is ended.
. "$(dirname "$0")/lib.sh"

veth_host lab 10.0.1.2/24
web_through monitor forward
on client ip route add 10.9.0.0/16 via 10.0.0.2

# What is not in the file: another NF, another flow.
check "unsaved: an NF" netvm nf add extra command=netvm-monitor user=nobody
check "unsaved: a chain through it" netvm chain set web path=monitor,forward,extra
check "unsaved: a flow" netvm flow add telnet drop=true match.in_port=client match.protocol=tcp match.dst_port=23
nfs_running
document=$(netvm config show)
pids=$(stat_of '[.nfs[].pid] | tostring')
route=$(on client ip route show 10.9.0.0/16)
everybody() { pgrep -c 'netvm-(monitor|forward)'; }

on server iperf3 -s -D
until_true 10 listening server 5201
on client iperf3 -c 10.0.0.2 -n 40M -J >tcp.json 2>&1 &
tcp=$!
pinging client 10.0.0.2
killed
check "its NFs live" kill -0 $(jq -r '.[]' <<<"$pids")
start_again
echo "# longest time without an answer to ping: $(longest_gap)"
check "the same NFs" equal "$(stat_of '[.nfs[].pid] | tostring')" "$pids"
check "none was started a second time" equal "$(everybody)" 3
check "the same document, with what was never saved" equal "$(netvm config show)" "$document"
check "the route over its interface" equal "$(on client ip route show 10.9.0.0/16)" "$route"
wait $tcp
check "a TCP connection went on" equal $? 0
check "the books begin anew and balance" books_balance

# What happens while nobody is there.
gone=$(stat_of .nfs.monitor.pid)
stays=$(stat_of .nfs.forward.pid)
unwanted=$(stat_of .nfs.extra.pid)
killed
kill -KILL "$gone"
sed -i -e '/^  server:/a\  lab: {spec: "af_packet:lab"}' -e 's/, path: .*/, path: [monitor, forward], default: true}/' netvm.yaml
start_again
nfs_running
check "an edited document is used, and that is said" event state
check "an NF that died meanwhile is started" test "$(stat_of .nfs.monitor.pid)" != "$gone"
check "the other one goes on" equal "$(stat_of .nfs.forward.pid)" "$stays"
check "one that is not declared any more is ended" event nf-orphan nfs.extra
check "really" until_true 10 gone "$unwanted"
check "traffic" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2

# An interface that no document wants any more.
killed
sed -i -e '/^  client:/d' -e 's/from: client/from: lab/' netvm.yaml
start_again
no_interface() { ! on client ip link show eth0 2>/dev/null; }
check "an interface that nobody wants is removed" no_interface
check "the others stay" on server ip link show eth0

# A clean stop leaves nothing, and the next start uses the file.
check "unsaved again" netvm nf add extra command=netvm-monitor user=nobody
nfs_running
stop
nothing() { ! everybody && ! on server ip link show eth0 && [ -z "$(ls /run/netvm/estate)" ] &&
	[ ! -e /var/lib/netvm/running ]; }
check "a clean stop leaves nothing" until_true 10 nothing
start_again
check "and forgets what was not saved" equal "$(stat_of '.nfs | has("extra")')" false

done_testing
