#!/bin/busybox sh
# In the guest: runs the cases of evil that tests/fault/guest names on the console, one by one.
echo "agent: ready"
while read -r name; do
	evil "$name"
	echo "agent: $name ended with $?"
done
