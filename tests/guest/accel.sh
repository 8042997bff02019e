#!/bin/bash
# accel: auto: KVM is tried, and whether it works or not, the guest runs.
. "$(dirname "$0")/lib.sh"

[ -e /dev/kvm ] || skip_all no /dev/kvm
# Users who may open it, and who may not.
group=$(stat -c %g /dev/kvm)
echo "opens:x:901:$group::/nonexistent:/usr/sbin/nologin" >>/run/passwd

start <<-YAML
nfs:
  may: {image: guest, user: opens, guest: {boot: $image, qemu: $qemu}}
  not: {image: guest, user: nobody, guest: {boot: $image, qemu: $qemu}}
YAML
tried() { netvm -j events | jq -r '.events[] | select(.kind == "guest-accel").message' | grep "$1"; }
accel_of() { netvm guest show "$1" | grep -o 'accel [a-z]*'; }

check "one who may not open it is emulated" \
	until_true 60 tried "user nobody are emulated: .*ermission denied"
check "that guest runs" guest_running not
check "by emulation" equal "$(accel_of not)" "accel tcg"
check "one who may open it gets what a try showed" until_true 60 tried "user opens"
check "that guest runs, too" guest_running may
tried "user opens" | sed 's/^/# /'
if [ "$(accel_of may)" = "accel kvm" ]; then
	check "under KVM" tried "user opens run under KVM"
else
	check "by emulation" tried "user opens are emulated"
fi
check "it is tried once" netvm nf restart may
check "not again" equal "$(tried . | wc -l)" 2
check "the guest runs again" guest_running may

done_testing
