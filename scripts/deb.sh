#!/bin/sh
# Makes the Debian package of binaries that are built, and tries it: installed over this machine's own files (none of which changes),
# a node run as its unit says, a clip sent to it, upgraded, removed and purged. Not tried: the unit under a systemd that runs.
#   scripts/deb.sh [release|dev [FOLDER]]     needs cargo-deb; to try it, root. With a folder the package stays there, else it goes
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

profile=${1:-release}
kept=${2:-}
tool cargo-deb cargo-deb cargo-deb || exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
step "cargo deb"
# One that is only tried need not be small.
fast=--fast
[ -z "$kept" ] || fast=
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
    skip "no root here: the package is made, and not installed" allowed
    keep
    exit 0
fi
ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v libx264 -pix_fmt yuv420p "$folder/clip.mp4"

cat >"$folder/try" <<'EOF'
set -eux
dpkg --install /try/starling.deb
# As it is installed: a user of its own, a configuration that can be used and that is the operator's from now on, a unit that is off.
id starling
starling config check /etc/starling/node.toml
test -f /lib/systemd/system/starling.service || test -f /usr/lib/systemd/system/starling.service
test -z "$(find /etc/systemd/system -name starling.service)"
dpkg-query --showformat='${Conffiles}\n' --show starling | grep /etc/starling/node.toml
echo 'zone = "FRA"' >>/etc/starling/node.toml
# A node as the unit starts it.
unit=$(find /lib/systemd/system/starling.service /usr/lib/systemd/system/starling.service 2>/dev/null | head -n 1)
exec_start=$(sed -n 's/^ExecStart=//p' "$unit")
user=$(sed -n 's/^User=//p' "$unit")
environment=$(sed -n 's/^Environment=//p' "$unit")
install -d -m 0700 -o "$user" -g "$user" /var/lib/starling
cd /var/lib/starling
# shellcheck disable=SC2086 # options and their values
env "$environment" setpriv --reuid "$user" --regid "$user" --init-groups --no-new-privs $exec_start --name deb &
node=$!
for _ in $(seq 100); do curl --silent --fail http://127.0.0.1:5000/ready >/dev/null && break || sleep 0.1; done
curl --silent http://127.0.0.1:5000/health | grep '"zone":"FRA"'
curl --silent --show-error --fail-with-body --data-binary @/try/clip.mp4 --output /tmp/small.mp4 http://127.0.0.1:5000/upload
ffprobe -v error -show_entries stream=height -of csv=p=0 /tmp/small.mp4 | grep .
test "$(stat --format=%U /var/lib/starling/node)" = "$user"
kill -TERM "$node"
wait "$node"
# An upgrade leaves the configuration as its operator wrote it; a removal leaves that and the data, a purge neither.
dpkg --install /try/starling.deb
grep -x 'zone = "FRA"' /etc/starling/node.toml
dpkg --remove starling
test ! -e /usr/bin/starling
test -e /etc/starling/node.toml && test -d /var/lib/starling/node
dpkg --purge starling
test ! -e /etc/starling/node.toml && test ! -e /var/lib/starling
EOF

step "the package installed, run, upgraded, removed"
log=$folder/log
# Its own mounts and its own loopback, which go with it: what it writes lies in memory.
# shellcheck disable=SC2016 # it is the inner shell that puts in the values
if ! unshare --mount --net --fork --pid --kill-child sh -euc '
    mount --make-rprivate /
    ip link set lo up
    over=$(mktemp -d)
    mount -t tmpfs tmpfs "$over"
    mkdir "$over/upper" "$over/work" "$over/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$over/upper,workdir=$over/work" "$over/root"
    mount -t proc proc "$over/root/proc"
    mount --rbind /dev "$over/root/dev"
    mkdir -p "$over/root/try"
    mount --bind "$1" "$over/root/try"
    mount -t tmpfs tmpfs "$over/root/tmp"
    exec chroot "$over/root" sh /try/try' sh "$folder" >"$log" 2>&1; then
    cat "$log" >&2
    echo "deb: the package does not do what it should: the line above the last failed" >&2
    exit 1
fi
keep
echo "the package was installed, a node run as its unit says, a clip transcoded, and all removed"
