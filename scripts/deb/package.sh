#!/bin/sh
# The package's whole life on a machine whose files are a copy.
set -eux
dpkg --install /run/try/starling.deb
# As it is installed: a user of its own, a configuration that can be used and that is the operator's from now on, a unit that is off.
id starling
starling config check /etc/starling/node.toml
test -f /lib/systemd/system/starling.service || test -f /usr/lib/systemd/system/starling.service
test -z "$(find /etc/systemd/system -name starling.service)"
dpkg-query --showformat='${Conffiles}\n' --show starling | grep /etc/starling/node.toml
# Manual pages and completions, of each command: in the package, whatever this machine leaves out of /usr/share. The script is one
# that bash can read, and of the program that came with it.
dpkg-deb --contents /run/try/starling.deb >/run/contents
for page in starling starling-node starling-drain starling-job-watch starling-token-create; do
    grep -E "/usr/share/man/man1/$page\.1(\.gz)?\$" /run/contents
done
grep '/usr/share/zsh/vendor-completions/_starling$' /run/contents
grep '/usr/share/fish/vendor_completions.d/starling.fish$' /run/contents
dpkg-deb --fsys-tarfile /run/try/starling.deb | tar -xO ./usr/share/bash-completion/completions/starling >/run/completions
bash -n /run/completions
starling completions bash | cmp - /run/completions
echo 'zone = "FRA"' >>/etc/starling/node.toml
# systemd as the copy's first process, for as long as what is tried takes; it ends with the verdict.
cp /run/try/try.service /etc/systemd/system/
# No journal runs there.
mkdir /etc/systemd/system/starling.service.d
printf '[Service]\nStandardOutput=append:/run/node.log\nStandardError=inherit\n' >/etc/systemd/system/starling.service.d/log.conf
: >/run/try.log
: >/run/node.log
(
    # In a process namespace of its own: systemd is a namespace's first process, or none.
    exec unshare --fork --pid --mount --kill-child sh -c '
        mount -t proc proc /proc
        export container=try
        exec /lib/systemd/systemd --system --unit=try.service --log-target=console --log-level=notice --show-status=no'
) || ended=$?
cat /run/node.log /run/try.log
test "${ended:-0}" = 0
# An upgrade leaves the configuration as its operator wrote it; a removal leaves that and the data, a purge neither.
dpkg --install /run/try/starling.deb
grep -x 'zone = "FRA"' /etc/starling/node.toml
dpkg --remove starling
test ! -e /usr/bin/starling
test -e /etc/starling/node.toml && test -d /var/lib/starling/node
dpkg --purge starling
test ! -e /etc/starling/node.toml && test ! -e /var/lib/starling
