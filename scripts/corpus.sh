#!/bin/sh
# The whole corpus: every input of tests/corpus/inputs.toml through every profile, measured from the outside.
# ONLY=NAME,… PROFILES=NAME,… take a part of it; COMPARE=1 puts plain ffmpeg and HandBrake beside it.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

scripts/deps.sh build run ${COMPARE:+compare}
export STARLING_CORPUS="${ONLY:-all}" STARLING_CORPUS_PROFILES="${PROFILES:-}"
tables=${CARGO_TARGET_DIR:-target}/tmp

# run TEST…: not by nextest, which ends what takes longer than a test may.
run() {
    cargo test --test it -- --include-ignored --nocapture --exact "$@"
}

status=0
step "every input in every profile"
run corpus::every_input_is_right_in_every_profile || status=$?
cat "$tables/corpus.md"
if [ -n "${COMPARE:-}" ]; then
    step "the same inputs through other converters"
    run corpus::compare::other_converters
    cat "$tables/corpus-others.md"
fi
exit $status
