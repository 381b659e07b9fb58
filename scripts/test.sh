#!/bin/sh
# All tests. Ends with the closing lines of the test runner; what this machine cannot run is listed before them.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

# Fuzzing is for CI; elsewhere it takes its own time: scripts/fuzz.sh. Its targets are built by the CPU time that the tests leave
# over, and run when the machine is free.
fuzz_build=
if [ "${CI:-}" = true ]; then
    # They run for seconds here: what full optimization would take to compile is more than it brings.
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
    nice -n 19 sh -c 'scripts/deb.sh tool; scripts/fuzz.sh build' &
    fuzz_build=$!
fi
fuzz() {
    [ -n "$fuzz_build" ] || return 0
    wait "$fuzz_build" && scripts/fuzz.sh 10
}

if ! cargo nextest --version >/dev/null 2>&1; then
    step "cargo test (cargo-nextest, which is faster, is not installed)"
    cargo test --workspace --features otlp
    fuzz
    scripts/deb.sh dev
    exit
fi

step "cargo nextest run"
mkdir -p "${CARGO_TARGET_DIR:-target}"
target=${CARGO_TARGET_DIR:-target}
log=$target/test.log
junit=$target/nextest/default/junit.xml
rm -f "$junit" "$target/sim-figures.txt"
{ status=0; cargo nextest run --workspace --features otlp 2>&1 || status=$?; echo $status >"$log.status"; } | tee "$log"
fuzzed=0
fuzz || fuzzed=1
# Of the binaries that were tested.
packaged=0
scripts/deb.sh dev || packaged=1
# The runner keeps what passing tests print out of sight, and counts as passed what skipped itself.
if [ -f "$junit" ]; then
    # What the change does to the simulator's figures, beside those of placement/tests/figures.json.
    [ ! -f "$target/sim-figures.txt" ] || cat "$target/sim-figures.txt"
    grep -o 'SKIPPED: [^<]*' "$junit" | sort | uniq -c || true
    sed -n '/^ *Summary \[/,$p' "$log"
    awk 'BEGIN { RS = "<testcase " }
        NR > 1 {
            if (/<(failure|error)[ >]/) failed++
            else if (/SKIPPED: /) skipped++
            else passed++
        }
        END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$junit"
fi
[ "$packaged" = 0 ] || echo "the Debian package does not do what it should: see above" >&2
[ "$fuzzed" = 0 ] || echo "fuzzing found something, or could not be done: see above" >&2
status=$(cat "$log.status")
[ "$status" != 0 ] || status=$((fuzzed | packaged))
exit "$status"
