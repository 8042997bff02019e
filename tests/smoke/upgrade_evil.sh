#!/bin/bash
# Upgrades of NFs that hand over bad state, or do evil with good one: an old one holds nothing up, a new
# one is taken back, and traffic goes on in either case.
. "$(dirname "$0")/lib.sh"

heir=/run/build/tests/heir
between_hosts <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  heir: {command: $heir good, user: nobody, hang_ms: 1000}
chains:
  web: {from: client, to: server, path: [heir], default: true}
YAML
nfs_running
on client ping -q -i 0.01 10.0.0.2 >/dev/null &
ping=$!

packets() { stat_of .nfs.heir.tx_pkts; }
going_on() { at_least "$(packets)" $(($1 + 10)); }
next_event() { netvm -j events | jq '.events[-1].n + 1'; }
said() { # KIND TEXT, since the last next_event
	netvm -j events | jq -e --arg kind "$1" --arg text "$2" --argjson since "$since" \
		'[.events[] | select(.n >= $since and .kind == $kind and (.message | test($text)))] | length > 0'
}
upgrade() { netvm nf upgrade heir --command "$heir $1" --probation "$2"; }

# after ROLE TEXT: an old one of that role is followed by a good one, and this is said of its state.
after() {
	check "$1" upgrade "$1" 0
	since=$(next_event)
	check "... its successor comes all the same" upgrade "good" 0
	check "... which is told" said nf-state "$2"
	check "... packets go on" until_true 10 going_on "$(packets)"
}
after good "10 bytes of state handed over"
after fills "268435456 bytes of state handed over"
after overfull "could not save it"
after boasts "could not save it"
after resizes "10 bytes of state handed over"
after seals "keeps the file"
after keeps "keeps the file"
after dies-saving "it ended"
after never-saves "in time"

# before ROLE KIND TEXT: a new one of that role fails, with this event, and the old one is there again.
before() {
	since=$(next_event)
	refused "$1" "failed" upgrade "$1" 10
	check "... which is told" said "$2" "$3"
	check "... packets go on" until_true 10 going_on "$(packets)"
}
pid=$(stat_of .nfs.heir.pid)
before refuses nf-stopping "cannot go on"
before dies-loading nf-exit "signal 6"
before never-loads nf-stopping "did not load"
before dies-with-state nf-exit "signal 6"
before hangs-with-state nf-hang "packets wait"
check "it is the one of before" stat_is .nfs.heir.pid "$pid"
check "its state is good still" upgrade good 0

kill $ping
check "what was lost has a name" equal 0 \
	"$(stat_of '.books.drops | del(.["nf-died"], .["nf-removed"], .["service-down"]) | [.[]] | add // 0')"

done_testing
