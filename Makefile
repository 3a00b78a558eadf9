# `make demo` and `make test` are the two to know; `make` lists the rest.

MUSL := $(shell uname -m)-unknown-linux-musl
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
IMAGE ?= hookgate:local
FUZZ_SECONDS ?= 10

# Tools written in Rust are installed under .tools, built to be there soon and not to be fast.
export PATH := $(CURDIR)/.tools/cargo/bin:$(PATH)
QUICKLY := CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	CARGO_TARGET_DIR=$(CURDIR)/.tools/target
DENY := cargo-deny@0.20.2
FUZZ := cargo-fuzz@0.13.2

.PHONY: help demo test model campaign check fmt clippy deny docs deploy-check charts fuzz bench dist image smoke

help: ## list the targets
	@sed -n 's/^\([a-z-]*\)[a-z ]*:.*## /\1\t/p' Makefile | expand -t 14

demo: rust ## serve on embedded defaults, and send real and forged deliveries (ARGS=--once to stop then)
	cargo run --locked -- demo $(ARGS)

test: rust ## install what the tests need (Debian), then run them all
	./tests/setup.sh
	cargo test --locked

model: rust ## the model of the protocol, to wider bounds than the tests go
	cargo test --locked --release --test model -- --include-ignored --nocapture --test-threads 1

campaign: rust ## the long fault campaign, from a release build; writes docs/CAMPAIGN.md (CAMPAIGN_SEED=1 …)
	./tests/setup.sh
	cargo test --release --locked --test campaign -- --ignored --nocapture

check: fmt clippy deny ## what a commit must pass beside the tests

fmt: ## formatting
	cargo fmt --all --check

clippy: ## lints, warnings refused
	cargo clippy --locked --all-targets -- -D warnings

deny: ## licences, bans and sources of the dependencies
	@command -v cargo-deny >/dev/null || $(QUICKLY) cargo install --quiet --locked --root .tools/cargo $(DENY)
	cargo deny --locked check licenses bans sources

docs: rust ## the pages of the providers, made anew from their definitions
	rm -f docs/providers/*.md
	cargo run --quiet --locked -- providers docs docs/providers

deploy-check charts: ## chart, compose file, Dockerfile, workflows and scripts
	./deploy/tools.sh deploy/requirements.txt
	.tools/bin/python deploy/check.py

fuzz: ## a short run of each fuzz target (FUZZ_SECONDS=10)
	@command -v cargo-fuzz >/dev/null || $(QUICKLY) cargo install --quiet --locked --root .tools/cargo $(FUZZ)
	@# Without address sanitizer: this crate has no unsafe code, and the build takes a third of the time.
	for target in delivery redact_json redact_form redact_multipart; do \
		mkdir -p fuzz/corpus/$$target && \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

bench: ## benchmarks
	cargo bench --locked --bench gateway
	cargo bench --locked --bench redaction

dist: ## the static binary, in dist/
	@command -v musl-gcc >/dev/null || { echo "make: musl-gcc is missing; on Debian: apt-get install musl-tools" >&2; exit 1; }
	rustup target add $(MUSL)
	cargo build --release --locked --target $(MUSL)
	install -D target/$(MUSL)/release/hookgate dist/hookgate
	install -d dist/ledger

image: dist ## the container image (IMAGE=hookgate:local), of the static binary alone
	@command -v buildah >/dev/null || { echo "make: buildah is missing; on Debian: apt-get install buildah" >&2; exit 1; }
	buildah bud --isolation chroot --label org.opencontainers.image.version=$(VERSION) --tag $(IMAGE) --file deploy/Dockerfile .

smoke: ## run the image as its own user (root; after make image)
	./deploy/smoke.sh $(IMAGE)

.PHONY: rust
rust:
	@command -v cargo >/dev/null || { echo "make: cargo is missing; rustup.rs says how to install Rust" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "make: a C compiler is missing (SQLite is compiled in); on Debian: apt-get install gcc libc6-dev" >&2; exit 1; }
