#!/bin/bash
# The commands of docs/howto-chain.md, typed in order: each must work as it stands.
. "$(dirname "$0")/lib.sh"

ip link add eth1 type veth peer name cable
ip link set eth1 up
PATH=$PATH:/run/build/nfs
start </dev/null

# Its blocks of shell as one script; /etc is the machine's own.
sed -n '/^```sh/,/^```/{/^```/!p}' "$root/docs/howto-chain.md" | sed 's|/etc/netvm|/run/etc|' >howto
check "every command of docs/howto-chain.md works" bash -xe howto
check "its NFs run" nfs_running
done_testing
