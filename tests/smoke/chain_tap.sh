#!/bin/bash
# Ping through a chain of three NFs between two TAP ports; each NF sees each packet once.
. "$(dirname "$0")/lib.sh"

echo "default allow" >rules
web_through firewall monitor forward
address client fd00::1/64
address server fd00::2/64

check "ping over IPv4" on client ping -q -c 5 -i 0.1 -W 30 10.0.0.2
check "ping over IPv6" on client ping -q -c 5 -i 0.1 -W 30 fd00::2

check "each NF got every packet" comes_true \
	'[.nfs[].tx_pkts] | unique | length == 1'
check "what left the chain left by a port" comes_true \
	'.chains.web.tx_pkts == ([.ports[].tx_pkts] | add)'
unprivileged() { ! ps -o user= -C netvm-firewall,netvm-monitor,netvm-forward | grep -v nobody; }
check "the NFs run without privileges" unprivileged
check "nothing was dropped" equal "$(stat_of .books.dropped)" 0

done_testing
