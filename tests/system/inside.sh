#!/bin/bash
# What unit.sh has run inside of its machine, at each boot: the first one installs and tries everything,
# the second one looks whether it comes up by itself. `inside.sh cable` runs before, in time for ports.
patience=60 # emulation, perhaps on a busy machine
. /root/check.sh
cd /root || exit 1

# A host behind the port af_xdp:c0; the other one is this machine, at tap0.
cable() {
	ip netns add client
	ip link add c0 type veth peer name eth0 netns client
	ip link set c0 up
	ip -n client address add 10.0.0.1/24 dev eth0
	ip -n client link set eth0 up
}

# networkd gives tap0 its address whenever it appears.
configure() {
	printf '%s\n' '[Match]' Name=tap0 '[Network]' Address=10.0.0.2/24 >/etc/systemd/network/tap0.network
	systemctl --quiet enable --now systemd-networkd
	cat >netvm.yaml <<-YAML
		ports:
		  client: {spec: "af_xdp:c0"}
		  here: {spec: "tap:tap0"}
		nfs:
		  one: {command: netvm-monitor, user: nobody}
		  two: {command: netvm-forward, user: nobody}
		chains:
		  wire: {from: client, to: here, path: [one, two], default: true}
	YAML
}

of_unit() { systemctl show -P "$1" netvm; }
unit_is() { [ "$(of_unit "$1")" = "$2" ]; }
pid_of() { stat_of ".nfs.$1.pid"; }
cgroup_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }
identity() { awk '/^(Uid|CapEff):/ { print $2 }' "/proc/$1/status" | xargs; }

# A tap that was made anew has another address: what was known of the old one is forgotten.
packets_pass() {
	ip -n client neighbor flush all
	ip netns exec client ping -q -c 1 -W 2 10.0.0.2
}

works() {
	check "$1: active" until_true 10 unit_is ActiveState active
	check "$1: NFs run" nfs_running
	check "$1: packets pass" until_true 10 packets_pass
	check "$1: the books balance" books_balance
}

first_boot() {
	check "the unit has no errors" equal \
		"$(systemd-analyze verify --man=no netvm.service 2>&1 | grep -F netvm)" ""
	check "its user is made" systemd-sysusers
	ldconfig
	check "it is enabled" systemctl enable netvm
	check "its exposure is at most 2.5" systemd-analyze security --no-pager --threshold=25 netvm
	configure
	check "it starts, and says when it is ready" systemctl start netvm
	check "ready is ready" netvm -j version
	check "a document is applied" netvm config apply netvm.yaml
	works "first start"
	check "the daemon is netvm, and has few capabilities" equal \
		"$(identity "$(of_unit MainPID)")" "$(id -u netvm) 0000008000803020"
	check "an NF is nobody, and has none" equal "$(identity "$(pid_of one)")" \
		"$(id -u nobody) 0000000000000000"
	check "it has a cgroup of its own, below the unit's" grep -q '^/system.slice/netvm.service/nf-one-' \
		<<<"$(cgroup_of "$(pid_of one)")"
	check "nothing is missing" fails_saying '' grep -Ei 'not permitted|privileges:|cgroup' \
		<<<"$(journalctl -u netvm -o cat)"
	check "the document is saved" netvm config save

	stays "reload" systemctl reload netvm
	stays "reload of what was reloaded" systemctl reload netvm
	stays "crash" crash
	check "systemd has started it again" equal "$(of_unit NRestarts)" 1

	local before
	before=$(pid_of one)
	kill -KILL "$before"
	check "an NF that is killed is started again" until_true 10 changed "$before"
	works "crash of an NF"
	before=$(pid_of one)
	check "restart" systemctl restart netvm
	works "restart"
	check "of the NFs, too" changed "$before"
	check "the journal tells of it" equal "$(journalctl -u netvm -o cat |
		grep -c "serves /run/netvm/api.sock")" 5
	check "all of it under one name" equal \
		"$(journalctl -o json _SYSTEMD_UNIT=netvm.service |
			jq -r .SYSLOG_IDENTIFIER | sort -u)" netvmd
}

changed() { local now; now=$(pid_of one) && [ "$now" != null ] && [ "$now" != "$1" ]; }

# stays TEXT COMMAND...: another daemon, the same NFs.
stays() {
	local text=$1 daemon one two
	shift
	daemon=$(of_unit MainPID) one=$(pid_of one) two=$(pid_of two)
	check "$text" "$@"
	check "$text: another daemon" until_true 10 another "$daemon"
	works "$text"
	check "$text: the same NFs" equal "$(pid_of one) $(pid_of two)" "$one $two"
}

another() { ! unit_is MainPID 0 && ! unit_is MainPID "$1"; }
crash() { kill -KILL "$(of_unit MainPID)"; }

second_boot() {
	check "no unit has failed" equal "$(systemctl --failed --no-legend --plain)" ""
	works "reboot"
	check "with what was saved" equal "$(netvm config diff netvm.yaml)" "  no difference"
	check "stop" systemctl stop netvm
	check "stopped: no process" fails_saying '' pgrep -a netvm
	check "stopped: no cgroup" test ! -e /sys/fs/cgroup/system.slice/netvm.service
	check "stopped: no socket" test ! -e /run/netvm
	check "stopped: no interface" test ! -e /sys/class/net/tap0
	check "stopped: no program at the other" equal \
		"$(ip -j -d link show c0 | jq '.[].xdp.mode // 0')" 0
	check "stopped: not failed" unit_is Result success
	check "it does not start again" unit_is ActiveState inactive
}

# What the machine has to say when something failed.
explain() {
	[ $n_failed = 0 ] || journalctl -b --no-pager -u netvm | sed 's/^/# /'
}

if [ "${1:-}" = cable ]; then
	cable
elif [ ! -e first ]; then
	first_boot
	explain
	echo "n_checks=$n_checks n_failed=$n_failed" >first
	systemctl reboot
else
	. ./first # what was counted so far
	second_boot
	explain
	echo "1..$n_checks"
	systemctl poweroff
fi
