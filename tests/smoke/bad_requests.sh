#!/bin/bash
# What a client of the API can do wrong on the wire: each gets a JSON-RPC error, or is hung up on;
# nobody else notices.
. "$(dirname "$0")/lib.sh"

start <<-YAML
ports:
  lan: {spec: "null:"}
YAML
before=$(netvm -j config show)

# ask BYTES: send them as they are, print what comes back until the daemon says it is over.
ask() {
	python3 - "$1" <<-PYTHON
		import socket, sys
		api = socket.socket(socket.AF_UNIX)
		api.settimeout(60)
		api.connect("/run/netvm/api.sock")
		try:
		    api.sendall(eval(sys.argv[1]))
		    api.shutdown(socket.SHUT_WR)
		    while answer := api.recv(65536):
		        print(answer.decode(), end="")
		except (BrokenPipeError, ConnectionResetError):
		    print("hung up")
		except TimeoutError:
		    print("silence")
	PYTHON
}
code() { ask "$1" | head -n 1 | jq .error.code; }

check "no JSON" equal "$(code 'b"hello\n"')" -32700
check "JSON cut short" equal "$(code 'b"{\"jsonrpc\": \n"')" -32700
check "not a request" equal "$(code 'b"7\n"')" -32600
check "unknown method" equal "$(code 'b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fly\"}\n"')" -32601
check "parameters of the wrong type" equal \
	"$(code 'b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nf.restart\",\"params\":7}\n"')" -32602
check "deep nesting" equal "$(code 'b"[" * 100000 + b"\n"')" -32700
check "zero bytes" equal "$(code 'bytes(100) + b"\n"')" -32700
check "a line of 4 MiB ends that client" grep -Eq 'error|hung up' <<<"$(ask 'b"x" * (4 << 20)')"
check "half a request" equal "$(code 'b"{\"jsonrpc\":\"2.0\",\"id\":1,"')" -32700
check "the others are served" equal "$(netvm -j config show)" "$before"

done_testing
