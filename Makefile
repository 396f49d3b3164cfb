# SPDX-License-Identifier: Apache-2.0
#
# A thin front over CMake and pytest. Two build directories: build/ is the
# release build, build/asan the one that the tests use (ASan and UBSan).
#
#   make          the release build; installs nothing
#   make deps     install what building, the demo and the tests need
#   make demo     install what is missing, build, show it running
#   make test     install what is missing, build, run everything
#   make test-docker  install what is missing, test the image and the demo of
#                 docker/ with an engine of its own (root, some minutes)
#   make bench    install what is missing, build, measure beside other systems
#   make bench-mqtt  the same for MQTT: Mosquitto with the plugin and without,
#                 logins from PostgreSQL beside pgbench
#   make chaos    kill and stop workers under load for CHAOS_SECONDS (60), then
#                 the whole broker as in kill-cycles
#   make kill-cycles  kill the whole broker while it writes, CYCLES (1000)
#                 times; nothing may be lost. Too slow (20 s a cycle, or
#                 CYCLE_SECONDS for all) is a failure, too
#   make mutants  MUTANTS (500) damaged databases: refused by name, or intact
#   make soak     the long forms of what `make test` does in seconds: poisoned,
#                 endless and ten times too many events for SOAK_SECONDS (600)
#                 each, fifty crash loops, two hundred clients that do not read,
#                 healthy scripts without a pause, ENDS (100) ends and RELOADS
#                 (200) under load, ROUNDS (50) of a full disk, a hostile script
#                 beside another
#   make fuzz     run every fuzz target for SECONDS each (default 30)
#   make format   lay out every C file as .clang-format says
#   make clean    remove build/

SECONDS ?= 30
CHAOS_SECONDS ?= 60
CYCLES ?= 1000
CYCLE_SECONDS ?=
MUTANTS ?= 500
SOAK_SECONDS ?= 600
ENDS ?= 100
RELOADS ?= 200
ROUNDS ?= 50
JOBS ?= $(shell nproc)
PYTHON = /usr/bin/python3

.PHONY: build deps demo test test-docker bench bench-record bench-mqtt chaos kill-cycles mutants soak fuzz format clean asan
.DEFAULT_GOAL := build

build:
	@command -v cmake >/dev/null && command -v ninja >/dev/null || \
		{ echo "cmake or ninja is missing: try 'make deps'" >&2; exit 1; }
	@cmake -S . -B build -G Ninja --log-level=NOTICE || \
		{ echo "something is missing: try 'make deps'" >&2; exit 1; }
	@cmake --build build -j $(JOBS)

deps:
	@tools/deps build demo test

demo:
	@tools/deps build demo
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tools/demo

asan:
	@cmake -S . -B build/asan -G Ninja --log-level=NOTICE \
		-DPINFOLD_SANITIZE=ON
	@cmake --build build/asan -j $(JOBS) --target all test-programs

test:
	@tools/deps build demo test
	@$(MAKE) --no-print-directory build asan
	@cmake --build build -j $(JOBS) --target test-programs
	@tools/test $(TESTS)

# The images build the programs themselves: no build here.
test-docker:
	@tools/deps demo test docker
	@tools/test tests/docker

bench bench-record:
	@tools/deps build demo test bench
	@$(MAKE) --no-print-directory build
	@cmake --build build -j $(JOBS) --target bench
	@$(PYTHON) tests/bench/bench.py $(if $(filter bench-record,$@),--record)

bench-mqtt:
	@tools/deps build demo test
	@$(MAKE) --no-print-directory build
	@cmake --build build -j $(JOBS) --target bench
	@$(PYTHON) tests/bench/mosquitto.py
	@$(PYTHON) tests/bench/databases.py

chaos:
	@tools/deps build demo
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/chaos/chaos.py --seconds $(CHAOS_SECONDS)
	@$(MAKE) --no-print-directory kill-cycles

kill-cycles mutants:
	@tools/deps build demo
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/chaos/$(if $(filter mutants,$@),mutants.py --mutants \
		$(MUTANTS),kill_cycles.py --cycles $(CYCLES) \
		$(if $(CYCLE_SECONDS),--seconds $(CYCLE_SECONDS)))

soak:
	@tools/deps build demo
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/chaos/poison.py --seconds $(SOAK_SECONDS)
	@$(PYTHON) tests/chaos/poison.py --same 5 --seconds $$(( $(SOAK_SECONDS) / 3 ))
	@$(PYTHON) tests/chaos/timeouts.py --seconds $(SOAK_SECONDS)
	@$(PYTHON) tests/chaos/overload.py --seconds $$(( $(SOAK_SECONDS) / 10 ))
	@$(PYTHON) tests/chaos/crash_loops.py
	@$(PYTHON) tests/chaos/readers.py
	@$(PYTHON) tests/chaos/steady.py
	@$(PYTHON) tests/chaos/ends.py --times $(ENDS)
	@$(PYTHON) tests/chaos/reloads.py --times $(RELOADS)
	@$(PYTHON) tests/chaos/full_disk.py --rounds $(ROUNDS)
	@$(PYTHON) tests/chaos/neighbour.py

fuzz:
	@tools/deps build fuzz
	@tools/fuzz $(SECONDS)

format:
	@tests/check-format --fix

clean:
	rm -rf build
