#!/bin/bash
# A daemon takes over from the one that runs, under traffic: the same NFs, interfaces and document,
# and hosts hardly notice. One that fails leaves all as it was.
. "$(dirname "$0")/lib.sh"

veth_host client 10.0.0.1/24
hosts server
start <<-YAML
ports:
  client: {spec: "af_packet:client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
  forward: {command: "netvm-forward --next", user: nobody}
  outside: {image: external, user: nobody}
chains:
  web: {from: client, to: server, path: [monitor, forward, outside]}
YAML
address server 10.0.0.2/24
setpriv --reuid nobody --regid nogroup --clear-groups /run/build/nfs/netvm-monitor --name outside \
	>outside.log 2>&1 &
outside=$!
nfs_running
check "unsaved: a flow" netvm flow add telnet drop=true match.in_port=client match.protocol=tcp match.dst_port=23
document=$(netvm config show)
pids=$(stat_of '[.nfs[].pid] | tostring')

# Refused before anything has happened.
first=$daemon
check "unsaved: tried out" netvm flow add ssh drop=true match.dst_port=22 match.protocol=tcp --confirm 600
refused "not while a change waits to be confirmed" "waits to be confirmed" \
	timeout 300 netvmd --config netvm.yaml --replace
netvm config rollback >/dev/null
cat >broken.yaml <<-YAML
ports:
  client: {spec: "af_packet:client", group: nobody}
YAML
refused "not by one whose document is wrong" "nobody" timeout 300 netvmd --config broken.yaml --replace
check "the first one did not even notice" equal "$(stat_of '[.nfs[].pid] | tostring')" "$pids"

# Refused when it is too late for nothing to happen: an interface that is not there.
sockets() { tail -n +2 /proc/net/packet | wc -l; }
before=$(sockets)
cat >missing.yaml <<-YAML
ports:
  client: {spec: "af_packet:client"}
  lost: {spec: "af_packet:lost0"}
YAML
refused "one that fails half-way" "lost0" timeout 300 netvmd --config missing.yaml --replace
nfs_running
check "the first one goes on" event daemon
check "with the same document" equal "$(netvm config show)" "$document"
check "and as many packet sockets" equal "$(sockets)" "$before"
check "the same NFs" equal "$(stat_of '[.nfs[].pid] | tostring')" "$pids"
check "and traffic" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2

# Taken over, by a daemon started by hand and by the command.
on server iperf3 -s -D
until_true 10 listening server 5201
on client iperf3 -c 10.0.0.2 -n 40M -J >tcp.json 2>&1 &
tcp=$!
pinging client 10.0.0.2
start_again --replace
wait "$first"
check "the first one has ended well" equal $? 0
echo "# longest time without an answer to ping: $(longest_gap)"
nfs_running
check "the same NFs" equal "$(stat_of '[.nfs[].pid] | tostring')" "$pids"
check "the same document" equal "$(netvm config show)" "$document"
wait $tcp
check "a TCP connection went on" equal $? 0
check "nothing was lost in the new daemon but what a host may lose" books_balance

second=$daemon
pinging client 10.0.0.2
restarted netvm daemon restart
echo "# longest time without an answer to ping: $(longest_gap)"
nfs_running
check "another process" test "$daemon" != "$second"
check "the same NFs" equal "$(stat_of '[.nfs[].pid] | tostring')" "$pids"
check "the same document" equal "$(netvm config show)" "$document"
refused "not with a program that is none" "no-netvmd" netvm daemon restart --binary /no-netvmd
refused "nor with one that crashes" "did not start: exited with status 1" netvm daemon restart --binary /bin/false
for way in "" "exec 3>&-"; do
	printf '#!/bin/sh\n%s\necho $$ >stranger.pid\nexec sleep 1000\n' "$way" >stranger
	chmod 755 stranger
	refused "nor one that ${way:+closes its report and }says nothing" "has not said in 1 s whether it took over" \
		netvm daemon restart --binary "$PWD/stranger" --wait 1
	kill "$(cat stranger.pid)"
done
check "nothing changes then" equal "$(netvm -j version | jq .pid)" "$daemon"
one_daemon() { [ "$(pgrep -cx netvmd)" = 1 ]; }
check "one daemon is there" until_true 10 one_daemon
check "traffic" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2

books_balance_now
stop
wait $outside
nothing() { ! pgrep netvm && ! on server ip link show eth0 && [ -z "$(ls /run/netvm/estate)" ]; }
check "nothing is left" until_true 10 nothing

done_testing
