#!/bin/bash
# A guest that somebody else starts, by hand or by libvirt: the daemon waits for any QEMU of the
# declared user, and for the next one when it is gone.
. "$(dirname "$0")/lib.sh"

between_hosts <<-YAML
$(web inner "inner: {image: external-guest, user: nobody}" \
	"apart: {image: external-guest, user: nobody, group: other}")
groups:
  other: {buffers: 256}
YAML
check "declared, not there yet" equal "$(stat_of .nfs.inner.state)" declared

# boot USER NAME [WORDS]: a QEMU typed by hand; the devices are what `netvm guest show` says.
boot() {
	local devices
	eval "devices=($(netvm guest show inner))"
	exec setpriv --reuid "$1" --regid nogroup --clear-groups "$qemu" -nodefaults \
		-no-user-config -no-reboot -display none -machine q35 -accel tcg -cpu max -m 128 \
		-smp 1,maxcpus=2 -serial stdio -kernel $image/vmlinux -initrd $image/initramfs \
		-append "$(cat $image/cmdline) NETVM_NAME=$2 ${3:-}" "${devices[@]}"
}

(boot daemon inner) </dev/null >stranger.log 2>&1
check "another user's QEMU gets no memory" grep -q "server sent version -1" stranger.log
check "and the events say who" event nf-refused nfs.inner

refused "nor can a process take its name" "image: external-guest" \
	/run/build/nfs/netvm-monitor --name inner

# An NF that its guest starts again and again; what is typed at its console kills it.
mkfifo console
exec 7<>console
(boot nobody inner '-- busybox sh -c "while :; do netvm-monitor & read line; kill -9 $!; wait; done"') \
	<console >qemu.log 2>&1 &
pid=$!
check "attached" guest_running inner
check "packets pass through it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
check "it is woken, not polled" comes_true '.nfs.inner.wakeups > 0'
echo >&7
check "an NF killed inside is noticed when the next one comes" event nf-detached nfs.inner
check "which attaches in the same guest" guest_running inner
check "packets pass through that one" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
check "of the same QEMU" test "$(stat_of .nfs.inner.pid)" = "$pid"
kill -KILL $pid
wait $pid 2>/dev/null
check "its end is seen" until_true 10 stat_is .nfs.inner.state detached
check "the books balance" books_balance

(boot nobody apart) </dev/null >qemu2.log 2>&1
check "a guest cannot take another guest's name" grep -q "declared are: inner" qemu2.log
check "nor reach its group" equal "$(stat_of .nfs.apart.state)" declared

(boot nobody inner) </dev/null >qemu3.log 2>&1 &
pid=$!
check "the next one attaches" guest_running inner
check "packets pass through it" on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2
check "asked to leave" netvm nf restart inner
wait $pid
check "it powers off" equal $? 0

done_testing
