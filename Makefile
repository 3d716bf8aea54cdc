# Two commands do everything on a fresh machine: `make run` and `make test`. Both install the system packages they miss.

# What --version says it was built from; read by Package.swift, so it reaches every build below and no source file. A folder that is
# no checkout of its own has none, whatever repository it lies in.
export MOETOP_COMMIT := $(or $(MOETOP_COMMIT),$(if $(wildcard .git),$(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null)))

SWIFT ?= swift
PREFIX ?= /usr/local
SAMPLE := samples/olmoe-tiny
RELEASE := .build/release/moetop
SANITIZED := .build/sanitized

.PHONY: run build test fuzz lint format deps pictures install clean

run: build
	@$(RELEASE) ui $(SAMPLE)

build: deps
	@$(SWIFT) build -c release --product moetop

test: deps
	@$(SWIFT) build --build-tests
	@$(SWIFT) test --skip-build --parallel
	@$(SWIFT) build -c release --product moetop
	@MOETOP_TEST_BINARY=$(CURDIR)/$(RELEASE) $(SWIFT) test --skip-build --filter EndToEndTests

# Every fixture, cut and bit-flipped in full, under the address and undefined-behaviour sanitizers. Optimised, as it opens a million files.
fuzz: deps
	@$(SWIFT) build -c release --product fuzz --scratch-path $(SANITIZED) --sanitize=address \
	  -Xcc -fsanitize=undefined -Xcc -fno-sanitize-recover=undefined
	@ASAN_OPTIONS=detect_leaks=0 MOETOP_FUZZ=$${MOETOP_FUZZ:-full} $(SANITIZED)/release/fuzz

lint:
	@$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

format:
	@$(SWIFT) format --in-place --recursive Package.swift Sources Tests

deps:
	@tools/install-packages.sh

pictures: build
	@tools/make-pictures.sh $(RELEASE)

install: build
	@install -d $(DESTDIR)$(PREFIX)/bin
	@install -m 755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/moetop

clean:
	@$(SWIFT) package clean
