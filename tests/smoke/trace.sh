#!/bin/bash
# Traces: a packet's way through a chain, the same buffer at each NF; what is dropped says where and
# why; a trace ends by itself.
. "$(dirname "$0")/lib.sh"

cat >rules <<-RULES
	allow proto icmp
	default drop
RULES
web_through firewall monitor forward
on client ping -q -c 1 -W 30 10.0.0.2 >/dev/null # neighbours know each other

# traced FIELD=VALUE... -- COMMAND: traces while the command runs on the client again and again; the
# answer is in the file "trace".
traced() {
	local words=() trace
	while [ "$1" != -- ]; do words+=("$1"); shift; done
	shift
	netvm -j trace "${words[@]}" >trace &
	trace=$!
	while kill -0 $trace 2>/dev/null; do on client "$@" >/dev/null 2>&1; done
	wait $trace
}
holds() { cat trace; jq -e "$1" trace; }

check "pings are traced" traced in_port=client protocol=icmp count=3 -- \
	ping -q -c 3 -i 0.05 -W 30 10.0.0.2
check "through three processes and out" holds '.complete and ([.packets[] |
	[.steps[] | .nf // .port // .chain] == ["client", "web", "firewall", "monitor", "forward", "server"] and
	([.steps[] | select(.nf) | .image] | unique) == ["process"] and .end == "sent"] | all)'
check "each in one buffer, at one address, from end to end" holds \
	'[.packets[] | [.steps[] | [.group, .buffer, .generation, .address, .offset]] | unique | length] == [1, 1, 1]'
check "each has a handle of its own" holds \
	'[.packets[].steps[0] | [.buffer, .generation]] | unique | length == 3'
check "time goes on" holds '[.packets[].steps | [.[].at_ns] == ([.[].at_ns] | sort) and .[-1].at_ns > 0] | all'
check "replies are found by their port" traced in_port=server src=10.0.0.2 -- \
	ping -q -c 1 -W 30 10.0.0.2
check "and take the chain backwards" holds '.packets[0].steps | .[1].direction == "reverse" and
	[.[] | select(.what == "nf") | .nf] == ["forward", "monitor", "firewall"]'

check "what the firewall refuses is traced" traced chain=web dst_port=9999 -- \
	bash -c 'echo >/dev/udp/10.0.0.2/9999'
check "it was dropped there, and the reason is said" holds '.packets[0] | .end == "dropped" and
	(.steps[-1] | .nf == "firewall" and .reason == "nf-verdict" and .sentence == "the NF said drop")'
netvm flow add no-knocking match.protocol=udp match.dst_port=9999 drop=true >/dev/null
check "what a flow drops is traced" traced in_port=client dst_port=9999 -- \
	bash -c 'echo >/dev/udp/10.0.0.2/9999'
check "it went nowhere" holds \
	'.packets[0].steps | ([.[].what] == ["received", "flow", "dropped"]) and .[-1].reason == "policy"'

check "people get a table" grep -q "nf monitor .*process: next" \
	<(netvm trace protocol=icmp &
	while kill -0 $! 2>/dev/null; do on client ping -q -c 1 -W 30 10.0.0.2 >/dev/null; done)
check "a trace ends when its time is up" grep -q "no packet that matches" <(netvm trace dst_port=1 timeout_s=1)
callers=()
for caller in one two; do
	netvm trace dst_port=1 timeout_s=600 2>$caller &
	callers+=($!)
done
wait -n "${callers[@]}"
check "there is one at a time" grep -h "another trace is on" one two
kill "${callers[@]}" 2>/dev/null
check "it goes with its caller" until_true 10 netvm trace dst_port=1 timeout_s=1

done_testing
