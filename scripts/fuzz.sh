#!/bin/sh
# Fuzzes what comes in from the network, each target for so many seconds, one on each core: scripts/fuzz.sh 20. Fails with the
# first input that breaks something; it is left in artifacts/ beside the target. scripts/fuzz.sh build only builds them.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

seconds=${1:-20}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
if ! command -v c++ >/dev/null; then
    skip "a C++ compiler, which the fuzzer is built with, is not installed (apt-get install g++)"
    exit 0
fi
# Builds all targets of both folders; says nothing if all is well.
build() {
    for target in overlay/fuzz/datagram fuzz/headers; do
        if ! scripts/fuzz-target.sh "${target%/*}" "${target##*/}" -help=1 >"$logs/build" 2>&1; then
            tail -n 40 "$logs/build" >&2
            return 1
        fi
    done
}

# fuzz TARGET…: side by side.
fuzz() {
    pids=
    for target in "$@"; do
        step "fuzz $target for $seconds s"
        scripts/fuzz-target.sh "${target%/*}" "${target##*/}" "-max_total_time=$seconds" >"$logs/${target##*/}" 2>&1 &
        pids="$pids $!"
    done
    for target in "$@"; do
        pid=${pids# }
        pid=${pid%% *}
        pids=${pids# "$pid"}
        if ! wait "$pid"; then
            tail -n 40 "$logs/${target##*/}" >&2
            failed=1
        else
            printf 'fuzz %s: %s\n' "$target" "$(sed -n 's/^Done //p' "$logs/${target##*/}")"
        fi
    done
    [ -z "$failed" ]
}

failed=
build
[ "$seconds" != build ] || exit 0
set -- overlay/fuzz/datagram overlay/fuzz/sequence fuzz/bundle fuzz/headers fuzz/index fuzz/multipart fuzz/probe fuzz/webp
cores=$(nproc)
while [ $# -gt 0 ]; do
    batch=
    while [ $# -gt 0 ] && [ "$(echo $batch | wc -w)" -lt "$cores" ]; do
        batch="$batch $1"
        shift
    done
    # shellcheck disable=SC2086 # words on purpose
    fuzz $batch
done
