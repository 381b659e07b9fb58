#!/bin/bash
# Boots Debian's kernel, which has sch_netem, under qemu without KVM, runs a command in it and exits with its status.
#
#   run.sh [--memory MB] [--timeout SECONDS] [--bin PROGRAM]... [--file SOURCE:PATH]... -- COMMAND [ARGUMENT]...
#
# --bin puts a program and the libraries that it needs at the same path as here (or at the first place on PATH).
# Its clock counts instructions (icount), and jumps while it sleeps: what is measured in there is exact, however busy or slow
# this machine is, and waiting costs nothing.
#
# The whole world of the machine is its initramfs: nothing is mounted from this one, and it has no network.
# Exits with 77 and says why if this machine lacks what it takes. The kernel is fetched by apt and kept.
set -euo pipefail

memory=1024 timeout=600 bins=() files=()
while [ $# -gt 0 ]; do
    case $1 in
        --memory) memory=$2; shift 2 ;;
        --timeout) timeout=$2; shift 2 ;;
        --bin) bins+=("$2"); shift 2 ;;
        --file) files+=("$2"); shift 2 ;;
        --) shift; break ;;
        *) echo "run.sh: $1: expected an option or --" >&2; exit 2 ;;
    esac
done
[ $# -gt 0 ] || { echo "run.sh: expected a command after --" >&2; exit 2; }

skip() { echo "SKIPPED: $*" >&2; exit 77; }
for tool in qemu-system-x86_64:qemu-system-x86 cpio:cpio busybox:busybox-static apt-get:apt dpkg-deb:dpkg; do
    command -v "${tool%%:*}" >/dev/null || skip "${tool%%:*} is missing: install the package ${tool##*:}"
done
[ "$(uname -m)" = x86_64 ] || skip "the machine to boot is an x86_64"
ldd "$(command -v busybox)" >/dev/null 2>&1 && skip "busybox needs libraries: install the package busybox-static"

here=$(cd "$(dirname "$0")/../.." && pwd)
cache=${CARGO_TARGET_DIR:-$here/target}/vm
mkdir -p "$cache"

# The kernel: fetched once, by one of several callers.
exec 9>"$cache/lock"
flock 9
if ! ls "$cache"/kernel/boot/vmlinuz-* >/dev/null 2>&1; then
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image-/ { print $2; exit }')
    [ -n "$package" ] || skip "apt knows no linux-image-cloud-amd64: run apt-get update"
    rm -rf "$cache/fetch" "$cache/kernel"
    mkdir -p "$cache/fetch"
    (cd "$cache/fetch" && apt-get -q -o APT::Sandbox::User=root download "$package" >&2) ||
        skip "the package $package could not be downloaded"
    dpkg-deb -x "$cache"/fetch/"$package"_*.deb "$cache/fetch/root"
    mv "$cache/fetch/root" "$cache/kernel"
fi
flock -u 9

version=$(basename "$(ls "$cache"/kernel/boot/vmlinuz-* | head -n 1)")
version=${version#vmlinuz-}
work=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,sbin,etc,proc,sys,dev,run,tmp,root,var/tmp,usr/bin,usr/sbin,usr/lib,lib/modules}

# Follows links: what is copied is found under the name by which it is asked for.
add() { mkdir -p "$root$(dirname "$2")" && cp -L "$1" "$root$2"; }
add_program() {
    local path
    path=$(type -P "$1") || skip "the program $1 is missing"
    path=$(realpath -s "$path")
    add "$path" "$path"
    # Each byte of it goes through an emulated processor while the machine boots.
    if command -v strip >/dev/null; then strip --strip-debug "$root$path" 2>/dev/null || true; fi
    { ldd "$path" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
        [ -e "$root$library" ] || add "$library" "$library"
    done
}
add "$(command -v busybox)" /bin/busybox
for program in "${bins[@]}"; do add_program "$program"; done
for file in "${files[@]}"; do add "${file%%:*}" "${file#*:}"; done

# Modules of the network, and what they depend on; the kernel asks for them by itself.
modules=lib/modules/$version
mkdir -p "$root/$modules/kernel"
for part in net drivers/net lib crypto; do
    [ -d "$cache/kernel/$modules/kernel/$part" ] || continue
    mkdir -p "$root/$modules/kernel/$(dirname "$part")"
    cp -r "$cache/kernel/$modules/kernel/$part" "$root/$modules/kernel/$(dirname "$part")/"
done
cp "$cache/kernel/$modules"/modules.{order,builtin} "$root/$modules/"
/sbin/depmod -b "$root" "$version" 2>/dev/null || skip "depmod is missing: install the package kmod"

printf '%q ' "$@" >"$root/etc/command"
cat >"$root/etc/passwd" <<<'root:x:0:0:root:/root:/bin/sh'
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
/bin/busybox --install -s /bin
[ -e /sbin/modprobe ] || ln -s /bin/busybox /sbin/modprobe
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs tmpfs /run
# Part of the root, which is memory as it is: what was put under it has to stay in sight.
chmod 1777 /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
hostname vm
# Two callers at once that need a module which is not there yet: the second is told that there is none.
modprobe -a veth bridge sch_htb sch_netem cls_u32 nf_tables nfnetlink_queue
ip link set lo up
sh /etc/command
echo "VM-EXIT: $?"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . -print0 | cpio --null --create --format=newc --quiet) >"$work/initramfs"

# Lines end in CR LF on a serial console.
timeout --kill-after=5 "$timeout" qemu-system-x86_64 \
    -accel tcg,thread=single -icount shift=1,sleep=off -cpu max -m "$memory" \
    -nodefaults -no-user-config -display none -no-reboot -serial stdio -nic none \
    -kernel "$cache/kernel/boot/vmlinuz-$version" -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet loglevel=4 panic=-1" </dev/null 2>"$work/qemu" |
    tr -d '\r' | tee "$work/output" | grep --line-buffered -v '^VM-EXIT: ' || true
status=$(sed -n 's/^VM-EXIT: //p' "$work/output" | tail -n 1)
if [ -z "$status" ]; then
    echo "run.sh: the machine did not come to its end within $timeout s" >&2
    cat "$work/qemu" >&2
    exit 124
fi
exit "$status"
