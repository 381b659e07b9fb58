#!/bin/sh
# A node as its unit runs it, under a systemd that runs.
set -eux
show() { systemctl show --property "$1" --value starling.service; }
# soon COMMAND…: true within ten seconds.
soon() {
    for _ in $(seq 100); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    systemctl status --no-pager --full starling.service || true
    return 1
}
ready() { curl --silent --fail http://127.0.0.1:5000/ready; }
started_again() { test "$(show NRestarts)" = 1 && ready; }

systemctl start starling.service || { systemctl status --no-pager --full starling.service; exit 1; }
soon ready
curl --silent http://127.0.0.1:5000/health | grep '"zone":"FRA"'
curl --silent --show-error --fail-with-body --data-binary @/run/try/clip.mp4 --output /run/small.mp4 http://127.0.0.1:5000/upload
ffprobe -v error -show_entries stream=height -of csv=p=0 /run/small.mp4 | grep .
# Its data are its own, and closed to others.
test "$(stat --format='%U %a' /var/lib/starling)" = 'starling 700'
test "$(stat --format=%U /var/lib/starling/node)" = starling

# The unit's sandbox holds: no capability is left or can be gained, the machine's files can't be written, homes are out of sight.
node=$(show MainPID)
grep -E '^CapBnd:\s+0+$' "/proc/$node/status"
grep -E '^NoNewPrivs:\s+1$' "/proc/$node/status"
grep -E '^Seccomp:\s+2$' "/proc/$node/status"
grep -E '^[^ ]+ [^ ]+ [^ ]+ [^ ]+ / ro,' "/proc/$node/mountinfo"
test -z "$(ls -A "/proc/$node/root/root" 2>/dev/null)"

# A reload reaches the node, which has no keys to read here, and the process stays.
systemctl reload starling.service
soon ready
test "$(show MainPID)" = "$node"
# A node that is killed is started again; a node that is asked to end does so in order, and stays down.
kill -KILL "$node"
soon started_again
test "$(show MainPID)" != "$node"
systemctl stop starling.service
test "$(show ActiveState) $(show Result) $(show ExecMainStatus)" = 'inactive success 0'
