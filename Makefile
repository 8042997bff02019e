# Thin: meson and ninja do the work. Quiet when all is well, the whole log when not.
#
#   make demo         installs, builds, shows real traffic through a real chain
#   make demo VM=1    the same with a virtual machine in the chain
#   make test         everything that can fail, closes with "N passed, N failed"
#   make test-fault   hostile NFs and a machine without memory, descriptors, disk; part of make test
#   make test-system a Debian that boots with NetVM installed, and one as a guest; minutes
#   make soak         traffic, kills and changes for SOAK_S seconds (1800)
#   make fuzz         each fuzz target for FUZZ_S seconds (60)
#   make bench        the full measurement, one table and one JSON line each
#   make bench-chain  chains only, next to the peers
#   make install      prefix /usr/local, DESTDIR is honoured
#   make clean        build folders go

BUILD  ?= build
PREFIX ?= /usr/local

.PHONY: all build demo test test-fault test-system soak fuzz bench bench-chain install clean

all: build

build:
	@tools/setup build
	@tools/build $(BUILD) -Dprefix=$(PREFIX)

demo:
	@tools/setup build demo $(if $(VM),guest)
	@tools/build $(BUILD) -Dprefix=$(PREFIX)
	@trap : INT; tools/demo/demo $(if $(VM),--vm) $(BUILD) || [ $$? = 130 ] # Ctrl-C is no error

test:
	@tools/setup build demo test
	@tests/run

test-fault: build
	@tools/setup test
	@meson test -C $(BUILD) --no-rebuild --suite fault --print-errorlogs

test-system: build
	@tools/setup test
	@meson test -C $(BUILD) --no-rebuild --suite system --print-errorlogs

soak: build
	@tools/setup test
	@NETVM_BUILD=$(BUILD) tests/fault/soak $(SOAK_S)

fuzz:
	@tools/setup build test
	@tests/fuzz/run

bench bench-chain: build
	@tools/setup bench
	@bench/run $(if $(filter bench-chain,$@),chain) --build $(BUILD)

install: build
	@meson install -C $(BUILD) --no-rebuild --quiet
	@if [ -z "$(DESTDIR)" ]; then ldconfig; fi

clean:
	@rm -rf build build-*
