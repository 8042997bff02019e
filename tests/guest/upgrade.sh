#!/bin/bash
# An NF in a guest is upgraded while packets run through it: the new guest takes over when it works, and
# the one before comes back when it does not. State stays behind, and that is told.
. "$(dirname "$0")/lib.sh"

between_hosts < <(web inner "$inner")
guest_running inner

# Other folders with the same kernel: one good, one that finds no program to begin with.
mkdir good bad
cp $image/* good
cp $image/* bad
printf '%s rdinit=/no/such\n' "$(cat bad/cmdline)" >bad/cmdline
chmod a+rx good bad
pid=$(stat_of .nfs.inner.pid)
is_another() { test "$(stat_of .nfs.inner.pid)" != "$pid"; }
ends() { check "the one before ends" until_true 20 gone "$pid"; }
boots_from() { netvm -j config show | jq -r .nfs.inner.guest.boot | grep -x "$1"; }

ip netns exec client ping -i 0.02 10.0.0.2 >ping.log &
ping=$!
check "another image" netvm nf upgrade inner --image good --probation 1
check "runs in another QEMU" is_another
check "is in the document" boots_from /run/test/good
check "that its state stays behind is told" event nf-state nfs.inner
ends

pid=$(stat_of .nfs.inner.pid)
refused "one that does not boot" "the one before is back" \
	netvm nf upgrade inner --image bad --probation 1
check "the one before goes on" fails_saying "^$" is_another
check "in the document, too" boots_from /run/test/good
refused "one without its NF" "status 127" netvm nf upgrade inner --command no-such-nf --probation 1
refused "a program of the host" "binary: NF inner is a guest" netvm nf upgrade inner --binary netvm-monitor

# Longer than others wait for the first try of an NF.
check "one that takes its time" netvm nf upgrade inner --probation 1 \
	--command "busybox sh -c 'busybox sleep 11; exec netvm-monitor'"
check "that is told" event nf-slow nfs.inner
check "runs in another QEMU" is_another
ends

kill -INT $ping
wait $ping
check "nothing was lost meanwhile" grep " 0% packet loss" ping.log
check "books balance" books_balance

done_testing
