#!/bin/sh
# Which module may name which: the arrows of docs/ARCHITECTURE.md, held.
set -eu
cd "$(dirname "$0")/.."

broken=0

# names WHAT WHERE... - no file under WHERE names module WHAT of this library, in code or in words.
names() {
    what=$1
    shift
    if grep -rnE "(^|[^[:alnum:]_:])(crate|starling)::($what\\b|\\{[^}]*\\b$what\\b)" "$@" --include='*.rs'; then
        echo "layers: the lines above name \`$what\`, which is above them: see docs/ARCHITECTURE.md" >&2
        broken=1
    fi
}

# All that is in src, but for what stands above `http`, or beside it with nothing but its address.
below_http=$(find src -mindepth 1 -maxdepth 1 ! -name http ! -name run ! -name cli ! -name main.rs ! -name fuzzing.rs)
# shellcheck disable=SC2086 # a list of paths without spaces
names http $below_http
names node src/metrics src/events src/api src/offload src/workers

# What placement is built of: nothing that has files, sockets, processes or a runtime in it (tokio's clock, locks and macros alone;
# starling-bound is arithmetic, for the simulator).
allowed="starling-bound starling-overlay futures-util parking_lot rand serde sha2 thiserror tokio"
for crate in $(cargo metadata --format-version 1 --no-deps --offline |
    python3 -c 'import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "starling-placement":
        for needs in package["dependencies"]:
            if needs["kind"] is None:
                print(needs["name"])
                if needs["name"] == "tokio" and set(needs["features"]) - {"macros", "sync", "time"}:
                    print("tokio-with-" + "-".join(needs["features"]))'); do
    case " $allowed " in
    *" $crate "*) ;;
    *)
        echo "layers: starling-placement depends on $crate: what it may depend on stands in scripts/layers.sh" >&2
        broken=1
        ;;
    esac
done
exit "$broken"
