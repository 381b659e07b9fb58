#!/bin/sh
# The paper's client against five nodes in a lab on this machine, beside bare ffmpeg on the same files:
#
#   scripts/bench-load.sh FOLDER            all of it, some 12 minutes on a machine at rest
#   ONLY=pattern scripts/bench-load.sh …    one part: pattern, overload or faults
#   DURATION=60s scripts/bench-load.sh …    shorter
#
# pattern   100 uploads in flight of the folder's clips: nearly all succeed, nobody is suspected, nothing is transcoded
#           twice
# overload  every upload a new content: answers in time a second, beside bare ffmpeg's rate; the rest is refused soon, and
#           taken when it comes back as told
# faults    the same clips while each node in turn is killed, stopped, cut off, and brought back
#
# Prints one line of JSON; each load report as it came goes to target/bench-load/.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/target/bench-load

# The second half: run by the lab when the cluster is ready.
if [ "${1:-}" = inside ]; then
    part=$2
    set -- "$FOLDER" --to "$STARLING_NODES" --profile paper --parallel 100 --duration "$DURATION" --timeout 40s --seed 1 --verify --json
    case $part in
    pattern) "$STARLING" load "$@" ;;
    overload) "$STARLING" load "$@" --unique --retry ;;
    faults)
        "$STARLING" load "$@" &
        load=$!
        # Each fault lasts and is followed by as long a rest; uploads go on all the time.
        for node in node1 node2 node3 node4 node5; do
            "$STARLING" lab ctl kill $node && sleep 3 && "$STARLING" lab ctl restart $node && sleep 3
            "$STARLING" lab ctl stop $node && sleep 3 && "$STARLING" lab ctl continue $node && sleep 3
            "$NETEM" partition $node --for 5s && sleep 8
        done >&2
        wait $load
        ;;
    esac >"$out/$part.json"
    exit
fi

FOLDER=${1:?give a folder of clips}
FOLDER=$(cd "$FOLDER" && pwd)
DURATION=${DURATION:-200s}
ONLY=${ONLY:-pattern overload faults}
scripts/deps.sh build run bench
if [ -z "${STARLING:-}" ]; then
    cargo build --release --workspace --bins
    STARLING=${CARGO_TARGET_DIR:-$PWD/target}/release/starling
fi
NETEM=$(dirname "$STARLING")/netem
export STARLING NETEM FOLDER DURATION
rm -rf "$out"
mkdir -p "$out"

# Bare ffmpeg with the paper's arguments, a process a core, every clip REPEAT times: "SECONDS CPU_SECONDS COUNT".
bare() {
    for _ in $(seq "${REPEAT:-3}"); do ls "$FOLDER"/*.mp4; done >"$out/list"
    mkdir -p "$out/bare"
    start=$(date +%s.%N)
    # `times` tells, on its second line, the CPU of this shell's children: user and system.
    cpu=$(sh -c '
        nl -ba "$1/list" | xargs -P"$(nproc)" -L1 sh -c '\''exec ffmpeg -v error -nostdin -y -i "$2" -vf scale=640:360 \
            -c:v libx264 -preset fast -crf 28 -movflags +faststart "$0/bare/$1.mp4"'\'' "$1"
        times' sh "$out" | awk 'NR == 2 { split($0, t, /[ms ]+/); print t[1] * 60 + t[2] + t[3] * 60 + t[4] }')
    end=$(date +%s.%N)
    count=$(find "$out/bare" -name '*.mp4' -size +0 | wc -l)
    rm -rf "$out/bare"
    echo "$start $end $cpu $count" | awk '{ print $2 - $1, $3, $4 }'
}

for part in $ONLY; do
    logs=$out/$part-logs
    "$STARLING" lab --nodes 5 --base-port 0 --json --logs "$logs" --once --run "$PWD/scripts/bench-load.sh inside $part" \
        >"$out/$part-lab.json" 2>"$out/$part-lab.log" || { cat "$out/$part-lab.log" >&2; exit 1; }
    # Faults are suspected, and that is right.
    cat "$logs"/*.log | grep -cE ' (suspected|failed) ' >"$out/$part-suspected" || true
    if [ "$part" = overload ]; then bare >"$out/bare.txt"; fi
done

python3 - "$out" $ONLY <<'PYTHON'
import json, pathlib, sys

out, parts = pathlib.Path(sys.argv[1]), sys.argv[2:]
line = {}
for part in parts:
    run = json.loads((out / f"{part}.json").read_text())
    cluster = run["cluster"]
    saturated = [kind for kind in run["refused"] if kind["problem"] == "saturated"]
    told = {
        "requests": run["requests"],
        "succeeded": run["succeeded"],
        "success_share": run["success_share"],
        "per_s": run["latency"]["per_s"],
        "median_ms": run["latency"]["median_ms"],
        "max_ms": run["latency"]["max_ms"],
        "refused": {f'{kind["status"]} {kind["problem"]}': kind["count"] for kind in run["refused"]},
        "failed": run["failed"],
        "contents": run["contents"],
        "transcodes": cluster["transcodes"],
        "suspicions": int((out / f"{part}-suspected").read_text()),
        "useful_cpu_share": cluster["useful_share"],
    }
    if part == "overload":
        seconds, cpu, count = map(float, (out / "bare.txt").read_text().split())
        done = cluster["ffmpeg_done_s"] + cluster["ffmpeg_wasted_s"] + cluster["ffprobe_s"] + cluster["nodes_s"]
        told |= {
            "bare_per_s": round(count / seconds, 3),
            "rate_ratio": round(run["latency"]["per_s"] / (count / seconds), 3),
            # The same by CPU time, which others on the machine change less.
            "cpu_ratio": round((cpu / count) / (done / max(run["succeeded"], 1)), 3),
            "wasted_cpu_s": cluster["ffmpeg_wasted_s"],
            "refused_p99_ms": max((kind["p99_ms"] for kind in saturated), default=None),
            "refused_max_ms": max((kind["max_ms"] for kind in saturated), default=None),
            "retries": run["retries"],
            "retries_accepted_share": run["retries_accepted_share"],
        }
    line[part] = told
print(json.dumps(line))
PYTHON
