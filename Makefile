# One word a chore. `make run` and `make test` are the two a newcomer needs.

CARGO ?= cargo
BIN := target/release/sandbox

.PHONY: man run test test-as check lint fmt fuzz mutants build setup test-setup bench bench-peers doc clean

run: setup build ## boot a microVM around this folder and show what it can and cannot reach
	@./scripts/tour $(BIN)

test: test-setup ## every test, those that boot microVMs included
	@./scripts/test

test-as: ## the tests again, as the ordinary user USER (as root)
	@./scripts/test-as $(USER)

check: ## the everyday loop: format, clippy and the tests that need no microVM
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test --workspace -- --skip microvm

lint: ## everything that is checked without running it
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	CARGO_TARGET_DIR=$${CARGO_TARGET_DIR:-target} $(CARGO) check --locked --manifest-path benches/peers/Cargo.toml
	./scripts/deny
	$(CARGO) test --test it -- edges
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items

fmt: ## put every file in the house style
	$(CARGO) fmt --all

fuzz: ## every fuzz target, SECONDS each (60 unless told)
	@./scripts/fuzz $(or $(SECONDS),60)

mutants: ## which changes to the matcher and the canonical forms no test notices (hours)
	@./scripts/mutants

build: ## the release binary
	SANDBOX_COMMIT=$$(git rev-parse HEAD 2>/dev/null || true) $(CARGO) build --release

man: build ## manual pages, and completions for the shells, in target/
	@mkdir -p target/completions
	@$(BIN) completion man target/man
	@for shell in bash zsh fish; do $(BIN) completion $$shell > target/completions/sandbox.$$shell; done

setup: ## install the system packages that are missing
	@./scripts/setup

test-setup: ## install those that only the tests use, too
	@./scripts/setup test

bench: ## the policy engine: criterion's benches, then beside its peers (`benches/corpora` fetches real lists first)
	$(CARGO) bench --package sandbox --bench '*'
	$(CARGO) run --release --manifest-path benches/peers/Cargo.toml

bench-peers: ## this proxy against its peers on loopback, into benches/RESULTS.md; about half an hour (ARGS=--quick: minutes)
	./benches/proxies/install $${CARGO_TARGET_DIR:-target}/bench
	$(CARGO) build --release -p proxy --example appliance
	./benches/proxies/run $(ARGS)

doc: ## the crates' documentation
	$(CARGO) doc --workspace --no-deps --open

clean:
	$(CARGO) clean
