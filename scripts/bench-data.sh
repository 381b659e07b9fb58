#!/bin/sh
# The data plane beside what else there is, on this machine, in one run: openssl, xargs and ffmpeg, nginx.
#
#   scripts/bench-data.sh [FOLDER]     clips to transcode; made by ffmpeg if no folder is given
#
# Prints what each part measured. Everything listens on loopback, on ports from BASE_PORT (6400) on.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

clips=${1:-}
port=${BASE_PORT:-6400}
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/starling-bench.XXXXXX")
pids=
finish() {
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    wait
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

step "build"
cargo bench --bench chain --bench ingest --bench transcode --no-run
cargo build --release
starling=${CARGO_TARGET_DIR:-target}/release/starling

# node NAME PORT [OPTION…]: starts one and waits until it is ready.
node() {
    name=$1 at=$2
    shift 2
    RUST_LOG=warn "$starling" node --name "$name" --gossip "127.0.0.1:$at" --http "127.0.0.1:$at" \
        --data-dir "$scratch/$name" "$@" 2>"$scratch/$name.log" &
    node=$!
    pids="$pids $node"
    for _ in $(seq 100); do
        curl -sf -o /dev/null "http://127.0.0.1:$at/ready" && return
        sleep 0.1
    done
    cat "$scratch/$name.log" >&2
    exit 1
}

if [ -z "$clips" ]; then
    step "clips"
    clips=$scratch/clips
    mkdir "$clips"
    for n in 1 2 3 4 5 6 7 8; do
        ffmpeg -v error -nostdin -f lavfi -i "testsrc2=size=1920x1080:rate=30:duration=4" \
            -vf "noise=alls=$((4 * n)):allf=t" -c:v libx264 -preset ultrafast "$clips/clip$n.mp4"
    done
fi
# The benchmarks run in the package's folder, but may be given a relative path.
clips=$(cd "$clips" && pwd)

step "ingest of 1 GB, beside openssl dgst -sha256 (nothing is written there)"
cargo bench -q --bench ingest -- 1000 5

step "the worker pool, beside xargs and ffmpeg"
cargo bench -q --bench transcode -- "$clips" 3

step "the chain of filters, beside the plain scale: CPU time of ffmpeg, same encoder (goal: a ratio of at most 1.03)"
cargo bench -q --bench chain -- "$(find "$clips" -name '*.mp4' | sort | head -1)" 9

step "100 uploads of 50 MB at once to one node: memory"
first=$(find "$clips" -name '*.mp4' | sort | head -1)
# A clip and a box of free space: a valid MP4 of any length. Box: 4 bytes of length, "free", that many less 8 of zeros.
cp "$first" "$scratch/padded.mp4"
pad=$((50000000 - $(stat -c %s "$first")))
# shellcheck disable=SC2059 # the format is the data
printf "$(printf '%08x' "$pad" | sed 's/../\\x&/g')free" >>"$scratch/padded.mp4"
truncate -s 50000000 "$scratch/padded.mp4"
node memory "$port"
before=$(sed -n 's/^VmRSS:[[:space:]]*//p' "/proc/$node/status")
seq 100 | xargs -P100 -I@ sh -c "{ cat '$scratch/padded.mp4'; printf '\\0\\0\\0\\020free%08d' @; } |
    curl -s -o /dev/null -w '%{http_code}\\n' -m 600 -T - -X POST -H 'Content-Type: video/mp4' \
    'http://127.0.0.1:$port/upload'" | sort | uniq -c | awk '{ print "answers " $2 ": " $1 }'
after=$(sed -n 's/^VmHWM:[[:space:]]*//p' "/proc/$node/status")
echo "RSS before: $before, peak: $after"
kill "$node"

step "a cached result of 98 KB, beside nginx with sendfile"
if ! command -v nginx >/dev/null || ! command -v wrk >/dev/null; then
    skip "nginx or wrk is not installed (Debian's packages nginx-light and wrk)" allowed
    exit
fi
# Whatever comes out of the profile near 98 KB: nginx is given the very same bytes.
ffmpeg -v error -nostdin -f lavfi -i "testsrc2=size=640x360:rate=25:duration=2.6" -vf noise=alls=5:allf=t \
    -c:v libx264 -preset ultrafast "$scratch/small.mp4"
node cached "$((port + 1))"
curl -sSf -o "$scratch/result.mp4" -T "$scratch/small.mp4" -X POST -H 'Content-Type: video/mp4' \
    "http://127.0.0.1:$((port + 1))/upload?profile=360p"
id=$(sha256sum "$scratch/small.mp4" | cut -d' ' -f1)
mkdir "$scratch/www" "$scratch/nginx"
cp "$scratch/result.mp4" "$scratch/www/result.mp4"
cat >"$scratch/nginx.conf" <<CONF
worker_processes auto;
daemon off;
pid $scratch/nginx/pid;
error_log $scratch/nginx/error.log;
events { worker_connections 1024; }
http {
    sendfile on; tcp_nopush on; keepalive_requests 1000000; access_log off;
    client_body_temp_path $scratch/nginx/a; proxy_temp_path $scratch/nginx/b; fastcgi_temp_path $scratch/nginx/c;
    uwsgi_temp_path $scratch/nginx/d; scgi_temp_path $scratch/nginx/e;
    server { listen 127.0.0.1:$((port + 2)); root $scratch/www; }
}
CONF
chmod 755 "$scratch" "$scratch/www"
nginx -c "$scratch/nginx.conf" 2>"$scratch/nginx.log" &
pids="$pids $!"
sleep 1
rate() {
    wrk -t2 -c32 -d8s "$1" | tee -a "$scratch/wrk.log" | sed -n 's/^Requests\/sec: *//p'
}
object=http://127.0.0.1:$((port + 1))/objects/$id/360p
static=http://127.0.0.1:$((port + 2))/result.mp4
echo "bytes: $(stat -c %s "$scratch/result.mp4"), the same from both: $(
    [ "$(curl -s "$object" | sha256sum)" = "$(curl -s "$static" | sha256sum)" ] && echo yes || echo NO)"
# By turns, so that whatever else the machine does falls on both.
for _ in 1 2 3; do
    echo "$(rate "$static") $(rate "$object")"
done | awk '{ print "nginx " $1 "/s, starling " $2 "/s, ratio " $2 / $1 }'
if grep -q 'Non-2xx' "$scratch/wrk.log"; then
    echo "some answers were errors:" >&2
    grep 'Non-2xx' "$scratch/wrk.log" >&2
    exit 1
fi
