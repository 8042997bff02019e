#!/bin/bash
# A guest ends with its daemon, killed or replaced, and is booted again by the next; processes stay.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
  inner: {image: guest, command: netvm-monitor, guest: {$guest}}
chains:
  web: {from: client, to: server, path: [monitor, inner], default: true}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
guest_running inner
process=$(stat_of .nfs.monitor.pid)
booted() { pgrep -f "^[^ ]*qemu-system-x86_64 "; }
first=$(booted)

killed
check "it ends with the daemon that was killed" until_true 10 gone "$first"
start_again
check "the next one boots it again" guest_running inner
check "the process stayed" equal "$(stat_of .nfs.monitor.pid)" "$process"
check "ping passes" until_true 10 on client ping -q -c 2 -i 0.05 -W 30 10.0.0.2

first=$(booted) old=$daemon
start_again --replace
wait "$old"
check "the one that was replaced has ended well" equal $? 0
check "the guest has ended with it" until_true 10 gone "$first"
check "and was booted again" guest_running inner
one_booted() { [ "$(booted | wc -l)" = 1 ]; }
check "one QEMU runs" until_true 10 one_booted
check "the process stayed" equal "$(stat_of .nfs.monitor.pid)" "$process"
check "ping passes" until_true 10 on client ping -q -c 2 -i 0.05 -W 30 10.0.0.2

done_testing
