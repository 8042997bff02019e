# What the tests with real guests share: the smoke tests' lib.sh, and an image to boot.
#
#     . "$(dirname "$0")/lib.sh"
#     start < <(web monitor,inner "$monitor" "$inner")
#
# The image is made outside of the test's own namespaces, where there is a network; inside it lies
# at $image, readable by everybody. Guests run under emulation, so the tests are the same everywhere.
# The QEMU is $NETVM_QEMU, else the installed one.

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(realpath "${NETVM_BUILD:-$root/build}")
image=/run/build/guest-image
qemu=${NETVM_QEMU:-qemu-system-x86_64}

if [ -z "${NETVM_PRIVATE:-}" ]; then
	command -v "$qemu" >/dev/null || {
		echo "1..0 # skip no $qemu on this machine"
		exit 77
	}
	"$root/packaging/image/netvm-image" build "$build/guest-image" \
		--nf "$build/nfs/netvm-monitor-static" --nf "$build/nfs/netvm-forward-static" |
		sed 's/^/# /'
	[ "${PIPESTATUS[0]}" = 0 ] || { echo "Bail out! no image"; exit 1; }
fi
. "$root/tests/smoke/lib.sh"
qemu=${qemu/#"$build"//run/build}
guest="boot: $image, accel: tcg, qemu: $qemu"

# web PATH NF...: the document of most tests; NF is a line of `nfs`.
web() {
	local path=$1
	shift
	cat <<-YAML
	ports:
	  client: {spec: "tap:eth0,netns=client"}
	  server: {spec: "tap:eth0,netns=server"}
	nfs:
	$(printf '  %s\n' "$@")
	chains:
	  web: {from: client, to: server, path: [$path], default: true}
	YAML
}
monitor="monitor: {command: netvm-monitor, user: nobody}"
inner="inner: {image: guest, command: netvm-monitor, guest: {$guest}}"

# Emulation is slow where sanitizers are, too.
guest_running() { until_true 60 stat_is ".nfs.$1.state" running; }
