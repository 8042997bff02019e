#!/bin/bash
# An NF at half load is upgraded again and again: numbered packets at a steady rate, none lost, none
# twice, none out of order. A new program that fails, at once or later, leaves the old one in its
# place. UPGRADES=1000 RATE=100000 tests/smoke/upgrade.sh for a long run on a machine with no other
# work: the default rate is at most what the rings hold for 8 s.
. "$(dirname "$0")/lib.sh"

upgrades=${UPGRADES:-20}
rate_max=${RATE:-4000}

# A cable from one port to the other: what the generator sends out comes in again.
ip link add out type veth peer name in
sysctl -qw net.ipv6.conf.out.disable_ipv6=1 net.ipv6.conf.in.disable_ipv6=1
ip link set out up && ip link set in up
for version in 1 2; do
	cp /run/build/nfs/netvm-monitor "monitor$version"
done
cp /run/build/nfs/netvm-delay .
cat >dies <<-'SH'
	#!/bin/sh
	exit 3
SH
cat >mute <<-'SH'
	#!/bin/sh
	exec sleep 1000
SH
printf '\177ELFnot really' >garbage
chmod 755 dies mute garbage
generate() { echo "netvm-speed generate --to out --flows 16 $*"; }
# One worker on one CPU: the kernel keeps the order of what goes through a cable per CPU.
start <<-YAML
engine: {cpus: [$a_cpu]}
groups:
  default: {buffers: 65536}
ports:
  out: {spec: "af_packet:out"}
  in: {spec: "af_packet:in"}
nfs:
  work: {command: /run/test/monitor1, user: nobody, ring: 32768}
  sink: {command: "netvm-speed sink --json --output /run/test/sink.json", user: nobody, ring: 32768}
  gen: {command: "netvm-speed sink", user: nobody}
chains:
  test: {from: in, to: out, path: [work, sink]}
  gen: {from: out, to: in, path: [gen], default: false}
YAML
nfs_running

received() { stat_of .nfs.sink.tx_pkts; }
flowing() { at_least "$(received)" $(($1 + rate / 20)); }
# The sink's own figures: gaps and what came late, by the numbers in the packets.
sink_says() {
	rm -f sink.json
	kill -USR1 "$(stat_of .nfs.sink.pid)"
	until_true 10 jq -e . sink.json && jq ".$1" sink.json
}
# A busy machine's kernel may lose some on the cable, between the two ports; the chain loses none.
cable() { stat_of '.ports.out.tx_pkts - .ports.in.rx_pkts'; }
in_order() {
	local lost late
	lost=$(sink_says lost)
	late=$(jq .late sink.json)
	equal "$late late, $(($(stat_of .books.dropped) - dropped)) dropped" "0 late, 0 dropped" &&
		{ [ "$lost" -eq 0 ] || at_least $(($(cable) - cable)) "$lost"; }
}
be_gen() { netvm nf upgrade gen --command "$1" --probation 0 >/dev/null; }

quiet() {
	local before
	before=$(received)
	sleep 0.2
	[ "$(received)" = "$before" ]
}

# Half of what goes through here and now, if that is not too much.
measure() {
	local start
	be_gen "$(generate)"
	start=$(received)
	sleep 1
	rate=$((($(received) - start) / 2))
	rate=$((rate < 100 ? 100 : rate > rate_max ? rate_max : rate))
}
measure
echo "# at $rate packets per second"
be_gen "netvm-speed sink"
netvm nf upgrade sink --binary netvm-speed --probation 0 >/dev/null # its figures begin anew
until_true 20 quiet # what the kernel still had, too
dropped=$(stat_of .books.dropped)
cable=$(cable)
be_gen "$(generate --timestamps --rate $rate)"
check "packets flow" until_true 10 flowing "$(received)"

upgrade_often() {
	local i
	for ((i = 0; i < upgrades; i++)); do
		netvm nf upgrade work --binary "/run/test/monitor$((2 - i % 2))" --probation 0 >upgrade.log ||
			{ cat upgrade.log; return 1; }
	done
}
before=$(received)
check "$upgrades upgrades" upgrade_often
check "packets flowed all the time" until_true 10 flowing "$before"
check "none lost, none twice, none out of order" in_order

check "a changed command goes the same way" netvm nf set work command="/run/test/monitor1 --top 3"
event nf-exit nfs.work
check "and a restart" netvm nf restart work
before=$(received)
check "packets flow" until_true 10 flowing "$before"
check "none lost by it" in_order
check "to one that keeps packets back" \
	netvm nf upgrade work --command "/run/test/netvm-delay --hold 100" --probation 0
before=$(received)
check "packets flow" until_true 10 flowing "$before"
check "and from it" netvm nf upgrade work --command /run/test/monitor1 --probation 0
check "none lost by that" in_order

# ---- what fails leaves the old one in its place ----------------------------------------------------

command_is() { equal "$(netvm -j nf show work | jq -r .command)" "$1"; }
old=$(netvm -j nf show work | jq -r .command)
refused "no such program" "no-such" netvm nf upgrade work --binary /run/test/no-such
refused "not a program" "garbage" netvm nf upgrade work --binary /run/test/garbage
refused "it ends at once" "status 3" netvm nf upgrade work --binary ./dies
check "the document is the old one" command_is "$old"
refused "nothing said" "say what is new" netvm nf upgrade work
refused "two things said" "say what is new" netvm nf upgrade work --binary a --command b
refused "no guest" "is no guest" netvm nf upgrade work --image /boot
refused "no such NF" "no NF" netvm nf upgrade wrk --binary a
refused "no time" "probation" netvm nf upgrade work --binary ./monitor2 --probation 1000000
netvm nf upgrade work --command /run/test/mute >mute.log 2>&1 &
upgrade=$!
until_true 10 stat_is .nfs.work.state starting
refused "two at once" "under way" netvm nf upgrade work --binary /run/test/monitor2
refused "a restart meanwhile" "under way" netvm nf restart work
refused "another change meanwhile" "waits to be confirmed" netvm nf set work restart=never
check "taken back by hand" netvm config rollback
wait $upgrade
check "which its caller hears" grep -q "changed again" mute.log
before=$(received)
check "packets flow on" until_true 10 flowing "$before"
check "and none of this lost any" in_order

told() { netvm -j events | jq "[.events[] | select(.kind == \"$1\" and .object == \"nfs.work\")] | length"; }
record() { netvm -j nf show work | jq -c '.now | [.restarts, .crash.count]'; }
backoffs=$(told nf-backoff)
record=$(record)
refused "it crashes after a while" "signal 6" \
	netvm nf upgrade work --command "/run/test/netvm-delay --crash-after $((rate / 2))"
check "the document is the old one" command_is "$old"
check "that it is started again, nobody was told" equal "$(told nf-backoff)" "$backoffs"
check "nor that anybody stands by" equal "$(told nf-standby)" 0
check "and it is no crash of this NF" equal "$(record)" "$record"
before=$(received)
check "packets flow on" until_true 10 flowing "$before"
check "what it had in its hands has a name" equal \
	"$(stat_of '.books.dropped - (.books.drops["nf-died"] // 0)')" "$dropped"

done_testing
