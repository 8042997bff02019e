#!/bin/bash
# Who may do what on the API: by the group netvm and the section `api`; every refusal names the role
# that is missing.
. "$(dirname "$0")/lib.sh"

sed 's/^netvm:x:\([0-9]*\):.*/netvm:x:\1:bin,sys,games,man/' /etc/group >group
cp group /etc/group
hosts client
start <<-YAML
ports:
  lan: {spec: "tap:eth0,netns=client"}
  wan: {spec: "null:"}
groups:
  red: {}
nfs:
  watcher: {command: netvm-monitor, user: nobody}
api:
  sys: {role: view}
  games: {role: admin}
  man: {role: nf, group: red}
YAML
nfs_running

as() { local user=$1; shift; setpriv --reuid "$user" --regid "$user" --init-groups "$@"; }

check "the socket is the group's" equal "$(stat -c %a:%G /run/netvm/api.sock)" 660:netvm
refused "who is not in the group" "may not|ermission denied" as lp netvm show

# crowd USER: holds all the places there are for his like; returns when he does.
crowd() {
	(exec setpriv --reuid "$1" --regid "$1" --init-groups python3 -) <<-PYTHON >crowd &
		import socket, time
		all = [socket.socket(socket.AF_UNIX) for n in range(1000)]
		for one in all:
		    one.connect("/run/netvm/api.sock")
		print("there", flush=True)
		time.sleep(1000)
	PYTHON
	crowd=$!
	until_true 10 grep -q there crowd
}

crowd sys
check "a crowd locks out its like" until_true 10 \
	fails_saying "too many connections" as sys netvm stats
check "root is served" netvm stats
kill "$crowd"
check "then all are" until_true 10 as sys netvm stats

check "view: statistics" as sys netvm stats
check "view: the document" as sys netvm config show
check "roles, by the section's name and by its noun" \
	equal "$(as sys netvm show role)" "$(as sys netvm show api)"
refused "view may not restart an NF" "takes the role operate; the caller has view" \
	as sys netvm nf restart watcher
refused "view may not change flows" "takes the role operate" \
	as sys netvm flow add f drop=true

check "operate: restart an NF" as bin netvm nf restart watcher
check "operate: a chain" as bin netvm chain add c from=lan to=wan path=watcher
check "operate: undo" as bin netvm config rollback
check "operate: save" as bin netvm config save
refused "operate may not start programs" "nfs.evil: this takes the role admin; the caller has operate" \
	as bin netvm nf add evil command=netvm-monitor user=bin
refused "nor give roles" "takes the role admin" as bin netvm role add bin role=admin
check "none of it happened" equal "$(netvm -j config show | jq -c '[.nfs, .api | keys]')" \
	'[["watcher"],["games","man","sys"]]'

check "admin: everything" as games netvm port add late spec=null:
refused "nf may not see the document" "takes the role view; the caller has nf" as man netvm config show
# answered_to USER: the methods that are, whatever they are asked.
answered_to() {
	setpriv --reuid "$1" --regid "$1" --init-groups python3 - <<-'PYTHON'
		import json, socket
		api = socket.socket(socket.AF_UNIX)
		api.connect("/run/netvm/api.sock")
		lines = api.makefile()
		def call(method, **params):
		    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
		    api.sendall(json.dumps(request).encode() + b"\n")
		    return lines.readline()
		def refused(method, **params):
		    answer = call(method, **params)
		    return "this takes the role" in answer and not any(
		        name in answer for name in ("lan", "wan", "watcher", "default"))
		methods = json.loads(call("schema.get"))["result"]["methods"]
		print(*sorted(method for method in methods if not (
		    refused(method) and refused(method, name="watcher") and refused(method, name="none"))))
	PYTHON
}
check "nf: next to nothing is answered, no refusal names what there is" \
	equal "$(answered_to man)" "daemon.info schema.get stats.get"
check "nf: its own group" equal "$(as man netvm -j stats | jq -c '[.nfs, .ports]')" '[{},{}]'

check "a role is taken back" netvm role del games
refused "at once" "takes the role admin; the caller has operate" as games netvm port del late

done_testing
