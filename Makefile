PEERS   ?= $(or $(SALLYPORT_PEERS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sallyport-peers)
export SALLYPORT_PEERS := $(PEERS)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

FUZZTIME  ?= 10s
TESTFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help build test peers lint fuzz bench demo docker

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the static binary, bin/gateway
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/gateway ./cmd/gateway

test: ## every test, with the race detector; REQUIRE_PEERS=1 fails those whose peer is missing
	go test -race -shuffle=on $(TESTFLAGS) ./...

peers: ## build the real servers that tests speak to, outside the repository
	@status=0; for script in scripts/peers/*.sh; do \
		bash "$$script" || { echo "make peers: $$script failed" >&2; status=1; }; \
	done; exit $$status

lint: ## gofmt, go vet, staticcheck, govulncheck, and shellcheck where there is one
	@scripts/lint.sh

fuzz: ## every fuzz target for FUZZTIME=10s
	@scripts/fuzz.sh $(FUZZTIME)

bench: ## beside a bare ReverseProxy and bare primitives, in the same run; p99 under a flood of passwords
	go test -run '^$$' -bench . -benchtime 1x ./internal/gateway/
	go test -run '^$$' -bench Operations -benchtime 1x ./internal/crypto/

demo: ## a legacy API, an issuer and the gateway on this machine
	go run ./cmd/gateway demo

docker: ## the image and docker-compose.yml, on a Docker engine of its own (root, Debian)
	scripts/docker/e2e.sh
