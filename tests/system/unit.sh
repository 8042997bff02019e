#!/bin/bash
# The packaged unit under a real systemd: a Debian with this build installed boots in QEMU and tests
# itself. See README.md.
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(realpath "${NETVM_BUILD:-$root/build}")
qemu=${NETVM_QEMU:-qemu-system-x86_64}

skip() {
	echo "1..0 # skip $*"
	exit 77
}

[ "$(id -u)" = 0 ] || skip "needs root"
command -v "$qemu" >/dev/null || skip "no $qemu on this machine"
grep -q __asan_init "$build/manager/netvmd" && skip "Debian's installation has no sanitizer"

machine=$(mktemp -d "$build/machine.XXXXXX")
qemu_pid=
trap '[ -z "$qemu_pid" ] || kill "$qemu_pid" 2>/dev/null; rm -f "$machine/disk"' EXIT
trap 'exit 130' INT TERM HUP

# What the machine has besides Debian: the installation, and the tests as a service.
DESTDIR=$machine/root meson install -C "$build" --no-rebuild --quiet || exit 1
units=$machine/root/etc/systemd/system
mkdir -p "$units/multi-user.target.wants" "$units/netvm.service.d" "$machine/root/root"
cp "$here/inside.sh" "$root/tests/smoke/check.sh" "$machine/root/root/"
cat >"$units/check.service" <<-END
	[Unit]
	After=netvm.service
	[Service]
	ExecStart=/bin/bash /root/inside.sh
	StandardOutput=file:/dev/ttyS1
	StandardError=inherit
END
cat >"$units/cable.service" <<-END
	[Unit]
	DefaultDependencies=no
	Before=network-pre.target netvm.service
	[Service]
	Type=oneshot
	ExecStart=/bin/bash /root/inside.sh cable
END
ln -s ../check.service ../cable.service "$units/multi-user.target.wants/"
printf '%s\n' '[Service]' TimeoutStartSec=10min >"$units/netvm.service.d/emulation.conf"
"$root/tools/debian-disk" "$machine/disk" "$machine/root" || exit 1

setpriv --pdeathsig KILL "$qemu" -nodefaults -no-user-config -display none \
	-machine q35,smm=off,hpet=off -accel tcg -cpu max -smp 2 -m 1024 \
	-drive "if=virtio,format=raw,file=$machine/disk" \
	-serial "file:$machine/console" -serial "file:$machine/said" </dev/null &
qemu_pid=$!
wait $qemu_pid
qemu_pid=
tr -d '\r' <"$machine/said"
grep -q '^1\.\.' "$machine/said" || {
	tail -n 40 "$machine/console"
	echo "Bail out! the machine ended without a last word; see $machine/console"
	exit 1
}
grep -q '^not ok' "$machine/said" && { echo "# see $machine/console"; exit 1; }
rm -r "$machine"
