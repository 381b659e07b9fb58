#!/bin/sh
# Installs what is missing for the groups named: build, run, demo, test, bench, serf, data. With nothing missing it only
# looks, which takes milliseconds. Without the right to install it says what to install, and fails.
#
# With CI=true the group test also has what needs a machine of one's own: a Docker engine and an emulator.
set -eu

# A line a need: GROUP COMMAND-OR-FILE PACKAGES…  (Debian's and Ubuntu's names)
needs() {
    cat <<'EOF'
build cc gcc libc6-dev
run ffmpeg ffmpeg
run ffprobe ffmpeg
run ip iproute2
run unshare util-linux
bench python3 python3
serf serf serf
serf nft nftables
serf ip iproute2
serf unshare util-linux
test nft nftables
test iptables iptables
test ping iputils-ping
data openssl openssl
data nginx nginx-light
data wrk wrk
ci dockerd docker.io
ci docker-compose docker-compose
ci mmdebstrap mmdebstrap
ci qemu-system-x86_64 qemu-system-x86
ci busybox busybox-static
ci cpio cpio
ci depmod kmod
EOF
}

groups=" $* "
case $groups in *" demo "*) groups="$groups build run " ;; esac
case $groups in *" test "*) groups="$groups build run " ;; esac
case $groups in *" test "*) if [ "${CI:-}" = true ]; then groups="$groups ci "; fi ;; esac

if ! command -v cargo >/dev/null; then
    echo "Rust is not installed: see https://rustup.rs, then open a new shell" >&2
    exit 1
fi

# Daemons and network tools are often out of a user's PATH.
PATH=$PATH:/usr/sbin:/sbin
missing=
while read -r group command packages; do
    case $groups in *" $group "*) ;; *) continue ;; esac
    command -v "$command" >/dev/null || missing="$missing $packages"
done <<EOF
$(needs)
EOF
[ -n "$missing" ] || exit 0
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')

if ! command -v apt-get >/dev/null; then
    echo "install what gives the commands of these Debian packages, then try again: $missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    root=sudo
else
    echo "missing packages; install them, then try again:" >&2
    echo "  sudo apt-get install $missing" >&2
    exit 1
fi

echo "installing: $missing" >&2
install() {
    # shellcheck disable=SC2086 # words on purpose
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A fresh machine has no package lists, and old ones name packages that are gone.
if ! install; then
    $root apt-get update -q >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    install || { cat "$log" >&2; exit 1; }
fi
