# Two commands do everything on a fresh machine: `make run` and `make test`. Both install the system packages they miss.

# What --version says it was built from; read by Package.swift, so it reaches every build below and no source file. A folder that is
# no checkout of its own has none, whatever repository it lies in.
export MOETOP_COMMIT := $(or $(MOETOP_COMMIT),$(if $(wildcard .git),$(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null)))

SWIFT ?= swift
PREFIX ?= /usr/local
SAMPLE := samples/olmoe-tiny
RELEASE := .build/release/moetop
SANITIZED := .build/sanitized
THREADED := .build/tsan
# The program that is installed.
PROGRAM ?= $(RELEASE)
# On Linux the program carries Swift's libraries, where the toolchain has them for that: it starts in half the time, and runs where no Swift is.
CARRY := $(shell test -d "$$(dirname "$$(readlink -f "$$(command -v $(SWIFT))")")/../lib/swift_static/linux" && echo --static-swift-stdlib)

# Suites where threads meet: the writer and its readers, the engine's thread and the screens, the pool, the program in a terminal.
THREADS := DurabilityTests|PlaceTests|SessionRecorderTests|ScreensWordsTests|FamilyParityTests|ImageEngineTests|RoutingBufferTests|PoolTests|FacadeTests|threadsShareOneTokenizer|EndToEndTests.TerminalTests

.PHONY: run build test seeds further kernels fuzz damage recorder tsan lint format deps place pictures install uninstall clean

run: build
	@$(RELEASE) ui $(SAMPLE)

build: deps place
	@$(SWIFT) build -c release --product moetop $(CARRY)

# The parts as they are debugged, then the program as it is used.
test: deps place
	@$(SWIFT) build --build-tests
	@tools/run-tests.sh $(SWIFT) test --skip-build --parallel --skip EndToEndTests
	@$(SWIFT) build -c release --product moetop $(CARRY)
	@MOETOP_TEST_BINARY=$(CURDIR)/$(RELEASE) tools/run-tests.sh $(SWIFT) test --skip-build --filter EndToEndTests

# Fifty routed systems of the literature: each recorded or run, asked, and held against what was planted (docs/seeds.md). Some need torch.
PYTHON ?= python3
seeds: build
	@$(PYTHON) tools/recorder/seeds.py --moetop $(RELEASE) $(SEEDS)

# Tests of further reference models, which MOETOP_SHARED names; built by `make test`.
further:
	@test -d "$$MOETOP_SHARED" || { echo "error: MOETOP_SHARED: expected a folder of reference models, found '$$MOETOP_SHARED'" >&2; exit 66; }
	@tools/run-tests.sh $(SWIFT) test --skip-build --parallel --filter '[fF]urtherReferences'

# Every form of the kernels that this machine has, and those of 64-bit ARM in an emulator, held to the scalar one.
kernels:
	@tools/test-kernels.sh

# Every fixture, cut and bit-flipped in full, under the address and undefined-behaviour sanitizers. Optimised, as it opens a million files.
# Scripts are played by the release build: all of its own is Swift.
fuzz: build
	@$(SWIFT) build -c release --product fuzz --scratch-path $(SANITIZED) --sanitize=address \
	  -Xcc -fsanitize=undefined -Xcc -fno-sanitize-recover=undefined
	@ASAN_OPTIONS=detect_leaks=0 MOETOP_TEST_BINARY=$(CURDIR)/$(RELEASE) MOETOP_FUZZ=$${MOETOP_FUZZ:-full} $(SANITIZED)/release/fuzz

# The same by what `make build` builds, without sanitizers: a short form takes a minute and no second build.
damage: build
	@$(SWIFT) build -c release --product fuzz $(CARRY)
	@MOETOP_TEST_BINARY=$(CURDIR)/$(RELEASE) MOETOP_FUZZ=$${MOETOP_FUZZ:-3,30} .build/release/fuzz

# Tests of the recorder in Python; those that need torch or transformers are skipped where these are missing.
recorder: build
	@tools/test-recorder.sh $(RELEASE)

# The same suites watched by the thread sanitizer: a program that raced ends with status 66, and its test fails.
tsan: deps place
	@$(SWIFT) build --build-tests --sanitize=thread --scratch-path $(THREADED)
	@tools/run-tests.sh $(SWIFT) test --skip-build --sanitize=thread --scratch-path $(THREADED) --filter '$(THREADS)'

lint:
	@$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	@$(SWIFT) format --in-place --recursive Package.swift Sources Tests

deps:
	@tools/install-packages.sh

place:
	@tools/check-place.sh $(SWIFT)

pictures: build
	@tools/make-pictures.sh $(RELEASE)

# Program, manual page, completions, samples and docs. What is built is not built again: `sudo make install` compiles nothing as root.
install:
	@test -x "$(PROGRAM)" || $(MAKE) build
	@tools/install-files.sh "$(PROGRAM)" "$(DESTDIR)$(PREFIX)"

uninstall:
	@tools/install-files.sh --remove "$(DESTDIR)$(PREFIX)"

clean:
	@$(SWIFT) package clean
