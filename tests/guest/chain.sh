#!/bin/bash
# One chain through a process, a guest and a process: the same packets, in the same memory.
. "$(dirname "$0")/lib.sh"

between_hosts < <(web monitor,inner,forward "$monitor" "$inner" \
	'forward: {command: "netvm-forward --next", user: nobody}')
guest_running inner

check "ping passes" on client ping -q -c 10 -i 0.05 -W 30 10.0.0.2
check "the guest got the packets and gave them back" \
	comes_true '.nfs.inner | .tx_pkts >= 20 and .tx_pkts == .rx_pkts'
# The manager has nothing to do with packets: it looks at this and that now and then, and sleeps.
switches() { awk '/^voluntary/ {print $2}' "/proc/$daemon/task/$daemon/status"; }
before=$(switches) begin=$SECONDS
on client ping -q -c 200 -i 0.005 -W 30 10.0.0.2 >/dev/null
check "the manager slept meanwhile" less "$(($(switches) - before))" \
	$((60 * (SECONDS - begin + 1)))
check "QEMU runs as nobody" equal "$(stat -c %U "/proc/$(stat_of .nfs.inner.pid)")" nobody

head -c 3000000 /dev/urandom >file
on server python3 -m http.server 80 >http.log 2>&1 &
until_true 10 listening server 80
download() { on client curl -s --max-time 600 http://10.0.0.2/file | sha256sum; }
check "a download through it arrives as it was" equal "$(download)" "$(sha256sum <file)"
check "it was woken by a doorbell" comes_true '.nfs.inner.wakeups > 0'
check "all of it went through the guest" comes_true '.nfs.inner.tx_bytes >= 3000000'

# Where a packet lies at each hop, as an offset in the group's memory: the guest sees it behind a BAR,
# the processes mapped it, and it is the same place.
netvm -j trace in_port=client protocol=icmp >trace &
while kill -0 $! 2>/dev/null; do on client ping -q -c 1 -W 30 10.0.0.2 >/dev/null; done
holds() { cat trace; jq -e "$1" trace; }
check "a trace shows process, guest, process" holds '[.packets[0].steps[] | select(.what == "nf") |
	[.nf, .image]] == [["monitor", "process"], ["inner", "guest"], ["forward", "process"]]'
check "one buffer at one address at each hop" holds \
	'[.packets[0].steps[] | [.group, .buffer, .generation, .address, .offset]] | unique | length == 1'
check "and out of the port" holds '.packets[0] | .end == "sent" and .steps[-1].port == "server"'
check "nothing was copied at a border" equal "$(stat_of .books.copied)" 0

check "its command line can be seen" grep -q "^/.*/qemu-system-x86_64 .*ivshmem-doorbell" \
	<(netvm guest show inner)
check "and pasted into libvirt" grep -q "<server path='/run/netvm/guest/inner.group'/>" \
	<(netvm guest show inner --libvirt)
refused "a process has none" "is no guest" netvm guest show monitor

check "a change restarts it" netvm nf set inner guest.memory_mb=160
check "with more memory" guest_running inner
check "ping passes" until_true 10 on client ping -q -c 2 -i 0.05 -W 30 10.0.0.2
refused "an image that is not there" "nfs.other.guest.boot.*vmlinux" \
	netvm nf add other image=guest guest.boot=/run/test
check "it can be removed" netvm config apply - <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
YAML
no_sockets() { [ -z "$(ls /run/netvm/guest)" ]; }
check "when it has powered off its sockets are, too" until_true 10 no_sockets

done_testing
