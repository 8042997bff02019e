#!/bin/bash
# Guests that die, hang and leave, while packets run through them: only their own packets are lost,
# each has a name, and the guest comes back.
. "$(dirname "$0")/lib.sh"

between_hosts < <(web inner "$inner")
guest_running inner

back() { stat_is ".nfs.inner | .restarts >= $1 and .state == \"running\"" true; }

on client ping -q -i 0.01 10.0.0.2 >/dev/null &
until_true 10 stat_is '.nfs.inner.tx_pkts > 50' true
pid=$(stat_of .nfs.inner.pid)
kill -KILL "$pid"
check "kill -9 of QEMU is seen" event nf-exit nfs.inner
check "the books balance" books_balance
check "it is started again" until_true 60 back 1
check "as a new process" test "$(stat_of .nfs.inner.pid)" != "$pid"
check "traffic again" until_true 10 on client ping -q -c 1 -W 1 10.0.0.2

kill -STOP "$(stat_of .nfs.inner.pid)"
check "a frozen guest does not stop the daemon" books_balance
kill -CONT "$(stat_of .nfs.inner.pid)"
check "thawed, it goes on" until_true 10 on client ping -q -c 1 -W 1 10.0.0.2

kill -TERM "$(stat_of .nfs.inner.pid)"
check "QEMU told to quit comes back as well" until_true 60 back 2
check "traffic again" until_true 10 on client ping -q -c 1 -W 1 10.0.0.2
check "what was lost has a name" equal 0 \
	"$(stat_of '.books.drops | del(.["nf-died"], .["service-down"], .["chain-overload"]) | [.[]] | add // 0')"

# One that takes itself down, again and again, with packets in its hands.
last_end() { stat_of .nfs.inner.last_exit | grep -q "$1"; }
goes_down() { # WHAT SYSRQ-KEY END
	local before
	before=$(stat_of .nfs.inner.restarts)
	check "a guest that $1" netvm nf set inner \
		command="busybox sh -c 'netvm-monitor & busybox sleep 1; echo $2 >/proc/sysrq-trigger'"
	check "its end has a name" until_true 60 last_end "$3"
	check "it is started again" until_true 60 back $((before + 1))
	check "the books balance" books_balance
}
on client ping -q -i 0.01 10.0.0.2 >/dev/null &
goes_down panics c "kernel panicked, or it was reset"
goes_down "powers off" o "exited with status 0"
check "one that works" netvm nf set inner command=netvm-monitor
check "takes its place" guest_running inner
check "traffic again" until_true 10 on client ping -q -c 1 -W 1 10.0.0.2

# ended_by COMMAND WANTED: the guest runs the command and is told of by its end.
ended_by() {
	netvm nf set inner restart=never "command=$1"
	until_true 60 stat_is .nfs.inner.state failed || return
	stat_of .nfs.inner.last_exit
	stat_of .nfs.inner.last_exit | grep -q "$2"
}

check "a program that is not there is told of" ended_by no-such-nf \
	"in the guest exited with status 127.*no-such-nf"
check "nf show tells it, too" grep -q "in the guest exited with status 127" <(netvm nf show inner)
check "a signal, too" ended_by "busybox sh -c 'kill -SEGV \$\$'" \
	"in the guest killed by signal 11 (Segmentation fault)"
restarts=$(stat_of .nfs.inner.restarts)
netvm nf set inner restart=on-failure command=no-such-nf
check "a guest that fails is tried again" \
	until_true 60 stat_is ".nfs.inner.restarts > $restarts" true

# Its console is a pipe that the daemon empties as fast as it likes.
log_kib() { du -k --apparent-size /run/netvm/nf/inner.log | cut -f1; }
printed_over() { test "$(log_kib)" -gt "$1"; }
check "a guest that prints without end" netvm nf set inner \
	command="busybox sh -c 'busybox yes & exec netvm-monitor'"
check "works" guest_running inner
check "and prints" until_true 30 printed_over 100
check "traffic meanwhile" until_true 10 on client ping -q -c 5 -i 0.2 -W 2 10.0.0.2
check "the log stays small" test "$(log_kib)" -le 1024

done_testing
