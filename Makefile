# What people run here. `make help` lists it.

GOLANGCI := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# The race detector needs cgo. SQLite is C turned into Go: its pointers are not the garbage collector's business.
RACE     := $(if $(filter 1,$(shell go env CGO_ENABLED)),$(if $(shell command -v $$(go env CC)),-race -gcflags=modernc.org/...=-d=checkptr=0))
ROOMS    := main exporters queue irc signatures
# What reads logs has a faster path for amd64, which Go builds where the experiment is on.
SIMD     := $(if $(filter amd64,$(shell go env GOARCH)),GOEXPERIMENT=simd)
PACKAGES  = $(shell go list ./... | grep -v /test/acceptance)

.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

build: ## the optimised binary, in bin/
	$(SIMD) CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $(STAMP)" -o bin/collie ./cmd/collie

test: tools ## all tests but the stories; in CI a skip is a failure
	test/run $(RACE) $(PACKAGES)

accept: tools ## the acceptance stories, or one: make accept STORY=watch
	test/run -count=1 -timeout 20m ./test/acceptance $(if $(STORY),-run '^TestStories$$/^$(STORY)$$')

bench: ## figures, or one room's: make bench ROOM=queue
	@for room in $(or $(ROOM),$(ROOMS)); do for d in test/bench/$$room test/bench/$$room-*; do \
	  test ! -d $$d || env $$(test $$room != signatures || echo $(SIMD)) go run ./$$d || exit 1; done; done

chaos: ## fault tests at full scale, or one room's: make chaos ROOM=main
	@for room in $(or $(ROOM),main queue irc); do for d in test/chaos/$$room test/chaos/$$room-*; do \
	  test ! -d $$d || go run ./$$d || exit 1; done; done

fuzz: ## each fuzz test for FUZZTIME (10s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r f; do \
	  grep -o '^func Fuzz[A-Za-z0-9_]*' $$f | sed 's/func //' | while read -r name; do \
	    echo "$$(dirname $$f) $$name"; go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(or $(FUZZTIME),10s) $$(dirname $$f) || exit 1; \
	  done || exit 1; done

experiment: ## what decisions were measured with: each program under test/experiment
	@for d in test/experiment/*/; do go run ./$$d || exit 1; done

lint: ## formatting, vet, golangci-lint, tidy and verified modules
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	go vet ./...
	$(GOLANGCI) run
	go mod tidy -diff
	go mod verify

tools: ## what the tests need from the distribution, where it can be installed
	@test/install

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
V       := github.com/prometheus/common/version
STAMP   := -X $(V).Version=$(VERSION) -X $(V).Revision=$(shell git rev-parse --short HEAD 2>/dev/null) -X $(V).Branch=$(shell git branch --show-current 2>/dev/null)

.PHONY: help build test accept bench chaos fuzz experiment lint tools
