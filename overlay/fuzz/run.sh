#!/bin/sh
# Fuzzes one target for a while, without cargo-fuzz: ./run.sh datagram -max_total_time=60
# Needs the nightly toolchain and a C++ compiler.
set -eu
cd "$(dirname "$0")"
target=$1
shift
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cdebug-assertions -Ccodegen-units=1" cargo +nightly build --release --bin "$target" --target x86_64-unknown-linux-gnu
mkdir -p "corpus/$target" artifacts
exec "target/x86_64-unknown-linux-gnu/release/$target" -artifact_prefix=artifacts/ "$@" "corpus/$target"
