#!/bin/bash
# netvmd is started by root and does not stay it: another user, few capabilities, a filter of system
# calls; it still starts NFs as other users, opens ports in namespaces and saves its document.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
chains:
  wire: {from: client, to: server, path: [monitor]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running

# of PROCESS FIELD: of all its threads, each value once.
of() { grep -h "^$2:" /proc/"$1"/task/*/status | cut -f2- | sort -u; }
names() { capsh --decode="$1" | cut -d= -f2; }

helper=$(pgrep -P "$daemon" -f netvmd | head -n 1)
# A build with a sanitizer has no filter.
grep -q __asan_init /run/build/manager/netvmd && filter=0 || filter=2
kept=cap_kill,cap_net_admin,cap_net_raw,cap_ipc_lock,cap_sys_admin,cap_sys_nice,cap_bpf

check "netvmd runs as netvm" equal "$(of "$daemon" Uid)" "$(printf '900\t900\t900\t900')"
check "in the group netvm only" equal "$(of "$daemon" Groups | tr -d ' ')" 900
check "capabilities that ports and NFs need" equal "$(names "$(of "$daemon" CapEff)")" $kept
check "no others to be had" equal "$(names "$(of "$daemon" CapPrm)")" $kept
check "none for programs it executes" equal "$(of "$daemon" CapBnd)" 0000000000000000
check "no new ones" equal "$(of "$daemon" NoNewPrivs)" 1
check "all its threads have the filter" equal "$(of "$daemon" Seccomp)" $filter
check "the helper can change users, no more" equal "$(names "$(of "$helper" CapEff)")" \
	cap_setgid,cap_setuid
check "and is not root either" equal "$(of "$helper" Uid)" "$(printf '900\t900\t900\t900')"
check "NFs have nothing" equal "$(of "$(stat_of .nfs.monitor.pid)" CapEff)" 0000000000000000
check "and no filter of somebody else's needs" equal "$(of "$(stat_of .nfs.monitor.pid)" Seccomp)" 0

check "packets pass" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2
check "a port is added" netvm port add late "spec=tap:late0,netns=client"
check "an NF is added" netvm nf add second command=netvm-monitor user=daemon
check "it runs" until_true 10 stat_is .nfs.second.state running
check "and is removed" netvm nf del second
check "the document is saved" netvm config save
refused "where only root may write it is not" "Permission denied" \
	netvm config save /etc/netvm.yaml
refused "no NF runs as root" "nfs.evil.user: no NF is started as root" \
	netvm nf add evil command=netvm-monitor user=root
refused "nor as the daemon's user" "no NF is started as netvm" \
	netvm nf add evil command=netvm-monitor user=netvm
check "doctor is content" grep -q "ok .*privileges" <<<"$(netvm doctor)"

kill -KILL "$helper"
refused "without the helper no NF starts" "helper that starts NFs" netvm nf restart monitor
check "but packets pass" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2
stop

refused "a user that does not exist" "no user nobody-knows-me" \
	netvmd --config netvm.yaml --user nobody-knows-me
mkdir /run/roots
refused "a folder that is root's" "chown -R [0-9]+: /run/roots" \
	netvmd --config netvm.yaml --run-dir /run/roots
start --user root <netvm.yaml
check "told to stay root, it does" equal "$(of "$daemon" Uid)" "$(printf '0\t0\t0\t0')"
check "and warns" event privileges
check "doctor, too" grep -q "warn .*privileges" <<<"$(netvm doctor)"

done_testing
