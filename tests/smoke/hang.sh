#!/bin/bash
# An NF that hangs is told from one that idles and one that is slow: stopped by a signal or caught in a
# loop with packets waiting, it is taken out, killed and started again; the others are left alone.
. "$(dirname "$0")/lib.sh"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  stumble: {command: /run/build/tests/stumble, user: nobody, hang_ms: 2000}
  spare: {service: stumble, command: /run/build/tests/stumble, user: nobody, hang_ms: 2000, standby: true}
  idle: {command: netvm-monitor, user: nobody, hang_ms: 100}
chains:
  web: {from: client, to: server, path: [stumble], on_failure: standby}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
echo_server server 7
poke() { on client bash -c "echo x >/dev/udp/10.0.0.2/$1"; }
crashes() { stat_of ".nfs.$1.crash.count"; }

check "traffic" stream client 10.0.0.2 7 --count 100
idle=$(stat_of .nfs.idle.pid)
kill -STOP "$idle"

# Slow: at work without a pause for longer than the limit, one packet after the other.
echo_server server 6662
check "slow packets come through" stream client 10.0.0.2 6662 --count 30 --window 1
check "a slow one is left alone" equal "$(crashes stumble)" 0

first=$(stat_of .nfs.stumble.pid)
kill -STOP "$first"
on client ping -q -c 3 -i 0.01 -W 0.1 10.0.0.2 >/dev/null
check "a stopped one with packets waiting hangs" event nf-hang nfs.stumble
check "it is killed" until_true 10 test ! -e "/proc/$first"
check "the other one works" stream client 10.0.0.2 7 --count 100
check "the reason is kept" until_true 10 stat_is '.nfs.stumble.crash.reason | test("hung: packets wait")' true
check "it comes back and stands by" until_true 20 stat_is '.nfs.stumble.standby' true

poke 6661
check "one in an endless loop hangs" event nf-hang nfs.spare
check "and the first one works again" stream client 10.0.0.2 7 --count 100
check "one crash each" comes_true '[.nfs.stumble, .nfs.spare] | map(.crash.count) == [1, 1]'

check "a stopped one without packets is idle" equal "$(crashes idle) $(stat_of .nfs.idle.pid)" "0 $idle"
check "nothing was lost but what they had" equal 0 \
	"$(stat_of '.books.drops | del(.["nf-died"]) | [.[]] | add // 0')"

done_testing
