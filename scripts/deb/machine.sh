#!/bin/sh
# A copy of this machine's files with mounts, processes and a loopback of its own: what it writes lies in memory and goes with it.
#   unshare --mount --net --uts --ipc --cgroup --fork --pid --kill-child sh machine.sh FOLDER
set -eu
mount --make-rprivate /
ip link set lo up
over=$(mktemp -d)
mount -t tmpfs tmpfs "$over"
mkdir "$over/upper" "$over/work" "$over/root"
root=$over/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$over/upper,workdir=$over/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
# Where systemd keeps a service's processes together.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd"
fi
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir "$root/run/try"
mount --bind "$1" "$root/run/try"
# A service in a user namespace of its own can't be made below a chroot.
mkdir "$root/run/before"
cd "$root"
pivot_root . run/before
umount --lazy /run/before
exec sh /run/try/package.sh
