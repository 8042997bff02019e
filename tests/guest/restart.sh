#!/bin/bash
# Guests outlive their daemon, killed or replaced under traffic: the next one gives them devices of its
# own, and their NFs attach again by themselves. One that does not answer is ended and booted again, one
# that is not wanted is ended.
. "$(dirname "$0")/lib.sh"

between_hosts < <(web monitor,inner "$monitor" "$inner")
guest_running inner
process=$(stat_of .nfs.monitor.pid)
first=$(stat_of .nfs.inner.pid)
booted() { pgrep -f "^[^ ]*qemu-system-x86_64 "; }
starts() { grep -c "netvm: starting" /run/netvm/nf/inner.log; }

# Both NFs are what they were, and the chain works as before.
goes_on() {
	check "its NF attaches again" guest_running inner
	check "in the same QEMU" equal "$(stat_of .nfs.inner.pid)" "$first"
	check "and it is the same NF" equal "$(starts)" 1
	check "the process stayed" equal "$(stat_of .nfs.monitor.pid)" "$process"
	check "packets pass through it" comes_true '.nfs.inner.tx_pkts > 50'
	check "it is woken, not polled" comes_true '.nfs.inner.wakeups > 0'
	kill -INT $ping
	wait $ping
	check "ping passes" on client ping -q -c 2 -i 0.05 -W 30 10.0.0.2
	check "nothing else was dropped than what came before it" equal 0 \
		"$(stat_of '.books.drops | del(.["service-down"], .["chain-overload"]) | [.[]] | add // 0')"
	check "the books balance" books_balance
}
pinging_on() {
	ip netns exec client ping -i 0.005 10.0.0.2 >ping.log &
	ping=$!
	until_true 10 stat_is '.nfs.inner.tx_pkts > 50' true
}

pinging_on
killed
check "a guest goes on without its daemon" kill -0 "$first"
start_again
goes_on

pinging_on
restarted netvm daemon restart
goes_on

killed
kill -STOP "$first"
start_again
check "one that does not answer" until_true 60 event_seen guest-lost nfs.inner
check "is ended" until_true 10 gone "$first"
check "and another one booted" guest_running inner
check "one QEMU runs" equal "$(booted)" "$(stat_of .nfs.inner.pid)"
check "ping passes" until_true 10 on client ping -q -c 2 -i 0.05 -W 30 10.0.0.2

killed
web monitor "$monitor" >netvm.yaml
start_again
check "one that is not in the document any more is ended" event nf-orphan nfs.inner
check "no QEMU is left" until_true 10 fails_saying "^$" booted

done_testing
