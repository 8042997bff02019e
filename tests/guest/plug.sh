#!/bin/bash
# Devices of a guest that runs already: its NF waits, gets them, loses them, and gets them again; the
# QEMU is somebody else's, and goes on running.
. "$(dirname "$0")/lib.sh"

plugged='inner: {image: external-guest, user: nobody, monitor: /run/test/vm.qmp}'
web monitor "$monitor" >without.yaml
web monitor,inner "$monitor" "$plugged" >with.yaml
between_hosts <with.yaml
check "declared, not there yet" equal "$(stat_of .nfs.inner.state)" declared
check "that is told" event guest-monitor nfs.inner

# The NF starts long before its devices. The daemon may use the monitor, since umask lets it.
boot() {
	local ports
	eval "ports=($(netvm guest show inner))"
	umask 000
	exec setpriv --reuid nobody --regid nogroup --clear-groups "$qemu" -nodefaults \
		-no-user-config -no-reboot -display none -machine q35 -accel tcg -cpu max -m 128 \
		-smp 1,maxcpus=2 -serial stdio -kernel $image/vmlinux -initrd $image/initramfs \
		-append "$(cat $image/cmdline) NETVM_NAME=inner NETVM_WAIT=1" "${ports[@]}" \
		-qmp unix:/run/test/vm.qmp,server=on,wait=off </dev/null
}
(boot) >qemu.log 2>&1 &
pid=$!
check "its devices are plugged in" until_true 60 event_seen guest-plugged nfs.inner
check "the NF that waited attaches" guest_running inner
check "packets pass through it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
check "the guest had them" comes_true '.nfs.inner | .tx_pkts >= 10 and .tx_pkts == .rx_pkts'

for round in 1 2; do
	check "taken out" netvm config apply without.yaml
	check "its devices are unplugged" event guest-unplugged nfs.inner
	check "packets pass without it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
	check "put in again" netvm config apply with.yaml
	check "the NF attaches again" guest_running inner
	check "packets pass through it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
done
check "all in one QEMU" kill -0 $pid
check "and one NF" equal "$(grep -c ended qemu.log)" 0
check "nothing was lost" equal 0 "$(stat_of '.books.drops | del(.["service-down"]) | [.[]] | add // 0')"

kill -KILL $pid
wait $pid 2>/dev/null
check "its end is seen" until_true 10 stat_is .nfs.inner.state detached
(boot) >qemu2.log 2>&1 &
pid=$!
check "the next one at this monitor gets them" guest_running inner
check "packets pass through it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
refused "libvirt has no words for it" "qemu:commandline" netvm guest show inner --libvirt
refused "only for a guest of somebody else" "nfs.monitor.monitor" \
	netvm nf set monitor monitor=/run/test/vm.qmp

stop
check "the guest goes on" kill -0 $pid
start <with.yaml
address client 10.0.0.1/24
address server 10.0.0.2/24
check "a new daemon takes the old devices out and plugs its own" guest_running inner
check "packets pass through it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
killed
start_again
check "so does one that follows one that was killed" guest_running inner
check "packets pass through it" until_true 10 on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
check "and the guest still goes on" kill -0 $pid

done_testing
