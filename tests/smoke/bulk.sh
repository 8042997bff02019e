#!/bin/bash
# TCP and UDP bulk through a chain. Not a benchmark: it must work, both ways, and be accounted for.
. "$(dirname "$0")/lib.sh"

web_through monitor forward

on server iperf3 -s >iperf.log 2>&1 &
until_true 10 listening server 5201

# moves OPTION...: half of 8 MB arrives, as the receiver had counted it at the sender's end. Tried
# again: a server that is not done with the one before refuses, and UDP does not wait for a machine
# that stands still.
moves() {
	on client iperf3 -c 10.0.0.2 -J -n 8M "$@" | tee iperf.json |
		jq -e '(.end.sum_received.bytes // .end.sum.bytes) >= 4000000'
}
moves_at_last() { until_true 20 moves "$@" || { cat iperf.json; return 1; }; }

check "TCP to the server" moves_at_last
check "TCP from the server" moves_at_last -R
check "UDP to the server" moves_at_last -u -b 100M
check "UDP from the server" moves_at_last -u -b 100M -R

done_testing
