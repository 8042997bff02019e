#!/bin/bash
# Guests that have booted already: an NF takes one in no time, a copy of a template stands in when
# there is none, a guest moves to another QEMU under traffic, and nothing of it is used twice.
. "$(dirname "$0")/lib.sh"

between_hosts <<-YAML
$(web monitor "$monitor")
groups:
  other: {buffers: 256}
pools:
  small: {idle: 1, guest: {$guest}}
YAML

idle() { stat_is .pools.small.idle "$1"; }
check "a guest waits" until_true 60 idle 1
check "it is a copy of a template" at_least "$(stat_of .pools.small.template_bytes)" 1000000

check "an NF takes it" netvm nf add inner image=guest pool=small command=netvm-monitor
check "and runs in it" guest_running inner
pid=$(stat_of .nfs.inner.pid)
check "as nobody" equal "$(stat -c %U "/proc/$pid")" nobody
check "another one takes its place" until_true 60 idle 1
check "not the same" equal "$(stat_of .pools.small.taken)" 1

netvm chain set web path=monitor,inner on_failure=hold hold_ms=60000 hold_pkts=16384 >/dev/null
check "packets pass through it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
check "it is woken, not polled" comes_true '.nfs.inner.wakeups > 0'
check "the guest had them" comes_true '.nfs.inner | .tx_pkts >= 10 and .tx_pkts == .rx_pkts'

# Under traffic to another QEMU: nothing is lost, comes twice or out of order. What comes meanwhile is
# held.
ip netns exec client ping -i 0.01 10.0.0.2 >ping.log &
ping=$!
until_true 10 stat_is '.nfs.inner.rx_pkts > 200' true
check "asked to move" netvm guest migrate inner
check "it has moved" event guest-moved nfs.inner
check "to another process" test "$(stat_of .nfs.inner.pid)" != "$pid"
check "the first one is gone" until_true 10 test ! -e "/proc/$pid"
check "its NF attaches again" guest_running inner
before=$(stat_of .nfs.inner.tx_pkts)
until_true 10 stat_is ".nfs.inner.tx_pkts > $before + 200" true
kill -INT $ping
wait $ping
sequence=$(sed -n 's/.*icmp_seq=\([0-9]*\).*/\1/p' ping.log)
check "nothing came twice or out of order" sort --numeric --unique --check <<<"$sequence"
check "nothing is missing" equal "$(wc -l <<<"$sequence")" "$(tail -n 1 <<<"$sequence")"
check "nothing was dropped" equal 0 "$(stat_of .books.dropped)"
check "packets pass through it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
check "books balance" books_balance

# The daemon is killed: the NF keeps its guest, the ones that wait are made anew.
pid=$(stat_of .nfs.inner.pid)
others() { pgrep -f "^[^ ]*qemu-system-x86_64 .*guest=pool:" | grep -vx "$pid"; }
idle_ones=$(others)
check "one waits" test -n "$idle_ones"
killed
start_again
check "the NF of a guest attaches again" guest_running inner
check "in the same one" equal "$(stat_of .nfs.inner.pid)" "$pid"
check "packets pass through it" until_true 10 on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
check "it is woken, not polled" stat_is '.nfs.inner.wakeups > 0' true
check "what waited is gone" gone $idle_ones
check "and made anew" until_true 60 idle 1
check "it can still move" netvm guest migrate inner
check "which it does" event guest-moved nfs.inner
check "and its NF attaches again" guest_running inner
check "the one it left is gone" until_true 10 gone "$pid"
check "books balance" books_balance

check "a guest that dies is thrown away" kill -KILL "$(stat_of .nfs.inner.pid)"
check "and another one taken" until_true 60 stat_is '.nfs.inner | .restarts >= 1 and .state == "running"' true

check "without a spare one" netvm pool set small idle=0
check "the NF waits for a copy" netvm nf add next image=guest pool=small
check "and gets it" guest_running next
refused "a pool serves one group" "give each group a pool" \
	netvm nf add alien image=guest pool=small group=other
refused "its guests are what the pool says" "nfs.odd.user" \
	netvm nf add odd image=guest pool=small user=nobody
refused "not without an image" "vmlinux" netvm pool add bad guest.boot=/run/test
refused "nor has its NF an image of its own" "image: NF next has its guest from the pool small" \
	netvm nf upgrade next --image /srv/other
refused "a process does not move" "take it from a pool" netvm guest migrate monitor

check "all go" netvm config apply - <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
YAML
nothing_left() { [ -z "$(ls /run/netvm/guest)" ] && ! ls /run/netvm/nf/pool:*; }
check "and leave nothing behind" until_true 10 nothing_left

done_testing
