#!/bin/bash
# An ordinary Debian as a guest, as docs/guests.md tells it: its own boot loader, kernel and systemd,
# in which a unit starts the NF, and QEMU's command line typed by hand with what `netvm guest show`
# prints.
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(realpath "${NETVM_BUILD:-$root/build}")

# What the document puts into an image; the unit is the document's.
if [ -z "${NETVM_PRIVATE:-}" ] && [ "$(id -u)" = 0 ]; then
	made=$(mktemp -d "$build/guest-debian.XXXXXX")
	units=$made/root/etc/systemd/system
	mkdir -p "$units/multi-user.target.wants" "$made/root/usr/local/bin"
	cp "$build/nfs/netvm-firewall-static" "$made/root/usr/local/bin/"
	printf '%s\n' "allow proto icmp" "default drop" >"$made/root/etc/fw.rules"
	sed -n '/^cat >netvm-nf.service/,/^END$/p' "$root/docs/guests.md" | sed '1d;$d' \
		>"$units/netvm-nf.service"
	ln -s ../netvm-nf.service "$units/multi-user.target.wants/"
	"$root/tools/debian-disk" "$made/disk" "$made/root" || { echo "Bail out! no disk"; exit 1; }
	mv "$made/disk" "$build/guest-debian.img"
	rm -r "$made"
fi
. "$here/lib.sh"
disk=/run/build/guest-debian.img

between_hosts < <(web fw "fw: {image: external-guest, user: nobody}")

pings() { on client ping -q -c 5 -i 0.05 -W 30 10.0.0.2; }

mkfifo monitor
exec 7<>monitor
eval "devices=($(netvm guest show fw --qemu))"
setpriv --reuid nobody --regid nogroup --clear-groups "$qemu" -machine q35 -accel tcg -cpu max \
	-smp 1,maxcpus=2 -m 512 -nodefaults -display none -monitor stdio -serial file:console \
	-drive if=virtio,format=raw,snapshot=on,file=$disk "${devices[@]}" <monitor >qemu.log 2>&1 &
pid=$!
check "an ordinary Debian's NF attaches" guest_running fw
check "packets pass through it" pings
check "it is woken, not polled" comes_true '.nfs.fw.wakeups > 0'
echo system_reset >&7
check "a reset is noticed" until_true 60 event_seen nf-detached nfs.fw
check "after it the NF attaches again" guest_running fw
check "packets pass through it" pings
check "of the same QEMU" test "$(stat_of .nfs.fw.pid)" = "$pid"
echo system_powerdown >&7
check "its power button is heard" until_true 60 gone $pid
done_testing
