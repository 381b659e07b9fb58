#!/bin/sh
# Makes the Debian package of binaries that are built, and tries it on a copy of this machine's files, which go with it: installed,
# started by systemd with its unit's sandbox, a clip sent to it, reloaded, killed, stopped, upgraded, removed and purged.
#   scripts/deb.sh [release|dev [FOLDER]]     needs cargo-deb; to try it, root. With a folder the package stays there, else it goes
#   scripts/deb.sh tool                       in CI: builds cargo-deb, and no more
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

profile=${1:-release}
kept=${2:-}
# It runs for a second here: what optimization would take to compile is more than it brings.
tool cargo-deb - cargo-deb@3.8.0 --debug --no-default-features || exit 0
[ "${1:-}" != tool ] || exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
step "cargo deb"
# One that is only tried need not be small.
fast=--fast
[ -z "$kept" ] || fast=
# What a package has beside the program is the program's own word.
built=${CARGO_TARGET_DIR:-target}/$([ "$profile" = dev ] && echo debug || echo "$profile")/starling
rm -rf target/deb
mkdir -p target/deb/completions
"$built" man target/deb/man1
"$built" completions bash >target/deb/completions/starling
"$built" completions zsh >target/deb/completions/_starling
"$built" completions fish >target/deb/completions/starling.fish
# shellcheck disable=SC2086 # an option or none
cargo deb --quiet $fast --no-build --no-strip --profile "$profile" --package starling --output "$folder/starling.deb"
dpkg-deb --info "$folder/starling.deb" | grep -E '^ (Package|Version|Depends):'
keep() {
    [ -n "$kept" ] || return 0
    mkdir -p "$kept"
    field() { dpkg-deb --field "$folder/starling.deb" "$1"; }
    name=$kept/starling_$(field Version)_$(field Architecture).deb
    cp "$folder/starling.deb" "$name"
    echo "$name"
}
if [ "$(id -u)" != 0 ] || ! unshare --mount --net true 2>/dev/null; then
    skip "no root here: the package is made, and not installed"
    keep
    exit 0
fi
if [ ! -x /lib/systemd/systemd ]; then
    skip "no systemd here (apt-get install systemd): the package is made, and not installed"
    keep
    exit 0
fi
ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v libx264 -pix_fmt yuv420p "$folder/clip.mp4"
cp scripts/deb/* "$folder"

step "the package installed, run, upgraded, removed"
log=$folder/log
if ! unshare --mount --net --uts --ipc --cgroup --fork --pid --kill-child sh scripts/deb/machine.sh "$folder" >"$log" 2>&1; then
    cat "$log" >&2
    echo "deb: the package does not do what it should: the line above the last failed" >&2
    exit 1
fi
keep
echo "the package was installed, run by systemd as its unit says, a clip transcoded, and all removed"
