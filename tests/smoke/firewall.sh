#!/bin/bash
# A firewall in the chain refuses what its rules refuse, lets replies of allowed connections pass,
# and its drops have a name in the books. Its rules change while it runs.
. "$(dirname "$0")/lib.sh"

cat >rules <<-RULES
	allow established
	allow proto icmp
	allow proto tcp from 10.0.0.0/24 to 10.0.0.2 port 80
	default drop
RULES
web_through firewall

echo hello >index.html
for port in 80 8080; do
	on server python3 -m http.server $port >http.log 2>&1 &
	until_true 10 listening server $port
done

get() { on client curl -sS --max-time "$2" "http://$1/index.html"; }

check "allowed: ping" on client ping -q -c 1 -W 30 10.0.0.2
check "allowed: port 80" get 10.0.0.2:80 60
dropped=$(stat_of '.nfs.firewall.drops["nf-verdict"] // 0')
refused "refused: port 8080" "timed out|Timeout" get 10.0.0.2:8080 2
check "the drops are the firewall's" comes_true ".nfs.firewall.drops[\"nf-verdict\"] > $dropped"
check "the books name them" comes_true '.books.drops["nf-verdict"] == .nfs.firewall.drops["nf-verdict"]'

done_testing
