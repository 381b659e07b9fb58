#!/bin/sh
# All tests. Ends with the closing lines of the test runner; what this machine cannot run is listed before them.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

# Elsewhere it takes its own time: scripts/fuzz.sh.
if [ "${CI:-}" = true ]; then
    scripts/fuzz.sh 10
fi

if ! cargo nextest --version >/dev/null 2>&1; then
    step "cargo test (cargo-nextest, which is faster, is not installed)"
    cargo test --workspace
    exit
fi

step "cargo nextest run"
mkdir -p "${CARGO_TARGET_DIR:-target}"
target=${CARGO_TARGET_DIR:-target}
log=$target/test.log
junit=$target/nextest/default/junit.xml
rm -f "$junit"
{ status=0; cargo nextest run --workspace 2>&1 || status=$?; echo $status >"$log.status"; } | tee "$log"
# The runner keeps what passing tests print out of sight, and counts as passed what skipped itself.
if [ -f "$junit" ]; then
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
exit "$(cat "$log.status")"
