#!/bin/sh
# The overlay: micro-benchmarks, then twenty nodes beside twenty agents of serf in a network namespace of their own.
# Names of scenarios (join, rest, kill, loss, partition, stop) run only those of the comparison.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

if [ $# = 0 ]; then
    step "micro-benchmarks"
    cargo bench -p starling-overlay
fi
step "against serf"
cargo bench --bench membership --no-run
if [ "$(id -u)" = 0 ]; then own=; else own=--map-root-user; fi
# All processes end with the benchmark, however it ends.
# shellcheck disable=SC2086 # a word or none
exec unshare $own --net --pid --fork --kill-child --mount-proc cargo bench --bench membership -- "$@"
