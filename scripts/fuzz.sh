#!/bin/sh
# Fuzzes what comes in from the network, each target for so many seconds: scripts/fuzz.sh 20. Fails with the first input
# that breaks something; it is left in artifacts/ beside the target.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

seconds=${1:-20}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! command -v c++ >/dev/null; then
    skip "a C++ compiler, which the fuzzer is built with, is not installed (apt-get install g++)"
    exit 0
fi
for target in overlay/fuzz/datagram overlay/fuzz/sequence fuzz/bundle fuzz/headers fuzz/index fuzz/multipart fuzz/probe; do
    step "fuzz $target for $seconds s"
    if ! scripts/fuzz-target.sh "${target%/*}" "${target##*/}" "-max_total_time=$seconds" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        exit 1
    fi
    printf 'fuzz %s: %s\n' "$target" "$(sed -n 's/^Done //p' "$log")"
done
