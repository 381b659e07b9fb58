#!/bin/sh
# A cluster of five nodes on this machine, one upload, and the cluster left running to play with.
# ONCE=1 ends it after the upload; VIDEO=PATH uploads that file; RELEASE=0 builds without optimization.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
out=target/demo

# The second half: run by the lab when the cluster is ready.
if [ "${1:-}" = upload ]; then
    "$STARLING" upload "$VIDEO" --node "$STARLING_NODE" --output-dir "$out" --json >"$out/upload.json"
    field() { sed -n "s/.*\"$1\":\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p" "$out/upload.json"; }
    result=$(field output)
    echo
    echo "uploaded:       $VIDEO to $STARLING_NODE"
    echo "transcoded by:  $(field served_by) (cache: $(field cache))"
    echo "route:          $(field route)"
    echo "time:           $(field ms) ms, $(field bytes_in) bytes in, $(field bytes_out) bytes out"
    echo "video:          $(ffprobe -v error -select_streams v -show_entries stream=codec_name,width,height \
        -of default=noprint_wrappers=1 "$result" | tr '\n' ' ')"
    echo "result:         $result"
    if [ "${ONCE:-}" != 1 ]; then
        echo
        echo "The cluster goes on running; Ctrl-C ends it."
    fi
    exit
fi

scripts/deps.sh demo
if [ "${RELEASE:-1}" = 0 ]; then
    cargo build --workspace --bins
    STARLING=$target/debug/starling
else
    cargo build --release --workspace --bins
    STARLING=$target/release/starling
fi

mkdir -p "$out"
if [ -z "${VIDEO:-}" ]; then
    VIDEO=$out/clip.mp4
    if [ ! -f "$VIDEO" ]; then
        ffmpeg -v error -y -f lavfi -i testsrc2=size=1280x720:rate=30:duration=10 \
            -f lavfi -i sine=frequency=440:duration=10 -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac \
            -shortest "$out/unfinished.mp4"
        mv "$out/unfinished.mp4" "$VIDEO"
    fi
elif [ ! -f "$VIDEO" ]; then
    echo "VIDEO=$VIDEO: there is no such file" >&2
    exit 1
fi
export STARLING VIDEO ONCE

set -- --base-port "${BASE_PORT:-5001}" --run "$PWD/scripts/demo.sh upload"
[ "${ONCE:-}" != 1 ] || set -- "$@" --once
exec "$STARLING" lab "$@"
