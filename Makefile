# make          build ./cgs3fs
# make deps     install what the tests and the benchmark need (Debian, root)
# make check    format, vet, staticcheck, import rule, tidy
# make test     all that follows: check, unit tests with the race detector, the mounted program against a real S3 server
# make demo     a local S3 server, mounted at ./bucket; DEMO=check exits by itself; make demo-stop cleans up
# make bench    beside rclone and s3fs; make soak, fuzz, cover, vuln: see CONTRIBUTING.md

SHELL     := /bin/bash
GO        ?= go
TOOL      := $(GO) tool -modfile=$(CURDIR)/tools.mod
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null)
BUILD     := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false \
	-ldflags='-s -w -X github.com/cgs3fs/cgs3fs/command.Version=$(VERSION)'
FUZZTIME  ?= 60s
SOAKTIME  ?= 1h
TESTFLAGS ?=

# What the tests run beside Go itself; Debian's package, where it has another name.
PROGRAMS  := fusermount3:fuse3 aws:awscli s3fs sqlite3 rsync fio setfattr:attr git gcc chromium

.PHONY: build deps check format vet staticcheck layers tidy test unit mounted demo demo-check demo-stop bench soak fuzz cover vuln clean
.DEFAULT_GOAL := build

build:
	$(BUILD) -o cgs3fs .

deps:
	@bash .ci/deps $(PROGRAMS)

check: format vet staticcheck layers tidy

format:
	@echo 'gofumpt -l'
	@bad=$$($(TOOL) gofumpt -l .) && [ -z "$$bad" ] || { echo "gofumpt would change:"; echo "$$bad"; exit 1; }

vet:
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	cd tests && $(GO) vet ./...
	GOARCH=amd64 $(BUILD) -o /dev/null .
	GOARCH=arm64 $(BUILD) -o /dev/null .

staticcheck:
	$(TOOL) staticcheck ./...
	cd tests && $$($(TOOL) -n staticcheck) ./...

layers:
	cd tests && $(GO) test -count=1 ./house

tidy:
	$(GO) mod tidy -diff
	cd tests && $(GO) mod tidy -diff

test: deps
	@bash .ci/test check unit mounted demo-check

unit:
	@GO='$(GO)' bash .ci/unit $(TESTFLAGS)

mounted:
	cd tests && $(GO) test -count=1 -timeout=60m $(TESTFLAGS) ./...

demo:
	@bash .ci/deps fusermount3:fuse3
	@cd tests && $(GO) run ./demo $(if $(filter check,$(DEMO)),-check) $(CURDIR)/bucket

# make demo DEMO=check beside a demo that may be up; nothing must be left of it.
demo-check:
	@dir=$$(mktemp -d) && (cd tests && $(GO) run ./demo -check "$$dir/bucket") && rmdir "$$dir"

demo-stop:
	@cd tests && $(GO) run ./demo -stop $(CURDIR)/bucket

bench:
	cd tests && $(GO) run ./bench $(BENCHFLAGS)

soak:
	CGS3FS_SOAK=$(SOAKTIME) $(GO) test -timeout=0 -count=1 -v -run='TestEveryPromise|TestNothingIsLost' $(TESTFLAGS) ./fs
	$(GO) test -timeout=0 -count=1 $(addprefix ./,$(dir $(wildcard */rapid_test.go))) -rapid.seed=0 -rapid.checks=20000
	cd tests && CGS3FS_SOAK=$(SOAKTIME) $(GO) test -timeout=0 -count=1 -v $(TESTFLAGS) ./...

# Every fuzz target of the program, one after another.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; $(GO) test -run='^$$' -fuzz="^$$target$$" -fuzztime=$(FUZZTIME) $$pkg; \
		done; \
	done

cover:
	$(GO) test -coverprofile=cover.prof ./...
	$(GO) tool cover -func=cover.prof | tail -n 1

# Needs the network: the vulnerability database is not part of the module.
vuln:
	$(TOOL) govulncheck ./...

clean:
	rm -f cgs3fs cover.prof
