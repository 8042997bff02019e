#!/bin/bash
# netvmd with what its systemd unit leaves it: never root, few capabilities, fewer system calls. It
# must still open each kind of port, confine itself and start NFs as other users.
. "$(dirname "$0")/lib.sh"

unit=/run/build/manager/netvm.service
grep -q __asan_init /run/build/manager/netvmd && skip_all "a sanitizer needs more than the unit gives"
command -v systemd-analyze >/dev/null || skip_all "no systemd-analyze on this machine"
score=$(systemd-analyze security --offline=true --no-pager "$unit" 2>/dev/null |
	sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
check "systemd finds it at most 2.5 exposed" awk -v "score=$score" \
	'BEGIN { print "score", score; exit score == "" || score > 2.5 }'

# What systemd would do before: folders of that user, and the limit of LimitMEMLOCK=.
mkdir -p /run/netvm/nf /run/netvm/guest /var/lib/netvm
chown -R netvm: /run/netvm /var/lib/netvm
ulimit -l unlimited 2>/dev/null && xdp="af_xdp:x0" || xdp="af_packet:x0"
mkdir bin
cp "$here/as_unit.py" bin/ # where its user can read it, wherever the sources lie
printf '#!/bin/sh\nexec python3 %s %s /run/build/manager/netvmd "$@"\n' "$PWD/bin/as_unit.py" "$unit" \
	>bin/netvmd
chmod +x bin/netvmd
PATH=/run/test/bin:$PATH

ip link add name x0 type veth peer name x1
ip link add name r0 type veth peer name r1
for link in x0 x1 r0 r1; do ip link set $link up; done
# What systemd would hear.
cat >hear.py <<-PYTHON
	import os, socket
	ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	ear.bind("notify")
	os.chmod("notify", 0o777)
	while True:
	    print(ear.recv(4096).decode(), flush=True)
PYTHON
python3 hear.py >heard &
until_true 10 test -S notify
export NOTIFY_SOCKET=/run/test/notify RUNTIME_DIRECTORY=/run/netvm:/run/netvm/guest:/run/netvm/nf

start <<-YAML
ports:
  tap: {spec: "tap:tap0"}
  xdp: {spec: "$xdp"}
  raw: {spec: "af_packet:r0"}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
chains:
  wire: {from: tap, to: raw, path: [monitor], default: true}
YAML
nfs_running

of() { grep -h "^$2:" /proc/"$1"/task/*/status | cut -f2- | sort -u; }

check "it is not root" equal "$(of "$daemon" Uid)" "$(printf '900\t900\t900\t900')"
check "its capabilities" equal "$(capsh --decode="$(of "$daemon" CapEff)" | cut -d= -f2)" \
	cap_kill,cap_net_admin,cap_net_raw,cap_sys_nice,cap_bpf
check "its own filter came on top" equal "$(netvm -j doctor | grep -c 'with a seccomp filter')" 1
check "the NF is nobody, without privileges" equal "$(of "$(stat_of .nfs.monitor.pid)" CapEff)" \
	0000000000000000
check "packets pass" until_true 10 stat_is '.nfs.monitor.tx_pkts > 0' true
check "no word of anything missing" fails_saying "" grep -i "privileges:\|not permitted\|EAL:" netvmd.log

# What systemctl reload does.
nf=$(stat_of .nfs.monitor.pid)
reload() {
	python3 bin/as_unit.py $unit /run/build/cli/netvm daemon restart \
		--binary /run/build/manager/netvmd 2>>netvmd.log
}
restarted reload
check "systemd is told" until_true 10 grep -qx "MAINPID=$daemon" heard
check "and not that the service stops" fails_saying "" grep STOPPING heard
nfs_running
check "the same NF" equal "$(stat_of .nfs.monitor.pid)" "$nf"
check "the same user" equal "$(of "$daemon" Uid)" "$(printf '900\t900\t900\t900')"
check "still no word of anything missing" fails_saying "" grep -i "privileges:\|not permitted\|EAL:" netvmd.log

done_testing
