#!/bin/sh
# footprint_test.sh STATIC_NF SHARED_LIBRARY MAP: a static NF runs and is small, the library needs
# libc only and shows exactly the symbols of its map.
set -eu

"$1" --help >/dev/null
size=$(stat -c %s "$1")
if [ "$size" -ge 1048576 ]; then
	echo "a static NF has $size bytes, 1048576 are too many"
	exit 1
fi

# The dynamic linker is libc's: thread-local storage asks it.
needed=$(LC_ALL=C readelf -d "$2" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' | grep -v '^ld-linux')
if [ "$needed" != "libc.so.6" ]; then
	echo "the library needs more than libc:" $needed
	exit 1
fi

shown=$(nm -D --defined-only "$2" | sed -n 's/.* T \([^@]*\).*/\1/p' | sort)
listed=$(sed -n 's/^\t\(netvm_[a-z0-9_]*\);$/\1/p' "$3" | sort)
if [ "$shown" != "$listed" ]; then
	echo "symbols and map differ; shown:" $shown
	exit 1
fi
echo "static NF: $size bytes"
