#!/bin/sh
# Fuzzes one target of a folder for a while, without cargo-fuzz: scripts/fuzz-target.sh overlay/fuzz datagram -max_total_time=60
# Any toolchain does; a stable one is told to accept the compiler flags that only a nightly one takes by itself.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
cd "$1"
target=$2
shift 2
host=$(rustc -vV | sed -n 's/^host: //p')
# All targets of the folder at once: they share nearly all there is to build.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions" \
  cargo build --release --locked --bins --target "$host"
mkdir -p "corpus/$target" artifacts
seeds=
if [ -d "seeds/$target" ]; then seeds=seeds/$target; fi
exec "$CARGO_TARGET_DIR/$host/release/$target" -artifact_prefix=artifacts/ "$@" "corpus/$target" ${seeds:+"$seeds"}
