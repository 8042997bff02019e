#!/bin/bash
# The state file of a killed daemon: torn, missing, of another version, unwritable. The last good
# document comes back, or a sentence says why not.
. "$(dirname "$0")/lib.sh"

state=/var/lib/netvm/running
start <<-YAML
ports:
  a: {spec: "null:"}
  b: {spec: "null:"}
chains:
  one: {from: a, to: b, path: []}
YAML
check "a change" netvm flow add first drop=true match.in_port=a
before=$(netvm config show)
check "another one" netvm flow add second drop=true match.in_port=b
last=$(netvm config show)

damaged() { # damaged TEXT COMMAND...: start after COMMAND did this to the state file
	local text=$1
	shift
	killed
	rm -rf kept && cp -a /var/lib/netvm kept
	"$@"
	start_again
	check "$text: the one before it is used" equal "$(netvm config show)" "$before"
	check "$text: said" event state
	check "$text: in the log" grep -q "running is .*: the one before it" netvmd.log
	killed
	: >netvmd.log
	cp -a kept/. /var/lib/netvm/
	start_again
}

damaged "truncated" truncate -s -1 $state
damaged "cut in its first line" truncate -s 10 $state
damaged "empty" truncate -s 0 $state
damaged "a wrong byte" sed -i 's/second/sEcond/' $state
damaged "missing" rm $state
check "whole, the last one is used" equal "$(netvm config show)" "$last"

killed
cp $state good
truncate -s 10 $state $state.previous
start_again
check "both damaged: the saved one, and said" grep -q "no good one before it: the saved document" netvmd.log
check "it is the saved one" equal "$(stat_of '.chains | length')" 1
check "really" equal "$(netvm -j show flows)" "{}"

killed
sed 's/"netvm-state":1/"netvm-state":2/; s/"version":"[^"]*"/"version":"9.9"/' good >$state
refused "a newer version's" "written by netvmd 9.9 in format 2; this one, .*, reads format 1 to 1" \
	timeout 300 netvmd --config netvm.yaml
refused "with what to do" "remove .*/running" timeout 300 netvmd --config netvm.yaml
# The same format, but what it says is only known to a newer version.
python3 - "$state" <<-'PYTHON'
	import json, sys
	head, body = map(json.loads, open("good").read().split("\n", 1))
	body["ports"]["a"]["colour"] = "red"
	text, total = json.dumps(body), 0xcbf29ce484222325
	for byte in text.encode():
	    total = (total ^ byte) * 0x100000001b3 % 2**64
	head.update(version="9.9", bytes=len(text), sum=f"{total:016x}")
	open(sys.argv[1], "w").write(json.dumps(head) + "\n" + text)
PYTHON
refused "one with fields that are not known" \
	"running, written by netvmd 9.9 .remove it .*ports.a.colour: unknown field" \
	timeout 300 netvmd --config netvm.yaml
sed 's/"boot":"[^"]*"/"boot":"another"/' good >$state
start_again
check "another boot's: the saved one" equal "$(netvm -j show flows)" "{}"

check "a change to be confirmed" netvm flow add tried drop=true match.in_port=a --confirm 600
killed
start_again
check "not confirmed, it does not come back" equal "$(netvm -j show flows)" "{}"

killed
mount -t tmpfs -o size=16k,mode=777 tmpfs /var/lib/netvm/
start_again
head -c 100000 /dev/zero >/var/lib/netvm/full 2>/dev/null
check "a full disk does not stop a change" netvm flow add fourth drop=true match.in_port=a
check "but is said" grep -q "cannot keep the running document.*No space left" netvmd.log
rm /var/lib/netvm/full
check "with room again" netvm flow add fifth drop=true match.in_port=b
last=$(netvm config show)
killed
start_again
check "it is kept" equal "$(netvm config show)" "$last"
done_testing
