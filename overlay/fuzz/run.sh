#!/bin/sh
# Fuzzes one target for a while, without cargo-fuzz: ./run.sh datagram -max_total_time=60
# Any toolchain does; a stable one is told to accept the compiler flags that only a nightly one takes by itself.
set -eu
cd "$(dirname "$0")"
target=$1
shift
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cdebug-assertions -Ccodegen-units=1" cargo build --release --locked --bin "$target" --target "$host"
mkdir -p "corpus/$target" artifacts
exec "${CARGO_TARGET_DIR:-target}/$host/release/$target" -artifact_prefix=artifacts/ "$@" "corpus/$target"
