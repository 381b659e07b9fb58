#!/bin/sh
# Installs what is missing for the groups named: build, run, demo, test, bench, serf, data, compare. With nothing missing it only
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
shape nft nftables
test nft nftables
test iptables iptables
test ping iputils-ping
test prometheus prometheus
test promtool prometheus
data openssl openssl
data nginx nginx-light
data wrk wrk
compare HandBrakeCLI handbrake-cli
ci chromium chromium
ci npm npm
ci pip3 python3-pip
ci dockerd docker.io
ci docker-compose docker-compose
ci mmdebstrap mmdebstrap
ci qemu-system-x86_64 qemu-system-x86
ci busybox busybox-static
ci cpio cpio
ci depmod kmod
ci systemd-analyze systemd
ci /lib/systemd/systemd systemd
EOF
}

groups=" $* "
case $groups in *" demo "*) groups="$groups build run " ;; esac
# Where the kernel has no netem, the lab's own shaper needs a firewall that hands it packets.
case $groups in
    *" demo "*)
        PATH=$PATH:/usr/sbin:/sbin
        if [ ! -d /sys/module/sch_netem ] && ! modprobe -n -q sch_netem 2>/dev/null && ! command -v iptables >/dev/null; then
            groups="$groups shape "
        fi
        ;;
esac
case $groups in *" test "*) groups="$groups build run " ;; esac
case $groups in *" test "*) if [ "${CI:-}" = true ]; then groups="$groups ci "; fi ;; esac

# from_npm FOLDER WHAT: what tests/FOLDER/package-lock.json names, with its digests, into target/tools/FOLDER; for tests alone.
from_npm() {
    from=$(dirname "$0")/../tests/$1
    to=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/tools/$1
    if [ -d "$to/node_modules" ] && cmp -s "$from/package-lock.json" "$to/package-lock.json"; then return 0; fi
    rm -rf "$to"
    mkdir -p "$to"
    cp "$from/package.json" "$from/package-lock.json" "$to"
    if npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund --silent >&2; then return 0; fi
    # Without a network everything else can be tested.
    rm -rf "$to"
    echo "$2 can't be fetched by npm: the tests that need them are skipped" >&2
    [ "${CI:-}" != true ]
}

# from_pip FOLDER WHAT: the same of tests/FOLDER/requirements.txt.
from_pip() {
    from=$(dirname "$0")/../tests/$1/requirements.txt
    to=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/tools/$1/python
    if cmp -s "$from" "$to/requirements.txt"; then return 0; fi
    rm -rf "$to"
    if python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$to" -r "$from" >&2; then
        cp "$from" "$to/requirements.txt"
        return 0
    fi
    rm -rf "$to"
    echo "$2 can't be fetched by pip: the tests that need it are skipped" >&2
    [ "${CI:-}" != true ]
}

# What tests use of other people's: what plays ladders in a browser, and finds that a page is not for everybody; what asks a node all
# that its OpenAPI document says that it takes; clients of tus; what knows what Kubernetes takes.
tools() {
    case $groups in *" test "*) ;; *) return 0 ;; esac
    if command -v npm >/dev/null; then
        from_npm tus "tus-js-client"
        if command -v chromium >/dev/null; then from_npm player "hls.js and axe-core"; fi
    fi
    if python3 -m pip --version >/dev/null 2>&1; then
        from_pip openapi "schemathesis"
        from_pip tus "tuspy"
        from_pip deploy "kubernetes-validate"
    fi
}

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
if [ -z "$missing" ]; then
    tools
    exit
fi
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
# apt COMMAND…: a machine that has just started, or that updates itself, holds apt's lock for some minutes.
apt() {
    tries=0
    until $root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" >"$log" 2>&1; do
        if [ $tries -ge 100 ] || ! grep -q 'Could not get lock' "$log"; then return 1; fi
        [ $tries -gt 0 ] || echo "another process holds apt's lock: waiting up to five minutes for it" >&2
        tries=$((tries + 1))
        sleep 3
    done
}
install() {
    # shellcheck disable=SC2086 # words on purpose
    apt install -y --no-install-recommends $missing
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A fresh machine has no package lists, and old ones name packages that are gone.
if ! install; then
    apt update || { cat "$log" >&2; exit 1; }
    install || { cat "$log" >&2; exit 1; }
fi
tools
