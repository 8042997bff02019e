#!/bin/bash
# A pcap file replayed through a chain comes out as it went in, packet for packet, byte for byte.
. "$(dirname "$0")/lib.sh"

python3 - <<-PYTHON
	from scapy.all import *
	mac = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
	packets = []
	for n in range(200):
	    packets += [
	        mac / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1000 + n % 7, dport=53) / (b"x" * (n % 1400)),
	        mac / IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=2000 + n % 5, dport=80, seq=n),
	        mac / Dot1Q(vlan=20) / IP(src="10.0.0.3", dst="10.0.0.4") / ICMP(seq=n),
	    ]
	wrpcap("in.pcap", packets)
PYTHON
start <<-YAML
ports:
  tape: {spec: "pcap:/run/test/in.pcap", up: false}
  reel: {spec: "pcap:,/run/test/out.pcap"}
nfs:
  monitor: {command: netvm-monitor, user: nobody}
  forward: {command: "netvm-forward --next", user: nobody}
chains:
  replay: {from: tape, to: reel, path: [monitor, forward]}
YAML
nfs_running
netvm port set tape up=true

check "600 packets leave" until_true 20 stat_is .ports.reel.tx_pkts 600
check "nothing was dropped" equal "$(stat_of .books.dropped)" 0
books_balance_now
stop

# Packets of one flow keep their order; flows may overtake each other.
per_flow() {
	python3 - "$1" <<-PYTHON
		import sys
		from scapy.all import *
		def flow(p):
		    layer = p.getlayer(UDP) or p.getlayer(TCP) or p.getlayer(ICMP)
		    return (layer.name, getattr(layer, "sport", 0))
		flows = {}
		for packet in rdpcap(sys.argv[1]):
		    flows.setdefault(flow(packet), []).append(bytes(packet).hex())
		for key in sorted(flows):
		    print(key, *flows[key], sep="\n")
	PYTHON
}
per_flow in.pcap >in.txt
per_flow out.pcap >out.txt
check "what came out is what went in" cmp in.txt out.txt

done_testing
