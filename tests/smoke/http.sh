#!/bin/bash
# An HTTP download through a chain: TCP with the kernel's offloads as they are; the checksum of
# what arrives must be that of what was sent.
. "$(dirname "$0")/lib.sh"

web_through monitor forward

mkdir www
head -c $((32 * 1024 * 1024 / slow)) /dev/urandom >www/file
on server python3 -m http.server --directory www 80 >http.log 2>&1 &
until_true 10 listening server 80

check "download" on client curl -sS --max-time 600 -o got http://10.0.0.2/file
check "checksum" equal "$(sha256sum <got)" "$(sha256sum <www/file)"

done_testing
