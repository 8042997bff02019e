# What the smoke tests share. A test sources this file and is then a script of a user's session:
#
#     . "$(dirname "$0")/lib.sh"
#     hosts client server                # network namespaces
#     start <<-YAML                      # netvmd runs on this document
#     ports:
#       client: {spec: "tap:eth0,netns=client"}
#     ...
#     YAML
#     address client 10.0.0.1/24
#     check "ping passes" on client ping -c 1 10.0.0.2
#     done_testing                       # books must balance, netvmd must stop cleanly
#
# Sourcing it restarts the script in namespaces of its own (mounts, network, processes), so names
# like /run/netvm and "client" are free, nothing of the machine is touched, and everything is gone
# when the script ends, however it ends. Checks are printed as TAP. Needs root.

set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(realpath "${NETVM_BUILD:-$root/build}")

if [ -z "${NETVM_PRIVATE:-}" ]; then
	[ "$(id -u)" = 0 ] || { echo "1..0 # skip needs root"; exit 77; }
	NETVM_PRIVATE=1 exec setpriv --pdeathsig KILL \
		unshare --mount --net --pid --fork --kill-child --mount-proc "$BASH" "$0" "$@"
fi

# A machine's own places, empty: /run, /var/lib, /sys of this network namespace. The build folder
# appears at /run/build, where an unprivileged NF can reach it wherever the sources lie.
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p /run/netns /run/build /run/test
mount --bind "$build" /run/build
chmod 777 /run/test
ip link set lo up
cd /run/test || exit 1

# The user netvmd becomes, also where packaging has not made it: see docs/security.md.
for list in passwd group; do
	cp /etc/$list /run/$list
	mount --bind /run/$list /etc/$list
done
id netvm >/dev/null 2>&1 || {
	echo netvm:x:900:900::/nonexistent:/usr/sbin/nologin >>/run/passwd
	echo netvm:x:900: >>/run/group
}

PATH=/run/build/manager:/run/build/cli:/usr/sbin:/usr/bin:/sbin:/bin
slow=${NETVM_SLOW:+4} # sanitizers: less work, more patience
slow=${slow:-1}
patience=$((10 * slow)) # times what a quiet machine takes: only a failing test waits so long
a_cpu=$(awk '/^Cpus_allowed_list/ {print $2 + 0}' /proc/self/status) # for those who need one
. "$root/tests/smoke/check.sh"
daemon=
stranger= # the daemon is no child of this script
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# done_testing: the end of every test.
done_testing() {
	books_balance_now
	stop
	echo "1..$n_checks"
	[ $n_failed = 0 ]
	exit
}

# ---- the daemon -----------------------------------------------------------------------------

# start [OPTION...] <DOCUMENT: runs netvmd and returns when traffic may flow.
start() {
	cat >netvm.yaml
	start_again "$@"
}

# start_again [OPTION...]: on the document that is there. With --replace, while another one runs.
start_again() {
	local line=
	[ $BASHPID = $$ ] || bail "start in a subshell: done_testing would not know of netvmd"
	mkfifo ready
	netvmd --config netvm.yaml --ready-fd 9 "$@" 9>ready >>netvmd.log 2>&1 &
	daemon=$!
	read -r line <ready
	rm ready
	[ "$line" = READY ] || bail "netvmd did not become ready: $line"
}

# killed: the daemon is, by SIGKILL.
killed() {
	kill -KILL "$daemon"
	wait "$daemon" 2>/dev/null
	until_true 20 gone "$daemon" # wait does not know one that a restart has left
	daemon= stranger=
}

# stop: what a service manager does; the exit status must say that all was well.
stop() {
	local status=0
	[ -n "$daemon" ] || return 0
	kill -TERM "$daemon"
	if [ -n "$stranger" ]; then
		check "netvmd stops" until_true 20 gone "$daemon"
	else
		wait "$daemon" || status=$?
		check "netvmd stops cleanly" equal "$status" 0
	fi
	daemon= stranger=
	check "no sanitizer report" no_reports
}

# restarted COMMAND...: netvm daemon restart; the new daemon is no child of ours.
restarted() {
	local old=$daemon status=0
	"$@" >restart.log 2>&1 || status=$?
	check "netvm daemon restart" equal "$status $(cat restart.log)" \
		"0 process $(netvm -j version | jq .pid) has taken over from process $old"
	[ -n "$stranger" ] || wait "$old" || status=$?
	check "the old daemon has ended well" equal "$status" 0
	daemon=$(netvm -j version | jq .pid) stranger=yes
}

