#!/bin/bash
# Bad input, one line each: what is asked, and what the answer must name. Nothing may change.
. "$(dirname "$0")/lib.sh"

start <<-YAML
ports:
  lan: {spec: "null:"}
  wan: {spec: "null:"}
nfs:
  ids: {image: external}
chains:
  web: {from: lan, to: wan, path: [ids], default: true}
YAML
cat >duplicate.yaml <<-YAML
ports:
  lan: {spec: "null:"}
  lan: {spec: "null:"}
YAML
cat >twins.yaml <<-YAML
ports:
  lan: {spec: "af_packet:eth7"}
  wan: {spec: "af_packet:eth7"}
YAML
printf 'ports:\n\tlan: {}\n' >tabs.yaml
{ echo "ports:"; head -c 1200000 /dev/zero | tr '\0' '#'; } >large.yaml

before=$(netvm -j config show)

# From here to the blank line: COMMAND | what the error must match
while IFS='|' read -r command wanted; do
	# shellcheck disable=SC2086 # words
	refused "netvm $command" "$wanted" netvm $command
done <<-TABLE
port set lan mtuu=1500|mtu
port set lan mtu=many|a number 68
port set lan mtu=70000|ports.lan.mtu
port set nowhere mtu=1500|nowhere
port add lan spec=null:|lan
port add x|FIELD=VALUE
port add x mtu=1500|spec
port add x spec=carrier-pigeon:|tap
port add x spec=tap:a-name-far-too-long|tap
port add an-object-name-that-is-longer-than-all-that-is-allowed spec=null:|31|long
port add x spec=null: group=nobody|nobody
port del lan|web
chain set web path=ids,ids|ids
chain set web path=nowhere|ids
chain set web to=nowhere|lan
chain set web on_failure=maybe|closed
chain add again from=lan to=wan default=true|default
flow add f chain=web port=wan|chain
flow add f|FIELD=VALUE
flow add f priority=1|chain
flow add f chain=nowhere|web
flow add f chain=web match.dst=10.0.0.0/33|flows.f.match.dst
flow add f chain=web match.dst_port=9-1|flows.f.match.dst_port
flow add f chain=web match.vlan=5000|flows.f.match.vlan
nf add n command=netvm-forward user=nobody-of-that-name|nobody-of-that-name
nf add n service=s|command
nf del ids|web
config apply /nowhere.yaml|nowhere.yaml
config check /run/test/duplicate.yaml|lan
config check /run/test/twins.yaml|ports.wan.spec.*lan
config check /run/test/tabs.yaml|yaml|line
config check /run/test/large.yaml|1 MiB|large
fly me to=moon|fly
TABLE

check "nothing changed" equal "$(netvm -j config show)" "$before"

done_testing
