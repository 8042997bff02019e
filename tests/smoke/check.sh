# What tests say and ask: checks, as TAP, and the numbers of a running daemon. Sourced by lib.sh and by
# what tests run in a machine of their own (tests/system). `patience` multiplies all waiting.

n_checks=0
n_failed=0

# ---- checks ---------------------------------------------------------------------------------

# check TEXT COMMAND...: one test; the command's output is shown when it fails.
check() {
	local text=$1 output
	shift
	n_checks=$((n_checks + 1))
	if output=$("$@" 2>&1); then
		echo "ok $n_checks - $text"
	else
		n_failed=$((n_failed + 1))
		echo "not ok $n_checks - $text"
		printf '%s\n' "$*" "${output:-(no output)}" | sed 's/^/# /'
	fi
}

# refused TEXT WANTED COMMAND...: the command must fail and say WANTED (a regular expression).
refused() {
	local text=$1 wanted=$2
	shift 2
	check "$text" fails_saying "$wanted" "$@"
}

fails_saying() {
	local wanted=$1 output
	shift
	output=$("$@" 2>&1) && { echo "succeeded: $output"; return 1; }
	echo "$output"
	grep -Eq -- "$wanted" <<<"$output"
}

# equal GOT WANTED, at_least GOT LIMIT, less GOT LIMIT: for check.
equal() { echo "got '$1', wanted '$2'"; [ "$1" = "$2" ]; }
at_least() { echo "got $1, wanted at least $2"; [ "$1" -ge "$2" ]; }
less() { echo "got $1, wanted less than $2"; [ "$1" -lt "$2" ]; }

skip_all() {
	echo "1..0 # skip $*"
	trap - EXIT
	exit 77
}

# until_true SECONDS COMMAND...: waits for a condition that nothing announces; SECONDS are those of a
# quiet machine.
until_true() {
	local end=$((SECONDS + $1 * patience))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "still not true: $*"; return 1; }
		sleep 0.02
	done
}

# ---- the daemon's numbers -------------------------------------------------------------------

# stat_of FILTER: something of the statistics, e.g. stat_of .ports.lan.rx_pkts
stat_of() { netvm -j stats | jq -r "$1"; }

# stat_is FILTER VALUE: for until_true.
stat_is() { [ "$(stat_of "$1")" = "$2" ]; }

# comes_true FILTER: waits until this is true of the statistics. Counters follow the packets, and each
# other, by a moment; only .books is a snapshot.
comes_true() { until_true 10 stat_is "$1" true || { netvm -j stats; return 1; }; }

# nfs_running: waits until every NF of the document is attached.
nfs_running() { until_true 10 stat_is '[.nfs[] | select(.state != "running")] | length' 0; }

# event KIND [OBJECT]: waits until the daemon has reported this, however long ago.
event() { until_true 10 event_seen "$@"; }

event_seen() {
	netvm -j events | jq -e --arg kind "$1" --arg object "${2:-}" \
		'[.events[] | select(.kind == $kind and ($object == "" or .object == $object))] | length > 0'
}

# The conservation line, recomputed here and not taken on trust.
books_balance() {
	netvm -j stats | jq -e '.books | ., (.balanced and
		.received + .injected == .sent + .consumed + .dropped + .in_flight and
		.dropped == ([.drops[]] | add // 0))' | tee books | tail -n 1 | grep -q true || {
		cat books
		return 1
	}
}
