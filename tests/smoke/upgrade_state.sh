#!/bin/bash
# State is handed over: a TCP connection through a stateful firewall, whose rules let only its
# beginning in, survives upgrades of the firewall; the monitor behind goes on counting.
. "$(dirname "$0")/lib.sh"

# The rules know a connection by its SYN only; from the middle none may begin.
cat >rules <<-RULES
	allow established
	allow proto icmp
	allow proto tcp from 10.0.0.0/24 to 10.0.0.2 port 7
	default drop
RULES
sed 's/^allow established/allow established related/' rules >rules2
hosts client server
for version in 1 2; do
	cp /run/build/nfs/netvm-firewall "firewall$version"
done
cp /run/build/nfs/netvm-monitor .
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  firewall: {command: "/run/test/firewall1 --rules /run/test/rules", user: nobody}
  monitor: {command: "netvm-monitor --json --output /run/test/monitor.json", user: nobody}
chains:
  web: {from: client, to: server, path: [firewall, monitor]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running

# A conversation: each number that goes there comes back, over one connection, as long as FILE is.
cat >talk.py <<-'PY'
	import os, socket, sys
	def server():
	    listener = socket.create_server(("10.0.0.2", 7))
	    print("listening", flush=True)
	    peer, _ = listener.accept()
	    while data := peer.recv(65536):
	        peer.sendall(data)
	def client():
	    peer = socket.create_connection(("10.0.0.2", 7), timeout=300)
	    count = 0
	    while os.path.exists("go"):
	        peer.sendall(count.to_bytes(8, "big"))
	        answer = b""
	        while len(answer) < 8:
	            answer += peer.recv(8 - len(answer))
	        assert int.from_bytes(answer, "big") == count
	        count += 1
	    print(count)
	{"server": server, "client": client}[sys.argv[1]]()
PY
touch go
on server python3 talk.py server >server.log 2>&1 &
until_true 10 grep -q listening server.log
on client python3 talk.py client >talk.log 2>&1 &
talk=$!

packets() { stat_of .nfs.monitor.tx_pkts; }
going_on() { at_least "$(packets)" $(($1 + 20)); }
check "the connection is there" until_true 10 going_on "$(packets)"
upgrade_often() {
	local i
	for ((i = 0; i < 10; i++)); do
		netvm nf upgrade firewall --binary "/run/test/firewall$((2 - i % 2))" --probation 0 >upgrade.log ||
			{ cat upgrade.log; return 1; }
		grep -q "bytes of state handed over" upgrade.log || { cat upgrade.log; return 1; }
	done
}
check "the firewall is upgraded under it" upgrade_often
check "and its rules are others" netvm nf upgrade firewall \
	--command "/run/test/firewall2 --rules /run/test/rules2" --probation 0
check "the connection goes on" until_true 10 going_on "$(packets)"
refused "one that does not start is taken back" "no-rules" \
	netvm nf upgrade firewall --command "/run/test/firewall1 --rules /run/test/no-rules"
refused "one that is no firewall, and crashes, is taken back" "signal 6" \
	netvm nf upgrade firewall --command "netvm-delay --crash-after 50"
check "the connection goes on, with the state of before" until_true 10 going_on "$(packets)"

tally() {
	rm -f monitor.json
	kill -USR1 "$(stat_of .nfs.monitor.pid)"
	until_true 10 jq -e . monitor.json && jq .total.packets monitor.json
}
before=$(tally)
check "the monitor is upgraded" netvm nf upgrade monitor --binary /run/test/netvm-monitor --probation 0
check "it goes on counting" at_least "$(tally)" "$before"
rm go
wait $talk
check "nothing was said wrong" grep -qx '[0-9]*' talk.log

# ---- what is no state --------------------------------------------------------------------------

check "the next one need not know of state" netvm nf upgrade monitor --command netvm-forward --probation 0
check "nor the one before" netvm nf upgrade monitor --command netvm-monitor --probation 0
refused "a firewall has no use for a monitor's figures" "cannot go on|ended|status" \
	netvm nf upgrade monitor --command "/run/test/firewall1 --rules /run/test/rules"

done_testing
