SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Everything but the race detector builds without a C compiler.
export CGO_ENABLED := 0

LINT     := go tool -modfile=tools/go.mod golangci-lint run ./...
FUZZTIME ?= 30s
SEEDS    ?= 20000

.PHONY: help demo test lint bench fuzz simulate ct clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Tell the story of a bank's first transfers, with every part real (DEMO_EXIT=1: end after it)
	@mkdir -p .bin
	go build -o .bin/ ./cmd/cofferd ./cmd/signerd ./cmd/coffer ./demo
	.bin/demo $(if $(DEMO_EXIT),-exit)

# The race detector needs cgo, so this part depends on the machine.
test: ## Run all tests, some with the race detector as well if there is a C compiler
	go test ./...
	cd bench && go test ./...
	@if command -v gcc >/dev/null; then \
		echo 'CGO_ENABLED=1 go test -race -short ./tss/... ./internal/bus ./internal/ceremony'; \
		CGO_ENABLED=1 go test -race -short ./tss/... ./internal/bus ./internal/ceremony; \
	else \
		echo 'no gcc: tests under the race detector left out'; \
	fi

# go fix -diff prints what the modernizers would change, and fails if anything.
lint: ## Check formatting, imports, forbidden calls and common mistakes
	$(LINT)
	cd bench && $(subst tools/,../tools/,$(LINT))
	go fix -tags ct -diff ./...
	cd bench && go fix -diff ./...

bench: ## Measure the library beside others, and the core, into docs/benchmarks*.md (minutes)
	@mkdir -p docs
	cd bench && go run . -o ../docs/benchmarks.md
	cd bench && go run ./core -o ../docs/benchmarks-core.md

fuzz: ## Run every fuzz target for FUZZTIME (30s) each
	@go test -list '^Fuzz' ./... | \
		awk '/^Fuzz/ { names[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print names[i], $$2; n = 0 }' | \
		while read -r name package; do \
			echo "go test -run '^$$' -fuzz '^$$name\$$' -fuzztime $(FUZZTIME) $$package"; \
			go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
		done

simulate: ## Run SEEDS (20000) simulated ceremonies with faults, and walks over journals
	go test ./tss/tsstest/... -run Simulat -count=1 -timeout=3h -seeds=$(SEEDS)
	go test ./internal/state -run 'RandomWalk|C39LimitUnder' -count=1 -timeout=3h -walks=$$(( $(SEEDS) / 20 )) -runs=$(SEEDS)

ct: ## Test that secrets don't show in running time
	go test -tags ct -run ConstantTime -v -count=1 ./tss/...

clean: ## Remove test results, test binaries and profiles
	go clean -testcache
	rm -rf .bin
	find . -name '*.test' -type f -delete -o -name '*.prof' -type f -delete
