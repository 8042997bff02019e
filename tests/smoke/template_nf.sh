#!/bin/bash
# "netvm nf new" writes an NF that builds, passes its own test, and runs in a chain.
. "$(dirname "$0")/lib.sh"

export PKG_CONFIG_PATH=$build/meson-uninstalled
check "write it" netvm nf new hello /run/test/hello
sanitize=$(meson introspect --buildoptions "$build" | jq -r '.[] | select(.name == "b_sanitize").value')
check "configure" meson setup hello/build hello -Dprefer_static=true \
	-Db_sanitize="$sanitize" -Db_lundef=false
check "build" ninja -C hello/build
check "its own test" meson test -C hello/build
chmod -R a+rX hello
binary=$(find hello/build -maxdepth 1 -type f -executable -name '*hello' | head -n 1)
check "there is a program" test -x "$binary"

hosts client server
start <<-YAML
ports:
  client: {spec: "tap:eth0,netns=client"}
  server: {spec: "tap:eth0,netns=server"}
nfs:
  hello: {command: /run/test/$binary, user: nobody}
chains:
  web: {from: client, to: server, path: [hello]}
YAML
address client 10.0.0.1/24
address server 10.0.0.2/24
nfs_running
check "packets pass through it" on client ping -q -c 2 -i 0.1 -W 30 10.0.0.2
check "it got them" comes_true '.nfs.hello.tx_pkts >= 4'

told() { netvm -j events | jq -r '.events[] | select(.kind == "nf-exit" and .object == "nfs.typo").message'; }
netvm nf add typo command="/run/test/$binary --nxet" user=nobody restart=never >/dev/null
check "a mistyped option ends it" event nf-exit nfs.typo
check "which tells its own words" grep -q "status 2: .*: --nxet: unknown argument; valid: --name" <(told)

done_testing