gone() { ! kill -0 "$1" 2>/dev/null; }

no_reports() { ! grep -E -A 40 'Sanitizer|runtime error:' netvmd.log; }

bail() {
	echo "Bail out! $*"
	exit 1
}

cleanup() {
	local status=$?
	[ $status = 0 ] || { [ ! -s netvmd.log ] || sed 's/^/# netvmd: /' netvmd.log; }
	[ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null
	exit $status
}

books_balance_now() {
	[ -z "$daemon" ] || check "received + injected = sent + consumed + drops + in flight" \
		books_balance
}

# ---- hosts ----------------------------------------------------------------------------------

# on HOST COMMAND...: in that host's network namespace.
on() { local host=$1; shift; ip netns exec "$host" "$@"; }

# hosts NAME...: before start; a port "tap:eth0,netns=NAME" then makes eth0 there.
hosts() {
	local name
	for name in "$@"; do
		ip netns add "$name"
		on "$name" sysctl -qw net.ipv6.conf.all.accept_dad=0 \
			net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.addr_gen_mode=1
		on "$name" ip link set lo up
	done
}

# address HOST ADDRESS...: for its eth0. The host asks a minute long for a neighbour: who answers late
# is not away.
address() {
	local host=$1 address
	shift
	for address in "$@"; do
		on "$host" ip address add "$address" dev eth0
	done
	on "$host" sysctl -qw net.ipv{4,6}.neigh.eth0.{m,u}cast_solicit=60
	on "$host" ip link set eth0 up txqueuelen 10000
}

# between_hosts <DOCUMENT: started between the hosts client (10.0.0.1) and server (10.0.0.2).
between_hosts() {
	hosts client server
	start
	address client 10.0.0.1/24
	address server 10.0.0.2/24
}

# web_through NF...: the document of many tests: hosts client (10.0.0.1) and server (10.0.0.2), and
# between them the chain web of a monitor, a forward or a firewall, which reads the file "rules".
web_through() {
	local -A command=([monitor]=netvm-monitor [forward]="netvm-forward --next"
		[firewall]="netvm-firewall --rules /run/test/rules")
	between_hosts <<-YAML
	ports:
	  client: {spec: "tap:eth0,netns=client"}
	  server: {spec: "tap:eth0,netns=server"}
	nfs:
	$(for nf in "$@"; do echo "  $nf: {command: ${command[$nf]}, user: nobody}"; done)
	chains:
	  web: {from: client, to: server, path: [$(IFS=,; echo "$*")]}
	YAML
	nfs_running
}

# veth_host NAME ADDRESS...: before start; this end of the cable is NAME, for a port
# "af_packet:NAME" or "af_xdp:NAME", the host's end is eth0. Offloads of the host are off, since
# checksums left to a NIC that does not exist would reach the chain unfinished.
veth_host() {
	local name=$1
	shift
	hosts "$name"
	ip link add "$name" type veth peer name eth0 netns "$name"
	ip link set "$name" up
	on "$name" ethtool -K eth0 tx off tso off gso off gro off >/dev/null 2>&1
	address "$name" "$@"
}

# ---- traffic --------------------------------------------------------------------------------

# echo_server HOST PORT: UDP echo until the test ends; returns when it listens.
echo_server() {
	on "$1" python3 "$here/stream.py" echo "$2" >"echo.$1.$2" &
	until_true 10 grep -q listening "echo.$1.$2"
}

# stream HOST ADDRESS PORT [OPTION...]: numbered packets to the echo server and back, see stream.py.
stream() { local host=$1; shift; on "$host" python3 "$here/stream.py" send "$@"; }

# pinging HOST ADDRESS: pings until `longest_gap`, which prints the longest time without an answer.
pinging() {
	(exec ip netns exec "$1" ping -D -i 0.002 "$2" >pings 2>&1) &
	pinger=$!
	until_true 10 grep -q "bytes from" pings
}

longest_gap() {
	until_true 10 answered_since "$(grep -c 'bytes from' pings)"
	kill -INT "$pinger"
	wait "$pinger"
	awk -F '[][]' '/bytes from/ { if (last && $2 - last > gap) gap = $2 - last; last = $2 }
		END { printf "%d ms\n", gap * 1000 }' pings
}

answered_since() { [ "$(grep -c 'bytes from' pings)" -gt $(($1 + 10)) ]; }

# listening HOST PORT: for until_true.
listening() { on "$1" ss -Hltun "sport = :$2" | grep -q .; }
